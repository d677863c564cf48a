package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
)

// hold is an agent's order that lasts until a file is there, or the test's
// folder is not.
type hold struct{ begun, leave string }

func newHold(t *testing.T) hold {
	t.Helper()
	dir := t.TempDir()
	return hold{filepath.Join(dir, "begun"), filepath.Join(dir, "leave")}
}

// config is the agent's.
func (h hold) config() string {
	return fmt.Sprintf("orders: {hold: {command: [/bin/sh, -c, 'touch %[1]s; while [ -e %[1]s -a ! -e %[2]s ]; do sleep 0.02; done; echo held']}}\n",
		h.begun, h.leave)
}

func (h hold) awaitBegun(t *testing.T) {
	t.Helper()
	await(t, "an order in flight", func() bool { _, err := os.Stat(h.begun); return err == nil })
}

// only is the one order that a device was given.
func (s *site) only(deviceID string) schema.Order {
	s.t.Helper()
	var list schema.List[schema.Order]
	s.api.must("GET", "device_orders_query/"+deviceID, "", &list)
	if len(list.Items) != 1 {
		s.t.Fatalf("%d orders", len(list.Items))
	}
	return list.Items[0]
}

// checkLost: the server's end is all that is known of an order.
func checkLost(t *testing.T, o schema.Order) {
	t.Helper()
	if o.State != schema.OrderStateLost || o.Reason == nil || *o.Reason != schema.ReasonRestart || o.Verified != nil {
		t.Errorf("the order is %s, reason %v, verified %v", o.State, o.Reason, o.Verified)
	}
}

// giveInVain gives an order whose answer will never come; lost waits until its
// caller knows that.
func (s *site) giveInVain(t *testing.T, deviceID, order, params string) (lost func()) {
	t.Helper()
	api := s.client(t)
	ended := make(chan error, 1)
	go func() {
		_, err := api.GiveOrder(context.Background(), client.NewOrder{DeviceID: deviceID, Order: order, Params: json.RawMessage(params)})
		ended <- err
	}()
	return func() {
		t.Helper()
		if err := <-ended; err == nil {
			t.Error("the order was answered by a server that had no outcome")
		}
	}
}

// TestF51_KilledWithAnOrderInFlight: the server is killed and comes back to the
// same port and store. The device was set offline, comes back by its token and
// hands in what it has carried out meanwhile; its log goes on without a gap.
func TestF51_KilledWithAnOrderInFlight(t *testing.T) {
	program := agentProgram(t)
	t.Parallel()
	s := serve(t)
	h := newHold(t)
	a := s.agent(program, "a", h.config())
	s.awaitState(a.id, schema.Online)
	lost := s.giveInVain(t, a.id, "hold", "{}")
	h.awaitBegun(t)
	s.kill()
	lost()
	writeFile(t, h.leave, "")

	s.begin(t)
	if d := s.api.device(a.id); d.State != schema.Offline || d.StateReason != schema.ReasonRestart {
		t.Errorf("after the kill the device is %s, %s", d.State, d.StateReason)
	}
	checkLost(t, s.only(a.id))
	s.awaitState(a.id, schema.Online)
	if got := strings.Join(s.told(a.id, schema.EventLogin, "form"), " "); got != "id_password token" {
		t.Errorf("logins by %s", got)
	}
	if got := strings.Join(s.told(a.id, schema.EventDisconnect, "reason"), " "); got != schema.ReasonRestart {
		t.Errorf("disconnected for %s", got)
	}
	await(t, "the result that was lost", func() bool { return s.only(a.id).State == schema.OrderSucceeded })
	if o := s.only(a.id); !o.Late || !strings.Contains(string(o.Data), `"held\n"`) {
		t.Errorf("late %v, data %s", o.Late, o.Data)
	}
}

// TestF52_DrainWithAnOrderInFlight: the order has its outcome, nothing new is
// begun, the device is told when to come back, and its log says why it left.
func TestF52_DrainWithAnOrderInFlight(t *testing.T) {
	program := agentProgram(t)
	t.Parallel()
	s := serve(t)
	h := newHold(t)
	a := s.agent(program, "a", h.config())
	s.awaitState(a.id, schema.Online)
	if status := s.ready(); status != http.StatusOK {
		t.Errorf("readyz %d", status)
	}
	held := s.api.giveOrder(a.id, "hold", `,"params":{}`)
	h.awaitBegun(t)
	s.signal(syscall.SIGTERM)
	await(t, "a server that is not ready", func() bool { return s.ready() == http.StatusServiceUnavailable })
	s.give(a.id, "hold", "{}").check(t, 503, "draining", "", "")
	writeFile(t, h.leave, "")
	if got := shown(t, <-held); got != "held\n" {
		t.Errorf("the order in flight answered %q", got)
	}
	if code := s.code(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	await(t, "the agent's word of the close", func() bool { return a.err.has("closed with 1012 retry_after_ms=") })

	s.begin(t)
	if got := strings.Join(s.told(a.id, schema.EventDisconnect, "reason"), " "); got != "drain" {
		t.Errorf("disconnected for %s", got)
	}
}

// dialWire connects a raw client to a service over its socket.
func (s *site) dialWire(t *testing.T) *wire {
	t.Helper()
	conn, _, err := (&websocket.Dialer{NetDialContext: s.dial}).Dial("ws://tether/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &wire{t: t, conn: conn, in: make(chan string, 100), end: make(chan websocket.CloseError, 1)}
	go c.read()
	t.Cleanup(func() { conn.Close() })
	return c
}

// freeze stops the process where it is.
func (p *process) freeze() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	await(p.t, "a process that stands still", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		if err != nil {
			p.t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		return strings.HasPrefix(rest, "T")
	})
}

// TestF50_KilledBeforeTheConfirm: the device has answered a restart order, and
// the server dies before it has read that. The device restarts all the same;
// its new boot tells the server that it did.
func TestF50_KilledBeforeTheConfirm(t *testing.T) {
	t.Parallel()
	s := serve(t)
	id, password := s.api.addDevice("a")
	c := s.dialWire(t)
	c.login(id, password, "boot-1")
	lost := s.giveInVain(t, id, schema.OrderRestart, "{}")
	m := c.next()
	s.freeze()
	c.answer(m.ID, `{"status":"success","message":"wait Server Confirm"}`)
	s.kill()
	lost()
	if e := c.closed(); e.Code != websocket.CloseAbnormalClosure {
		t.Errorf("closed with %d %q", e.Code, e.Text)
	}

	s.begin(t)
	o := s.only(id)
	checkLost(t, o)
	again := s.dialWire(t)
	if res := again.login(id, password, "boot-2"); len(res.Unsettled) != 0 {
		t.Errorf("asked for %v, which the new boot proves", res.Unsettled)
	}
	if o = s.api.order(o.OrderID); o.State != schema.OrderSucceeded || !o.Late || o.Verified == nil || !*o.Verified {
		t.Errorf("after the new boot the order is %s, late %v, verified %v", o.State, o.Late, o.Verified)
	}
	if got := s.told(id, schema.EventRestartVerified, "order_id"); len(got) != 1 || got[0] != o.OrderID {
		t.Errorf("verified %q", got)
	}
}

// TestF23_AStandstill: the server's process stands still for longer than a
// device may be silent. What arrived meanwhile counts, and nobody is dropped.
func TestF23_AStandstill(t *testing.T) {
	t.Parallel()
	s := serve(t)
	id, password := s.api.addDevice("a")
	c := s.dialWire(t)
	c.login(id, password, "boot-1")
	s.freeze()
	c.send(`{"jsonrpc":"2.0","id":"p","method":"ping"}`)
	time.Sleep(schema.FirstDue + 2*schema.NextDue + 500*time.Millisecond) // this is the fault
	s.signal(syscall.SIGCONT)
	if m := c.next(); string(m.Result) != `"pong"` {
		t.Errorf("ping: %+v", m)
	}
	if d := s.api.device(id); d.State != schema.Online {
		t.Errorf("the device is %s", d.State)
	}
	if got := s.told(id, schema.EventDisconnect, "reason"); len(got) != 0 {
		t.Errorf("disconnected for %s", got)
	}
}

// TestSecondInstance: the port is another's, and the message says so.
func TestSecondInstance(t *testing.T) {
	t.Parallel()
	s := serve(t)
	p := tether(t, nil, "serve", "--listen", s.address, "--database", "sqlite:"+filepath.Join(t.TempDir(), "other.db"))
	if code := p.code(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if text := p.err.String(); !strings.Contains(text, s.address) || !strings.Contains(text, "address already in use") {
		t.Errorf("it said %q", text)
	}
	if p.out.has(schema.KeyPrefix) {
		t.Error("it told a key all the same")
	}
	if status := s.ready(); status != http.StatusOK {
		t.Errorf("the first: readyz %d", status)
	}
}
