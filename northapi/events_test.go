package northapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
)

// block is what stands between two empty lines of a stream.
type block struct{ id, event, data, comment string }

// reader follows a stream over a real socket.
type reader struct {
	t      *testing.T
	resp   *http.Response
	blocks chan block // closed at the end of the stream
	leave  context.CancelFunc
}

// onSocket puts the world's handler on a socket.
func (w *world) onSocket(h2 bool) *httptest.Server {
	srv := httptest.NewUnstartedServer(w.handler)
	if srv.EnableHTTP2 = h2; h2 {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	w.t.Cleanup(srv.Close)
	return srv
}

// follow opens a stream; headers are names and values.
func (w *world) follow(t *testing.T, srv *httptest.Server, kind, query string, headers ...string) *reader {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, get, srv.URL+"/events"+query, nil)
	w.must(err)
	req.Header.Set("Authorization", "Bearer "+w.keys[kind])
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := srv.Client().Do(req)
	w.must(err)
	r := &reader{t: t, resp: resp, blocks: make(chan block), leave: leave}
	go r.read(ctx)
	t.Cleanup(r.end)
	return r
}

// end leaves, and waits until the reading has ended.
func (r *reader) end() {
	r.leave()
	r.resp.Body.Close()
	for range r.blocks {
	}
}

func (r *reader) read(ctx context.Context) {
	defer close(r.blocks)
	var b block
	for lines := bufio.NewScanner(r.resp.Body); lines.Scan(); {
		if lines.Text() != "" {
			b.line(lines.Text())
			continue
		}
		select {
		case r.blocks <- b:
			b = block{}
		case <-ctx.Done():
			return
		}
	}
}

func (b *block) line(text string) {
	name, value, _ := strings.Cut(text, ":")
	value = strings.TrimPrefix(value, " ")
	switch name {
	case "id":
		b.id = value
	case "event":
		b.event = value
	case "data":
		b.data = value
	case "":
		b.comment = text
	}
}

// next is the next event; an id alone is none.
func (r *reader) next() block {
	r.t.Helper()
	for {
		select {
		case b, more := <-r.blocks:
			if !more {
				r.t.Fatal("the stream has ended")
			}
			if b.data != "" {
				return b
			}
		case <-time.After(20 * time.Second):
			r.t.Fatal("no event comes")
		}
	}
}

// want asserts the next events, as "device kind".
func (r *reader) want(events ...string) {
	r.t.Helper()
	for _, want := range events {
		b := r.next()
		var e schema.Event
		if err := json.Unmarshal([]byte(b.data), &e); err != nil {
			r.t.Fatalf("%q: %v", b.data, err)
		}
		if got := e.DeviceID + " " + string(e.Kind); got != want || b.event != string(e.Kind) || b.id != fmt.Sprint(e.Pos) {
			r.t.Fatalf("event %+v, want %s", b, want)
		}
	}
}

// opened waits for the beginning, and returns the position that it tells.
func (r *reader) opened() string {
	r.t.Helper()
	b, more := <-r.blocks
	if !more || b.id == "" || b.event != "" {
		r.t.Fatalf("begins with %+v", b)
	}
	return b.id
}

// happens commits events, each "device kind".
func (w *world) happens(events ...string) {
	w.t.Helper()
	for _, e := range events {
		device, kind, _ := strings.Cut(e, " ")
		w.store.Record(schema.Event{DeviceID: device, Time: present, Kind: schema.EventKind(kind), Outcome: "o", By: "device", Detail: schema.Detail("text", "a\nb\r\u2028")})
	}
	w.must(w.store.AddGroup(w.t.Context(), schema.Group{GroupID: fmt.Sprint(w.ids.Add(1)), Name: fmt.Sprint("flush ", w.ids.Load())}))
}

// last is the position of the last event.
func (w *world) last() int64 {
	w.t.Helper()
	x, err := w.store.EventsAfter(w.t.Context(), schema.Everything, schema.EventSelection{}, math.MaxInt64, 1)
	w.must(err)
	return x.Last
}

// Kinds and devices of the tests' events.
const (
	ownState, foreignState = ownDevice + " state", foreignDevice + " state"
	ownLogin, foreignLogin = ownDevice + " login_failed", foreignDevice + " login_failed"
)

// TestEvents_OnBothProtocols: headers, beginning and events, and that they are
// those of device_log_query, byte for byte.
func TestEvents_OnBothProtocols(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		w := newWorld(t)
		before := w.last()
		r := w.follow(t, w.onSocket(h2), "viewer", "")
		if (r.resp.ProtoMajor == 2) != h2 || r.resp.StatusCode != 200 {
			t.Fatalf("%s %s", r.resp.Proto, r.resp.Status)
		}
		for name, want := range map[string]string{
			"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff",
		} {
			if got := r.resp.Header.Get(name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
		if id := r.opened(); id != fmt.Sprint(before) {
			t.Errorf("begins at %s, the last event is %d", id, before)
		}
		w.happens(ownLogin)
		b := r.next()
		list := into[schema.List[json.RawMessage]](t, w.do("viewer", get, "device_log_query/"+ownDevice+"?limit=1", ""))
		if b.data != string(list.Items[0]) || b.event != "login_failed" {
			t.Errorf("streamed %s\nlisted   %s", b.data, list.Items[0])
		}
		w.happens(foreignState, ownState)
		r.want(foreignState, ownState)
	}
}

// TestEvents_Resume: behind an id comes what came after it, by header or by
// parameter; of both, the header is newer.
func TestEvents_Resume(t *testing.T) {
	w := newWorld(t)
	srv := w.onSocket(false)
	at := w.last()
	w.happens(ownState, foreignState, ownLogin)
	w.follow(t, srv, "viewer", "?after="+fmt.Sprint(at)).want(ownState, foreignState, ownLogin)
	w.follow(t, srv, "viewer", "", "Last-Event-ID", fmt.Sprint(at+1)).want(foreignState, ownLogin)
	w.follow(t, srv, "viewer", "?after=0", "Last-Event-ID", fmt.Sprint(at+2)).want(ownLogin)
	r := w.follow(t, srv, "viewer", "?after="+fmt.Sprint(at+2), "Last-Event-ID", "")
	r.want(ownLogin)
	w.happens(foreignLogin)
	r.want(foreignLogin)
	all := w.follow(t, srv, "viewer", "?after=0")
	for pos := range at + 4 {
		if b := all.next(); b.id != fmt.Sprint(pos+1) {
			t.Fatalf("%+v in place of %d", b, pos+1)
		}
	}
}

// TestEvents_BadRequests: each names the member at fault.
func TestEvents_BadRequests(t *testing.T) {
	w := newWorld(t)
	last := w.last()
	w.do("viewer", get, "/events?after="+fmt.Sprint(last), "").want(t, 200, "")
	for query, member := range map[string]string{
		"after=" + fmt.Sprint(last+1): "after", "after=": "after", "after=-1": "after", "after=+1": "after", "after=01": "after",
		"after=1.0": "after", "after=9223372036854775807": "after", "after=9223372036854775808": "after", "after=x": "after",
		"after=1&after=2": "after", "device_id=": "device_id", "device_id=x": "device_id", "group_id=": "group_id",
		"kind=": "kind", "kind=login,": "kind", "kind=none": "kind", "kind=login&kind=Login": "kind", "job=1": "job", "limit=1": "limit",
		"job_id=": "job_id", "job_id=501,": "job_id", "job_id=x": "job_id", "job_id=501&job_id=-1": "job_id",
		"job_id=" + manyIDs(schema.MaxStreamJobs+1): "job_id",
	} {
		if a := w.do("viewer", get, "/events?"+query, "").want(t, 400, "invalid_member"); !strings.HasPrefix(a.Message, member+": ") {
			t.Errorf("%s: %s", query, a.Message)
		}
	}
	for _, id := range []string{fmt.Sprint(last + 1), "x", "-1", "9223372036854775807"} {
		r := w.request("viewer", get, "/events", "")
		r.Header.Set("Last-Event-ID", id)
		if a := w.send(r).want(t, 400, "invalid_member"); !strings.HasPrefix(a.Message, "Last-Event-ID: ") {
			t.Errorf("%s: %s", id, a.Message)
		}
	}
	w.do("viewer", post, "/events", "").want(t, 405, "method_not_allowed")
}

// manyIDs are identifiers, with commas.
func manyIDs(n int) string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprint(1 + i)
	}
	return strings.Join(ids, ",")
}

// orderOf has the order of a job wait for its device.
func (w *world) orderOf(job, device string) {
	w.t.Helper()
	_, err := w.store.Enqueue(w.t.Context(), schema.Queued{Expires: present + 60_000, Order: schema.Order{
		OrderID: job + "1", DeviceID: device, Order: "blink", By: "key:seed", CreatedTime: present, JobID: &job,
	}})
	w.must(err)
}

// TestEvents_OfJobs: the events of jobs' orders alone, as they come and when a
// stream is resumed, from the feed and from the store alike.
func TestEvents_OfJobs(t *testing.T) {
	w := newWorld(t)
	srv := w.onSocket(false)
	began := w.last()
	one := w.follow(t, srv, "viewer", "?job_id="+ownJob)
	two := w.follow(t, srv, "viewer", "?kind=order&job_id="+ownJob+"&job_id="+foreignJob)
	mine := w.follow(t, srv, "scoped viewer", "?job_id="+ownJob+","+bothJob)
	for _, r := range []*reader{one, two, mine} {
		r.opened()
	}
	w.happens(ownState)
	w.orderOf(foreignJob, foreignDevice)
	w.must(queued(t.Context(), w.store, ownDevice, "888", schema.Once{}))
	w.orderOf(ownJob, ownDevice)
	_, err := w.store.CancelOrder(t.Context(), schema.Everything, ownJob+"1", "key:x", present)
	w.must(err)
	const order, result = ownDevice + " order", ownDevice + " order_result"
	one.want(order, result)
	two.want(foreignDevice+" order", order)
	mine.want(order, result)
	again := w.follow(t, srv, "viewer", fmt.Sprintf("?job_id=%s&after=%d", ownJob, began))
	again.opened()
	again.want(order, result)
	again = w.follow(t, srv, "viewer", "?job_id="+ownJob, "Last-Event-ID", fmt.Sprint(w.last()-1))
	again.opened()
	again.want(result)
	w.do("viewer", get, "/events?job_id="+manyIDs(schema.MaxStreamJobs), "").want(t, 404, "job_not_found")
	w.do("scoped viewer", get, "/events?job_id="+foreignJob, "").want(t, 404, "job_not_found")
}

func TestEvents_Filters(t *testing.T) {
	w := newWorld(t)
	srv := w.onSocket(false)
	streams := map[string][]string{
		"?device_id=" + ownDevice:                               {ownState, ownLogin},
		"?group_id=" + foreignGroup:                             {foreignState, foreignLogin},
		"?group_id=" + spareGroup + "&kind=state":               {},
		"?kind=state":                                           {ownState, foreignState},
		"?kind=state,login_failed&device_id=" + foreignDevice:   {foreignState, foreignLogin},
		"?kind=state&kind=login_failed&kind=state":              {ownState, foreignState, ownLogin, foreignLogin},
		"?kind=login_failed&group_id=" + ownGroup:               {ownLogin},
		"?device_id=" + ownDevice + "&group_id=" + spareGroup:   {},
		"?device_id=" + ownDevice + "&group_id=" + ownGroup:     {ownState, ownLogin},
		"?after=" + fmt.Sprint(w.last()) + "&kind=login_failed": {ownLogin, foreignLogin},
	}
	readers := map[string]*reader{}
	for query := range streams {
		readers[query] = w.follow(t, srv, "viewer", query)
		readers[query].opened()
	}
	w.happens(ownState, foreignState, ownLogin, foreignLogin)
	w.must(w.store.AddRelation(t.Context(), schema.Everything, ownDevice, spareGroup, 1))
	for query, want := range streams {
		t.Run(query, func(t *testing.T) {
			r := readers[query]
			r.t = t
			r.want(want...)
		})
	}
	r := w.follow(t, srv, "viewer", "?group_id="+spareGroup) // nothing of the above
	r.opened()
	w.happens(foreignState, ownLogin)
	r.want(ownLogin)
}

// TestT22_Events: what is foreign does not exist, also when devices come and
// go while the stream is open.
func TestT22_Events(t *testing.T) {
	w := newWorld(t)
	for _, query := range []string{"device_id=DEVICE", "group_id=GROUP", "device_id=DEVICE&group_id=GROUP"} {
		ask := func(thing string) answer {
			return w.do("scoped viewer", get, things[thing].Replace("/events?"+query), "")
		}
		if foreign, gone := ask("foreign"), ask("missing"); foreign.status != 404 || foreign.body != gone.body {
			t.Errorf("%s: foreign %s, missing %s", query, foreign.body, gone.body)
		}
		ask("own").want(t, 200, "")
	}
	srv := w.onSocket(false)
	r := w.follow(t, srv, "scoped viewer", "?after=0")
	began := w.last()
	w.happens(foreignState, ownState)
	for b := r.next(); b.id != fmt.Sprint(began+2); b = r.next() {
		if !strings.Contains(b.data, `"device_id":"`+ownDevice+`"`) {
			t.Fatalf("foreign: %+v", b)
		}
	}
	w.must(w.store.AddRelation(t.Context(), schema.Everything, foreignDevice, ownGroup, 1))
	w.happens(foreignLogin)
	r.want(foreignLogin)
	w.must(w.store.DeleteRelation(t.Context(), schema.Everything, foreignDevice, ownGroup))
	w.happens(foreignState, ownState)
	r.want(ownState)
	w.must(w.store.SetDeviceGroups(t.Context(), schema.Everything, ownDevice, nil, 1))
	w.must(w.store.AddRelation(t.Context(), schema.Everything, foreignDevice, spareGroup, 1))
	w.happens(ownState, foreignLogin)
	r.want(foreignLogin)
}

// TestEvents_NoGapIsSilent: who comes back too late is told what he missed.
func TestEvents_NoGapIsSilent(t *testing.T) {
	w := newWorld(t)
	w.happens(ownState, ownLogin)
	last := w.last()
	for {
		n, err := w.store.RemoveEvents(t.Context(), math.MaxInt64)
		w.must(err)
		if n == 0 {
			break // the last one stays
		}
	}
	srv := w.onSocket(false)
	r := w.follow(t, srv, "viewer", "?after=2")
	if b := r.next(); b.event != "gap" || b.data != fmt.Sprintf(`{"after":2,"first":%d}`, last) || b.id != fmt.Sprint(last-1) {
		t.Errorf("%+v", b)
	}
	r.want(ownLogin)
	w.follow(t, srv, "viewer", "?after="+fmt.Sprint(last-1)).want(ownLogin)
}

// TestEvents_Limits: a key has so many streams, and another key has its own.
func TestEvents_Limits(t *testing.T) {
	w := newWorld(t)
	srv := w.onSocket(false)
	var readers []*reader
	for range 64 {
		readers = append(readers, w.follow(t, srv, "viewer", ""))
	}
	for _, r := range readers {
		r.opened()
	}
	a := w.do("viewer", get, "/events", "").want(t, 429, "too_many_streams")
	if a.header.Get("Retry-After") != "10" || !strings.Contains(a.Message, "64 streams of one key") {
		t.Errorf("%v %s", a.header, a.Message)
	}
	w.do("operator", get, "/events", "").want(t, 200, "")
	readers[0].end()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if w.do("viewer", get, "/events", "").status == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a stream that has ended is still counted")
		}
	}
}

// TestEvents_Backlog: what no feed is told of comes all the same.
func TestEvents_Backlog(t *testing.T) {
	w := newWorld(t, func(c *northapi.Config) { c.Feed = nil })
	at := w.last()
	const n = 1234
	w.happens(slices.Repeat([]string{ownState}, n)...)
	r := w.follow(t, w.onSocket(false), "viewer", "?after="+fmt.Sprint(at))
	r.want(slices.Repeat([]string{ownState}, n)...)
}
