package store

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
)

// ready is a store with device 1, claimed at epoch 1.
func ready(t testing.TB) *Store {
	t.Helper()
	s := open(t, Options{})
	addDevice(t, s, "1")
	claim(t, s, claimOf("1", 1))
	return s
}

// outcomeOf is an outcome of order o of device 1.
func outcomeOf(state schema.OrderState, now int64) schema.Outcome {
	return schema.Outcome{OrderID: "o", DeviceID: "1", Epoch: 1, State: state, Now: now}
}

func TestBeginOrder_KeepsTheRecord(t *testing.T) {
	each(t, func(t *testing.T) {
		s := ready(t)
		must(t, begin(s, intentOf("o", "1", 1)))
		o, err := s.Order(t.Context(), all, "o")
		must(t, err)
		if o.State != schema.OrderSent || o.Order != "blink" || string(o.Params) != `{"n":3}` || o.By != "key:test" ||
			o.CreatedTime != start+90 || *o.SentTime != start+100 || o.EndedTime != nil || o.Reason != nil ||
			o.Verified != nil || o.Late || o.Data != nil || o.JobID != nil {
			t.Fatalf("%+v", o)
		}
		events := log(t, s, "1")
		equal(t, "log", kinds(events), "update connect login order ")
		equal(t, "detail", string(events[3].Detail), `{"by":"key:test","order":"blink","order_id":"o"}`)
		equal(t, "time", events[3].Time, start+100)
	})
}

func TestBeginOrder_Refusals(t *testing.T) {
	each(t, func(t *testing.T) {
		s := ready(t)
		wantKind(t, begin(s, intentOf("o", "none", 1)), schema.DeviceNotFound, "")
		wantKind(t, begin(s, intentOf("o", "1", 2)), schema.Fenced, "")
		wantKind(t, begin(s, intentOf("o", "1", 0)), schema.Fenced, "")
		must(t, begin(s, intentOf("o", "1", 1)))
		must(t, begin(s, intentOf("o", "1", 1))) // the same again: its commit was not heard of
		err := begin(s, intentOf("p", "1", 1))
		wantKind(t, err, schema.OrderRefused, "device_busy")
		holder, err := jsonText(schema.Public(err).Data)
		must(t, err)
		equal(t, "names its holder", strings.Contains(holder, `"order_id":"o"`), true)
		_, err = end(s, outcomeOf(schema.OrderSucceeded, start))
		must(t, err)
		wantKind(t, begin(s, intentOf("o", "1", 1)), schema.OrderRefused, "order_exists")
		must(t, begin(s, intentOf("p", "1", 1)))
		equal(t, "log", kinds(log(t, s, "1")), "update connect login order order_result order ")
	})
}

func TestF44_ManyIntentsAtOnceOneWins(t *testing.T) {
	each(t, func(t *testing.T) {
		s := ready(t)
		var wg sync.WaitGroup
		errs := make([]error, 64)
		for i := range errs {
			wg.Go(func() { errs[i] = begin(s, intentOf(fmt.Sprint(i), "1", 1)) })
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
				continue
			}
			wantKind(t, err, schema.OrderRefused, "device_busy")
		}
		equal(t, "winners", won, 1)
	})
}

func TestEndOrder_SentTakesAnyOutcome(t *testing.T) {
	each(t, func(t *testing.T) {
		for _, state := range []schema.OrderState{schema.OrderSucceeded, schema.OrderStateFail, schema.OrderStateLost, schema.OrderCancelled} {
			s := ready(t)
			must(t, begin(s, intentOf("o", "1", 1)))
			out := outcomeOf(state, start+200)
			out.Message, out.Reason, out.Data = "done", "why", schema.RawObject(`{"a":1}`)
			o, err := end(s, out)
			must(t, err)
			if o.State != state || o.Message != "done" || *o.Reason != "why" || string(o.Data) != `{"a":1}` ||
				*o.EndedTime != start+200 || o.Late {
				t.Fatalf("%+v", o)
			}
			kept, err := s.Order(t.Context(), all, "o")
			must(t, err)
			equal(t, "kept", fmt.Sprintf("%+v %s", kept.State, *kept.Reason), fmt.Sprintf("%+v %s", state, "why"))
			events := log(t, s, "1")
			equal(t, "detail", string(events[4].Detail), `{"late":false,"order_id":"o","reason":"why","state":"`+string(state)+`"}`)
		}
	})
}

func TestEndOrder_UnknownTakesTheDevicesWordLate(t *testing.T) {
	each(t, func(t *testing.T) {
		s := ready(t)
		must(t, begin(s, intentOf("o", "1", 1)))
		lost := outcomeOf(schema.OrderStateLost, start+200)
		lost.Reason = schema.ReasonTimeout
		_, err := end(s, lost)
		must(t, err)
		o, err := end(s, outcomeOf(schema.OrderCancelled, start+300)) // no outcome of an unknown order
		must(t, err)
		equal(t, "state", o.State, schema.OrderStateLost)
		o, err = end(s, outcomeOf(schema.OrderStateFail, start+400))
		must(t, err)
		if o.State != schema.OrderStateFail || !o.Late || o.Reason != nil || *o.EndedTime != start+400 {
			t.Fatalf("%+v", o)
		}
		equal(t, "log", kinds(log(t, s, "1")), "update connect login order order_result order_result ")
	})
}

func TestF43_FirstOutcomeWins(t *testing.T) {
	each(t, func(t *testing.T) {
		s := ready(t)
		must(t, begin(s, intentOf("o", "1", 1)))
		_, err := end(s, outcomeOf(schema.OrderSucceeded, start+200))
		must(t, err)
		o, err := end(s, outcomeOf(schema.OrderStateFail, start+300))
		must(t, err)
		if o.State != schema.OrderSucceeded || *o.EndedTime != start+200 {
			t.Fatalf("%+v", o)
		}
		equal(t, "log", kinds(log(t, s, "1")), "update connect login order order_result ")
	})
}

// An order of another device does not exist for this one (T13).
func TestT13_OutcomeOfAnotherDevicesOrder(t *testing.T) {
	each(t, func(t *testing.T) {
		s := ready(t)
		must(t, begin(s, intentOf("o", "1", 1)))
		out := outcomeOf(schema.OrderSucceeded, start)
		out.DeviceID = "2"
		_, err := end(s, out)
		wantKind(t, err, schema.OrderNotFound, "")
		o, err := s.Order(t.Context(), all, "o")
		must(t, err)
		equal(t, "state", o.State, schema.OrderSent)
	})
}

func TestClaim_AsksForUnsettledOrders(t *testing.T) {
	each(t, func(t *testing.T) {
		s := ready(t)
		week := schema.UnsettledWindow.Milliseconds()
		give := func(id string, created int64, state schema.OrderState) {
			in := intentOf(id, "1", 1)
			in.Order.CreatedTime = created
			must(t, begin(s, in))
			if state != schema.OrderSent {
				out := outcomeOf(state, created)
				out.OrderID = id
				_, err := end(s, out)
				must(t, err)
			}
		}
		c := claimOf("1", 2)
		give("too old", c.Now-week-1, schema.OrderStateLost)
		give("succeeded", c.Now-5, schema.OrderSucceeded)
		give("second", c.Now-3, schema.OrderStateLost)
		give("first", c.Now-week, schema.OrderStateLost)
		give("third", c.Now-1, schema.OrderSent)
		equal(t, "unsettled", strings.Join(claim(t, s, c).Unsettled, " "), "first second third")
	})
}

func TestClaim_UnsettledAreAtMost64(t *testing.T) {
	each(t, func(t *testing.T) {
		s := ready(t)
		for i := range schema.MaxUnsettled + 1 {
			in := intentOf(fmt.Sprintf("%03d", i), "1", 1)
			must(t, begin(s, in))
			_, err := end(s, schema.Outcome{OrderID: in.Order.OrderID, DeviceID: "1", State: schema.OrderStateLost})
			must(t, err)
		}
		got := claim(t, s, claimOf("1", 2)).Unsettled
		equal(t, "number", len(got), schema.MaxUnsettled)
		equal(t, "oldest", got[0], "000")
	})
}

// restart leaves a restart order in state, ended at the time ended.
func restart(t *testing.T, s *Store, state schema.OrderState, ended int64) {
	t.Helper()
	in := intentOf("o", "1", 1)
	in.Order.Order, in.Order.IsInner = schema.OrderRestart, true
	must(t, begin(s, in))
	if state != schema.OrderSent {
		_, err := end(s, outcomeOf(state, ended))
		must(t, err)
	}
}

// A new boot_id within the window proves a restart, whatever was heard of it.
func TestF48_F50_NewBootProvesRestart(t *testing.T) {
	each(t, func(t *testing.T) {
		sent := *intentOf("o", "1", 1).Order.SentTime
		window := schema.RestartWindow.Milliseconds()
		for _, c := range []struct {
			name   string
			state  schema.OrderState
			after  int64 // of the login, since it ended or was sent
			boot   string
			proven bool
			late   bool
		}{
			{"succeeded", schema.OrderSucceeded, window, "boot-2", true, false},
			{"unknown", schema.OrderStateLost, window, "boot-2", true, true},
			{"sent", schema.OrderSent, window, "boot-2", true, true},
			{"too late", schema.OrderSucceeded, window + 1, "boot-2", false, false},
			{"too late, unknown", schema.OrderStateLost, window + 1, "boot-2", false, false},
			{"same boot", schema.OrderSucceeded, 1, "boot-1", false, false},
			{"no boot id", schema.OrderSucceeded, 1, "", false, false},
			{"failed", schema.OrderStateFail, 1, "boot-2", false, false},
		} {
			t.Run(c.name, func(t *testing.T) {
				s := ready(t)
				restart(t, s, c.state, sent)
				login := claimOf("1", 2)
				login.BootID, login.Now = c.boot, sent+c.after
				a := claim(t, s, login)
				o, err := s.Order(t.Context(), all, "o")
				must(t, err)
				equal(t, "verified", o.Verified != nil && *o.Verified, c.proven)
				equal(t, "event", strings.Contains(kinds(log(t, s, "1")), "restart_verified"), c.proven)
				if !c.proven {
					equal(t, "state", o.State, c.state)
					return
				}
				equal(t, "state", o.State, schema.OrderSucceeded)
				equal(t, "late", o.Late, c.late)
				equal(t, "unsettled", len(a.Unsettled), 0)
			})
		}
	})
}

func TestSettle_OverdueSent(t *testing.T) {
	each(t, func(t *testing.T) {
		s := ready(t)
		in := intentOf("o", "1", 1)
		must(t, begin(s, in))
		grace := time.Second
		must(t, s.Settle(t.Context(), in.Due+1000, grace, schema.RestartWindow))
		o, err := s.Order(t.Context(), all, "o")
		must(t, err)
		equal(t, "state", o.State, schema.OrderSent)
		must(t, s.Settle(t.Context(), in.Due+1001, grace, schema.RestartWindow))
		o, err = s.Order(t.Context(), all, "o")
		must(t, err)
		if o.State != schema.OrderStateLost || *o.Reason != schema.ReasonTimeout || *o.EndedTime != in.Due+1001 {
			t.Fatalf("%+v", o)
		}
		equal(t, "log", kinds(log(t, s, "1")), "update connect login order order_result ")
	})
}

func TestSettle_RestartNotVerified(t *testing.T) {
	each(t, func(t *testing.T) {
		window := schema.RestartWindow.Milliseconds()
		for _, state := range []schema.OrderState{schema.OrderSucceeded, schema.OrderStateLost} {
			s := ready(t)
			restart(t, s, state, start)
			must(t, s.Settle(t.Context(), start+window, time.Hour, schema.RestartWindow))
			o, err := s.Order(t.Context(), all, "o")
			must(t, err)
			if o.Verified != nil {
				t.Fatalf("given up too early: %+v", o)
			}
			for range 2 {
				must(t, s.Settle(t.Context(), start+window+1, time.Hour, schema.RestartWindow))
			}
			o, err = s.Order(t.Context(), all, "o")
			must(t, err)
			if o.Verified == nil || *o.Verified || o.State != state {
				t.Fatalf("%+v", o)
			}
			equal(t, "log", kinds(log(t, s, "1")), "update connect login order order_result restart_unverified ")
		}
	})
}

func TestClaimNode_NumbersAndIncarnations(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		last := int64(0)
		for i, c := range []struct {
			name   string
			number int64
		}{{"a", 0}, {"b", 1}, {"a", 0}, {"c", 2}, {"b", 1}} {
			n, err := s.ClaimNode(t.Context(), c.name, start+int64(i))
			must(t, err)
			equal(t, c.name, n.Number, c.number)
			equal(t, "name", n.Name, c.name)
			if n.Incarnation <= last {
				t.Fatalf("incarnation %d after %d", n.Incarnation, last)
			}
			last = n.Incarnation
		}
		for _, leave := range []string{"a", "c"} {
			_, err := s.engine.write.ExecContext(t.Context(), "DELETE FROM nodes WHERE name = $1", leave)
			must(t, err)
		}
		n, err := s.ClaimNode(t.Context(), "d", start)
		must(t, err)
		equal(t, "lowest free", n.Number, 0)
	})
}

func TestClaimNode_AtMost1024(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		_, err := write(t.Context(), s, func(t *tx) (n int64, err error) {
			for i := range nodeNumbers - 1 {
				if n, err = t.exec("INSERT INTO nodes (name, number, incarnation, lease_time) VALUES ($1, $2, 0, 0)", fmt.Sprint(i), i); err != nil {
					break
				}
			}
			return n, err
		})
		must(t, err)
		n, err := s.ClaimNode(t.Context(), "the last", start)
		must(t, err)
		equal(t, "number", n.Number, nodeNumbers-1)
		_, err = s.ClaimNode(t.Context(), "one more", start)
		wantKind(t, err, schema.Overloaded, "no_node_number")
		_, err = s.ClaimNode(t.Context(), "5", start)
		must(t, err)
	})
}

func TestResetNode_EndsWhatEarlierLivesLeft(t *testing.T) {
	each(t, func(t *testing.T) {
		s := ready(t)
		addDevice(t, s, "2", "3", "4")
		other := claimOf("2", 1)
		other.Node = 8
		claim(t, s, other)
		claim(t, s, claimOf("3", 1))
		s.Presence(schema.Presence{DeviceID: "3", Epoch: 1, State: schema.Offline, Reason: "closed_by_device"})
		must(t, begin(s, intentOf("o", "1", 1)))
		must(t, begin(s, intentOf("p", "2", 1)))
		_, err := s.engine.write.ExecContext(t.Context(), "UPDATE orders SET node = 8 WHERE order_id = 'p'")
		must(t, err)
		must(t, s.ResetNode(t.Context(), schema.Node{Number: 7}, start+500))
		for id, want := range map[string]string{
			"1": "update connect login order order_result disconnect ", "2": "update connect login order ",
			"3": "update connect login disconnect ", "4": "update ",
		} {
			equal(t, "log of "+id, kinds(log(t, s, id)), want)
		}
		d, err := s.Device(t.Context(), all, "1")
		must(t, err)
		equal(t, "state", string(d.State)+" "+d.StateReason, "offline server_restart")
		o, err := s.Order(t.Context(), all, "o")
		must(t, err)
		equal(t, "order", string(o.State)+" "+*o.Reason, "unknown server_restart")
	})
}

// More than one sweep's worth, as after the death of a full node.
func TestResetNode_ManyDevices(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		const devices = sweep + 1
		var wg sync.WaitGroup
		for i := range devices {
			wg.Go(func() {
				id := fmt.Sprint(i)
				if err := s.AddDevice(t.Context(), device(id), "", ""); err != nil {
					t.Error(err)
				}
				if _, err := s.Claim(t.Context(), claimOf(id, 1)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		must(t, s.ResetNode(t.Context(), schema.Node{Number: 7}, start))
		l, err := s.ListDevices(t.Context(), all, schema.DeviceFilter{State: schema.Offline}, schema.Page{Limit: 1000})
		must(t, err)
		equal(t, "offline", len(l.Items), 1000)
		l, err = s.ListDevices(t.Context(), all, schema.DeviceFilter{State: schema.Online}, schema.Page{})
		must(t, err)
		equal(t, "online", len(l.Items), 0)
	})
}
