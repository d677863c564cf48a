package session

import (
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// observed keeps what a hub was measured at.
type observed struct {
	mu     sync.Mutex
	orders map[string]time.Duration // "own succeeded"
	calls  map[string]time.Duration
	logins []time.Duration
	late   int
}

func (o *observed) observe() Observe {
	o.orders, o.calls = map[string]time.Duration{}, map[string]time.Duration{}
	return Observe{
		Login: func(d time.Duration) { o.mu.Lock(); defer o.mu.Unlock(); o.logins = append(o.logins, d) },
		Order: func(inner bool, outcome string, d time.Duration) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.orders[map[bool]string{true: "inner ", false: "own "}[inner]+outcome] = d
		},
		Call: func(method string, d time.Duration) { o.mu.Lock(); defer o.mu.Unlock(); o.calls[method] = d },
		Late: func(time.Duration) { o.mu.Lock(); defer o.mu.Unlock(); o.late++ },
	}
}

// counted compares some members of a map.
func counted(t *testing.T, what string, got map[string]uint64, want map[string]uint64) {
	t.Helper()
	for word, n := range got {
		if n != want[word] {
			t.Errorf("%s: %s is %d, want %d", what, word, n, want[word])
		}
	}
	for word := range want {
		if _, ok := got[word]; !ok {
			t.Errorf("%s: no word %s", what, word)
		}
	}
}

// TestStats_Life follows devices from the login to the end, and what is told of them.
func TestStats_Life(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o observed
		h, _ := bubble(t, func(c *Config) {
			c.Observe, c.Settings.Discover = o.observe(), json.RawMessage(`{}`)
		})
		connect(t, h)
		a := loggedIn(t, h, "a")
		b := loggedIn(t, h, "b")
		wrong := connect(t, h)
		if r := wrong.call("login", map[string]string{"device_sn": "s", "device_model": "m", "password": "wrong"}); r.Err == nil {
			t.Error("a wrong password was right")
		}
		none := connect(t, h)
		none.call("login", map[string]string{})
		synctest.Wait()
		s := h.Stats()
		counted(t, "sessions", s.Sessions, map[string]uint64{"waiting": 1, "online": 2})
		counted(t, "logins by id", s.Logins["id_password"], map[string]uint64{"success": 2})
		counted(t, "logins by sn", s.Logins["sn_password"], map[string]uint64{"failed": 1})
		counted(t, "other logins", s.Logins["none"], map[string]uint64{"invalid": 1})
		if len(o.logins) != 2 {
			t.Errorf("%d logins measured", len(o.logins))
		}

		b.call("ping", nil)
		b.call("made up", nil)
		b.call("rpc.discover", nil)
		loggedIn(t, h, "b")
		<-b.closed
		<-wrong.closed
		<-none.closed
		time.Sleep(schema.FirstDue) // the others are silent; the first one never logged in
		synctest.Wait()
		s = h.Stats()
		counted(t, "sessions", s.Sessions, map[string]uint64{"Unknown": 2})
		counted(t, "messages", s.Messages, map[string]uint64{"login": 5, "ping": 1, "rpc.discover": 1, "other": 1})
		counted(t, "closes", s.Closes, map[string]uint64{"4401": 1, "4400": 1, "4409": 1, "4408": 1})
		o.mu.Lock()
		late := o.late
		o.mu.Unlock()
		if s.Takeovers != 1 || late == 0 || s.BytesSent != 0 { // Accept's connections are not counted, ServeHTTP's are
			t.Errorf("%d takeovers, %d timers, %d bytes", s.Takeovers, late, s.BytesSent)
		}
		<-a.closed
		time.Sleep(2 * time.Second) // the other one logged in later
		counted(t, "sessions", h.Stats().Sessions, map[string]uint64{})
	})
}

// TestStats_Orders: how orders end, and why they are refused.
func TestStats_Orders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o observed
		h, l := bubble(t, func(c *Config) { c.Observe = o.observe() })
		a := loggedIn(t, h, "a")
		go func() {
			for r := range a.calls {
				var g schema.GiveOrder
				_ = json.Unmarshal(r.Params, &g)
				time.Sleep(time.Second)
				switch g.OrderID {
				case "good":
					r.Reply(schema.OrderResult{Status: schema.ResultSuccess})
				case "bad":
					r.Reply(schema.OrderResult{Status: schema.ResultFail})
				case "late":
					time.Sleep(schema.OrderTimeout)
					r.Reply(schema.OrderResult{Status: schema.ResultSuccess})
				}
			}
		}()
		var alive atomic.Bool
		alive.Store(true)
		go func() { // signs of life
			for alive.Load() {
				a.call("ping", nil)
				time.Sleep(5 * time.Second)
			}
		}()
		give(h, "a", "good")
		give(h, "a", "bad")
		go give(h, "a", "late")
		time.Sleep(time.Second / 2)
		if n := h.Stats().OrdersInFlight; n != 1 {
			t.Errorf("%d orders in flight", n)
		}
		give(h, "a", "second")
		give(h, "nobody", "nobody")
		time.Sleep(2 * schema.OrderTimeout)
		l.down.Store(true)
		give(h, "a", "unstored")
		close(a.calls)
		alive.Store(false)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		s := h.Stats()
		counted(t, "refusals", s.Refusals, map[string]uint64{"device_busy": 1, "device_offline": 1, "store_unavailable": 1})
		if s.LateResults != 1 || s.OrdersInFlight != 0 || s.RetriesPending != 1 {
			t.Errorf("%d late results, %d in flight, %d to be stored", s.LateResults, s.OrdersInFlight, s.RetriesPending)
		}
		if fmt.Sprint(o.orders) != "map[own failed:1s own succeeded:1s own timeout:10s]" || fmt.Sprint(o.calls) != "map[give_order:1s]" {
			t.Errorf("%v, calls %v", o.orders, o.calls)
		}
		if got := s.Messages["response"]; got != 3 {
			t.Errorf("%d responses", got)
		}
	})
}

// TestRefusals_SentIsNotRefused: an order that a device has carried out is none that was
// refused, though its outcome could not be stored.
func TestRefusals_SentIsNotRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := bubble(t)
		e := loggedIn(t, h, "1")
		told := make(chan error)
		go func() {
			_, err := schema.Follow(t.Context(), h.GiveOrder(ask(blink("1", "o1"), schema.OrderTimeout)), schema.NewWaker())
			told <- err
		}()
		r := <-e.calls
		l.setDown(true)
		r.Reply(schema.OrderResult{Status: schema.ResultSuccess})
		if err := <-told; schema.KindOf(err) != schema.StoreUnavailable {
			t.Error(err)
		}
		counted(t, "refusals", h.Stats().Refusals, map[string]uint64{})
	})
}

// TestT45_WordsAreFixed: whatever devices do, no word is added.
func TestT45_WordsAreFixed(t *testing.T) {
	x := newTally("a", "b", "other")
	for i := range 1000 {
		x.add(strconv.Itoa(i))
	}
	x.add("a")
	counted(t, "tally", x.read(), map[string]uint64{"a": 1, "other": 1000})
	if gotMethod("made up") != gotOther {
		t.Error("a method of a stranger's is counted by name")
	}
}

// TestPingsLeaveNothing: a session's goroutine takes no memory for them. Each that did
// would have to help whenever garbage is collected.
func TestPingsLeaveNothing(t *testing.T) {
	h := New(Config{Waits: new(Waits)})
	defer h.Close()
	s := &Session{hub: h, cell: h.meter.cell(), core: newCore(&h.cfg.Settings, 1, "", time.Now())}
	s.core.phase, s.core.state, s.gauge.state = open, schema.Online, stateOnline
	var ev event = pingRequest{new(rpc.Request)}
	if n := testing.AllocsPerRun(100, func() { s.handle(ev) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestCountingAllocatesNothing: what a ping costs has no part of it.
func TestCountingAllocatesNothing(t *testing.T) {
	h := New(Config{Waits: new(Waits)})
	defer h.Close()
	s := &Session{hub: h, cell: h.meter.cell(), core: newCore(&h.cfg.Settings, 1, "", time.Now())}
	var ev event = pingRequest{new(rpc.Request)}
	if n := testing.AllocsPerRun(100, func() {
		s.cell.messages[gotMethod(schema.MethodPing)].Add(1)
		s.observe(ev)
		s.count(ev)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
