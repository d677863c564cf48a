package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/edgetether/tether/schema"
)

const (
	// maxBatch bounds how long one commit keeps its callers waiting. Devices of one
	// batch share pages, each of which is written once: twice as large it writes a
	// quarter less of a fleet that returns.
	maxBatch = 2048
	// retryDelay is the pause of the writer in an outage, unless somebody waits.
	retryDelay = 500 * time.Millisecond
)

// errClosed answers what is submitted after Close.
var errClosed = unavailable(errors.New("store: closed"))

// writer owns the connection that writes, and the queue before it (queue.go).
// One goroutine commits, so that callers share the disk's flushes, and so that
// one engine that allows a single writer never sees two.
type writer struct {
	link     *link
	mark     string // the name of its row in counters (attempt.go)
	onEvents func([]schema.Event)
	onCommit func(int, time.Duration, error)
	log      func(string, error)
	limit    int
	linger   time.Duration

	wake    chan struct{} // holds one token: something changed
	stopped chan struct{}

	mu       sync.Mutex
	again    []*op // kept over a failed commit; older than the queue
	queue    []*op
	counted  int            // ops waiting with counts set
	presence map[string]*op // of those in the queue, by device
	lost     map[string]*op // likewise, by log
	numbers  int64          // of words and losses
	dropped  uint64         // events and samples, in all
	written  time.Time      // the last commit, or the start
	waiters  int            // ops waiting with done set
	down     error          // why the last commit failed; nil: it did not
	closed   bool

	// The writer's goroutine alone uses these.
	closing  bool     // what fails now gets no further try
	failed   error    // for ever
	attempts int64    // numbers them
	doubt    *attempt // whose commit may have taken effect; nothing is written before that is known
}

// startWriter starts the goroutine that close stops.
func startWriter(e *engine, o Options) *writer {
	w := &writer{
		link: &link{db: e.write, local: e.local, text: e.text}, mark: "commit " + rand.Text(), onEvents: o.OnEvents, onCommit: o.OnCommit, log: o.Log, limit: o.MaxPending, linger: o.Linger,
		wake: make(chan struct{}, 1), stopped: make(chan struct{}),
		presence: map[string]*op{}, lost: map[string]*op{}, written: time.Now(),
	}
	if w.limit == 0 {
		w.limit = DefaultMaxPending
	}
	if w.log == nil {
		w.log = func(string, error) {}
	}
	if w.onEvents == nil {
		w.onEvents = func([]schema.Event) {}
	}
	if w.onCommit == nil {
		w.onCommit = func(int, time.Duration, error) {}
	}
	go w.run()
	return w
}

// close has the writer commit what is queued, and waits for its end.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.signal()
	<-w.stopped
}

func (w *writer) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// health is why the last commit failed.
func (w *writer) health() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errClosed
	}
	return w.down
}

// run is the writer's goroutine. It ends when the queue is closed and empty,
// or closed and the database down.
func (w *writer) run() {
	defer close(w.stopped)
	defer w.link.drop()
	for {
		batch, ok := w.next()
		if !ok {
			break
		}
		w.commit(batch)
	}
	if w.doubt != nil {
		w.commit(nil)
	}
	w.unmark()
}

// commit makes batch durable and tells who waits, or keeps what nobody waits
// for. Nobody is told before the commit has returned: an OK is never a lie.
// Repeating a batch one by one is safe, because its transaction was rolled
// back as a whole; on PostgreSQL there is no other way, since one bad row
// aborts the transaction that it is in.
func (w *writer) commit(batch []*op) {
	batch, err := w.settle(batch)
	if err != nil {
		w.hold(batch, err)
		return
	}
	a := w.attempt(batch)
	switch {
	case a.err == nil:
		w.recovered()
		w.told(a)
		for i, o := range batch {
			o.tell(a.results[i].refused)
		}
		// Whom this woke may have the next change ready: let them have a turn
		// first, or the next commit is of a few, and they wait for it.
		if !w.full() {
			runtime.Gosched()
		}
	case a.inDoubt:
		w.doubt = a
		w.hold(waitedFor(batch), a.err)
	case faultOf(a.err) != badRow:
		w.hold(batch, a.err)
	case len(batch) > 1:
		w.commitSingly(batch)
	default:
		w.log("a change was given up", a.err)
		for _, o := range batch {
			o.tell(outward(a.err))
		}
	}
}

// full says whether there is enough for a whole batch.
func (w *writer) full() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue) >= maxBatch
}

// told gives the events of a commit to who listens.
func (w *writer) told(a *attempt) {
	if len(a.events) > 0 {
		w.onEvents(a.events)
	}
}

// recovered notes that a commit succeeded.
func (w *writer) recovered() {
	w.mu.Lock()
	was := w.down
	w.down, w.written = nil, time.Now()
	w.mu.Unlock()
	if was != nil {
		w.log("the database takes writes again", nil)
	}
}

// hold notes an outage: who waits is told, the rest is kept for the next try.
func (w *writer) hold(batch []*op, err error) {
	w.mu.Lock()
	first := w.down == nil
	w.down = err
	dropped := 0
	for _, o := range batch {
		switch {
		case o.done != nil:
		case w.closing:
			dropped++
		default:
			w.holdOne(o)
		}
	}
	batch = append(batch[:len(batch):len(batch)], w.takeWaiting()...)
	w.mu.Unlock()
	if first {
		w.log("the database takes no writes", err)
	}
	if dropped > 0 {
		w.log(fmt.Sprintf("%d changes were lost at the end", dropped), err)
	}
	for _, o := range batch {
		o.tell(outward(err))
	}
}

// takeWaiting is under the lock. It takes out of the queue who waits for an
// answer: behind many kept changes their turn might never come while the
// outage lasts.
func (w *writer) takeWaiting() (waiting []*op) {
	keep := w.queue[:0:0]
	for _, o := range w.queue {
		if o.done == nil {
			keep = append(keep, o)
			continue
		}
		w.waiters -= o.waiting()
		if o.counts {
			w.counted--
		}
		waiting = append(waiting, o)
	}
	w.queue = keep
	return waiting
}

// commitSingly repeats the ops of a batch that failed one by one, so that a bad
// one spoils no other. When the database stops taking writes, the rest is held
// as well: none may overtake those before it.
func (w *writer) commitSingly(batch []*op) {
	for i := range batch {
		w.commit(batch[i : i+1])
		w.mu.Lock()
		down := w.down
		w.mu.Unlock()
		if down != nil {
			w.hold(batch[i+1:], down)
			return
		}
	}
}
