package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
)

// TestEvents: from the oldest and from now, narrowed, and ended by their reader.
func TestEvents(t *testing.T) {
	t.Parallel()
	s, c := newService(t)
	a, b := s.connected(t, c, "a"), s.connected(t, c, "b")
	group := must[string](t)(c.GroupAdd(t.Context(), "hall 2", ""))
	must[client.Relation](t)(c.RelationAdd(t.Context(), b, group))
	first := func(q client.EventQuery) schema.Event {
		t.Helper()
		for e, err := range c.Events(t.Context(), q) {
			good(t, err)
			return e
		}
		t.Fatal("no event")
		return schema.Event{}
	}
	if e := first(client.EventQuery{After: new(int64(0))}); e.Pos != 1 || e.DeviceID != a || e.Seq != 1 {
		t.Errorf("the oldest is %+v", e)
	}
	login := []schema.EventKind{schema.EventState, schema.EventLogin}
	e := first(client.EventQuery{EventSelection: schema.EventSelection{GroupID: group, Kinds: login}, After: new(int64(0))})
	if e.DeviceID != b || e.Kind != schema.EventLogin {
		t.Errorf("of the group: %+v", e)
	}
	if e := first(client.EventQuery{EventSelection: schema.EventSelection{DeviceID: b}, After: &e.Pos}); e.Pos <= 1 || e.DeviceID != b {
		t.Errorf("behind that: %+v", e)
	}
	for q, want := range map[*client.EventQuery]error{
		{EventSelection: schema.EventSelection{DeviceID: "77"}}: schema.ErrDeviceNotFound,
		{EventSelection: schema.EventSelection{GroupID: "77"}}:  schema.ErrGroupNotFound,
		{After: new(int64(1 << 40))}:                            &schema.Error{Kind: schema.Invalid},
	} {
		for _, err := range c.Events(t.Context(), *q) {
			if !errors.Is(err, want) {
				t.Errorf("%+v: %v", q, err)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	for _, err := range c.Events(ctx, client.EventQuery{}) {
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

// script plays the service of a stream: each connection has a step, and what
// it was asked to resume after.
type script struct {
	steps  []func(http.ResponseWriter, *http.Request)
	asked  []string
	at     []time.Duration // since the beginning
	begun  time.Time
	resume *http.Client
}

func newScript(steps ...func(http.ResponseWriter, *http.Request)) *script {
	s := &script{steps: steps, begun: time.Now()}
	s.resume = &http.Client{Transport: s}
	return s
}

// RoundTrip plays the next step. A body goes through a pipe, so that time can
// pass in it.
func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked = append(s.asked, r.Header.Get("Last-Event-ID"))
	s.at = append(s.at, time.Since(s.begun).Round(time.Second))
	i := len(s.asked) - 1
	if len(s.steps) == 0 {
		return nil, errors.New("connection refused")
	}
	if i >= len(s.steps) {
		panic("it comes back once more")
	}
	body, to := io.Pipe()
	w := &pipeWriter{to: to, head: make(chan int, 1), header: http.Header{}}
	go func() {
		s.steps[i](w, r)
		w.WriteHeader(200)
		to.Close()
	}()
	context.AfterFunc(r.Context(), func() { body.CloseWithError(r.Context().Err()) })
	select {
	case code := <-w.head:
		return &http.Response{StatusCode: code, Status: http.StatusText(code), Header: w.header, Body: body, Request: r}, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

type pipeWriter struct {
	to     *io.PipeWriter
	head   chan int
	header http.Header
	done   bool
}

func (w *pipeWriter) Header() http.Header { return w.header }
func (w *pipeWriter) WriteHeader(code int) {
	if !w.done {
		w.done = true
		w.head <- code
	}
}
func (w *pipeWriter) Write(p []byte) (int, error) { w.WriteHeader(200); return w.to.Write(p) }

// stream is a step: an answer of events, which then breaks off.
func stream(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		_, _ = io.WriteString(w, text)
	}
}

// line is an event as the service writes it.
func line(pos int64) string {
	return fmt.Sprintf("id: %d\nevent: state\ndata: {\"pos\":%d,\"seq\":1,\"device_id\":\"1\",\"kind\":\"state\"}\n\n", pos, pos)
}

func refusing(status int, word, code, after string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		refuse(w, status, word, code)
	}
}

// read plays the script to the end of its stream, and says what was told of it.
func (s *script) read(t *testing.T, q client.EventQuery) (told []string, err error) {
	t.Helper()
	q.OnLost = func(err error, wait time.Duration) { told = append(told, fmt.Sprintf("lost: %v", err)) }
	q.OnBack = func() { told = append(told, "back") }
	q.OnGap = func(after, first int64) { told = append(told, fmt.Sprintf("gap %d %d", after, first)) }
	c := newClient(t, client.Options{URL: "http://tether", Key: "tk_x", HTTP: s.resume})
	for e, bad := range c.Events(t.Context(), q) {
		if bad != nil {
			return told, bad
		}
		told = append(told, fmt.Sprint(e.Pos))
	}
	return told, nil
}

// TestEvents_Resume: a stream goes on behind what it has had, whatever ended
// its connection, until there is a reason not to.
func TestEvents_Resume(t *testing.T) {
	const head = "retry: 2000\nid: 40\n\n"
	gone := refusing(401, "AUTH_ERROR", "unauthenticated", "")
	for name, c := range map[string]struct {
		after *int64
		steps []func(http.ResponseWriter, *http.Request)
		told  string // with spaces between
		asked string
		ends  string
	}{
		"lost twice":      {nil, []func(http.ResponseWriter, *http.Request){stream(head + line(41)), stream(line(42)), gone}, "41 lost 42 lost", ",41,42", "unauthenticated"},
		"nothing yet":     {nil, []func(http.ResponseWriter, *http.Request){stream(head), stream(line(42)), gone}, "lost 42 lost", ",40,42", "unauthenticated"},
		"a comment":       {new(int64(0)), []func(http.ResponseWriter, *http.Request){stream(line(1) + ":\nid: 9\n\n" + ":\n\n"), gone}, "1 lost", "0,9", "unauthenticated"},
		"half an event":   {nil, []func(http.ResponseWriter, *http.Request){stream(line(1) + strings.TrimSuffix(line(2), "\n")), gone}, "1 lost", ",1", "unauthenticated"},
		"dropped":         {nil, []func(http.ResponseWriter, *http.Request){stream(line(1) + "id: 1\nevent: dropped\ndata: {\"reason\":\"draining\",\"resume_after\":5}\n\n"), gone}, "1 lost", ",5", "unauthenticated"},
		"a gap":           {new(int64(3)), []func(http.ResponseWriter, *http.Request){stream("id: 8\nevent: gap\ndata: {\"after\":3,\"first\":9}\n\n" + line(9)), gone}, "gap 3 9 9 lost", "3,9", "unauthenticated"},
		"revoked":         {nil, []func(http.ResponseWriter, *http.Request){stream("id: 1\nevent: dropped\ndata: {\"reason\":\"key_revoked\",\"resume_after\":1}\n\n")}, "", "", "key_revoked"},
		"its group":       {nil, []func(http.ResponseWriter, *http.Request){stream("id: 1\nevent: dropped\ndata: {\"reason\":\"group_not_found\",\"resume_after\":1}\n\n")}, "", "", "group_not_found"},
		"its device":      {nil, []func(http.ResponseWriter, *http.Request){stream("id: 1\nevent: dropped\ndata: {\"reason\":\"device_not_found\",\"resume_after\":1}\n\n")}, "", "", "device_not_found"},
		"drained first":   {nil, []func(http.ResponseWriter, *http.Request){refusing(503, "GENERAL_ERROR", "draining", ""), stream(line(1)), gone}, "lost 1 lost", ",,1", "unauthenticated"},
		"behind a proxy":  {nil, []func(http.ResponseWriter, *http.Request){stream(line(1)), refusing(502, "", "", ""), refusing(500, "INNER_ERROR", "internal", ""), gone}, "1 lost lost lost", ",1,1,1", "unauthenticated"},
		"another place":   {nil, []func(http.ResponseWriter, *http.Request){stream(line(1)), refusing(400, "GENERAL_ERROR", "invalid_member", "")}, "1 lost", ",1", "invalid_member"},
		"no service":      {nil, nil, "", "", "connection refused"},
		"a proxy at once": {nil, []func(http.ResponseWriter, *http.Request){refusing(502, "", "", "")}, "", "", "is it a tether service"},
		"a page":          {nil, []func(http.ResponseWriter, *http.Request){stream(line(1)), func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }}, "1 lost", ",1", "is it a tether service"},
		"no event":        {nil, []func(http.ResponseWriter, *http.Request){stream(line(1)), stream("data: [1]\n\n")}, "1 lost", ",1", "no stream of events"},
		"another id":      {nil, []func(http.ResponseWriter, *http.Request){stream("id: 2\ndata: {\"pos\":3}\n\n")}, "", "", "no stream of events"},
		"no gap":          {nil, []func(http.ResponseWriter, *http.Request){stream("event: gap\ndata: x\n\n")}, "", "", "no stream of events"},
		"no drop":         {nil, []func(http.ResponseWriter, *http.Request){stream("event: dropped\ndata: x\n\n")}, "", "", "no stream of events"},
		"an endless line": {nil, []func(http.ResponseWriter, *http.Request){func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for piece := []byte(strings.Repeat("x", 1<<16)); ; {
				if _, err := w.Write(piece); err != nil {
					return
				}
			}
		}}, "", "", "an event has more than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript(c.steps...)
				told, err := s.read(t, client.EventQuery{After: c.after})
				var words []string
				for _, text := range told {
					if word, _, lost := strings.Cut(text, ":"); lost || text != "back" {
						words = append(words, word)
					}
				}
				if got := strings.Join(words, " "); got != c.told || strings.Join(s.asked, ",") != c.asked {
					t.Errorf("it told %q and asked behind %q", told, s.asked)
				}
				if err == nil || !strings.Contains(err.Error(), c.ends) {
					t.Errorf("it ended with %v", err)
				}
			})
		})
	}
}

// TestEvents_GoesOn: who has read from the service already is no less patient
// with the first connection than with a later one.
func TestEvents_GoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(refusing(502, "", "", ""), stream(line(8)), refusing(401, "AUTH_ERROR", "unauthenticated", ""))
		told, err := s.read(t, client.EventQuery{After: new(int64(7)), Resumed: true})
		if len(told) != 4 || !strings.HasPrefix(told[0], "lost: ") || told[1] != "back" || told[2] != "8" || schema.KindOf(err) != schema.Unauthenticated {
			t.Errorf("it told %q and ended with %v", told, err)
		}
	})
}

// TestEvents_BackOff: attempts that fail come at longer and longer intervals,
// up to half a minute; one that brings something begins anew; Retry-After is heeded.
func TestEvents_BackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps := []func(http.ResponseWriter, *http.Request){stream("retry: 4000\nid: 1\n\n")}
		for range 8 {
			steps = append(steps, refusing(503, "GENERAL_ERROR", "draining", ""))
		}
		steps = append(steps, stream(line(2)), refusing(429, "GENERAL_ERROR", "too_many_streams", "100"), refusing(401, "AUTH_ERROR", "unauthenticated", ""))
		s := newScript(steps...)
		if told, err := s.read(t, client.EventQuery{}); schema.KindOf(err) != schema.Unauthenticated {
			t.Fatal(told, err)
		}
		want := []float64{4, 8, 16, 30, 30, 30, 30, 30, 30, 4, 100}
		for i := 1; i < len(s.at); i++ {
			if took := (s.at[i] - s.at[i-1]).Seconds(); took < want[i-1]*3/4-1 || took > want[i-1]*5/4+1 {
				t.Errorf("attempt %d came after %v s, not about %v", i, took, want[i-1])
			}
		}
	})
}

// TestEvents_SlowLoop: the loop's body may take longer than a connection may say
// nothing, also while nothing comes, and may leave then.
func TestEvents_SlowLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(w http.ResponseWriter, r *http.Request) {
			stream(line(1))(w, r)
			time.Sleep(70 * time.Second)
			_, _ = io.WriteString(w, line(2))
		}
		c := newClient(t, client.Options{URL: "http://tether", Key: "tk_x", HTTP: newScript(slow).resume})
		read := 0
		for _, err := range c.Events(t.Context(), client.EventQuery{OnLost: func(err error, _ time.Duration) { t.Error(err) }}) {
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if read++; read == 2 {
				break
			}
		}
		if read != 2 {
			t.Errorf("%d events", read)
		}
	})
}

// TestEvents_LeftAtTheEnd: who leaves the loop because his context has ended is not
// told of that once more.
func TestEvents_LeftAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, client.Options{URL: "http://tether", Key: "tk_x", HTTP: newScript(stream(line(1) + line(2) + line(3))).resume})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for range c.Events(ctx, client.EventQuery{}) {
			if ctx.Err() != nil {
				break
			}
			cancel()
		}
	})
}

// TestEvents_Silence: a connection that says nothing is left after 45 s, and
// not before; comments keep it.
func TestEvents_Silence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quiet := func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for i := range 3 {
				_, _ = fmt.Fprintf(w, ":\nid: %d\n\n", i+1)
				time.Sleep(44 * time.Second)
			}
			<-r.Context().Done()
		}
		s := newScript(quiet, refusing(401, "AUTH_ERROR", "unauthenticated", ""))
		told, _ := s.read(t, client.EventQuery{})
		if len(told) != 1 || told[0] != "lost: nothing came for 45s" || s.asked[1] != "3" || s.at[1] < 133*time.Second || s.at[1] > 136*time.Second {
			t.Errorf("it told %q, and asked behind %q at %v", told, s.asked, s.at)
		}
		s = newScript(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		if _, err := s.read(t, client.EventQuery{}); err == nil || !strings.Contains(err.Error(), "nothing came") {
			t.Errorf("a service that never answers: %v", err)
		}
	})
}
