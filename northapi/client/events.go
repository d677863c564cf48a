package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/edgetether/tether/schema"
)

// Times of a stream of events.
const (
	// streamSilence is how long nothing may come. The service sends something
	// every 15 s.
	streamSilence = 45 * time.Second
	// streamPause is before the first attempt to come back, unless the service
	// says otherwise, and doubles with each that fails.
	streamPause   = 2 * time.Second
	longestReturn = 30 * time.Second
)

// EventQuery says which events. The zero value is all that come from now on.
type EventQuery struct {
	schema.EventSelection
	// After is the Pos of the event that the stream begins behind, 0 with the
	// oldest that is kept; nil: with what comes next.
	After *int64
	// Resumed says that this goes on with what the service has told already: it is
	// there, so a first connection that fails is tried again like a later one.
	Resumed bool
	// OnGap is told that what lay behind the one position and before the other
	// was removed by retention before it was read.
	OnGap func(after, first int64)
	// OnLost is told why a stream was lost, and when the next attempt will be.
	OnLost func(err error, wait time.Duration)
	// OnBack is told that it goes on.
	OnBack func()
}

// Events are the events as they happen, in the order of their commits. A
// connection that is lost is made again, and the stream goes on where it was:
// nothing is skipped and nothing comes twice. It ends with an error, which is
// ctx's if ctx ended; what is wrong before the first connection is one too, unless
// it is Resumed.
func (c *Client) Events(ctx context.Context, q EventQuery) iter.Seq2[schema.Event, error] {
	return func(yield func(schema.Event, error) bool) {
		t := &tail{client: c, query: q, pause: streamPause, once: q.Resumed}
		if q.After != nil {
			t.at = strconv.FormatInt(*q.After, 10)
		}
		if err := t.run(ctx, yield); err != nil && !errors.Is(err, errEnough) {
			yield(schema.Event{}, err)
		}
	}
}

// errEnough is that who ranges over the events has left the loop.
var errEnough = errors.New("enough")

// tail is one reader of events, over all its connections.
type tail struct {
	client *Client
	query  EventQuery
	at     string        // the id to resume after; empty: there was none yet
	pause  time.Duration // before coming back
	lost   int           // attempts that brought nothing, in a row
	once   bool          // there was a connection
}

// run connects until there is a reason not to.
func (t *tail) run(ctx context.Context, yield func(schema.Event, error) bool) error {
	for {
		err := t.connect(ctx, yield)
		if errors.Is(err, errEnough) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if t.final(err) {
			return err
		}
		wait := t.wait(err)
		if t.query.OnLost != nil {
			t.query.OnLost(err, wait)
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// final says whether coming back is of no use.
func (t *tail) final(err error) bool {
	if errors.Is(err, errNonsense) {
		return true
	}
	if _, later := comeBack(err); later {
		return false
	}
	var e *schema.Error
	if errors.As(err, &e) {
		return !t.once || e.Kind != schema.Internal
	}
	var f *foreign
	if errors.As(err, &f) && f.code < 500 { // a proxy says worse while the service is away
		return true
	}
	return !t.once
}

// wait is how long to wait after err.
func (t *tail) wait(err error) time.Duration {
	t.lost++
	if after, _ := comeBack(err); after > 0 {
		return after
	}
	return jitter(min(t.pause<<min(t.lost-1, 8), longestReturn))
}

// connect makes one connection and reads it to its end, which is an error.
func (t *tail) connect(ctx context.Context, yield func(schema.Event, error) bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(streamSilence, func() { cancel(fmt.Errorf("nothing came for %v", streamSilence)) })
	defer silence.Stop()
	err := t.read(ctx, silence, func(e schema.Event, err error) bool {
		silence.Stop() // the loop's body takes what time it needs
		defer silence.Reset(streamSilence)
		return yield(e, err)
	})
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, errEnough) {
		return cause
	}
	return err
}

func (t *tail) read(ctx context.Context, silence *time.Timer, yield func(schema.Event, error) bool) error {
	resp, err := t.open(ctx)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if t.once && t.query.OnBack != nil {
		t.query.OnBack()
	}
	t.once = true
	in := newMessages(awake{resp.Body, silence})
	for {
		m, err := in.next()
		if err != nil {
			return fmt.Errorf("the connection was lost: %w", err)
		}
		if err := t.take(m, yield); err != nil {
			return err
		}
	}
}

// open asks for the stream.
func (t *tail) open(ctx context.Context) (*http.Response, error) {
	q := url.Values(parameters{}.text("device_id", t.query.DeviceID).text("group_id", t.query.GroupID))
	for _, job := range t.query.JobIDs {
		q.Add("job_id", job)
	}
	for _, kind := range t.query.Kinds {
		q.Add("kind", string(kind))
	}
	req, err := t.client.request(ctx, request{method: http.MethodGet, service: "/events", query: q})
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/event-stream")
	if t.at != "" {
		req.Header.Set("Last-Event-ID", t.at)
	}
	resp, err := t.client.http.Do(req)
	if err != nil {
		return nil, err
	}
	media, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	if resp.StatusCode == http.StatusOK && media == "text/event-stream" {
		return resp, nil
	}
	defer resp.Body.Close()
	if _, err = dataOf(resp); err == nil {
		err = errNonsense
	}
	return nil, err
}

// take carries one message to who ranges over the events.
func (t *tail) take(m message, yield func(schema.Event, error) bool) error {
	if m.retry > 0 {
		t.pause = min(max(m.retry, 100*time.Millisecond), longestReturn)
	}
	switch {
	case m.data == nil:
	case m.event == "gap":
		return t.gap(m)
	case m.event == "dropped":
		return t.dropped(m)
	default:
		var e schema.Event
		if json.Unmarshal(m.data, &e) != nil || e.Pos <= 0 || m.id != strconv.FormatInt(e.Pos, 10) {
			return errNonsense
		}
		t.reached(m.id)
		if !yield(e, nil) {
			return errEnough
		}
		return nil
	}
	t.reached(m.id)
	return nil
}

// reached notes how far the stream has come.
func (t *tail) reached(id string) {
	if id != "" {
		t.at, t.lost = id, 0
	}
}

func (t *tail) gap(m message) error {
	var g struct{ After, First int64 }
	if json.Unmarshal(m.data, &g) != nil {
		return errNonsense
	}
	t.reached(m.id)
	if t.query.OnGap != nil {
		t.query.OnGap(g.After, g.First)
	}
	return nil
}

// dropped is the service's word that it ends the stream.
func (t *tail) dropped(m message) error {
	var d struct {
		Reason string
		Resume int64 `json:"resume_after"`
	}
	if json.Unmarshal(m.data, &d) != nil {
		return errNonsense
	}
	switch d.Reason {
	case "key_revoked":
		return schema.Errorf(schema.Unauthenticated, d.Reason, "the key was revoked")
	case schema.ErrDeviceNotFound.Code:
		return schema.ErrDeviceNotFound
	case schema.ErrGroupNotFound.Code:
		return schema.ErrGroupNotFound
	}
	t.reached(strconv.FormatInt(d.Resume, 10))
	return fmt.Errorf("the service ended the stream: %s", d.Reason)
}

// awake puts a timer off with every byte that comes.
type awake struct {
	from io.Reader
	t    *time.Timer
}

// Read reads on.
func (a awake) Read(p []byte) (int, error) {
	n, err := a.from.Read(p)
	if n > 0 {
		a.t.Reset(streamSilence)
	}
	return n, err
}
