//go:build mutants

package session

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mutants are small faults put into the core on purpose, one at a time: a
// comparison turned, a reset left out, an id not compared. Each must be caught
// by the sequences and by the simulation, or those prove nothing.
var mutants = []struct{ what, file, old, new string }{
	{"a reply at the deadline wins", "order.go", "if !now.Before(f.due) { // the deadline", "if now.After(f.due) { // the deadline"},
	{"a reply is not matched by its call", "order.go", "f.stage == sent && f.call == ev.call:\n\t\tif !now", "f.stage == sent:\n\t\tif !now"},
	{"a reply is taken twice", "order.go", "f.stage == sent && f.call == ev.call:\n\t\tif !now", "f.call == ev.call:\n\t\tif !now"},
	{"a late result stays in the table", "order.go", "\tdelete(c.givenUp, ev.call)\n", ""},
	{"a late result is not kept", "order.go", "\tc.giveUpCall(f)\n", ""},
	{"a late result is not called late", "order.go", "c.epoch, true, now.UnixMilli()\n\tc.settleLate(out, lost.order, nil)", "c.epoch, false, now.UnixMilli()\n\tc.settleLate(out, lost.order, nil)"},
	{"single flight is not checked", "order.go", "case c.slot != nil:", "case false:"},
	{"an order goes to a device in state Unknown", "order.go", "case c.state == schema.Unknown:", "case false:"},
	{"the order is sent though its caller was told no", "order.go", "case c.phase != open || f.missed:", "case c.phase != open:"},
	{"the order is sent on a connection that is gone", "order.go", "case c.phase != open || f.missed:", "case f.missed:"},
	{"the order is sent though its intent failed", "order.go", "case ev.err != nil:\n\t\tc.intentFailed(f, ev.err, now)", "case false:\n\t\tc.intentFailed(f, ev.err, now)"},
	{"an order is not ended with its connection", "core.go", "\t\tc.loseOrder(now)\n", ""},
	{"the caller can be told twice", "order.go", "\t\tf.ticket = nil\n", ""},
	{"the slot is not freed", "order.go", "\tc.slot = nil\n", ""},
	{"a failed outcome is not tried again", "order.go", "\t\tc.emit(retryOutcome{ev.out, ev.to != nil})\n\t}\n\tif ev.to", "\t}\n\tif ev.to"},
	{"another order's outcome frees the slot", "order.go", "f == nil || f.order.OrderID != ev.out.OrderID || ev.out.Late", "f == nil"},
	{"a message does not reset the count", "liveness.go", "c.failures, c.lastSeen, c.due = 0, now,", "c.lastSeen, c.due = now,"},
	{"the tolerance stays short after a miss", "liveness.go", "now, now.Add(c.set.FirstDue)", "now, now.Add(c.set.NextDue)"},
	{"one miss too many is forgiven", "liveness.go", "c.failures >= c.set.MaxFailures", "c.failures > c.set.MaxFailures"},
	{"misses are not spaced", "liveness.go", "c.due = now.Add(c.set.NextDue)", "c.due = now.Add(c.set.FirstDue)"},
	{"a device is not given up", "core.go", "\t\tc.giveUpDevice(now)\n", ""},
	{"a claim that comes too late keeps the device", "login.go", "\t\tc.giveUpDevice(now)\n", ""},
	{"a claim opens a session that has ended", "login.go", "\tif c.phase != claiming {\n\t\tc.giveUp", "\tif false {\n\t\tc.giveUp"},
	{"a session hangs up twice", "core.go", "\tif c.phase == closing {\n\t\treturn\n\t}\n\tc.emit(hangUp", "\tc.emit(hangUp"},
	{"a wrong secret is claimed with", "login.go", "\t\tc.logRefusal(schema.KindOf(ev.err), now)\n\t}\n\tc.refuseLogin(ev.err, now)", "\t\tc.logRefusal(schema.KindOf(ev.err), now)\n\t}"},
	{"what waits is not taken", "core.go", "\tc.takeWaiting(now)\n", ""},
	{"an order overtakes those that wait", "order.go", "case c.line.next != nil:", "case false:"},
	{"what waited is cancelled if it cannot be sent", "order.go", "if f.waited || f.ask.IfOffline", "if f.ask.IfOffline"},
	{"a claim is taken back by another name", "order.go", "Sent: *f.order.SentTime,", ""},
	{"what waits again is not told to the next session", "waiting.go", "\t\tc.emit(handOn{ev.record})\n", ""},
	{"what waits again is forgotten", "waiting.go", "\tc.onOrderWaits(orderWaits{&o})\n", ""},
	{"what waits is looked for on behalf of a silent device", "waiting.go", "c.state == schema.Online && c.drain == nil\n}", "c.drain == nil\n}"},
	{"what was found is claimed on a connection that is gone", "waiting.go", "len(ev.orders) > 0 && c.phase == open && c.state == schema.Online", "len(ev.orders) > 0 && c.state == schema.Online"},
	{"what waits is not heard of at login", "login.go", "\tc.onOrderWaits(orderWaits{ev.answer.Waiting})\n", ""},
	{"the second that waits is forgotten", "waiting.go", "\t\tc.onOrderWaits(orderWaits{&ev.orders[0]})\n", ""},
	{"an intent that came too late is sent", "order.go", "f.due, f.missed = time.Time{}, true", "f.due = time.Time{}"},
	{"a session ends while the store owes it an answer", "core.go", "return c.phase == closing && c.owed == 0", "return c.phase == closing"},
}

func TestMutantsAreCaught(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.what, func(t *testing.T) {
			t.Parallel()
			overlay := seedFault(t, m.file, m.old, m.new)
			for by, run := range map[string][]string{
				"sequence_test.go": {"-run", "AllSequences", ".", "-depth", "4"},
				"simulate_test.go": {"-run", "SimulatedOrders", ".", "-orders", "1000000"},
			} {
				args := append([]string{"test", "-vet=off", "-overlay", overlay}, run...)
				out, err := exec.Command("go", args...).CombinedOutput()
				if err == nil || !strings.Contains(string(out), by) {
					t.Errorf("not caught in %s:\n%s", by, out)
				}
				t.Log(firstTrouble(string(out)))
			}
		})
	}
}

// seedFault makes the overlay in which one file of the package is replaced.
func seedFault(t *testing.T, file, from, to string) (overlay string) {
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(src), from) != 1 {
		t.Fatalf("%s: the fault fits %d times", file, strings.Count(string(src), from))
	}
	dir := t.TempDir()
	mutated := filepath.Join(dir, file)
	if err := os.WriteFile(mutated, []byte(strings.Replace(string(src), from, to, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	abs, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	replaced, err := json.Marshal(map[string]any{"Replace": map[string]string{abs: mutated}})
	if err != nil {
		t.Fatal(err)
	}
	overlay = filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, replaced, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}

func firstTrouble(out string) string {
	for line := range strings.Lines(out) {
		if strings.Contains(line, "_test.go:") {
			return strings.TrimSpace(line)
		}
	}
	return strings.TrimSpace(out)
}
