package store

import (
	"fmt"
	"testing"

	"github.com/edgetether/tether/schema"
)

// aged records events of a device, one at each offset.
func aged(t testing.TB, s *Store, id string, offsets ...int64) {
	t.Helper()
	for _, at := range offsets {
		s.Record(schema.Event{DeviceID: id, Time: start + at, Kind: schema.EventLoginFailed})
	}
	flushed(t, s)
}

// numbersOf lists the numbers of a device's events, oldest first.
func numbersOf(t testing.TB, s *Store, id string) string {
	t.Helper()
	l, err := s.ListEvents(t.Context(), all, schema.EventFilter{DeviceID: id}, schema.Page{Limit: 1000})
	must(t, err)
	text := ""
	for _, e := range l.Items {
		text = fmt.Sprint(e.Seq, " ") + text
	}
	return text
}

func removed(t testing.TB, n int64, err error) int64 {
	t.Helper()
	must(t, err)
	return n
}

func TestRemoveEvents_OldestFirstWithoutGap(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1", "2")                    // at start
		aged(t, s, "1", 10, 20, 30)                  // seq 2 3 4
		aged(t, s, "2", 15, 25)                      // seq 2 3
		n, err := s.RemoveEvents(t.Context(), start) // nothing is older
		equal(t, "removed", removed(t, n, err), 0)
		n, err = s.RemoveEvents(t.Context(), start+20) // but not what is of that instant
		equal(t, "removed", removed(t, n, err), 3)
		equal(t, "kept", numbersOf(t, s, "1")+"/ "+numbersOf(t, s, "2"), "3 4 / 2 3 ")
		aged(t, s, "1", 40)
		equal(t, "goes on", numbersOf(t, s, "1"), "3 4 5 ")
	})
}

// A clock that was set back for a while makes no hole: what came after a
// young event stays.
func TestRemoveEvents_ClockSetBack(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		aged(t, s, "1", 100, 10, 110)
		n, err := s.RemoveEvents(t.Context(), start+50)
		equal(t, "removed", removed(t, n, err), 1)
		equal(t, "kept", numbersOf(t, s, "1"), "2 3 4 ")
	})
}

// The last event of all stays, for the next start to set its clock against.
func TestRemoveEvents_LastStays(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		n, err := s.RemoveEvents(t.Context(), start)
		equal(t, "of nothing", removed(t, n, err), 0)
		addDevice(t, s, "1", "2")
		aged(t, s, "1", 5)
		for _, want := range []int64{2, 0} {
			n, err = s.RemoveEvents(t.Context(), start+1000)
			equal(t, "removed", removed(t, n, err), want)
		}
		newest, err := s.Newest(t.Context())
		must(t, err)
		equal(t, "newest", newest, start+5)
		equal(t, "kept", numbersOf(t, s, "1")+numbersOf(t, s, "2"), "2 ")
	})
}

func TestRemove_InBatches(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		for i := range int64(removeBatch) {
			s.Sample(sampled("1", i, 0)) // and an event each
		}
		flushed(t, s)
		for _, want := range []int64{removeBatch, 0} { // all but the last event
			n, err := s.RemoveEvents(t.Context(), start+1000)
			equal(t, "events", removed(t, n, err), want)
		}
		s.Sample(sampled("1", removeBatch, 0))
		flushed(t, s)
		for _, want := range []int64{removeBatch, 1, 0} {
			n, err := s.RemoveSamples(t.Context(), start+1000)
			equal(t, "samples", removed(t, n, err), want)
		}
	})
}

func TestRemoveSamples_Older(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1", "2")
		for i := range int64(4) {
			s.Sample(sampled("1", i, 0))
			s.Sample(sampled("2", i, 0))
		}
		flushed(t, s)
		n, err := s.RemoveSamples(t.Context(), start+3)
		equal(t, "removed", removed(t, n, err), 6)
		equal(t, "kept", points(recall(t, s, schema.HistoryFilter{DeviceID: "1"}, schema.Page{})), "3:1 0 9 ")
	})
}

// Orders are as old as their end; one that has none stays.
func TestRemoveOrders_EndedOnes(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		claim(t, s, claimOf("1", 1))
		for i, state := range []schema.OrderState{schema.OrderSucceeded, schema.OrderStateLost, schema.OrderStateFail} {
			in := intentOf(fmt.Sprint("o", i), "1", 1)
			must(t, begin(s, in))
			_, err := end(s, schema.Outcome{OrderID: in.Order.OrderID, DeviceID: "1", Epoch: 1, State: state, Now: start + 200 + int64(i)})
			must(t, err)
		}
		must(t, begin(s, intentOf("sent", "1", 1)))
		n, err := s.RemoveOrders(t.Context(), start+202)
		equal(t, "removed", removed(t, n, err), 2)
		n, err = s.RemoveOrders(t.Context(), start+1_000_000)
		equal(t, "removed", removed(t, n, err), 1)
		l, err := s.ListOrders(t.Context(), all, "1", schema.Page{})
		must(t, err)
		if len(l.Items) != 1 || l.Items[0].OrderID != "sent" {
			t.Fatalf("kept %v", l.Items)
		}
		_, err = s.Order(t.Context(), all, "o0")
		wantKind(t, err, schema.OrderNotFound, "")
	})
}

// Of a deleted device nothing at all is left in the end, and until then it is
// known. A device that is there keeps its count, also with an empty log.
func TestRemove_ForgetsDeletedDevices(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1", "2")
		claim(t, s, claimOf("1", 1))
		must(t, begin(s, intentOf("o", "1", 1)))
		_, err := end(s, schema.Outcome{OrderID: "o", DeviceID: "1", Epoch: 1, State: schema.OrderSucceeded, Now: start + 200})
		must(t, err)
		must(t, s.DeleteDevice(t.Context(), all, "1", "key:x", start+300))
		addDevice(t, s, "3")
		_, err = s.RemoveEvents(t.Context(), start+1000)
		must(t, err)
		l, err := s.ListOrders(t.Context(), all, "1", schema.Page{})
		must(t, err)
		equal(t, "orders", len(l.Items), 1)
		n, err := s.RemoveOrders(t.Context(), start+1000)
		equal(t, "removed", removed(t, n, err), 1)
		_, err = s.ListEvents(t.Context(), all, schema.EventFilter{DeviceID: "1"}, schema.Page{})
		wantKind(t, err, schema.DeviceNotFound, "")
		aged(t, s, "2", 400)
		equal(t, "kept", numbersOf(t, s, "2"), "2 ")
	})
}

// The reports of a deleted device are left to retention, which takes them
// whatever their age, in batches, and no others. Nobody can read them until then.
func TestRemoveDeleted(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1", "2", "3", "4")
		for i := range int64(removeBatch) {
			s.Sample(sampled("2", i, 0))
		}
		for _, id := range []string{"1", "3", "4"} {
			s.Sample(sampled(id, 0, 0))
		}
		flushed(t, s)
		for _, id := range []string{"2", "4"} {
			must(t, s.DeleteDevice(t.Context(), all, id, "key:x", start))
			_, err := s.History(t.Context(), all, schema.HistoryFilter{DeviceID: id}, schema.Page{})
			wantKind(t, err, schema.DeviceNotFound, "")
		}
		equal(t, "not in the change itself", history(t, s), removeBatch+3)
		for _, want := range []int64{removeBatch, 1, 0} {
			n, err := s.RemoveDeleted(t.Context())
			equal(t, "removed", removed(t, n, err), want)
		}
		for _, id := range []string{"1", "3"} {
			equal(t, "kept", points(recall(t, s, schema.HistoryFilter{DeviceID: id}, schema.Page{})), "0:1 0 9 ")
		}
	})
}

// A report that was on its way when its device was deleted does not stay.
func TestRemoveDeleted_LateReport(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		for i := range maxRows + 1 {
			s.Sample(sampled(fmt.Sprint(i), 0, 0))
		}
		flushed(t, s)
		for _, want := range []int64{maxRows, 1, 0} {
			n, err := s.RemoveDeleted(t.Context())
			equal(t, "removed", removed(t, n, err), want)
		}
	})
}
