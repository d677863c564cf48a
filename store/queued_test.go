package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
)

// queuedOf is order id of a device, which may wait a minute from start on.
func queuedOf(id, device string) schema.Queued {
	return schema.Queued{Expires: start + 60_000, Order: schema.Order{
		OrderID: id, DeviceID: device, Order: "blink", Params: schema.RawObject(`{"n":3}`), By: "key:test", CreatedTime: start,
	}}
}

func enqueue(t testing.TB, s *Store, ids ...string) {
	t.Helper()
	for _, id := range ids {
		_, err := s.Enqueue(t.Context(), queuedOf(id, "1"))
		must(t, err)
	}
}

// claimOfOrder takes order id of device 1 from the queue at a time.
func claimOfOrder(id string, epoch, at int64) schema.Intent {
	in := intentOf(id, "1", epoch)
	in.Waited, in.Order.SentTime, in.Due, in.Now = true, &at, at+12_000, at
	return in
}

// notSentOf takes back the claim of an order at a time.
func notSentOf(id string, epoch, at int64) schema.Outcome {
	return schema.Outcome{OrderID: id, DeviceID: "1", Epoch: epoch, State: schema.OrderQueued, Reason: schema.ReasonNotSent,
		Sent: at, Expires: start + 70_000, Now: at + 5}
}

// next are the identifiers of the orders that NextOrders finds for device 1.
func next(t testing.TB, s *Store, now int64) string {
	t.Helper()
	orders, err := s.NextOrders(t.Context(), "1", now)
	must(t, err)
	var ids []string
	for _, o := range orders {
		ids = append(ids, o.OrderID)
	}
	return strings.Join(ids, " ")
}

func stateOf(t testing.TB, s *Store, id string) schema.OrderState {
	t.Helper()
	o, err := s.Order(t.Context(), all, id)
	must(t, err)
	return o.State
}

// lines are the outcomes of a device's order events, with the order.
func lines(t testing.TB, s *Store) string {
	t.Helper()
	var text strings.Builder
	for _, e := range log(t, s, "1") {
		if e.Kind == schema.EventOrder || e.Kind == schema.EventOrderResult {
			fmt.Fprintf(&text, "%s %s %s %s; ", e.Kind, e.Outcome, e.By, e.Detail)
		}
	}
	return text.String()
}

func TestEnqueue_KeepsTheRecord(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		o, err := s.Enqueue(t.Context(), queuedOf("q", "1"))
		must(t, err)
		kept, err := s.Order(t.Context(), all, "q")
		must(t, err)
		equal(t, "answered", fmt.Sprintf("%+v", o), fmt.Sprintf("%+v", kept))
		if o.State != schema.OrderQueued || o.SentTime != nil || o.EndedTime != nil || o.Reason != nil || string(o.Params) != `{"n":3}` || o.CreatedTime != start {
			t.Errorf("%+v", o)
		}
		equal(t, "log", lines(t, s), fmt.Sprintf(`order queued key:test {"by":"key:test","expires_time":%d,"order":"blink","order_id":"q"}; `, start+60_000))
		_, err = s.Enqueue(t.Context(), queuedOf("r", "none"))
		wantKind(t, err, schema.DeviceNotFound, "")
	})
}

// At most MaxQueued orders wait for a device; others' do not count.
func TestEnqueue_Bounded(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1", "2")
		for i := range schema.MaxQueued {
			enqueue(t, s, fmt.Sprint("q", i))
		}
		_, err := s.Enqueue(t.Context(), queuedOf("one more", "1"))
		wantKind(t, err, schema.OrderRefused, "queue_full")
		_, err = s.Enqueue(t.Context(), queuedOf("other", "2"))
		must(t, err)
		_, err = s.CancelOrder(t.Context(), all, "q3", "key:x", start)
		must(t, err)
		enqueue(t, s, "one more")
	})
}

// TestQueue_FirstInFirstOut: in the order in which they were stored, whatever
// their times and identifiers; one that comes back keeps its place, and one that
// never had one comes before all.
func TestQueue_FirstInFirstOut(t *testing.T) {
	each(t, func(t *testing.T) {
		s := ready(t)
		direct := intentOf("direct", "1", 1)
		must(t, begin(s, direct))
		enqueue(t, s, "9", "10", "1")
		equal(t, "first", next(t, s, start), "9 10")
		back := notSentOf("direct", 1, *direct.Order.SentTime)
		o, err := end(s, back)
		must(t, err)
		equal(t, "state", o.State, schema.OrderQueued)
		equal(t, "with the one that came back", next(t, s, start), "direct 9")
		for i, id := range []string{"direct", "9", "10", "1"} {
			at := start + 1000*int64(i+1)
			equal(t, "next", strings.Fields(next(t, s, at))[0], id)
			must(t, begin(s, claimOfOrder(id, 1, at)))
			enqueue(t, s, "late"+id)
			_, err := end(s, notSentOf(id, 1, at))
			must(t, err)
			equal(t, "still next", strings.Fields(next(t, s, at))[0], id)
			must(t, begin(s, claimOfOrder(id, 1, at+1)))
			out := outcomeOf(schema.OrderSucceeded, at+10)
			out.OrderID = id
			_, err = end(s, out)
			must(t, err)
		}
		equal(t, "left", next(t, s, start), "latedirect late9")
	})
}

func TestClaimOrder_Refusals(t *testing.T) {
	each(t, func(t *testing.T) {
		s := ready(t)
		enqueue(t, s, "q", "r", "x")
		_, err := s.CancelOrder(t.Context(), all, "x", "key:x", start)
		must(t, err)
		wantKind(t, begin(s, claimOfOrder("q", 2, start)), schema.Fenced, "")
		wantKind(t, begin(s, claimOfOrder("x", 1, start)), schema.OrderConflict, "order_not_first")
		wantKind(t, begin(s, claimOfOrder("none", 1, start)), schema.OrderConflict, "order_not_first")
		wantKind(t, begin(s, claimOfOrder("q", 1, start+60_000)), schema.OrderConflict, "order_not_first") // over
		wantKind(t, begin(s, claimOfOrder("r", 1, start)), schema.OrderConflict, "order_not_first")        // q is
		must(t, begin(s, claimOfOrder("q", 1, start+59_999)))
		must(t, begin(s, claimOfOrder("q", 1, start+59_999))) // the same again: its commit was not heard of
		wantKind(t, begin(s, claimOfOrder("q", 1, start)), schema.OrderRefused, "device_busy")
		wantKind(t, begin(s, claimOfOrder("r", 1, start)), schema.OrderRefused, "device_busy")
		equal(t, "log", strings.Count(lines(t, s), "order sent"), 1)
		o, err := s.Order(t.Context(), all, "q")
		must(t, err)
		equal(t, "sent at", *o.SentTime, start+59_999)
	})
}

// Whether an order has waited for too long is a matter of the clock as it is, also
// if the claim before was by one that was set back since.
func TestF22_ClaimAfterTheClockWasSetBack(t *testing.T) {
	each(t, func(t *testing.T) {
		s := ready(t)
		enqueue(t, s, "q")
		in := claimOfOrder("q", 1, start+3_600_000)
		in.Now = start + 60_000 // it expires then
		wantKind(t, begin(s, in), schema.OrderConflict, "order_not_first")
		in.Now--
		must(t, begin(s, in))
	})
}

// A claim is taken back by itself alone: not by one that came before it, nor
// from an order that has ended.
func TestRequeue_ItsOwnClaimAlone(t *testing.T) {
	each(t, func(t *testing.T) {
		s := ready(t)
		enqueue(t, s, "q")
		must(t, begin(s, claimOfOrder("q", 1, start+5)))
		for _, out := range []schema.Outcome{notSentOf("q", 1, start+4), notSentOf("q", 1, start+6), notSentOf("q", 0, start+5)} {
			o, err := end(s, out)
			must(t, err)
			equal(t, "state", o.State, schema.OrderSent)
		}
		o, err := end(s, notSentOf("q", 1, start+5))
		must(t, err)
		if o.State != schema.OrderQueued || o.SentTime != nil || o.Reason != nil {
			t.Errorf("%+v", o)
		}
		wantLine := `order queued server {"by":"key:test","order":"blink","order_id":"q","reason":"not_sent"}; `
		equal(t, "log", strings.HasSuffix(lines(t, s), wantLine), true)
		must(t, begin(s, claimOfOrder("q", 1, start+7)))
		out := outcomeOf(schema.OrderSucceeded, start+9)
		out.OrderID = "q"
		_, err = end(s, out)
		must(t, err)
		o, err = end(s, notSentOf("q", 1, start+7))
		must(t, err)
		equal(t, "state", o.State, schema.OrderSucceeded)
		_, err = end(s, notSentOf("none", 1, start))
		wantKind(t, err, schema.OrderNotFound, "")
	})
}

func TestCancelOrder(t *testing.T) {
	each(t, func(t *testing.T) {
		s := ready(t)
		enqueue(t, s, "q", "r")
		addGroup(t, s, "g")
		_, err := s.CancelOrder(t.Context(), schema.Scope{Groups: []string{"g"}}, "q", "key:x", start)
		wantKind(t, err, schema.OrderNotFound, "")
		o, err := s.CancelOrder(t.Context(), all, "q", "key:x", start+3)
		must(t, err)
		if o.State != schema.OrderCancelled || o.Reason != nil || *o.EndedTime != start+3 {
			t.Errorf("%+v", o)
		}
		must(t, begin(s, claimOfOrder("r", 1, start)))
		for id, state := range map[string]schema.OrderState{"q": schema.OrderCancelled, "r": schema.OrderSent} {
			_, err = s.CancelOrder(t.Context(), all, id, "key:x", start)
			wantKind(t, err, schema.OrderConflict, "order_not_cancellable")
			equal(t, "record", schema.Public(err).Data.(schema.Order).State, state)
		}
		_, err = s.CancelOrder(t.Context(), all, "none", "key:x", start)
		wantKind(t, err, schema.OrderNotFound, "")
		equal(t, "log", strings.Count(lines(t, s), "order_result cancelled key:x"), 1)
	})
}

// TestExpireOrders: at its time, not before, and it says when the next is due.
func TestExpireOrders(t *testing.T) {
	each(t, func(t *testing.T) {
		s := ready(t)
		expire := func(now, want int64) {
			t.Helper()
			next, err := s.ExpireOrders(t.Context(), now)
			must(t, err)
			equal(t, "next", next, want)
		}
		expire(start, 0)
		enqueue(t, s, "sent")
		later := queuedOf("later", "1")
		later.Expires = start + 90_000
		_, err := s.Enqueue(t.Context(), later)
		must(t, err)
		enqueue(t, s, "a", "b")
		must(t, begin(s, claimOfOrder("sent", 1, start)))
		expire(start+59_999, start+60_000)
		equal(t, "before", stateOf(t, s, "a"), schema.OrderQueued)
		equal(t, "not to be taken any more", next(t, s, start+60_000), "later")
		expire(start+60_000, start+90_000)
		for id, want := range map[string]schema.OrderState{"a": schema.OrderExpired, "b": schema.OrderExpired, "later": schema.OrderQueued, "sent": schema.OrderSent} {
			equal(t, id, stateOf(t, s, id), want)
		}
		equal(t, "log", strings.Count(lines(t, s), "order_result expired server"), 2)
		expire(start+90_000, 0)
	})
}

// Who logs in is told what waits longest; a takeover leaves the queue alone.
func TestClaim_TellsWhatWaits(t *testing.T) {
	each(t, func(t *testing.T) {
		s := ready(t)
		equal(t, "nothing", claim(t, s, claimOf("1", 2)).Waiting == nil, true)
		enqueue(t, s, "q", "r")
		w := claim(t, s, claimOf("1", 3)).Waiting
		if w == nil || w.OrderID != "q" || w.State != schema.OrderQueued {
			t.Errorf("%+v", w)
		}
	})
}

func TestHandOver(t *testing.T) {
	each(t, func(t *testing.T) {
		s := ready(t) // device 1 is online at node 1
		addDevice(t, s, "2")
		other := queuedOf("of one that is offline", "2")
		_, err := s.Enqueue(t.Context(), other)
		must(t, err)
		enqueue(t, s, "q")
		handed := func(node, now int64) string {
			t.Helper()
			orders, err := s.HandOver(t.Context(), node, now)
			must(t, err)
			ids := ""
			for _, o := range orders {
				ids += o.OrderID + " "
			}
			return ids
		}
		node := claimOf("1", 1).Node
		equal(t, "waiting", handed(node, start), "q ")
		equal(t, "another node's", handed(node+1, start), "")
		equal(t, "over", handed(node, start+60_000), "")
		must(t, begin(s, intentOf("o", "1", 1)))
		equal(t, "busy", handed(node, start), "")
	})
}

// What waits for a device ends with it.
func TestDeleteDevice_CancelsWhatWaits(t *testing.T) {
	each(t, func(t *testing.T) {
		s := ready(t)
		enqueue(t, s, "q")
		must(t, begin(s, intentOf("o", "1", 1)))
		must(t, s.DeleteDevice(t.Context(), all, "1", "key:x", start+9))
		o, err := s.Order(t.Context(), all, "q")
		must(t, err)
		if o.State != schema.OrderCancelled || *o.Reason != schema.ReasonDeleted || *o.EndedTime != start+9 {
			t.Errorf("%+v", o)
		}
		equal(t, "sent", stateOf(t, s, "o"), schema.OrderSent)
	})
}

// TestOnce: a key is one order's, for a day, and nobody else's.
func TestOnce(t *testing.T) {
	each(t, func(t *testing.T) {
		s := ready(t)
		once := schema.Once{Owner: "7", Key: "k", Hash: "h"}
		find := func(o schema.Once, after int64) string {
			t.Helper()
			found, err := s.OrderByKey(t.Context(), o, after)
			if err != nil {
				return schema.Public(err).Code
			}
			return found.OrderID
		}
		equal(t, "none", find(once, 0), "order_not_found")
		in := intentOf("o", "1", 1)
		in.Once = once
		must(t, begin(s, in))
		must(t, begin(s, in)) // the same again
		equal(t, "found", find(once, 0), "o")
		equal(t, "other body", find(schema.Once{Owner: "7", Key: "k", Hash: "i"}, 0), "idempotency_conflict")
		equal(t, "other owner", find(schema.Once{Owner: "8", Key: "k", Hash: "h"}, 0), "order_not_found")
		equal(t, "other key", find(schema.Once{Owner: "7", Key: "K", Hash: "h"}, 0), "order_not_found")
		equal(t, "over", find(once, in.Order.CreatedTime), "order_not_found")

		q := queuedOf("q", "1")
		q.Once = once
		_, err := s.Enqueue(t.Context(), q)
		wantKind(t, err, schema.OrderConflict, "order_known")
		again := intentOf("p", "1", 1)
		again.Once = once
		wantKind(t, begin(s, again), schema.OrderConflict, "order_known")

		q.Order.CreatedTime = in.Order.CreatedTime + schema.OnceLifetime.Milliseconds() - 1
		_, err = s.Enqueue(t.Context(), q)
		wantKind(t, err, schema.OrderConflict, "order_known")
		q.Order.CreatedTime++
		_, err = s.Enqueue(t.Context(), q)
		must(t, err)
		equal(t, "now another's", find(once, 0), "q")
	})
}

// A refused order has no key; one of which nothing was sent gives it back, one
// that business cancelled does not.
func TestOnce_FreeAgain(t *testing.T) {
	each(t, func(t *testing.T) {
		s := ready(t)
		once := schema.Once{Owner: "7", Key: "k", Hash: "h"}
		first, second, third := intentOf("a", "1", 1), intentOf("b", "1", 1), intentOf("c", "1", 1)
		first.Once, second.Once, third.Once = once, once, once
		fenced := first
		fenced.Epoch = 9
		wantKind(t, begin(s, fenced), schema.Fenced, "")
		must(t, begin(s, first))
		out := outcomeOf(schema.OrderCancelled, start)
		out.OrderID, out.Reason = "a", schema.ReasonNotSent
		_, err := end(s, out)
		must(t, err)
		_, err = s.OrderByKey(t.Context(), once, 0)
		wantKind(t, err, schema.OrderNotFound, "")
		must(t, begin(s, second))
		out.OrderID, out.Reason = "b", ""
		_, err = end(s, out)
		must(t, err)
		wantKind(t, begin(s, third), schema.OrderConflict, "order_known")
	})
}

// BenchmarkHandOver: what waits for devices that are away costs the rounds of the
// clerk little.
func BenchmarkHandOver(b *testing.B) {
	eachBench(b, func(b *testing.B) {
		s := open(b, Options{})
		const many = 10_000
		for i := range many {
			id := fmt.Sprint(i)
			addDevice(b, s, id)
			_, err := s.Enqueue(b.Context(), queuedOf("q"+id, id))
			must(b, err)
		}
		b.ResetTimer()
		for range b.N {
			_, err := s.HandOver(b.Context(), 1, start)
			must(b, err)
		}
		b.ReportMetric(float64(b.Elapsed())/float64(b.N)/many/float64(time.Nanosecond), "ns/order")
	})
}
