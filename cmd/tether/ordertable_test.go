package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
)

// orderCase is one row of the table of northbound section 4.
type orderCase struct {
	row    string
	status int
	code   string
	play   func(t *testing.T, w *world, id string, c *wire) apiReply
}

var orderTable = []orderCase{
	{"done, device says success", 200, "", func(t *testing.T, w *world, id string, c *wire) apiReply {
		got := w.giveOrder(id, "blink", `,"params":{"n":3}`)
		call, g := c.asked()
		if g.OrderType != "blink" || g.IsInner || string(g.Params) != `{"n":3}` || g.Deadline != time.Now().Add(10*time.Second).UnixMilli() {
			t.Errorf("the device was given %+v", g)
		}
		c.answer(call, success)
		return <-got
	}},
	{"device says fail", 502, "order_failed", func(t *testing.T, w *world, id string, c *wire) apiReply {
		got := w.giveOrder(id, "blink", `,"params":{}`)
		call, _ := c.asked()
		c.answer(call, `{"status":"fail","message":"no lamp"}`)
		return <-got
	}},
	{"device answers with a JSON-RPC error", 502, "order_failed", func(t *testing.T, w *world, id string, c *wire) apiReply {
		got := w.giveOrder(id, "blink", `,"params":{}`)
		call, _ := c.asked()
		c.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32000,"message":"no lamp"}}`, call))
		return <-got
	}},
	{"device unknown", 404, "device_not_found", func(t *testing.T, w *world, _ string, _ *wire) apiReply {
		return <-w.giveOrder("77", "blink", `,"params":{}`)
	}},
	{"device offline", 409, "device_offline", func(t *testing.T, w *world, id string, c *wire) apiReply {
		c.drop()
		w.settle()
		a := <-w.giveOrder(id, "blink", `,"params":{}`)
		var seen struct {
			Time int64 `json:"last_seen_time"`
		}
		if err := json.Unmarshal(a.Data, &seen); err != nil || seen.Time != time.Now().UnixMilli() {
			t.Errorf("last seen: %s %v", a.Data, err)
		}
		return a
	}},
	{"device state Unknown", 409, "device_unknown", func(t *testing.T, w *world, id string, _ *wire) apiReply {
		time.Sleep(8 * time.Second)
		return <-w.giveOrder(id, "blink", `,"params":{}`)
	}},
	{"another order in flight", 409, "device_busy", func(t *testing.T, w *world, id string, c *wire) apiReply {
		first := w.giveOrder(id, "blink", `,"params":{}`)
		call, _ := c.asked()
		defer func() { c.answer(call, success); <-first }()
		return <-w.giveOrder(id, "blink", `,"params":{}`)
	}},
	{"wait_ms over, and it is still sent", 202, "", func(t *testing.T, w *world, id string, c *wire) apiReply {
		start := time.Now()
		a := <-w.giveOrder(id, "blink", `,"params":{},"wait_ms":300`)
		if d := time.Since(start); d != 300*time.Millisecond {
			t.Errorf("answered after %v", d)
		}
		call, g := c.asked()
		c.answer(call, success)
		w.settle()
		if o := w.order(g.OrderID); o.State != schema.OrderSucceeded || o.Late {
			t.Errorf("in the end it is %s, late %v", o.State, o.Late)
		}
		return a
	}},
	{"wait_ms 0", 202, "", func(t *testing.T, w *world, id string, c *wire) apiReply {
		a := <-w.giveOrder(id, "blink", `,"params":{},"wait_ms":0`)
		call, _ := c.asked()
		c.answer(call, success)
		return a
	}},
	{"the device's 10 s are over", 504, "order_timeout", func(t *testing.T, w *world, id string, c *wire) apiReply {
		start := time.Now()
		got := w.giveOrder(id, "blink", `,"params":{}`)
		c.asked()
		c.alive(10 * time.Second)
		a := <-got
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("answered after %v", d)
		}
		return a
	}},
	{"the outcome could not be stored", 503, "store_unavailable", func(t *testing.T, w *world, id string, c *wire) apiReply {
		got := w.giveOrder(id, "blink", `,"params":{}`)
		call, g := c.asked()
		release := w.holdStore()
		c.answer(call, success)
		a := <-got
		var held struct {
			OrderID string `json:"order_id"`
		}
		if err := json.Unmarshal(a.Data, &held); err != nil || held.OrderID != g.OrderID {
			t.Errorf("the answer names %s, not %s", a.Data, g.OrderID)
		}
		release()
		time.Sleep(10 * time.Second) // the outcome is tried again
		if o := w.order(g.OrderID); o.State != schema.OrderSucceeded {
			t.Errorf("after the store's return the record says %s", o.State)
		}
		return a
	}},
	{"the intent could not be stored", 503, "store_unavailable", func(t *testing.T, w *world, id string, c *wire) apiReply {
		release := w.holdStore()
		start := time.Now()
		a := <-w.giveOrder(id, "blink", `,"params":{}`)
		if d := time.Since(start); d > 6*time.Second {
			t.Errorf("refused after %v", d)
		}
		if len(c.in) > 0 {
			t.Error("it was sent all the same")
		}
		release()
		return a
	}},
	{"connection lost before the reply", 504, "device_disconnected", func(t *testing.T, w *world, id string, c *wire) apiReply {
		got := w.giveOrder(id, "blink", `,"params":{}`)
		c.asked()
		time.Sleep(time.Second)
		start := time.Now()
		c.drop()
		a := <-got
		if d := time.Since(start); d != 0 {
			t.Errorf("answered after %v, not at once", d)
		}
		return a
	}},
	{"server stopping", 503, "draining", func(t *testing.T, w *world, id string, c *wire) apiReply {
		first := w.giveOrder(id, "blink", `,"params":{}`)
		call, _ := c.asked()
		w.stop()
		w.settle()
		a := <-w.giveOrder(id, "blink", `,"params":{}`)
		c.answer(call, success)
		(<-first).check(t, 200, "", "succeeded", "") // one in flight has its outcome
		if e := c.closed(); e.Code != 1012 {
			t.Errorf("the device was closed with %d", e.Code)
		}
		return a
	}},
	{"if_offline=queue, and wait_ms is over", 202, "", func(t *testing.T, w *world, id string, c *wire) apiReply {
		c.drop()
		w.settle()
		start := time.Now()
		a := <-w.giveOrder(id, "blink", `,"params":{},"if_offline":"queue","wait_ms":300`)
		if d := time.Since(start); d != 300*time.Millisecond {
			t.Errorf("answered after %v", d)
		}
		a.check(t, 202, "", "queued", "")
		return a
	}},
	{"if_offline=queue, and the device comes back", 200, "", func(t *testing.T, w *world, id string, c *wire) apiReply {
		c.drop()
		w.settle()
		got := w.giveOrder(id, "blink", `,"params":{"n":3},"if_offline":"queue"`)
		time.Sleep(7 * time.Second)
		again := w.connect("10.0.0.7")
		again.login(id, w.passwordOf(id), "boot-1")
		call, g := again.asked()
		if string(g.Params) != `{"n":3}` || g.Deadline != time.Now().Add(10*time.Second).UnixMilli() {
			t.Errorf("the device was given %+v", g)
		}
		again.answer(call, success)
		return <-got
	}},
	{"if_offline=queue, state Unknown", 200, "", func(t *testing.T, w *world, id string, c *wire) apiReply {
		time.Sleep(8 * time.Second)
		got := w.giveOrder(id, "blink", `,"params":{},"if_offline":"queue"`)
		w.settle()
		c.mustBeSilent()
		c.send(pingMessage)
		c.next()
		call, _ := c.asked()
		c.answer(call, success)
		return <-got
	}},
	{"if_busy=wait, and its turn comes", 200, "", func(t *testing.T, w *world, id string, c *wire) apiReply {
		first := w.giveOrder(id, "blink", `,"params":{"n":1}`)
		call, _ := c.asked()
		second := w.giveOrder(id, "blink", `,"params":{"n":2},"if_busy":"wait"`)
		w.settle()
		c.mustBeSilent()
		c.answer(call, success)
		call, g := c.asked()
		if string(g.Params) != `{"n":2}` {
			t.Errorf("the device was given %+v", g)
		}
		(<-first).check(t, 200, "", "succeeded", "")
		c.answer(call, success)
		return <-second
	}},
	{"if_busy=wait, and its turn does not come in wait_ms", 202, "", func(t *testing.T, w *world, id string, c *wire) apiReply {
		first := w.giveOrder(id, "blink", `,"params":{}`)
		call, _ := c.asked()
		defer func() { c.answer(call, success); <-first }()
		a := <-w.giveOrder(id, "blink", `,"params":{},"if_busy":"wait","wait_ms":0`)
		a.check(t, 202, "", "queued", "")
		return a
	}},
	{"if_busy=wait, and 16 wait", 409, "queue_full", func(t *testing.T, w *world, id string, c *wire) apiReply {
		first := w.giveOrder(id, "blink", `,"params":{}`)
		call, _ := c.asked()
		defer func() { c.answer(call, success); <-first }()
		for range schema.MaxQueued {
			(<-w.giveOrder(id, "blink", `,"params":{},"if_busy":"wait","wait_ms":0`)).check(t, 202, "", "queued", "")
		}
		return <-w.giveOrder(id, "blink", `,"params":{},"if_busy":"wait","wait_ms":0`)
	}},
	{"an order waits, if_busy=fail", 409, "device_busy", func(t *testing.T, w *world, id string, c *wire) apiReply {
		restart := w.giveOrder(id, "restart", ``)
		call, _ := c.asked()
		waiting := <-w.giveOrder(id, "blink", `,"params":{},"if_busy":"wait","wait_ms":0`)
		c.answer(call, success)
		<-restart
		c.next()                // restart_confirm
		time.Sleep(time.Second) // the device is about to go: what waits is not sent into that
		c.mustBeSilent()
		a := <-w.giveOrder(id, "blink", `,"params":{}`)
		var holder schema.Holder
		if err := json.Unmarshal(a.Data, &holder); err != nil || holder.OrderID != waiting.check(t, 202, "", "queued", "").OrderID || holder.AgeMS != 1000 {
			t.Errorf("held by %s %v", a.Data, err)
		}
		return a
	}},
	{"ttl_s over", 409, "order_expired", func(t *testing.T, w *world, id string, c *wire) apiReply {
		c.drop()
		w.settle()
		start := time.Now()
		a := <-w.giveOrder(id, "blink", `,"params":{},"if_offline":"queue","ttl_s":7`)
		if d := time.Since(start); d != 7*time.Second {
			t.Errorf("answered after %v", d)
		}
		a.check(t, 409, "order_expired", "expired", "not_sent")
		return a
	}},
	{"cancelled while it waits", 409, "order_cancelled", func(t *testing.T, w *world, id string, c *wire) apiReply {
		c.drop()
		w.settle()
		got := w.giveOrder(id, "blink", `,"params":{},"if_offline":"queue"`)
		time.Sleep(time.Second)
		var list schema.List[schema.Order]
		w.must("GET", "device_orders_query/"+id, "", &list)
		w.must("POST", "order_cancel", fmt.Sprintf(`{"order_id":%q}`, list.Items[0].OrderID), nil)
		a := <-got
		a.check(t, 409, "order_cancelled", "cancelled", "")
		return a
	}},
	{"same Idempotency-Key, same body", 200, "", func(t *testing.T, w *world, id string, c *wire) apiReply {
		first := w.giveOrder(id, "blink", `,"params":{"n":3}`, "Idempotency-Key", "k")
		call, _ := c.asked()
		c.answer(call, success)
		a, again := <-first, <-w.giveOrder(id, "blink", `,"params":{ "n": 3 }`, "Idempotency-Key", "k")
		if string(a.Data) != string(again.Data) {
			t.Errorf("%s and %s", a.Data, again.Data)
		}
		c.mustBeSilent()
		return again
	}},
	{"same key, other body", 409, "idempotency_conflict", func(t *testing.T, w *world, id string, c *wire) apiReply {
		<-w.giveOrder(id, "blink", `,"params":{"n":3},"wait_ms":0`, "Idempotency-Key", "k")
		call, _ := c.asked()
		c.answer(call, success)
		return <-w.giveOrder(id, "blink", `,"params":{"n":4},"wait_ms":0`, "Idempotency-Key", "k")
	}},
	{"server stopping, if_offline=queue", 503, "draining", func(t *testing.T, w *world, id string, c *wire) apiReply {
		first := w.giveOrder(id, "blink", `,"params":{}`)
		call, _ := c.asked()
		waiting := w.giveOrder(id, "blink", `,"params":{},"if_busy":"wait"`)
		w.settle()
		w.stop()
		(<-waiting).check(t, 202, "", "queued", "") // at once: nothing will become of it here
		w.settle()
		a := <-w.giveOrder(id, "blink", `,"params":{},"if_offline":"queue","if_busy":"wait"`)
		c.answer(call, success)
		(<-first).check(t, 200, "", "succeeded", "")
		return a
	}},
	{"custom order without params", 400, "invalid_member", func(t *testing.T, w *world, id string, _ *wire) apiReply {
		return <-w.giveOrder(id, "blink", "")
	}},
}

// TestOrderTable plays every row of northbound section 4 through the whole
// service, by HTTP, with a device on a raw connection.
func TestOrderTable(t *testing.T) {
	for _, tc := range orderTable {
		t.Run(tc.row, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, id, _, c := online(t)
				a := tc.play(t, w, id, c)
				if a.HTTP != tc.status || a.Code != tc.code {
					t.Errorf("%d %q %s, want %d %q", a.HTTP, a.Code, a.Message, tc.status, tc.code)
				}
				t.Logf("%-40s %d %s", tc.row, a.HTTP, a.Code)
			})
		})
	}
}

// TestF47_CallerLeaves: the order goes on, and its outcome is stored.
func TestF47_CallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id, _, c := online(t)
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan struct{})
		go func() {
			defer close(left)
			o := schema.Order{OrderID: "500", DeviceID: id, Order: "blink", By: "key:test", CreatedTime: time.Now().UnixMilli()}
			_, _ = schema.Follow(ctx, w.svc.hub.GiveOrder(schema.Ask{Order: o, Wait: schema.OrderTimeout}), schema.NewWaker())
		}()
		call, _ := c.asked()
		leave()
		<-left
		c.answer(call, success)
		w.settle()
		if o := w.order("500"); o.State != schema.OrderSucceeded {
			t.Errorf("the order is %s", o.State)
		}
	})
}

// holdStore has another process hold the database's write lock, so that
// nothing can be committed until release is called.
func (w *world) holdStore() (release func()) {
	w.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.dir, "tether.db")+"?_txlock=immediate")
	if err != nil {
		w.t.Fatal(err)
	}
	tx, err := db.Begin()
	if err != nil {
		w.t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(); err != nil {
			w.t.Error(err)
		}
		if err := db.Close(); err != nil {
			w.t.Error(err)
		}
	}
}
