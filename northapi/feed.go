package northapi

import (
	"strconv"
	"sync"
	"time"

	"github.com/edgetether/tether/schema"
)

// Bounds of a Feed.
const (
	// maxStreams are open at once, and maxKeyStreams of them by one key.
	maxStreams    = 1024
	maxKeyStreams = 64
	// feedEvents and feedBytes bound what is kept of the newest events.
	feedEvents = 4096
	feedBytes  = 4 << 20
	// feedTurns is how many streams read the store at once: half of its
	// connections, so that requests never wait for streams alone.
	feedTurns = 2
)

var errTooManyStreams = &schema.Error{
	Kind: schema.Overloaded, Code: "too_many_streams", RetryAfter: 10 * time.Second,
	Message: "events: " + strconv.Itoa(maxKeyStreams) + " streams of one key are open, or " + strconv.Itoa(maxStreams) + " in all",
}

// Feed wakes the streams of events when there are new ones, and keeps the
// newest. It is no queue: a stream knows its position, and what is here no more
// it reads from the store. So a reader that is slow or dead costs the others
// nothing, and the writer of the store, on whose goroutine Publish runs, neither
// waits nor writes: an event is written by the first stream that takes it, once
// for all.
type Feed struct {
	turns chan struct{}

	mu     sync.Mutex
	recent []*told       // without gap up to last
	bytes  int           // of recent
	last   int64         // position of what was published last
	news   chan struct{} // closed by the next Publish; nil: nobody waits
	open   int
	byKey  map[string]int
}

// told is an event to be sent.
type told struct {
	event schema.Event

	written sync.Once
	text    []byte
	err     error

	job *string // of whose order it is; nil: nobody has asked. Under the Feed's lock
}

// frame is the event as it is sent.
func (t *told) frame() ([]byte, error) {
	t.written.Do(func() { t.text, t.err = eventFrame(t.event) })
	return t.text, t.err
}

// tellGap is told in place of events that are gone.
func tellGap(g gap) *told {
	t := &told{event: schema.Event{Pos: g.First - 1}}
	t.written.Do(func() { t.text, t.err = frame(g.First-1, "gap", g) })
	return t
}

// isOf is under the Feed's lock. It says whether the event is one of sel's; the job
// is read from its detail once, if a stream is of jobs.
func (t *told) isOf(sel schema.EventSelection) bool {
	if len(sel.JobIDs) == 0 {
		return sel.Takes(t.event.DeviceID, "", t.event.Kind)
	}
	if t.job == nil {
		ref := t.event.OrderRef()
		t.job = &ref.JobID
	}
	return sel.Takes(t.event.DeviceID, *t.job, t.event.Kind)
}

// size is about what keeping it takes, with its frame.
func (t *told) size() int { return 512 + 2*len(t.event.Detail) }

// NewFeed makes a feed, whose Publish is to be told of all that is committed.
func NewFeed() *Feed {
	return &Feed{turns: make(chan struct{}, feedTurns), byKey: map[string]int{}}
}

// Publish takes the events of a commit, in the order of Pos. It does not
// block. One call follows another.
func (f *Feed) Publish(events []schema.Event) {
	if len(events) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if events[0].Pos != f.last+1 {
		f.drop(len(f.recent))
	}
	f.last = events[len(events)-1].Pos
	if f.open > 0 {
		f.keep(events)
	}
	if f.news != nil {
		close(f.news)
		f.news = nil
	}
}

// keep is under the lock.
func (f *Feed) keep(events []schema.Event) {
	all := make([]told, len(events))
	for i := range all {
		all[i].event = events[i]
		f.recent = append(f.recent, &all[i])
		f.bytes += all[i].size()
	}
	for len(f.recent) > feedEvents || f.bytes > feedBytes {
		f.drop(1)
	}
}

// drop is under the lock. It forgets the oldest n.
func (f *Feed) drop(n int) {
	for i := range n {
		f.bytes -= f.recent[i].size()
		f.recent[i] = nil
	}
	f.recent = f.recent[n:]
}

// wait returns a channel that is closed when there is something new. It is
// asked for before one looks, so that nothing comes between.
func (f *Feed) wait() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.news == nil {
		f.news = make(chan struct{})
	}
	return f.news
}

// batch is a part of a stream.
type batch struct {
	events  []*told
	through int64 // nothing else is of the stream up to here
	end     bool  // nothing else is there
}

// after is what is kept of a stream behind position at, up to about size
// bytes; false if the feed does not reach back so far.
func (f *Feed) after(at int64, sel schema.EventSelection, size int) (batch, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at >= f.last {
		return batch{through: at, end: true}, true
	}
	skip := at - (f.last - int64(len(f.recent)))
	if skip < 0 {
		return batch{}, false
	}
	var b batch
	for _, e := range f.recent[skip:] {
		if size <= 0 {
			return b, true
		}
		b.through = e.event.Pos
		if e.isOf(sel) {
			b.events = append(b.events, e)
			size -= e.size()
		}
	}
	b.end = true
	return b, true
}

// Streams is how many streams of events are open.
func (f *Feed) Streams() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open
}

// enter counts a stream of a key, leave its end.
func (f *Feed) enter(key string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open >= maxStreams || f.byKey[key] >= maxKeyStreams {
		return errTooManyStreams
	}
	f.open++
	f.byKey[key]++
	return nil
}

func (f *Feed) leave(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open--
	if f.byKey[key]--; f.byKey[key] == 0 {
		delete(f.byKey, key)
	}
	if f.open == 0 {
		f.drop(len(f.recent))
	}
}
