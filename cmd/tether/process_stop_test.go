package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/store"
)

// herdSize is how many devices a test of stopping has; every fourth of them
// has an order in flight.
func herdSize() int {
	if os.Getenv("TETHER_SOAK") != "" {
		return 400
	}
	return 40
}

// herd is devices of raw clients, logged in, some with an order in flight.
type herd struct {
	site    *site
	ids     []string
	wires   []*wire
	orders  map[int]string          // of devices with an order: its JSON-RPC id
	answers map[int]<-chan apiReply // likewise: what its caller is told
}

func (s *site) herd(t *testing.T, n int) *herd {
	t.Helper()
	f := &herd{site: s, orders: map[int]string{}, answers: map[int]<-chan apiReply{}}
	for i := range n {
		id, password := s.api.addDevice(fmt.Sprint("f-", i))
		c := s.dialWire(t)
		c.login(id, password, "boot-1")
		f.ids, f.wires = append(f.ids, id), append(f.wires, c)
		if i%4 == 0 {
			f.answers[i] = s.tryOrder(id)
			f.orders[i] = string(c.next().ID)
		}
	}
	return f
}

// tryOrder gives an order to a service that may be killed: then there is no answer.
func (s *site) tryOrder(deviceID string) <-chan apiReply {
	got := make(chan apiReply, 1)
	go func() {
		a, _ := s.api.try("POST", "give_order", fmt.Sprintf(`{"device_id":%q,"order":"work","params":{}}`, deviceID))
		got <- a
	}()
	return got
}

// comeBacks are the times to come back at that all devices were given, in milliseconds.
func (f *herd) comeBacks(t *testing.T) (all []int) {
	t.Helper()
	for i, c := range f.wires {
		e := c.closed()
		text, ok := strings.CutPrefix(e.Text, "retry_after_ms=")
		ms, err := strconv.Atoi(text)
		if e.Code != int(schema.CloseRestart) || !ok || err != nil {
			t.Fatalf("device %d was closed with %d %q", i, e.Code, e.Text)
		}
		all = append(all, ms)
	}
	return all
}

// checkStore: the database is sound, and its logs are.
func (s *site) checkStore(t *testing.T) {
	t.Helper()
	if findings, err := store.Check(t.Context(), s.database()); err != nil || len(findings) > 0 {
		t.Error(findings, err)
	}
}

// TestF52_DrainOfAFleet: with devices and orders in flight, a signal makes the
// server not ready at once, refuses new orders, gives every order in flight its
// outcome, sends all devices away over a spread, and ends with 0 in time.
func TestF52_DrainOfAFleet(t *testing.T) {
	t.Parallel()
	s := serve(t)
	f := s.herd(t, herdSize())
	began := time.Now()
	s.signal(syscall.SIGTERM)
	await(t, "a server that is not ready", func() bool { return s.ready() == http.StatusServiceUnavailable })
	unready := time.Since(began)
	if status, text := look(t, s.ops, "/readyz"); status != 503 || text != "draining\n" {
		t.Errorf("readyz: %d %q", status, text)
	}
	if _, text := look(t, s.ops, "/metrics"); !strings.Contains(text, "tether_draining 1") ||
		!strings.Contains(text, fmt.Sprintf("tether_orders_in_flight %d\n", len(f.orders))) {
		t.Error("the metrics do not tell of the drain")
	}
	s.give(f.ids[1], "work", "{}").check(t, 503, "draining", "", "")
	for i, id := range f.orders {
		f.wires[i].answer(json.RawMessage(id), `{"status":"success","message":"done"}`)
	}
	for i, answer := range f.answers {
		if a := <-answer; a.HTTP != http.StatusOK {
			t.Errorf("the order of device %d: %d %s", i, a.HTTP, a.Code)
		}
	}
	times := map[int]bool{}
	for _, ms := range f.comeBacks(t) {
		times[ms] = true
		if ms < 3000 || ms > 13000 {
			t.Errorf("a device is to come back after %d ms", ms)
		}
	}
	if len(times) != len(f.wires) {
		t.Errorf("%d times for %d devices", len(times), len(f.wires))
	}
	code := s.code()
	took := time.Since(began)
	if code != 0 || took > 45*time.Second {
		t.Errorf("exit code %d after %v", code, took)
	}
	s.checkStore(t)
	s.begin(t)
	for i := range f.orders {
		if o := s.only(f.ids[i]); o.State != schema.OrderSucceeded || o.Late {
			t.Errorf("the order of device %d is %s, late %v", i, o.State, o.Late)
		}
	}
	for _, id := range f.ids[:4] {
		if got := strings.Join(s.told(id, schema.EventDisconnect, "reason"), " "); got != "drain" {
			t.Errorf("disconnected for %s", got)
		}
	}
	t.Logf("%d devices, %d orders in flight; not ready after %v, ended after %v", len(f.ids), len(f.orders), unready, took)
}

// TestF53_SecondSignalShortens: at the second signal the server waits for no
// device any more. What was in flight is unknown, which is committed and told,
// the devices are sent away, and the end is a good one.
func TestF53_SecondSignalShortens(t *testing.T) {
	t.Parallel()
	s := serve(t)
	f := s.herd(t, 8)
	s.signal(syscall.SIGTERM)
	await(t, "a server that drains", func() bool { return s.ready() == http.StatusServiceUnavailable })
	began := time.Now()
	s.signal(syscall.SIGTERM)
	for i, answer := range f.answers {
		if a := <-answer; a.HTTP != http.StatusGatewayTimeout || a.Code != "device_disconnected" {
			t.Errorf("the order of device %d: %d %s", i, a.HTTP, a.Code)
		}
	}
	f.comeBacks(t)
	code := s.code()
	took := time.Since(began)
	if code != 0 || took > schema.OrderTimeout/2 {
		t.Errorf("exit code %d after %v", code, took)
	}
	s.checkStore(t)
	s.begin(t)
	for i := range f.orders {
		o := s.only(f.ids[i])
		if o.State != schema.OrderStateLost || o.Reason == nil || *o.Reason != schema.ReasonDisconnected {
			t.Errorf("the order of device %d is %s, reason %v", i, o.State, o.Reason)
		}
		again := s.dialWire(t)
		if res := again.login(f.ids[i], s.api.passwordOf(f.ids[i]), "boot-1"); len(res.Unsettled) != 1 || res.Unsettled[0] != o.OrderID {
			t.Errorf("device %d is asked for %v, not %s", i, res.Unsettled, o.OrderID)
		}
	}
	t.Logf("ended %v after the second signal", took)
}

// TestF53_KilledWhileItDrains: what a kill leaves of a drain is what any kill
// leaves.
func TestF53_KilledWhileItDrains(t *testing.T) {
	t.Parallel()
	s := serve(t)
	f := s.herd(t, 8)
	s.signal(syscall.SIGTERM)
	await(t, "a server that drains", func() bool { return s.ready() == http.StatusServiceUnavailable })
	for i := range f.wires {
		if _, busy := f.orders[i]; !busy {
			f.wires[i].closed()
		}
	}
	s.kill()
	for i, answer := range f.answers {
		if a := <-answer; a.HTTP != 0 {
			t.Errorf("the order of device %d was answered: %d %s", i, a.HTTP, a.Code)
		}
	}
	s.checkStore(t)
	s.begin(t)
	for i, id := range f.ids {
		if d := s.api.device(id); d.State != schema.Offline {
			t.Errorf("device %d is %s", i, d.State)
		}
		if _, busy := f.orders[i]; busy {
			checkLost(t, s.only(id))
		}
		s.log(id)
	}
}

// TestF53_SignalDuringTheStart: at any moment of a start, that of an older
// database which is brought to this form included, a signal ends it, and the
// next start finds nothing amiss.
func TestF53_SignalDuringTheStart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tether.db")
	url := "sqlite:" + path
	times := kills(8)
	served := 0
	for n := range times {
		if n%2 == 0 { // an empty database: every step of the migration
			for _, end := range []string{"", "-wal", "-shm"} {
				_ = os.Remove(path + end) // it may not be there
			}
		}
		p := tether(t, nil, "--log-json", "serve", "--listen", "127.0.0.1:0", "--database", url)
		<-time.After(time.Duration(n) * 400 * time.Millisecond / time.Duration(times)) // the moment is what is tried
		p.signal(syscall.SIGTERM)
		code := p.code()
		status, _ := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
		if early := status.Signaled() && !p.err.has(`"message"`); code != 0 && !early { // before main has begun, the signal is the system's
			t.Errorf("exit code %d, %v: %s", code, p.cmd.ProcessState, &p.err)
		}
		if servingAt.MatchString(p.err.String()) {
			served++
		}
	}
	p := tether(t, nil, "--log-json", "serve", "--listen", "127.0.0.1:0", "--database", url)
	await(t, "a service on what was left", func() bool { p.mustRun(); return servingAt.MatchString(p.err.String()) })
	if findings, err := store.Check(t.Context(), url); err != nil || len(findings) > 0 {
		t.Error(findings, err)
	}
	t.Logf("%d starts ended, %d of them had come to serve", times, served)
}
