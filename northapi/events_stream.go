package northapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/edgetether/tether/schema"
)

// Times and sizes of a stream.
const (
	// streamPace is the least time between two times that news wake a stream.
	streamPace = 100 * time.Millisecond
	// streamSilence is how long nothing is sent before a comment is.
	streamSilence = 15 * time.Second
	// streamPatience is how long a reader that once had everything may lag.
	streamPatience = time.Minute
	// streamBatch is how many bytes are taken of the feed at a time, and
	// streamPage how many events of the store. They are all that a reader who
	// does not read holds in memory.
	streamBatch = 32 << 10
	streamPage  = 100
	// streamBuffer is how many bytes the kernel keeps for a reader.
	streamBuffer = 64 << 10
	// streamRetry is what a client is told to wait before it comes back.
	streamRetry = 2 * time.Second
)

// Reasons for which a stream ends, beside the codes of errors.
const (
	droppedSlow     = "too_slow"
	droppedDraining = "draining"
	droppedRevoked  = "key_revoked"
	droppedLogout   = "session_ended"
	droppedInternal = "internal"
)

// eventStream is one reader of events. It runs on its request's goroutine,
// and has no queue: it knows how far it has come.
type eventStream struct {
	api     *api
	request *http.Request
	who     caller
	sel     schema.EventSelection
	at      int64 // everything up to here was sent, or is not of the stream

	w       http.ResponseWriter
	rc      *http.ResponseController
	live    bool      // it has had everything once, and hears of news
	behind  time.Time // since when a live one lacks something; zero: it does not
	woken   time.Time // by news
	checked time.Time
	sent    time.Time
	unsent  bool // something is written and not flushed
}

// errGone is that nobody reads any more, or too slowly for one write.
var errGone = errors.New("northapi: the reader is gone")

// dropped is why a stream ends, where its reader can still be told.
type dropped struct {
	Reason string `json:"reason"`
	Resume int64  `json:"resume_after"`
}

// Error is the reason.
func (d dropped) Error() string { return d.Reason }

// gap tells of events that were removed before they were read: those after
// the one position and before the other.
type gap struct {
	After int64 `json:"after"`
	First int64 `json:"first"`
}

// drop is the end of s.
func (s *eventStream) drop(reason string) error { return dropped{reason, s.at} }

func (s *eventStream) serve(w http.ResponseWriter, r *http.Request) {
	defer s.api.Feed.leave(s.who.key)
	s.w, s.rc = w, http.NewResponseController(w)
	h := w.Header()
	guard(h)
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	if r.ProtoMajor == 1 {
		h.Set("Connection", "close") // its deadlines and buffer are not for another request
		narrow(r.Context())
	}
	w.WriteHeader(http.StatusOK)
	err := s.attempt(r.Context())
	var end dropped
	if errors.As(err, &end) {
		if last, err := frame(s.at, "dropped", end); err == nil && s.write(last) == nil {
			_ = s.rc.Flush() // the deadline stays, for what net/http still has to write
		}
	}
}

// connKey is where ConnContext puts a connection.
type connKey struct{}

// ConnContext is for http.Server: with it streams bound what the kernel keeps
// for a reader who does not read. Otherwise that is what its settings allow,
// megabytes for each.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// narrow sets the connection's buffer, if there is a connection that has one.
func narrow(ctx context.Context) {
	c := ctx.Value(connKey{})
	if secure, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = secure.NetConn()
	}
	if buffered, ok := c.(interface{ SetWriteBuffer(int) error }); ok {
		_ = buffered.SetWriteBuffer(streamBuffer) // or the reader is gone
	}
}

// attempt is run. A fault of the inside, a panic too, costs this stream alone.
func (s *eventStream) attempt(ctx context.Context) error {
	err := func() (err error) {
		defer caught(&err)
		return s.run(ctx)
	}()
	if errors.As(err, new(dropped)) || errors.Is(err, errGone) || ctx.Err() != nil {
		return err
	}
	s.api.Log("GET /events", err)
	return s.drop(droppedInternal)
}

// run sends what there is, and then what comes, until the stream has to end.
func (s *eventStream) run(ctx context.Context) error {
	s.checked = time.Now()
	err := s.write(fmt.Appendf(nil, "retry: %d\nid: %d\n\n", streamRetry.Milliseconds(), s.at))
	for err == nil {
		err = s.turn(ctx)
	}
	return err
}

// turn looks once, and waits if that was all.
func (s *eventStream) turn(ctx context.Context) error {
	news := s.api.Feed.wait()
	end, err := s.advance(ctx)
	if err == nil && time.Since(s.sent) >= streamSilence {
		err = s.write(fmt.Appendf(nil, ":\nid: %d\n\n", s.at))
	}
	if err == nil {
		err = s.flush()
	}
	if err == nil && end {
		err = s.idle(ctx, news)
	}
	if err == nil {
		err = s.check()
	}
	return err
}

// idle waits for news, but not longer than until the next check. Under load it
// lets some of them gather.
func (s *eventStream) idle(ctx context.Context, news <-chan struct{}) error {
	left := keyCheck - time.Since(s.checked)
	if left <= 0 {
		return nil
	}
	select {
	case <-news:
		err := sleep(ctx, streamPace-time.Since(s.woken))
		s.woken = time.Now()
		return err
	case <-time.After(left):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// advance sends what comes next, a bounded part of it, and says if that was
// all. What the feed has not is read from the store, and so is everything
// after a silence, lest something was never told of here.
func (s *eventStream) advance(ctx context.Context) (end bool, err error) {
	if s.live && s.behind.IsZero() {
		s.behind = time.Now()
	}
	b, ok := s.fed()
	if !ok {
		if b, err = s.stored(ctx); err != nil {
			return false, err
		}
	}
	for _, e := range b.events {
		if err = s.check(); err == nil {
			err = s.send(e)
		}
		if err != nil {
			return false, err
		}
		s.at = e.event.Pos
	}
	s.at = b.through
	if b.end {
		s.behind = time.Time{}
	}
	return b.end, nil
}

func (s *eventStream) send(e *told) error {
	text, err := e.frame()
	if err != nil {
		return err
	}
	return s.write(text)
}

// fed is what the feed has. It does not know who is in which group: whether
// an event is for a reader of some groups the store has to say.
func (s *eventStream) fed() (batch, bool) {
	if !s.live || time.Since(s.sent) >= streamSilence {
		return batch{}, false
	}
	b, ok := s.api.Feed.after(s.at, s.sel, streamBatch)
	limited := s.sel.GroupID != "" || s.who.scope.Groups != nil
	return b, ok && (len(b.events) == 0 || !limited)
}

// stored is what the store has. While it cannot be asked, nothing is sent.
func (s *eventStream) stored(ctx context.Context) (batch, error) {
	x, err := s.read(ctx)
	switch schema.KindOf(err) {
	case schema.StoreUnavailable:
		return batch{through: s.at, end: true}, nil
	case schema.DeviceNotFound, schema.GroupNotFound, schema.OrderNotFound: // a job's
		return batch{}, s.drop(schema.Public(err).Code)
	}
	if err != nil {
		return batch{}, err
	}
	b := batch{through: x.Through, end: x.Through >= x.Last}
	s.live = s.live || b.end
	if x.First > s.at+1 && s.at < x.Last {
		b.events = []*told{tellGap(gap{s.at, x.First})}
		return b, nil
	}
	for _, e := range x.Events {
		b.events = append(b.events, &told{event: e})
	}
	return b, nil
}

// read waits for its turn at the store.
func (s *eventStream) read(ctx context.Context) (schema.EventRange, error) {
	select {
	case s.api.Feed.turns <- struct{}{}:
		defer func() { <-s.api.Feed.turns }()
		return s.api.EventLog.EventsAfter(ctx, s.who.scope, s.sel, s.at, streamPage)
	case <-ctx.Done():
		return schema.EventRange{}, ctx.Err()
	}
}

// check is due now and then: whether the stream may go on.
func (s *eventStream) check() error {
	if time.Since(s.checked) < keyCheck {
		return nil
	}
	s.checked = time.Now()
	if s.api.Draining() {
		return s.drop(droppedDraining)
	}
	if !s.behind.IsZero() && time.Since(s.behind) > streamPatience {
		return s.drop(droppedSlow)
	}
	if s.api.stillGood(s.request) == nil {
		return nil
	}
	if s.who.session != "" {
		return s.drop(droppedLogout)
	}
	return s.drop(droppedRevoked)
}

// write sends a piece within its time, which a reader who reads keeps easily.
func (s *eventStream) write(piece []byte) error {
	if _, err := s.w.Write(piece); err != nil {
		return errGone
	}
	s.sent, s.unsent = time.Now(), true
	return nil
}

// flush sends what net/http keeps. Between pieces there is no deadline: on
// HTTP/2 it would end the stream when it passes.
func (s *eventStream) flush() error {
	if !s.unsent {
		return nil
	}
	s.unsent = false
	_ = s.rc.SetWriteDeadline(time.Now().Add(schema.WriteTimeout))
	if s.rc.Flush() != nil {
		return errGone
	}
	_ = s.rc.SetWriteDeadline(time.Time{})
	return nil
}
