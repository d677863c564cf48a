package main

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/cmd/tether/sim"
	"github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
)

// simulate runs a fleet against a world, in virtual time.
func (w *world) simulate(change func(*sim.Options)) (*sim.Report, error) {
	w.t.Helper()
	api, err := client.New(client.Options{URL: "http://tether", Key: w.key, HTTP: w.http})
	if err != nil {
		w.t.Fatal(err)
	}
	o := sim.Options{
		Devices: 8, URL: "ws://tether/ws", Mode: sim.Lean, For: time.Minute, Say: w.t.Logf,
		API: api,
		Dial: func(ctx context.Context, network, address string, _ net.IP) (net.Conn, error) {
			return w.dialFrom("10.0.0.7")(ctx, network, address)
		},
	}
	change(&o)
	return sim.Run(w.t.Context(), o)
}

// mustSimulate fails the test if the run did not go through.
func (w *world) mustSimulate(change func(*sim.Options)) *sim.Report {
	w.t.Helper()
	r, err := w.simulate(change)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func sumOf(counts map[string]int64) (n int64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// TestSimCadence: in a minute a fleet says exactly what the contract wants,
// and nothing goes wrong with it.
func TestSimCadence(t *testing.T) {
	t.Parallel()
	for _, patient := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(c *serviceConfig) { c.messageRate = schema.MessageRate })
			r := w.mustSimulate(func(o *sim.Options) { o.Patient, o.Spread = patient, time.Second })
			if why := r.Failure(time.Second); why != "" {
				t.Error(why)
			}
			// Every 15 s a report, and two pings after it.
			if r.Reports.Count != 8*4 || r.Pings.Count != 8*8 {
				t.Errorf("%d reports and %d pings", r.Reports.Count, r.Pings.Count)
			}
			if r.Connected != 8 || r.Logins["password"] != 8 || r.LoginTime.Count != 8 || r.Missed+r.Garbled+r.ByFault+sumOf(r.Unknown) != 0 || r.Late.Max != 0 {
				t.Errorf("%+v", r)
			}
			text := &strings.Builder{}
			if r.WriteText(text) != nil || strings.Count(text.String(), "\n") < 12 {
				t.Error(text)
			}
		})
	}
}

// TestSimFaults: what faults on purpose bring about is the server's to bear, and
// no false disconnect; the fleet is whole again afterwards.
func TestSimFaults(t *testing.T) {
	for name, c := range map[string]struct {
		faults  sim.Faults
		check   func(*sim.Report) bool
		reasons string // of disconnects that the server has seen
	}{
		"flap": {sim.Faults{Flap: 0.5}, func(r *sim.Report) bool {
			return r.ByFault > 3 && r.Reconnects.P50 >= 8000 && r.Reconnects.Max <= 12_000
		}, "eof reset"},
		"half-open": {sim.Faults{HalfOpen: 3}, func(r *sim.Report) bool {
			return r.ByFault >= 4 && sumOf(r.Unknown) > 0 && sumOf(r.Unknown) == r.Unknown["by a fault on purpose"]
		}, "liveness takeover eof"},
		"slow": {sim.Faults{Slow: 2}, func(r *sim.Report) bool { return r.ByFault >= 2 && r.Missed == 0 }, "write_timeout reset"},
		"herd": {sim.Faults{Herd: 20 * time.Second}, func(r *sim.Report) bool {
			return r.ByFault == 8 && r.Herd.Dropped == 8 && r.Herd.Seconds > 8 && r.Herd.Seconds < 12.2 && r.Logins["token"] == 8
		}, "eof reset"},
		"churn": {sim.Faults{Churn: 0.5}, func(r *sim.Report) bool {
			return r.ByFault == 0 && r.Logins["token"] > 15 && r.Reconnects.Max < 100
		}, "takeover"},
		"wrong logins": {sim.Faults{WrongLogins: 1}, func(r *sim.Report) bool {
			return r.WrongLogins["refused"] > 10 && r.WrongLogins["held back"] > 0 && sumOf(r.WrongLogins) > 45
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				r := w.mustSimulate(func(o *sim.Options) { o.Faults = c.faults })
				if why := r.Failure(0); why != "" || r.Arrived != 8 || !c.check(r) {
					text, _ := json.MarshalIndent(r, "", " ")
					t.Errorf("%s %s", why, text)
				}
				seen := w.disconnects()
				delete(seen, "closed_by_device") // the end of the run
				for reason := range seen {
					if !strings.Contains(c.reasons, reason) {
						t.Errorf("the server has seen %v", seen)
					}
				}
				t.Log(seen)
			})
		})
	}
}

// TestSim_WrongLoginsLeave: who guesses does not wait for a service that says nothing.
func TestSim_WrongLoginsLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.mustSimulate(func(o *sim.Options) {
			o.Faults, o.Sources = sim.Faults{WrongLogins: 20}, 1
			dial := o.Dial
			o.Dial = func(ctx context.Context, network, address string, source net.IP) (net.Conn, error) {
				if source.To4()[1] == 1 { // a stranger's: devices have 127.0
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return dial(ctx, network, address, source)
			}
		})
		if n := r.WrongLogins["left without an answer"]; n < 1000 || n != sumOf(r.WrongLogins) {
			t.Errorf("%v", r.WrongLogins)
		}
	})
}

// disconnects counts the server's disconnect events by reason.
func (w *world) disconnects() map[string]int {
	w.settle()
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[string]int{}
	for _, e := range w.events {
		if e.Kind == schema.EventDisconnect {
			var d struct{ Reason string }
			_ = json.Unmarshal(e.Detail, &d)
			seen[d.Reason]++
		}
	}
	return seen
}

// outcomes counts the server's events of a kind by their outcome.
func (w *world) outcomes(kind schema.EventKind) map[string]int64 {
	w.settle()
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[string]int64{}
	for _, e := range w.events {
		if e.Kind == kind {
			seen[e.Outcome]++
		}
	}
	return seen
}

// TestSimFalseDisconnects: what the server does to devices that behave is found,
// by its code, and a run with it does not pass.
func TestSimFalseDisconnects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		done := make(chan struct{})
		go func() {
			defer close(done)
			time.Sleep(30 * time.Second)
			var all schema.List[schema.Device]
			w.must("GET", "device_query_all", "", &all)
			w.must("PUT", "device_update", `{"device_id":"`+all.Items[0].DeviceID+`","enabled":false}`, nil)
			w.must("PUT", "device_password_update", `{"device_id":"`+all.Items[1].DeviceID+`"}`, nil)
		}()
		r := w.mustSimulate(func(o *sim.Options) { o.For = 50 * time.Second })
		<-done
		if sumOf(r.FalseDisconnects) != 2 || r.Stopped != 1 || r.Connected != 6 || sumOf(r.Failures) == 0 || r.Failure(0) != "2 false disconnects" {
			t.Errorf("%q %+v", r.Failure(0), r)
		}
		for reason := range r.FalseDisconnects {
			if !strings.HasPrefix(reason, "4410") && !strings.HasPrefix(reason, "4401") {
				t.Errorf("%q", reason)
			}
		}
	})
}

// TestSimOrders: what the report says of orders is what is recorded, and lean
// devices restart as the contract wants it.
func TestSimOrders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		verified := make(chan schema.Order, 1)
		go func() {
			time.Sleep(10 * time.Second)
			var all schema.List[schema.Device]
			w.must("GET", "device_query_all", "", &all)
			id := all.Items[0].DeviceID
			var o schema.Order
			if a := <-w.giveOrder(id, "upload_log", ""); a.Code != "order_failed" || !strings.Contains(a.Message, "not simulated") {
				t.Errorf("%+v", a)
			}
			a := <-w.giveOrder(id, "restart", "")
			if err := json.Unmarshal(a.Data, &o); err != nil {
				t.Error(err)
			}
			w.must("PUT", "device_update", `{"device_id":"`+id+`","device_name":"another"}`, nil)
			time.Sleep(10 * time.Second)
			verified <- w.order(o.OrderID)
		}()
		r := w.mustSimulate(func(o *sim.Options) {
			o.Orders, o.OrderDelay, o.OrderFailures, o.Group = 2, 50*time.Millisecond, 0.25, "all of them"
		})
		if o := <-verified; o.State != schema.OrderSucceeded || o.Verified == nil || !*o.Verified {
			t.Errorf("%+v", o)
		}
		states := w.outcomes(schema.EventOrderResult)
		if r.Orders["succeeded"] != states["succeeded"]-1 || r.Orders["order_failed"] != states["failed"]-1 || sumOf(r.Orders) < 100 || r.OrdersPerSec < 1.9 {
			t.Errorf("%v at %.1f a second, the server has %v", r.Orders, r.OrdersPerSec, states)
		}
		if r.OrderTime.P50 < 50 || r.OrderTime.P50 > 52 || r.Orders["order_failed"] < 10 {
			t.Errorf("%+v", r.OrderTime)
		}
		var groups schema.List[schema.Group]
		w.must("GET", "group_query_all", "", &groups)
		var members schema.List[schema.Device]
		w.must("GET", "group_devices_query/"+groups.Items[0].GroupID, "", &members)
		if len(members.Items) != 8 {
			t.Errorf("%d devices are in the group", len(members.Items))
		}
		if sumOf(r.FalseDisconnects)+r.ByFault != 0 {
			t.Errorf("a restart on order is no fault: %v, %d", r.FalseDisconnects, r.ByFault)
		}
	})
}

// TestSimState: a fleet comes back by its file, with tokens and without being
// registered; without the file it finds its devices; and it leaves nothing.
func TestSimState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		file := filepath.Join(t.TempDir(), "fleet.json")
		run := func(form string, change func(*sim.Options)) {
			t.Helper()
			r := w.mustSimulate(func(o *sim.Options) { o.For, o.Bcrypt = 20*time.Second, 2; change(o) })
			if r.Failure(0) != "" || r.Logins[form] == 0 || r.Connected != 8 || form == "token" && len(r.Logins) > 1 {
				t.Errorf("%s %+v", r.Failure(0), r)
			}
		}
		with := func(o *sim.Options) { o.State = file }
		run("bcrypt", with)
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Error(info, err)
		}
		run("token", with)
		run("password", func(*sim.Options) {}) // which makes what is in the file worthless
		if _, err := w.simulate(func(o *sim.Options) { with(o); o.URL = "ws://other/ws" }); err == nil || !strings.Contains(err.Error(), "take another file") {
			t.Error(err)
		}
		run("password", func(o *sim.Options) { o.Cleanup = true })
		var all schema.List[schema.Device]
		if w.must("GET", "device_query_all", "", &all); len(all.Items) != 0 {
			t.Errorf("%d devices are left", len(all.Items))
		}
	})
}

// TestSimGroupOrder: one order to the whole group, which every device carries out.
func TestSimGroupOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.mustSimulate(func(o *sim.Options) { o.Group, o.GroupOrder = "g", true })
		if g := r.GroupOrder; g == nil || g.State != "done" || g.Counts["succeeded"] != int64(r.Devices) || g.Counts["total"] != int64(r.Devices) {
			t.Errorf("%+v", r.GroupOrder)
		}
	})
}

// TestSimKeyLimit: a fleet that is put into a group faster than its key may ask
// goes on as the key allows.
func TestSimKeyLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *serviceConfig) { c.access.keyRate = 5 })
		r := w.mustSimulate(func(o *sim.Options) { o.Group, o.Devices = "g", 30 })
		if why := r.Failure(0); why != "" {
			t.Error(why)
		}
	})
}

// TestSimLibrary: the same fleet on the device library.
func TestSimLibrary(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.mustSimulate(func(o *sim.Options) {
			o.Mode, o.Devices, o.Orders, o.OrderFailures, o.State = sim.Library, 4, 1, 0.3, filepath.Join(t.TempDir(), "s")
			o.Faults = sim.Faults{Flap: 1, Churn: 0.1, Slow: 1, WrongLogins: 0.1}
		})
		if r.Failure(0) != "" || r.Arrived != 4 || r.ByFault < 4 || r.Logins["password"] != 4 || r.Logins["token"] < 5 || r.Orders["succeeded"] < 10 || r.Orders["order_failed"] < 3 {
			text, _ := json.MarshalIndent(r, "", " ")
			t.Errorf("%s %s", r.Failure(0), text)
		}
	})
}
