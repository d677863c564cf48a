package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
)

// online is a world with one device on a raw connection.
func online(t *testing.T) (w *world, id, password string, c *wire) {
	t.Helper()
	w = newWorld(t)
	id, password = w.addDevice("a")
	c = w.connect("10.0.0.7")
	c.login(id, password, "boot-1")
	return w, id, password, c
}

// asked takes the give_order that the server sends.
func (c *wire) asked() (id json.RawMessage, g schema.GiveOrder) {
	c.t.Helper()
	m := c.next()
	if m.Method != schema.MethodGiveOrder {
		c.t.Fatalf("%s in place of give_order", m.Method)
	}
	if err := json.Unmarshal(m.Params, &g); err != nil {
		c.t.Fatal(err)
	}
	return m.ID, g
}

// alive sends a ping, so that time may go on, and takes its answer.
func (c *wire) alive(d time.Duration) {
	c.t.Helper()
	for d > 0 {
		step := min(d, 5*time.Second)
		time.Sleep(step)
		d -= step
		c.send(pingMessage)
		c.next()
	}
}

const success = `{"status":"success","message":"ok","data":{"n":1}}`

// check compares an answer's status, code and the record's state and reason.
func (a apiReply) check(t testing.TB, status int, code, state, reason string) schema.Order {
	t.Helper()
	var o schema.Order
	if len(a.Data) > 0 {
		_ = json.Unmarshal(a.Data, &o)
	}
	why := ""
	if o.Reason != nil {
		why = *o.Reason
	}
	if a.HTTP != status || a.Code != code || string(o.State) != state || why != reason {
		t.Errorf("%d %q %s %q (%s); want %d %q %s %q", a.HTTP, a.Code, o.State, why, a.Message, status, code, state, reason)
	}
	return o
}

// TestF41_TheTenSeconds: an answer before the deadline is the outcome, at the
// deadline and after it is a late result; the caller sees one outcome.
func TestF41_TheTenSeconds(t *testing.T) {
	for _, tc := range []struct {
		after  time.Duration
		status int
		code   string
	}{
		{9999 * time.Millisecond, 200, ""},
		{10 * time.Second, 504, "order_timeout"},
		{10001 * time.Millisecond, 504, "order_timeout"},
	} {
		t.Run(tc.after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, id, _, c := online(t)
				got := w.giveOrder(id, "blink", `,"params":{"n":1}`)
				call, g := c.asked()
				due := time.Now().Add(tc.after)
				c.alive(5 * time.Second)
				time.Sleep(time.Until(due))
				if tc.after == 10*time.Second {
					w.settle() // the deadline wins
				}
				c.answer(call, success)
				a := <-got
				if tc.status == 200 {
					a.check(t, 200, "", "succeeded", "")
				} else {
					a.check(t, tc.status, tc.code, "unknown", "timeout")
				}
				w.settle()
				o := w.order(g.OrderID)
				if o.State != schema.OrderSucceeded || o.Late != (tc.status != 200) {
					t.Errorf("in the end the record says %s, late %v", o.State, o.Late)
				}
			})
		})
	}
}

// TestF42_LateAnswer comes while the next order is in flight: it is the first
// order's late result, and the second is undisturbed.
func TestF42_LateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id, _, c := online(t)
		first := w.giveOrder(id, "one", `,"params":{}`)
		call1, g1 := c.asked()
		c.alive(10 * time.Second)
		(<-first).check(t, 504, "order_timeout", "unknown", "timeout")

		second := w.giveOrder(id, "two", `,"params":{}`)
		call2, _ := c.asked()
		c.answer(call1, `{"status":"fail","message":"first"}`)
		w.settle()
		if o := w.order(g1.OrderID); o.State != schema.OrderStateFail || !o.Late || o.Message != "first" {
			t.Errorf("the first order is %s, late %v, %q", o.State, o.Late, o.Message)
		}
		c.answer(call2, `{"status":"success","message":"second"}`)
		if o := (<-second).check(t, 200, "", "succeeded", ""); o.Message != "second" || o.Late {
			t.Errorf("the second order has %q, late %v", o.Message, o.Late)
		}
	})
}

// TestF43_TwoAnswers: the first counts.
func TestF43_TwoAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id, _, c := online(t)
		got := w.giveOrder(id, "blink", `,"params":{}`)
		call, g := c.asked()
		c.answer(call, `{"status":"success","message":"first"}`)
		c.answer(call, `{"status":"fail","message":"second"}`)
		(<-got).check(t, 200, "", "succeeded", "")
		w.settle()
		if o := w.order(g.OrderID); o.State != schema.OrderSucceeded || o.Message != "first" || o.Late {
			t.Errorf("the record has %s %q, late %v", o.State, o.Message, o.Late)
		}
	})
}

// TestF44_TwoAtOnce: one order is in flight; the others are told who holds the device.
func TestF44_TwoAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id, _, c := online(t)
		first := w.giveOrder(id, "blink", `,"params":{}`)
		call, g := c.asked()
		time.Sleep(2 * time.Second)
		for range 20 {
			a := <-w.giveOrder(id, "blink", `,"params":{}`)
			var held struct {
				OrderID string `json:"order_id"`
				Order   string `json:"order"`
				Age     int64  `json:"age_ms"`
			}
			if err := json.Unmarshal(a.Data, &held); err != nil {
				t.Fatal(err)
			}
			if a.HTTP != 409 || a.Code != "device_busy" || held.OrderID != g.OrderID || held.Order != "blink" || held.Age != 2000 {
				t.Fatalf("%d %s %+v", a.HTTP, a.Code, held)
			}
		}
		c.answer(call, success)
		(<-first).check(t, 200, "", "succeeded", "")
		if n := count(w.said(id), "order refused device_busy"); n != 20 {
			t.Errorf("%d refusals in the log", n)
		}
	})
}

// TestF44_Storm gives many orders at one moment: exactly one goes out.
func TestF44_Storm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id, _, c := online(t)
		var all []<-chan apiReply
		for range 50 {
			all = append(all, w.giveOrder(id, "blink", `,"params":{}`))
		}
		call, _ := c.asked()
		w.settle()
		if len(c.in) > 0 {
			t.Error("a second order went out")
		}
		c.answer(call, success)
		codes := map[string]int{}
		for _, got := range all {
			a := <-got
			codes[fmt.Sprint(a.HTTP, a.Code)]++
		}
		if codes["200"] != 1 || codes["409device_busy"]+codes["409 device_busy"] != 49 {
			t.Errorf("answers: %v", codes)
		}
	})
}

// TestF45_OrderWhileReconnecting: nothing is written to the dead socket; an
// order that had been written is unknown, at once, and is not sent again.
func TestF45_OrderWhileReconnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id, password, c := online(t)
		got := w.giveOrder(id, "blink", `,"params":{}`)
		_, g := c.asked()
		start := time.Now()
		c.drop()
		(<-got).check(t, 504, "device_disconnected", "unknown", "disconnected")
		if d := time.Since(start); d != 0 {
			t.Errorf("told after %v, not at once", d)
		}
		(<-w.giveOrder(id, "blink", `,"params":{}`)).check(t, 409, "device_offline", "", "")

		again := w.connect("10.0.0.7")
		res := again.login(id, password, "boot-1")
		if !slices.Equal(res.Unsettled, []string{g.OrderID}) {
			t.Errorf("unsettled: %v", res.Unsettled)
		}
		w.settle()
		if len(again.in) > 0 {
			t.Error("the order was sent again")
		}
	})
}

// TestF51_ResultHandedIn: a result that lost its way is handed in after the
// login, moves the order from unknown to known, and may be handed in twice.
func TestF51_ResultHandedIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id, password, c := online(t)
		got := w.giveOrder(id, "blink", `,"params":{}`)
		_, g := c.asked()
		c.drop()
		<-got
		again := w.connect("10.0.0.7")
		again.login(id, password, "boot-1")
		for range 2 {
			m := again.call("upload_instruction_result",
				fmt.Sprintf(`{"order_id":%q,"status":"success","message":"was done","data":{"n":3}}`, g.OrderID))
			if m.Error != nil || string(m.Result) != "{}" {
				t.Fatalf("%s %+v", m.Result, m.Error)
			}
			if o := w.order(g.OrderID); o.State != schema.OrderSucceeded || !o.Late || o.Message != "was done" {
				t.Errorf("%s, late %v, %q", o.State, o.Late, o.Message)
			}
		}
		other, _ := w.addDevice("b")
		_ = other
		m := again.call("upload_instruction_result", `{"order_id":"77","status":"success","message":""}`)
		if m.Error == nil || m.Error.Code != -32602 {
			t.Errorf("an order of nobody: %+v", m.Error)
		}
	})
}

// TestF48_RestartWithoutReply: the connection is lost before the device's
// reply; a new boot within 60 s proves the restart, a later one does not.
func TestF48_RestartWithoutReply(t *testing.T) {
	for _, tc := range []struct {
		after    time.Duration
		boot     string
		state    schema.OrderState
		verified string
	}{
		{59 * time.Second, "boot-2", schema.OrderSucceeded, "true"},
		{59 * time.Second, "boot-1", schema.OrderStateLost, "null"},
		{80 * time.Second, "boot-2", schema.OrderStateLost, "false"},
	} {
		t.Run(fmt.Sprint(tc.after, tc.boot), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, id, password, c := online(t)
				got := w.giveOrder(id, "restart", "")
				_, g := c.asked()
				c.drop()
				(<-got).check(t, 504, "device_disconnected", "unknown", "disconnected")
				time.Sleep(tc.after)
				w.connect("10.0.0.7").login(id, password, tc.boot)
				o := w.order(g.OrderID)
				verified, _ := json.Marshal(o.Verified)
				if o.State != tc.state || string(verified) != tc.verified || o.Late != (tc.verified == "true") {
					t.Errorf("%s, verified %s, late %v", o.State, verified, o.Late)
				}
			})
		})
	}
}

// TestRestartDialogue is southbound section 3 step by step.
func TestRestartDialogue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id, password, c := online(t)
		got := w.giveOrder(id, "restart", "")
		call, g := c.asked()
		if !g.IsInner || g.OrderType != "restart" || string(g.Params) != "{}" {
			t.Errorf("the order is %+v", g)
		}
		c.answer(call, `{"status":"success","message":"wait Server Confirm"}`)
		m := c.next()
		if m.Method != schema.MethodRestartConfirm || m.ID != nil || string(m.Params) != fmt.Sprintf(`{"order_id":%q}`, g.OrderID) {
			t.Errorf("after the reply: %s %s %s", m.ID, m.Method, m.Params)
		}
		(<-got).check(t, 200, "", "succeeded", "")
		if o := w.order(g.OrderID); o.Verified != nil {
			t.Error("verified before a new boot")
		}
		c.drop()
		time.Sleep(5 * time.Second)
		w.connect("10.0.0.7").login(id, password, "boot-2")
		if o := w.order(g.OrderID); o.Verified == nil || !*o.Verified || o.Late {
			t.Errorf("after the new boot: verified %v, late %v", o.Verified, o.Late)
		}
	})
}

// TestRestartUnverified: no new boot within 60 s.
func TestRestartUnverified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id, _, c := online(t)
		got := w.giveOrder(id, "restart", "")
		call, g := c.asked()
		c.answer(call, `{"status":"success","message":"wait Server Confirm"}`)
		c.next()
		<-got
		c.alive(70 * time.Second)
		if o := w.order(g.OrderID); o.Verified == nil || *o.Verified || o.State != schema.OrderSucceeded {
			t.Errorf("%s, verified %v", o.State, o.Verified)
		}
		if n := count(w.said(id), "restart_unverified succeeded"); n != 1 {
			t.Errorf("the log has %q", w.said(id))
		}
	})
}
