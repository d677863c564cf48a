package store

import (
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/edgetether/tether/schema"
)

// after reads a range and tells its events as "pos:device".
func after(t testing.TB, s *Store, sc schema.Scope, sel schema.EventSelection, pos int64, limit int) (schema.EventRange, string) {
	t.Helper()
	x, err := s.EventsAfter(t.Context(), sc, sel, pos, limit)
	must(t, err)
	text := ""
	for _, e := range x.Events {
		text += fmt.Sprintf("%d:%s ", e.Pos, e.DeviceID)
	}
	return x, text
}

// streamedStore has devices 1 and 2 (their registration is at 1 and
// 2), the first in group g, and two events of each.
func streamedStore(t testing.TB, o Options) *Store {
	t.Helper()
	s := open(t, o)
	addDevice(t, s, "1", "2")
	addGroup(t, s, "g", "h")
	must(t, s.AddRelation(t.Context(), all, "1", "g", start))
	for i := range int64(4) {
		kind := []schema.EventKind{schema.EventLoginFailed, schema.EventLoginRefused}[i/2]
		s.Record(schema.Event{DeviceID: fmt.Sprint(1 + i%2), Time: start + i, Kind: kind})
	}
	flushed(t, s)
	return s
}

func TestEventsAfter_Selection(t *testing.T) {
	each(t, func(t *testing.T) {
		s := streamedStore(t, Options{})
		ofG := schema.Scope{Groups: []string{"g"}}
		failed := []schema.EventKind{schema.EventLoginFailed}
		for _, c := range []struct {
			scope schema.Scope
			sel   schema.EventSelection
			after int64
			want  string
		}{
			{all, schema.EventSelection{}, 0, "1:1 2:2 3:1 4:2 5:1 6:2 "},
			{all, schema.EventSelection{}, 4, "5:1 6:2 "},
			{all, schema.EventSelection{}, 6, ""},
			{all, schema.EventSelection{}, math.MaxInt64, ""},
			{all, schema.EventSelection{DeviceID: "2"}, 2, "4:2 6:2 "},
			{all, schema.EventSelection{GroupID: "g"}, 0, "1:1 3:1 5:1 "},
			{all, schema.EventSelection{GroupID: "h"}, 0, ""},
			{all, schema.EventSelection{Kinds: failed}, 0, "3:1 4:2 "},
			{all, schema.EventSelection{Kinds: append(failed, schema.EventUpdate)}, 1, "2:2 3:1 4:2 "},
			{all, schema.EventSelection{DeviceID: "1", GroupID: "g", Kinds: failed}, 0, "3:1 "},
			{ofG, schema.EventSelection{}, 0, "1:1 3:1 5:1 "},
			{ofG, schema.EventSelection{DeviceID: "1"}, 1, "3:1 5:1 "},
			{ofG, schema.EventSelection{GroupID: "g", Kinds: failed}, 0, "3:1 "},
			{schema.Scope{Groups: []string{}}, schema.EventSelection{}, 0, ""},
		} {
			x, got := after(t, s, c.scope, c.sel, c.after, 100)
			equal(t, fmt.Sprintf("%+v", c), got, c.want)
			equal(t, "through", x.Through, int64(6))
			equal(t, "last", x.Last, int64(6))
			equal(t, "first", x.First, int64(1))
		}
	})
}

// TestT22_EventsAfter: what is foreign is not found, like what is not there.
func TestT22_EventsAfter(t *testing.T) {
	each(t, func(t *testing.T) {
		s := streamedStore(t, Options{})
		ofG := schema.Scope{Groups: []string{"g"}}
		for _, c := range []struct {
			scope schema.Scope
			sel   schema.EventSelection
			kind  schema.Kind
		}{
			{all, schema.EventSelection{DeviceID: "9"}, schema.DeviceNotFound},
			{all, schema.EventSelection{GroupID: "9"}, schema.GroupNotFound},
			{ofG, schema.EventSelection{DeviceID: "2"}, schema.DeviceNotFound},
			{ofG, schema.EventSelection{DeviceID: "9"}, schema.DeviceNotFound},
			{ofG, schema.EventSelection{GroupID: "h"}, schema.GroupNotFound},
		} {
			_, err := s.EventsAfter(t.Context(), c.scope, c.sel, 0, 10)
			wantKind(t, err, c.kind, "")
		}
		// Who is in a group is decided when it is read.
		must(t, s.AddRelation(t.Context(), all, "2", "g", start))
		_, got := after(t, s, ofG, schema.EventSelection{}, 4, 10)
		equal(t, "joined", got, "5:1 6:2 ")
		must(t, s.DeleteRelation(t.Context(), all, "1", "g"))
		_, got = after(t, s, ofG, schema.EventSelection{}, 4, 10)
		equal(t, "left", got, "6:2 ")
		// A deleted device is remembered by who may see everything.
		must(t, s.DeleteDevice(t.Context(), all, "2", "key:x", start))
		_, got = after(t, s, all, schema.EventSelection{DeviceID: "2"}, 5, 10)
		equal(t, "deleted", got, "6:2 7:2 ")
		_, err := s.EventsAfter(t.Context(), ofG, schema.EventSelection{DeviceID: "2"}, 0, 10)
		wantKind(t, err, schema.DeviceNotFound, "")
		must(t, s.DeleteGroup(t.Context(), all, "g"))
		_, err = s.EventsAfter(t.Context(), ofG, schema.EventSelection{GroupID: "g"}, 0, 10)
		wantKind(t, err, schema.GroupNotFound, "")
	})
}

func TestEventsAfter_LimitAndWindow(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{MaxPending: 3 * eventWindow})
		x, _ := after(t, s, all, schema.EventSelection{}, 0, 10)
		equal(t, "of nothing", fmt.Sprint(x), "{[] 0 1 0}")
		addDevice(t, s, "1", "2")
		for range eventWindow + 3 { // with those of the devices: 5 more than a window
			s.Record(schema.Event{DeviceID: "1", Time: start, Kind: schema.EventLoginFailed})
		}
		flushed(t, s)
		last := int64(eventWindow + 5)
		x, got := after(t, s, all, schema.EventSelection{}, 0, 2)
		equal(t, "limited", got, "1:1 2:2 ")
		equal(t, "through", x.Through, int64(2))
		rare := schema.EventSelection{DeviceID: "2"}
		x, got = after(t, s, all, rare, 2, 2)
		equal(t, "rare", got, "")
		equal(t, "through a window", x.Through, int64(2+eventWindow))
		x, _ = after(t, s, all, rare, x.Through, 2)
		equal(t, "through the rest", x.Through, last)
		x, _ = after(t, s, all, rare, 5, 2)
		equal(t, "through exactly a window", x.Through, last)
	})
}

// TestEventsAfter_NoGapIsSilent: who asks for what retention took is told so.
func TestEventsAfter_NoGapIsSilent(t *testing.T) {
	each(t, func(t *testing.T) {
		s := streamedStore(t, Options{})
		n, err := s.RemoveEvents(t.Context(), start+2) // all before pos 5
		equal(t, "removed", removed(t, n, err), 4)
		x, got := after(t, s, all, schema.EventSelection{}, 2, 10)
		equal(t, "behind a gap", got, "")
		equal(t, "first", x.First, int64(5))
		equal(t, "through", x.Through, int64(4))
		_, got = after(t, s, all, schema.EventSelection{}, 3, 10)
		equal(t, "one is missing", got, "")
		_, got = after(t, s, all, schema.EventSelection{}, 4, 10)
		equal(t, "none is missing", got, "5:1 6:2 ")
		n, err = s.RemoveEvents(t.Context(), start+1000)
		equal(t, "removed", removed(t, n, err), 1)
		x, _ = after(t, s, all, schema.EventSelection{}, 6, 10)
		equal(t, "at the end", fmt.Sprint(x), "{[] 6 6 6}")
	})
}

// TestF67_StreamWhileEventsAreWritten: readers that follow by pos, in pages of
// their own size, see each event once and in order, while many
// writers are at work.
func TestF67_StreamWhileEventsAreWritten(t *testing.T) {
	each(t, func(t *testing.T) {
		const readers, writers, events = 3, 4, 300
		s := open(t, Options{})
		addDevice(t, s, "1", "2", "3", "4")
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range events {
					s.Record(schema.Event{DeviceID: fmt.Sprint(1 + w), Time: start + int64(i), Kind: schema.EventLoginFailed})
					if i%50 == 0 {
						flushed(t, s)
					}
				}
				flushed(t, s)
			})
		}
		for r := range readers {
			wg.Go(func() {
				pos := int64(0)
				for pos < 4+writers*events {
					x, err := s.EventsAfter(t.Context(), all, schema.EventSelection{}, pos, 7+r)
					if err != nil {
						t.Error(err)
						return
					}
					for _, e := range x.Events {
						if pos++; e.Pos != pos {
							t.Errorf("reader %d: %d in place of %d", r, e.Pos, pos)
							return
						}
					}
					if x.Through != pos {
						t.Errorf("reader %d: through %d at %d", r, x.Through, pos)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}
