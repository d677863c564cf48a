package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgetether/tether/schema"
)

// waiting gives an order that waits, without waiting for it itself.
func (w *world) waiting(id, rest string) schema.Order {
	w.t.Helper()
	a := <-w.giveOrder(id, "blink", `,"wait_ms":0,"if_busy":"wait","if_offline":"queue"`+rest)
	return a.check(w.t, 202, "", "queued", "")
}

// TestT25_Thousand: of a thousand identical requests at one moment one order
// comes about, and a thousand equal answers.
func TestT25_Thousand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id, _, c := online(t)
		const many = 1000
		var all []<-chan apiReply
		for range many {
			all = append(all, w.giveOrder(id, "blink", `,"params":{"n":3}`, "Idempotency-Key", "order 66"))
		}
		call, g := c.asked()
		time.Sleep(2 * time.Second)
		c.answer(call, success)
		first := ""
		for _, got := range all {
			a := <-got
			o := a.check(t, 200, "", "succeeded", "")
			if first == "" {
				first = string(a.Data)
			}
			if o.OrderID != g.OrderID || string(a.Data) != first {
				t.Fatalf("answered %s, another %s", a.Data, first)
			}
		}
		c.mustBeSilent()
		var list schema.List[schema.Order]
		w.must("GET", "device_orders_query/"+id, "", &list)
		if len(list.Items) != 1 {
			t.Errorf("%d orders", len(list.Items))
		}
		t.Logf("%d requests, %d order, every answer %d bytes", many, len(list.Items), len(first))
	})
}

// TestT25_KeySurvivesRestart: the key is as durable as its order, also one
// that waits, and a refusal leaves it free.
func TestT25_KeySurvivesRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id, _, c := online(t)
		c.drop()
		w.settle()
		key := []string{"Idempotency-Key", "k"}
		(<-w.giveOrder(id, "blink", `,"params":{}`, key...)).check(t, 409, "device_offline", "", "")
		const body = `,"params":{},"if_offline":"queue","wait_ms":0`
		o := (<-w.giveOrder(id, "blink", body, key...)).check(t, 202, "", "queued", "")
		w.end()
		w.start()
		again := (<-w.giveOrder(id, "blink", body, key...)).check(t, 202, "", "queued", "")
		if again.OrderID != o.OrderID {
			t.Errorf("after a restart %s became %s", o.OrderID, again.OrderID)
		}
		(<-w.giveOrder(id, "blink", body+`,"ttl_s":9`, key...)).check(t, 409, "idempotency_conflict", "", "")
	})
}

// TestF44_Turns: with if_busy=wait orders are carried out one at a time, in
// the order in which they were given, and each caller gets its own outcome.
func TestF44_Turns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id, _, c := online(t)
		var all []<-chan apiReply
		for n := range 1 + schema.MaxQueued {
			all = append(all, w.giveOrder(id, "blink", fmt.Sprintf(`,"params":{"n":%d},"if_busy":"wait"`, n)))
			w.settle()
		}
		for n := range all {
			call, g := c.asked()
			if want := fmt.Sprintf(`{"n":%d}`, n); string(g.Params) != want {
				t.Fatalf("%s was given in place of %s", g.Params, want)
			}
			w.settle()
			c.mustBeSilent()
			c.answer(call, fmt.Sprintf(`{"status":"success","message":"%d"}`, n))
		}
		for n, got := range all {
			if o := (<-got).check(t, 200, "", "succeeded", ""); o.Message != fmt.Sprint(n) {
				t.Errorf("caller %d got the outcome of %s", n, o.Message)
			}
		}
	})
}

// TestF45_Reconnecting: an order that is given while the device is away goes
// to its next connection, once; one whose bytes were on the old connection is
// unknown, and is not sent again.
func TestF45_Reconnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id, password, c := online(t)
		got := w.giveOrder(id, "blink", `,"params":{"n":1},"if_offline":"queue","if_busy":"wait"`)
		_, lost := c.asked()
		second := w.waiting(id, `,"params":{"n":2}`)
		c.drop()
		(<-got).check(t, 504, "device_disconnected", "unknown", "disconnected")
		third := w.waiting(id, `,"params":{"n":3}`)
		again := w.connect("10.0.0.7")
		res := again.login(id, password, "boot-1")
		if !slices.Equal(res.Unsettled, []string{lost.OrderID}) {
			t.Errorf("the device is asked for %v", res.Unsettled)
		}
		for _, o := range []schema.Order{second, third} {
			call, g := again.asked()
			if g.OrderID != o.OrderID {
				t.Fatalf("%s was given in place of %s", g.OrderID, o.OrderID)
			}
			again.answer(call, success)
		}
		w.settle()
		again.mustBeSilent()
		for _, o := range []schema.Order{second, third} {
			if o = w.order(o.OrderID); o.State != schema.OrderSucceeded || o.Late {
				t.Errorf("%s is %s", o.OrderID, o.State)
			}
		}
	})
}

// TestQueue_EachChangeIsAnEvent, in order, with who made it.
func TestQueue_EachChangeIsAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id, password, c := online(t)
		c.drop()
		w.settle()
		w.waiting(id, `,"params":{"n":1}`)
		gone := w.waiting(id, `,"params":{"n":2}`)
		w.waiting(id, `,"params":{"n":3},"ttl_s":5`)
		w.must("POST", "order_cancel", fmt.Sprintf(`{"order_id":%q}`, gone.OrderID), nil)
		time.Sleep(6 * time.Second)
		again := w.connect("10.0.0.7")
		again.login(id, password, "boot-1")
		call, _ := again.asked()
		again.answer(call, success)
		want := []string{"order queued", "order queued", "order queued", "order_result cancelled", "order_result expired not_sent", "order sent", "order_result succeeded"}
		if got := w.said(id, "connect", "login", "update", "disconnect", "state"); !slices.Equal(got, want) {
			t.Errorf("the log has %q\nwant %q", got, want)
		}
	})
}

// TestQueue_ExpiresToTheMillisecond: at ttl_s after it was given, whether
// somebody waits for it or not, the server was down meanwhile or not.
func TestQueue_ExpiresToTheMillisecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id, _, c := online(t)
		c.drop()
		w.settle()
		var all []schema.Order
		for _, ttl := range []int{300, 61, 240, 62, 61} {
			time.Sleep(137 * time.Millisecond)
			all = append(all, w.waiting(id, fmt.Sprintf(`,"params":{"n":%d},"ttl_s":%[1]d`, ttl)))
		}
		time.Sleep(30 * time.Second)
		w.end()
		time.Sleep(7 * time.Second)
		w.start()
		time.Sleep(300 * time.Second)
		for _, o := range all {
			var p struct{ N int64 }
			if err := json.Unmarshal(o.Params, &p); err != nil {
				t.Fatal(err)
			}
			o = w.order(o.OrderID)
			if o.State != schema.OrderExpired || *o.EndedTime != o.CreatedTime+1000*p.N {
				t.Errorf("ttl_s %d: %s after %d ms", p.N, o.State, *o.EndedTime-o.CreatedTime)
			}
		}
	})
}

// TestQueue_CancelRaces: an order is cancelled while its device comes back. It
// is cancelled or carried out, never both, and its canceller knows which.
func TestQueue_CancelRaces(t *testing.T) {
	w := socketWorld(t)
	outcomes := map[string]int{}
	races := 8
	if os.Getenv("TETHER_SOAK") != "" {
		races = 30
	}
	for n := range races {
		id, password := w.addDevice(fmt.Sprint("d", n))
		var given sync.Map
		orders := make([]schema.Order, schema.MaxQueued)
		for i := range orders {
			orders[i] = w.waiting(id, `,"params":{}`)
		}
		var wg sync.WaitGroup
		conn, _, err := websocket.DefaultDialer.Dial("ws://"+w.address+"/ws", nil)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() { carryOut(conn, id, password, &given) })
		codes := make([]string, len(orders))
		wg.Go(func() { // from the last on: the two meet somewhere
			for i := range slices.Backward(codes) {
				codes[i] = w.ask("POST", "order_cancel", fmt.Sprintf(`{"order_id":%q}`, orders[i].OrderID)).Code
			}
		})
		for i, o := range orders {
			await(t, "the end of an order", func() bool { o = w.order(o.OrderID); return o.State.Ended() })
			orders[i].State = o.State
		}
		conn.Close()
		wg.Wait()
		for i, o := range orders {
			_, was := given.Load(o.OrderID)
			outcomes[string(o.State)+" "+codes[i]]++
			switch {
			case o.State == schema.OrderCancelled && codes[i] == "" && !was:
			case o.State == schema.OrderSucceeded && codes[i] == "order_not_cancellable" && was:
			default:
				t.Errorf("%s is %s, its canceller was told %q, given %v", o.OrderID, o.State, codes[i], was)
			}
		}
	}
	t.Log(outcomes)
}

// carryOut is a device that says success to all that it is given.
func carryOut(conn *websocket.Conn, id, password string, given *sync.Map) {
	say := func(format string, args ...any) {
		_ = conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, format, args...)) // or the next read fails
	}
	say(`{"jsonrpc":"2.0","id":1,"method":"login","params":{"device_id":%q,"password":%q,"boot_id":"b"}}`, id, password)
	for {
		var m message
		if err := conn.ReadJSON(&m); err != nil {
			return
		}
		if m.Method != schema.MethodGiveOrder {
			continue
		}
		var g schema.GiveOrder
		_ = json.Unmarshal(m.Params, &g) // an empty id is found by nobody
		given.Store(g.OrderID, true)
		say(`{"jsonrpc":"2.0","id":%s,"result":{"status":"success","message":"done"}}`, m.ID)
	}
}

// TestQueue_DeviceGone: what waits for a deleted device is cancelled, for a
// disabled one it waits.
func TestQueue_DeviceGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id, password, c := online(t)
		w.must("PUT", "device_update", fmt.Sprintf(`{"device_id":%q,"enabled":false}`, id), nil)
		c.closed()
		kept := w.waiting(id, `,"params":{"n":1}`)
		w.must("PUT", "device_update", fmt.Sprintf(`{"device_id":%q,"enabled":true}`, id), nil)
		again := w.connect("10.0.0.7")
		again.login(id, password, "boot-1")
		call, g := again.asked()
		if g.OrderID != kept.OrderID {
			t.Errorf("given %+v", g)
		}
		got := w.giveOrder(id, "blink", `,"params":{},"if_busy":"wait"`)
		w.settle()
		w.must("DELETE", "device_delete", fmt.Sprintf(`{"device_id":%q}`, id), nil)
		(<-got).check(t, 409, "order_cancelled", "cancelled", "deleted")
		_ = call
	})
}

// TestQueue_SurvivesKill: orders that wait are there after the server was
// killed, in their order, and are carried out once.
func TestQueue_SurvivesKill(t *testing.T) {
	t.Parallel()
	s := serve(t)
	id, password := s.api.addDevice("press")
	var want []string
	for n := range schema.MaxQueued {
		a := s.api.ask("POST", "give_order", fmt.Sprintf(`{"device_id":%q,"order":"blink","params":{"n":%d},"if_offline":"queue","wait_ms":0}`, id, n))
		want = append(want, a.check(t, 202, "", "queued", "").OrderID)
	}
	short := s.api.ask("POST", "order_cancel", fmt.Sprintf(`{"order_id":%q}`, want[3]))
	short.check(t, 200, "", "cancelled", "")
	want = slices.Delete(want, 3, 4)
	s.kill()
	s.begin(t)
	d := websocket.Dialer{NetDialContext: s.dial}
	conn, _, err := d.Dial("ws://tether/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil,
		`{"jsonrpc":"2.0","id":1,"method":"login","params":{"device_id":%q,"password":%q,"boot_id":"b"}}`, id, password))
	var got []string
	for len(got) < len(want) {
		var m message
		if err := conn.ReadJSON(&m); err != nil {
			t.Fatal(err, got)
		}
		if m.Method != schema.MethodGiveOrder {
			continue
		}
		var g schema.GiveOrder
		if err := json.Unmarshal(m.Params, &g); err != nil {
			t.Fatal(err)
		}
		got = append(got, g.OrderID)
		_ = conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":{"status":"success","message":"done"}}`, m.ID))
	}
	if !slices.Equal(got, want) {
		t.Errorf("given %s\nwant %s", strings.Join(got, " "), strings.Join(want, " "))
	}
	for _, order := range want {
		await(t, "success of "+order, func() bool { return s.api.order(order).State == schema.OrderSucceeded })
	}
}
