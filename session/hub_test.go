package session

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ledger is a store in memory, in which a test can make things go wrong; the
// real one is tried with the whole service.
type ledger struct {
	mu      sync.Mutex
	orders  map[string]schema.Order
	events  []schema.Event
	states  []schema.DevState
	settled int
	down    atomic.Bool
	hold    chan struct{} // not nil: a claim waits for it
	slow    time.Duration // after which an outcome is answered
	panics  func(schema.Event) bool
	waits   *Waits
	queue   []schema.Queued
}

func (l *ledger) Credential(_ context.Context, p schema.LoginParams, _ int64) (schema.Credential, error) {
	return schema.Credential{DeviceID: p.DeviceID, Enabled: true}, nil
}

func (l *ledger) Claim(context.Context, schema.Claim) (schema.Claimed, error) {
	if l.hold != nil {
		<-l.hold
	}
	return schema.Claimed{}, nil
}

func (l *ledger) err() error {
	if l.down.Load() {
		return schema.ErrStoreUnavailable
	}
	return nil
}

func (l *ledger) BeginOrder(in schema.Intent, done func(error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.err()
	if err == nil {
		l.orders[in.Order.OrderID] = in.Order
	}
	go done(err)
}

func (l *ledger) EndOrder(out schema.Outcome, done func(schema.Order, error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.err()
	o, ok := l.orders[out.OrderID]
	if !ok && err == nil {
		err = schema.ErrOrderNotFound
	}
	if err == nil && !(o.State.Ended() && o.State != schema.OrderStateLost) {
		o.State, o.Message, o.Late = out.State, out.Message, out.Late
		l.orders[out.OrderID] = o
	}
	time.AfterFunc(l.slow, func() { done(o, err) })
}

func (l *ledger) Enqueue(_ context.Context, q schema.Queued) (schema.Order, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.err(); err != nil {
		return schema.Order{}, err
	}
	l.queue, l.orders[q.Order.OrderID] = append(l.queue, q), q.Order
	return q.Order, nil
}

func (l *ledger) NextOrders(_ context.Context, deviceID string, now int64) ([]schema.Order, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var next []schema.Order
	for _, q := range l.queue {
		if o := l.orders[q.Order.OrderID]; o.DeviceID == deviceID && o.State == schema.OrderQueued && q.Expires > now && len(next) < 2 {
			next = append(next, o)
		}
	}
	return next, l.err()
}

func (l *ledger) Order(_ context.Context, _ schema.Scope, id string) (schema.Order, error) {
	return l.order(id), l.err()
}

func (l *ledger) ExpireOrders(context.Context, int64) (int64, error) { return 0, l.err() }

func (l *ledger) HandOver(context.Context, int64, int64) ([]schema.Order, error) { return nil, l.err() }

func (l *ledger) Record(e schema.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.panics != nil && l.panics(e) {
		panic("injected")
	}
	l.events = append(l.events, e)
}

func (l *ledger) Presence(p schema.Presence) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.states = append(l.states, p.State)
}

func (l *ledger) Sample(s schema.Sample) {
	l.Record(schema.Event{DeviceID: s.DeviceID, Kind: schema.EventStatus})
}

func (l *ledger) Told(string, int64) {}

func (l *ledger) Settle(context.Context, int64, time.Duration, time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settled++
	return l.err()
}

func (l *ledger) order(id string) schema.Order {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.orders[id]
}

// bubble is a hub on a ledger.
func bubble(t *testing.T, change ...func(*Config)) (*Hub, *ledger) {
	t.Helper()
	l := &ledger{orders: map[string]schema.Order{}}
	l.waits = new(Waits)
	cfg := Config{
		Node: schema.Node{Number: 1, Incarnation: 1}, Logins: l, Orders: l, Queue: l, Waits: l.waits, Journal: l, Settler: l,
		Verify:    func(_ schema.Credential, p schema.LoginParams) bool { return p.Password == "t-right" },
		Cheap:     func(string) bool { return true },
		NewToken:  func() string { return "tt_new" },
		HashToken: func(s string) string { return s },
	}
	for _, c := range change {
		c(&cfg)
	}
	h := New(cfg)
	t.Cleanup(h.Close)
	return h, l
}

// give has an order given to its end, whatever that is.
func give(h *Hub, device, id string) {
	_, _ = schema.Follow(context.Background(), h.GiveOrder(ask(blink(device, id), schema.OrderTimeout)), schema.NewWaker())
}

// end is a device's end of a connection.
type end struct {
	t      *testing.T
	peer   *rpc.Peer
	calls  chan heard
	lates  chan uint64
	closed chan rpc.End
}

// heard is a request whose params are kept.
type heard struct {
	*rpc.Request
	Params []byte
}

func (h heard) Decode(v any) error { return rpc.Decode(h.Params, v) }

func (e *end) Request(r *rpc.Request)         { e.calls <- heard{r, bytes.Clone(r.Params)} }
func (e *end) Late(id uint64, _ rpc.Response) { e.lates <- id }

func connect(t *testing.T, h *Hub) *end {
	t.Helper()
	srv, cli, err := rpc.Pipe(rpc.Options{}, rpc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := &end{t: t, peer: cli, calls: make(chan heard, 10), lates: make(chan uint64, 10), closed: make(chan rpc.End, 1)}
	h.Accept(srv)
	go func() { e.closed <- cli.Serve(e) }()
	t.Cleanup(cli.Abort)
	return e
}

func (e *end) call(method string, params any) rpc.Response {
	e.t.Helper()
	got := make(chan rpc.Response, 1)
	if _, err := e.peer.Call(method, params, func(r rpc.Response) { got <- r }); err != nil {
		e.t.Fatal(err)
	}
	select {
	case r := <-got:
		return r
	case <-time.After(time.Minute):
		e.t.Fatal("no answer to " + method)
		return rpc.Response{}
	}
}

func loggedIn(t *testing.T, h *Hub, id string) *end {
	t.Helper()
	e := connect(t, h)
	if r := e.call("login", map[string]string{"device_id": id, "password": "t-right"}); r.Err != nil {
		t.Fatal(r.Err)
	}
	return e
}

// ask gives an order that waits for nothing but its outcome.
func ask(o schema.Order, wait time.Duration) schema.Ask { return schema.Ask{Order: o, Wait: wait} }

func blink(id, orderID string) schema.Order {
	return schema.Order{OrderID: orderID, DeviceID: id, Order: "blink", State: schema.OrderQueued, Params: json.RawMessage(`{}`), By: "key:test"}
}

// TestSession_ForgetsWhatItDid: a session that waits for its device holds nothing
// of the last message: a fleet is quiet most of the time.
func TestSession_ForgetsWhatItDid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := bubble(t)
		e := loggedIn(t, h, "1")
		if r := e.call(schema.MethodPing, nil); r.Err != nil {
			t.Fatal(r.Err)
		}
		synctest.Wait()
		c := &h.find("1").core
		for i, kept := range c.effects[:cap(c.effects)] {
			if kept != nil {
				t.Errorf("effect %d is still %T", i, kept)
			}
		}
		if c.login != nil {
			t.Error("the login is kept")
		}
	})
}

// TestF54_Panic: a panic in an effect ends one session, with 1011; its order
// becomes unknown, and the other sessions and the hub live on.
func TestF54_Panic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := bubble(t)
		bad, other := loggedIn(t, h, "1"), loggedIn(t, h, "2")
		outcome := make(chan error, 1)
		go func() {
			_, err := schema.Follow(t.Context(), h.GiveOrder(ask(blink("1", "o1"), schema.OrderTimeout)), schema.NewWaker())
			outcome <- err
		}()
		<-bad.calls
		l.mu.Lock()
		l.panics = func(e schema.Event) bool { return e.DeviceID == "1" && e.Kind == schema.EventStatus }
		l.mu.Unlock()
		_ = bad.peer.Notify("upload_status_info", json.RawMessage(`{"CPU_info":{},"Memory_info":{},"Disk_info":{}}`))
		if e := <-bad.closed; e.Code != schema.CloseInternal {
			t.Errorf("closed with %d %s", e.Code, e.Reason)
		}
		if err := <-outcome; schema.KindOf(err) != schema.OrderUnknown {
			t.Errorf("the order's caller was told %v", err)
		}
		if o := l.order("o1"); o.State != schema.OrderStateLost {
			t.Errorf("the order is %s", o.State)
		}
		if r := other.call("ping", nil); string(r.Result) != `"pong"` {
			t.Errorf("the other device got %v", r)
		}
		if s := h.find("1"); s != nil {
			t.Error("the hub still finds the session")
		}
	})
}

// TestF29_SlowStore: an intent that is not committed within 2 s is refused,
// the device is never asked, and its liveness is unmoved.
func TestF29_SlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowOrders{delay: 8 * time.Second}
		h, l := bubble(t, func(c *Config) { slow.Orders = c.Orders; c.Orders = slow })
		e := loggedIn(t, h, "1")
		start := time.Now()
		_, err := schema.Follow(t.Context(), h.GiveOrder(ask(blink("1", "o1"), schema.OrderTimeout)), schema.NewWaker())
		if schema.KindOf(err) != schema.StoreUnavailable || time.Since(start) != schema.IntentTimeout {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if _, err := schema.Follow(t.Context(), h.GiveOrder(ask(blink("1", "o2"), schema.OrderTimeout)), schema.NewWaker()); schema.Public(err).Code != "device_busy" {
			t.Errorf("while the store is asked: %v", err)
		}
		for range 6 {
			time.Sleep(5 * time.Second)
			if r := e.call("ping", nil); r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		if len(e.calls) > 0 {
			t.Error("the order was sent though its caller was told no")
		}
		if o := l.order("o1"); o.State != schema.OrderCancelled {
			t.Errorf("the order is %s", o.State)
		}
		if len(l.states) > 0 {
			t.Errorf("states: %v", l.states)
		}
	})
}

// slowOrders delays what it passes on.
type slowOrders struct {
	Orders
	delay time.Duration
}

func (s *slowOrders) BeginOrder(in schema.Intent, done func(error)) {
	time.AfterFunc(s.delay, func() { s.Orders.BeginOrder(in, done) })
}

// TestF54_PanicOverAnOrder: who waits for an order that a panic came over is told
// with the session's end, also if his patience is over.
func TestF54_PanicOverAnOrder(t *testing.T) {
	for _, patience := range []time.Duration{0, time.Second, schema.OrderTimeout} {
		synctest.Test(t, func(t *testing.T) {
			h, _ := bubble(t, func(c *Config) { c.Orders = brokenOrders{c.Orders} })
			loggedIn(t, h, "1")
			start := time.Now()
			_, err := schema.Follow(t.Context(), h.GiveOrder(ask(blink("1", "o1"), patience)), schema.NewWaker())
			if err == nil || time.Since(start) > 100*time.Millisecond {
				t.Errorf("a patience of %v: told %v after %v", patience, err, time.Since(start))
			}
		})
	}
}

// TestStoppingTellsWhoWaits: who waits for an order that waits itself is told of
// it as it is, at once, when the server begins to stop.
func TestStoppingTellsWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := bubble(t)
		a := ask(blink("9", "o1"), schema.OrderTimeout)
		a.IfOffline, a.Expires = true, time.Now().Add(time.Hour).UnixMilli()
		start := time.Now()
		time.AfterFunc(time.Second, func() { h.Drain(t.Context()) })
		o, err := schema.Follow(t.Context(), h.GiveOrder(a), schema.NewWaker())
		if err != nil || o.State != schema.OrderQueued || time.Since(start) != time.Second {
			t.Errorf("told %+v, %v after %v", o, err, time.Since(start))
		}
	})
}

// TestF52_DrainInAnOutage: a drain waits for the outcomes that the store could not
// take yet, and for its word that it has, for as long as it waits for anything.
func TestF52_DrainInAnOutage(t *testing.T) {
	for patience, want := range map[time.Duration]schema.OrderState{30 * time.Second: schema.OrderSucceeded, 2 * time.Second: schema.OrderSent} {
		synctest.Test(t, func(t *testing.T) {
			h, l := bubble(t)
			l.slow = 3 * time.Second
			run, stop := context.WithCancel(t.Context())
			defer stop()
			go h.Run(run)
			e := loggedIn(t, h, "1")
			go give(h, "1", "o1")
			r := <-e.calls
			l.setDown(true)
			time.AfterFunc(5*time.Second, func() { l.setDown(false) })
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			drained, start := make(chan struct{}), time.Now()
			go func() { h.Drain(ctx); close(drained) }()
			r.Reply(schema.OrderResult{Status: schema.ResultSuccess})
			<-drained
			if took := time.Since(start); want == schema.OrderSucceeded && (took < 8*time.Second || took > 15*time.Second) {
				t.Errorf("drained after %v", took)
			}
			if o := l.order("o1"); o.State != want {
				t.Errorf("the order in flight is %s after %v", o.State, patience)
			}
		})
	}
}

// TestF52_LastRound: what the store could not take before the clerk ended is handed
// to it once more at the end.
func TestF52_LastRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := bubble(t)
		e := loggedIn(t, h, "1")
		go give(h, "1", "o1")
		r := <-e.calls
		l.setDown(true)
		r.Reply(schema.OrderResult{Status: schema.ResultSuccess})
		synctest.Wait()
		if o := l.order("o1"); o.State != schema.OrderSent {
			t.Errorf("%s in an outage", o.State)
		}
		l.setDown(false)
		h.Close()
		synctest.Wait()
		if o := l.order("o1"); o.State != schema.OrderSucceeded {
			t.Errorf("%s at the end", o.State)
		}
	})
}

type brokenOrders struct{ Orders }

func (brokenOrders) BeginOrder(schema.Intent, func(error)) { panic("a bug") }

// TestClerkTriesAgain: an outcome that could not be stored is stored when the
// store is back; its caller was told which order to ask for.
func TestClerkTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := bubble(t)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go h.Run(ctx)
		e := loggedIn(t, h, "1")
		outcome := make(chan error, 1)
		go func() {
			_, err := schema.Follow(t.Context(), h.GiveOrder(ask(blink("1", "o1"), schema.OrderTimeout)), schema.NewWaker())
			outcome <- err
		}()
		r := <-e.calls
		l.setDown(true)
		r.Reply(schema.OrderResult{Status: schema.ResultSuccess, Message: "done"})
		if err := <-outcome; schema.KindOf(err) != schema.StoreUnavailable {
			t.Errorf("the caller was told %v", err)
		}
		for range 3 {
			time.Sleep(time.Second)
			e.call("ping", nil)
		}
		l.setDown(false)
		time.Sleep(2 * time.Second)
		if o := l.order("o1"); o.State != schema.OrderSucceeded || o.Message != "done" {
			t.Errorf("the order is %s %q", o.State, o.Message)
		}
		if l.settled == 0 {
			t.Error("the clerk settled nothing")
		}
	})
}

func (l *ledger) setDown(down bool) {
	l.down.Store(down)
}

// TestRevokedWhileClaiming: business disables the device between the check of
// its secret and the end of its claim; it does not get in.
func TestRevokedWhileClaiming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := bubble(t)
		l.hold = make(chan struct{})
		e := connect(t, h)
		got := make(chan rpc.Response, 1)
		_, err := e.peer.Call("login", map[string]string{"device_id": "1", "password": "t-right"}, func(r rpc.Response) { got <- r })
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := h.End(t.Context(), "1", "disabled"); err != nil {
			t.Fatal(err)
		}
		close(l.hold)
		if r := <-got; r.Err == nil || r.Err.Kind != schema.LoginFailed {
			t.Errorf("the login got %+v", r)
		}
		if h.find("1") != nil {
			t.Error("the device is in")
		}
	})
}

// TestT5_StaleRelease: an old session's clean-up cannot touch a newer epoch.
func TestT5_StaleRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := bubble(t)
		a := loggedIn(t, h, "1")
		old := h.find("1")
		loggedIn(t, h, "1")
		if e := <-a.closed; e.Code != schema.CloseTakeover {
			t.Errorf("the older one was closed with %d", e.Code)
		}
		h.release("1", old.core.epoch)
		if s := h.find("1"); s == nil || s == old {
			t.Error("the newer session was released by the older one's clean-up")
		}
	})
}

// TestFullMailbox: an order for a session that cannot take it is answered at once.
func TestFullMailbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := bubble(t)
		s := &Session{hub: h, mailbox: make(chan event), done: make(chan struct{})}
		s.live.Store(&schema.Live{})
		h.owners["1"] = owner{s, 1}
		_, err := schema.Follow(t.Context(), h.GiveOrder(ask(blink("1", "o1"), schema.OrderTimeout)), schema.NewWaker())
		if schema.Public(err).Code != "device_busy" {
			t.Errorf("a full mailbox: %v", err)
		}
		close(s.done)
		_, err = schema.Follow(t.Context(), h.GiveOrder(ask(blink("1", "o1"), schema.OrderTimeout)), schema.NewWaker())
		if c := schema.Public(err).Code; c != "device_offline" && c != "device_busy" {
			t.Errorf("a session that has ended: %v", err)
		}
		delete(h.owners, "1")
	})
}

// TestF52_Drain: devices are sent away, each with a time of its own, the one
// with an order in flight after its outcome, and new ones at once.
func TestF52_Drain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := bubble(t)
		busy := loggedIn(t, h, "0")
		var idle []*end
		for i := range 20 {
			idle = append(idle, loggedIn(t, h, fmt.Sprint(i+1)))
		}
		go give(h, "0", "o1")
		r := <-busy.calls
		drained := make(chan struct{})
		go func() { h.Drain(t.Context()); close(drained) }()
		waits := map[string]bool{}
		for _, e := range idle {
			c := <-e.closed
			if c.Code != schema.CloseRestart {
				t.Errorf("closed with %d", c.Code)
			}
			waits[c.Text] = true
		}
		if len(waits) != len(idle) {
			t.Errorf("%d times for %d devices", len(waits), len(idle))
		}
		if _, err := schema.Follow(t.Context(), h.GiveOrder(ask(blink("0", "o2"), 0)), schema.NewWaker()); schema.KindOf(err) != schema.Draining {
			t.Errorf("a new order: %v", err)
		}
		r.Reply(schema.OrderResult{Status: schema.ResultSuccess})
		if c := <-busy.closed; c.Code != schema.CloseRestart {
			t.Errorf("closed with %d", c.Code)
		}
		<-drained
		if o := l.order("o1"); o.State != schema.OrderSucceeded {
			t.Errorf("the order in flight is %s", o.State)
		}
		late := connect(t, h)
		if c := <-late.closed; c.Code != schema.CloseRestart {
			t.Errorf("a new connection was closed with %d", c.Code)
		}
	})
}

// TestT13_AnotherDevice: what a device says of another is refused.
func TestT13_AnotherDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := bubble(t)
		a := loggedIn(t, h, "1")
		loggedIn(t, h, "2")
		report := `{"device_id":"2","CPU_info":{},"Memory_info":{},"Disk_info":{}}`
		if r := a.call("upload_status_info", json.RawMessage(report)); r.Err == nil || r.Err.Kind != schema.Invalid {
			t.Errorf("%+v", r)
		}
		live, err := h.Live(t.Context(), []string{"1", "2", "3"})
		if err != nil || len(live) != 2 || live["1"].Report != nil || live["2"].Report != nil {
			t.Errorf("%+v %v", live, err)
		}
	})
}

// TestOlderLoginComesLate: a login that arrived first and was checked last does
// not push out the newer one.
func TestOlderLoginComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan struct{})
		h, _ := bubble(t, func(c *Config) {
			c.Verify = func(_ schema.Credential, p schema.LoginParams) bool {
				if p.Password == "t-slow" {
					<-slow
				}
				return true
			}
		})
		older := connect(t, h)
		if _, err := older.peer.Call("login", map[string]string{"device_id": "1", "password": "t-slow"}, func(rpc.Response) {}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		newer := loggedIn(t, h, "1")
		close(slow)
		if e := <-older.closed; e.Code != schema.CloseTakeover {
			t.Errorf("the older one was closed with %d", e.Code)
		}
		if r := newer.call("ping", nil); r.Err != nil {
			t.Errorf("the newer one: %v", r.Err)
		}
	})
}

// TestF54_PanicAnywhere injects a panic into each call of a port: the session
// ends with 1011, nobody waits for ever, and the hub can be closed.
func TestF54_PanicAnywhere(t *testing.T) {
	for _, where := range []string{"BeginOrder", "EndOrder", "Presence", "Record", "Credential", "Claim", "Verify", "decode"} {
		t.Run(where, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var bomb panicky
				h, _ := bubble(t, bomb.wire)
				e := loggedIn(t, h, "1")
				bomb.where.Store(where)
				outcome := make(chan error, 1)
				go func() {
					_, err := schema.Follow(t.Context(), h.GiveOrder(ask(blink("1", "o1"), schema.OrderTimeout)), schema.NewWaker())
					outcome <- err
				}()
				select {
				case r := <-e.calls:
					r.Reply(schema.OrderResult{Status: schema.ResultSuccess})
				case <-time.After(time.Second):
				}
				if where == "decode" {
					defer swapMethod(t, schema.MethodPing, func(*rpc.Request) event { panic("injected") })()
					_ = e.peer.Notify("ping", nil)
				}
				if where == "Credential" || where == "Claim" || where == "Verify" {
					again := connect(t, h)
					_, _ = again.peer.Call("login", map[string]string{"device_id": "1", "password": "t-right"}, func(rpc.Response) {})
					if c := <-again.closed; c.Code != schema.CloseInternal && c.Code != schema.CloseLoginLimited {
						t.Errorf("the login ended with %d", c.Code)
					}
				}
				<-outcome
				bomb.where.Store("")
				e.peer.Abort()
				synctest.Wait()
				h.mu.Lock()
				defer h.mu.Unlock()
				if len(h.sessions) != 0 || len(h.owners) != 0 {
					t.Errorf("%d sessions and %d owners are left", len(h.sessions), len(h.owners))
				}
			})
		})
	}
}

// swapMethod puts another decoder in place of a method's until the returned
// function is called.
func swapMethod(t *testing.T, name string, m func(*rpc.Request) event) func() {
	t.Helper()
	synctest.Wait() // nobody is looking
	was := methods[name]
	methods[name] = m
	return func() { synctest.Wait(); methods[name] = was }
}

// panicky wraps the ports of a hub; the one that is named panics.
type panicky struct {
	*ledger
	where  atomic.Value // a string
	verify func(schema.Credential, schema.LoginParams) bool
}

func (p *panicky) wire(c *Config) {
	p.ledger, p.verify = c.Orders.(*ledger), c.Verify
	c.Logins, c.Orders, c.Journal, c.Verify = p, p, p, p.check
}

func (p *panicky) explode(where string) {
	if p.where.Load() == where {
		panic("injected into " + where)
	}
}

func (p *panicky) check(c schema.Credential, l schema.LoginParams) bool {
	p.explode("Verify")
	return p.verify(c, l)
}

func (p *panicky) Credential(ctx context.Context, l schema.LoginParams, now int64) (schema.Credential, error) {
	p.explode("Credential")
	return p.ledger.Credential(ctx, l, now)
}

func (p *panicky) Claim(ctx context.Context, c schema.Claim) (schema.Claimed, error) {
	p.explode("Claim")
	return p.ledger.Claim(ctx, c)
}

func (p *panicky) BeginOrder(in schema.Intent, done func(error)) {
	p.explode("BeginOrder")
	p.ledger.BeginOrder(in, done)
}

func (p *panicky) EndOrder(out schema.Outcome, done func(schema.Order, error)) {
	p.explode("EndOrder")
	p.ledger.EndOrder(out, done)
}

func (p *panicky) Presence(x schema.Presence) {
	p.explode("Presence")
	p.ledger.Presence(x)
}

func (p *panicky) Record(e schema.Event) {
	p.explode("Record")
	p.ledger.Record(e)
}
