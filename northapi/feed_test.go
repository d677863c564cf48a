package northapi

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/edgetether/tether/schema"
)

// commit makes n events behind a position.
func commit(after int64, n int, detail string) []schema.Event {
	events := make([]schema.Event, n)
	for i := range events {
		events[i] = schema.Event{Pos: after + 1 + int64(i), DeviceID: strconv.Itoa(i % 2), Kind: schema.EventState, Detail: schema.Detail("text", detail)}
	}
	return events
}

// positions of a batch, as text.
func (b batch) String() string {
	text := fmt.Sprint(b.through, b.end, ":")
	for _, e := range b.events {
		text += fmt.Sprint(" ", e.event.Pos)
	}
	return text
}

// listening is a feed with a stream.
func listening(t *testing.T) *Feed {
	t.Helper()
	f := NewFeed()
	if err := f.enter("k"); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestFeed_After: what it keeps, and what it says that it has not.
func TestFeed_After(t *testing.T) {
	f := listening(t)
	f.Publish(commit(10, 3, ""))
	f.Publish(nil)
	f.Publish(commit(13, 2, ""))
	first := schema.EventSelection{DeviceID: "0"}
	for _, c := range []struct {
		at   int64
		sel  schema.EventSelection
		size int
		want string
	}{
		{9, schema.EventSelection{}, 1 << 20, "none"},
		{10, schema.EventSelection{}, 1 << 20, "15 true: 11 12 13 14 15"},
		{12, schema.EventSelection{}, 1 << 20, "15 true: 13 14 15"},
		{12, schema.EventSelection{}, 1, "13 false: 13"},
		{14, schema.EventSelection{}, 1, "15 true: 15"},
		{15, schema.EventSelection{}, 1, "15 true:"},
		{99, schema.EventSelection{}, 1, "99 true:"},
		{10, first, 1 << 20, "15 true: 11 13 14"},
		{10, first, 1, "11 false: 11"},
		{14, first, 1, "15 true:"},
		{10, schema.EventSelection{Kinds: []schema.EventKind{schema.EventLogin}}, 1, "15 true:"},
	} {
		b, ok := f.after(c.at, c.sel, c.size)
		got := b.String()
		if !ok {
			got = "none"
		}
		if got != c.want {
			t.Errorf("after %d %+v: %s, want %s", c.at, c.sel, got, c.want)
		}
	}
	f.Publish(commit(17, 1, "")) // 16 and 17 are another's: what was before them is no beginning
	if b, ok := f.after(17, schema.EventSelection{}, 1); !ok || b.String() != "18 true: 18" {
		t.Errorf("after a hole: %s %t", b, ok)
	}
	if _, ok := f.after(15, schema.EventSelection{}, 1); ok {
		t.Error("a hole is silent")
	}
	bad := commit(18, 2, "")
	bad[1].Detail = schema.RawObject("{")
	f.Publish(bad)
	b, _ := f.after(18, schema.EventSelection{}, 1<<20)
	for i, e := range b.events {
		if e.text != nil {
			t.Errorf("event %d is written before a stream takes it", i)
		}
		text, err := e.frame()
		if again, _ := e.frame(); (err == nil) != (i == 0) || err == nil && &again[0] != &text[0] {
			t.Errorf("event %d: %q, then %q, %v", i, text, again, err)
		}
	}
	if len(b.events) != 2 {
		t.Errorf("%d events, want 2", len(b.events))
	}
}

// TestFeed_IsBounded: in number and in bytes, and empty when nobody listens.
func TestFeed_IsBounded(t *testing.T) {
	f := NewFeed()
	f.Publish(commit(0, 10, ""))
	if len(f.recent) != 0 {
		t.Errorf("%d events are kept for nobody", len(f.recent))
	}
	if err := f.enter("k"); err != nil {
		t.Fatal(err)
	}
	pos := int64(10)
	for range 3 * feedEvents / 1024 {
		f.Publish(commit(pos, 1024, ""))
		pos += 1024
	}
	if len(f.recent) != feedEvents || cap(f.recent) > 3*feedEvents {
		t.Errorf("%d events are kept in %d places", len(f.recent), cap(f.recent))
	}
	large := strings.Repeat("x", 32<<10)
	for range 100 {
		f.Publish(commit(pos, 1, large))
		pos++
	}
	bytes := 0
	for _, e := range f.recent {
		bytes += e.size()
	}
	if bytes != f.bytes || bytes > feedBytes || bytes < feedBytes-70<<10 {
		t.Errorf("%d bytes are kept, counted as %d", bytes, f.bytes)
	}
	if b, ok := f.after(pos-int64(len(f.recent)), schema.EventSelection{}, streamBatch); !ok || len(b.events) != 1 {
		t.Errorf("a reader gets %d large ones at once", len(b.events))
	}
	f.leave("k")
	if len(f.recent) != 0 || f.bytes != 0 || len(f.byKey) != 0 {
		t.Errorf("left behind: %d events, %d bytes, %d keys", len(f.recent), f.bytes, len(f.byKey))
	}
}

// TestFeed_Limits of streams in all, on both sides.
func TestFeed_Limits(t *testing.T) {
	f := NewFeed()
	for i := range maxStreams {
		if err := f.enter(strconv.Itoa(i / maxKeyStreams)); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := f.enter("another"); !errors.Is(err, errTooManyStreams) {
		t.Errorf("one too many: %v", err)
	}
	f.leave("0")
	if err := f.enter("another"); err != nil {
		t.Errorf("in the place of one: %v", err)
	}
}

// TestFeed_Wakes: who asked before a commit hears of it, once.
func TestFeed_Wakes(t *testing.T) {
	f := NewFeed()
	a, b := f.wait(), f.wait()
	f.Publish(commit(0, 1, ""))
	<-a
	<-b
	select {
	case <-f.wait():
		t.Error("woken by nothing")
	default:
	}
}

// FuzzPosition gives every text to the header and to the parameter: what is
// taken is a position, written as we write it.
func FuzzPosition(f *testing.F) {
	for _, text := range []string{"0", "1", "90412", "9223372036854775806", "9223372036854775807", "-0", "+1", "01", " 1", "1e3", "0x1", "١", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		asked := func(query, header string) eventQuery {
			r := httptest.NewRequest(get, "/events", nil)
			r.URL.RawQuery = query
			r.Header["Last-Event-Id"] = []string{header}
			var q eventQuery
			err := decodeParams(r, q.bind)
			refusedProperly(t, err)
			if err != nil {
				return eventQuery{after: -1}
			}
			return q
		}
		q := asked("", text)
		if q.after >= 0 && q.after != fromNow && strconv.FormatInt(q.after, 10) != text || (q.after == fromNow) != (text == "") {
			t.Errorf("the header %q is %d", text, q.after)
		}
		asked("after="+text, "")
		asked("kind="+text, "")
		asked(text, "")
	})
}

// BenchmarkPublish is what a commit of 100 events costs the writer of the store.
func BenchmarkPublish(b *testing.B) {
	for _, streams := range []int{0, 1, 500} {
		b.Run(fmt.Sprint(streams), func(b *testing.B) {
			f := NewFeed()
			for i := range streams {
				if err := f.enter(strconv.Itoa(i)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			events := commit(0, 100, "liveness")
			for b.Loop() {
				for i := range events {
					events[i].Pos += 100
				}
				f.Publish(events)
			}
		})
	}
}
