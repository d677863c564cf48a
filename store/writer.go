package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/edgetether/tether/schema"
)

const (
	// maxBatch bounds how long one commit keeps its callers waiting.
	maxBatch = 1024
	// retryDelay is the pause of the writer in an outage, unless somebody waits.
	retryDelay = 500 * time.Millisecond
)

// errClosed answers what is submitted after Close.
var errClosed = unavailable(errors.New("store: closed"))

// op is one change on its way to the database.
type op struct {
	apply  func(*tx) error // may run twice, if a batch is repeated
	done   func(error)     // nil: nobody waits, and the op is kept over an outage
	counts bool            // against Options.MaxPending

	// presence is set for a session's word on its device: while it waits, it is
	// replaced by what the session says next.
	presence *schema.Presence
}

// loss counts the events of a device that an outage made us drop.
type loss struct {
	count int64
	last  int64 // time of the last of them
}

// writer owns the connection that writes, and the queue before it.
type writer struct {
	link     *link
	onEvents func([]schema.Event)
	log      func(string, error)
	limit    int

	wake    chan struct{} // holds one token: something changed
	stopped chan struct{}

	mu       sync.Mutex
	again    []*op // kept over a failed commit; older than the queue
	queue    []*op
	counted  int            // ops waiting with counts set
	presence map[string]*op // of those in the queue, by device
	lost     map[string]loss
	waiters  int   // ops waiting with done set
	down     error // why the last commit failed; nil: it did not
	closed   bool

	failed error // for ever: the writer's goroutine alone uses it
}

func startWriter(db *sql.DB, o Options) *writer {
	w := &writer{
		link: &link{db: db}, onEvents: o.OnEvents, log: o.Log, limit: o.MaxPending,
		wake: make(chan struct{}, 1), stopped: make(chan struct{}),
		presence: map[string]*op{}, lost: map[string]loss{},
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

// submit queues o. It never blocks, and never calls o.done itself.
func (w *writer) submit(o *op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.enqueue(o)
}

// enqueue is submit under the lock.
func (w *writer) enqueue(o *op) {
	switch {
	case !w.closed:
		w.queue = append(w.queue, o)
		w.waiters += o.waiting()
		w.signal()
	case o.done != nil:
		go o.done(errClosed) // the writer has gone; this ends by itself
	}
}

// keep queues a change that nobody waits for, unless too many wait already:
// then it is counted as lost for device, at time now.
func (w *writer) keep(apply func(*tx) error, device string, now int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.counted >= w.limit {
		w.lost[device] = loss{count: w.lost[device].count + 1, last: now}
		return
	}
	w.counted++
	w.enqueue(&op{apply: apply, counts: true})
}

// present queues p, or puts it in place of what the same session said before.
// A session that went offline has said its last word, and a newer epoch's word
// is not replaced by an older one's.
func (w *writer) present(p schema.Presence) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if o := w.presence[p.DeviceID]; o != nil {
		old := o.presence
		if p.Epoch > old.Epoch || p.Epoch == old.Epoch && old.State != schema.Offline {
			*old = p
		}
		return
	}
	o := &op{presence: &p}
	o.apply = func(t *tx) error { return t.setPresence(*o.presence) }
	w.presence[p.DeviceID] = o
	w.enqueue(o)
}

// run is the writer's goroutine.
func (w *writer) run() {
	defer close(w.stopped)
	defer w.link.drop(nil)
	for {
		batch, ok := w.next()
		if !ok {
			return
		}
		w.commit(batch)
	}
}

// next waits for work and takes it. In an outage a pause passes first, unless
// somebody waits for an answer; the batch may then be empty, a mere probe.
func (w *writer) next() (batch []*op, ok bool) {
	var pause <-chan time.Time
	paused := false
	for {
		w.mu.Lock()
		work := len(w.again) + len(w.queue) + len(w.lost)
		if w.closed || paused || w.waiters > 0 || w.down == nil && work > 0 {
			batch, ok = w.take(), !w.closed || work > 0
			w.mu.Unlock()
			return batch, ok
		}
		if w.down != nil && pause == nil {
			pause = time.After(retryDelay)
		}
		w.mu.Unlock()
		select {
		case <-w.wake:
		case <-pause:
			paused = true
		}
	}
}

// take is under the lock. What was lost is told as soon as the database takes
// writes, and at the end.
func (w *writer) take() []*op {
	all := append(w.again, w.queue...)
	n := min(len(all), maxBatch)
	batch := all[:n:n]
	w.again, w.queue = nil, all[n:]
	for _, o := range batch {
		w.waiters -= o.waiting()
		if o.counts {
			w.counted--
		}
		if o.presence != nil {
			delete(w.presence, o.presence.DeviceID)
		}
	}
	if w.down == nil || w.closed {
		for device, l := range w.lost {
			batch = append(batch, lostEvent(device, l))
		}
		clear(w.lost)
	}
	return batch
}

// lostEvent is the op that tells of a loss.
func lostEvent(device string, l loss) *op {
	e := schema.Event{
		DeviceID: device, Time: l.last, Kind: schema.EventLost,
		Outcome: "lost", By: byServer, Detail: schema.Detail("count", l.count),
	}
	return &op{apply: func(t *tx) error { t.event(e); return nil }}
}

// commit makes batch durable and tells who waits, or keeps what nobody waits for.
func (w *writer) commit(batch []*op) {
	events, answers, err := w.try(batch)
	switch faultOf(err) {
	case none:
		w.recovered()
		if len(events) > 0 {
			w.onEvents(events)
		}
		for i, o := range batch {
			o.tell(answers[i])
		}
	case outage, broken:
		w.hold(batch, err)
	default:
		if len(batch) > 1 {
			for i := range batch {
				w.commit(batch[i : i+1])
			}
			return
		}
		w.log("a change was given up", err)
		for _, o := range batch {
			o.tell(outward(err))
		}
	}
}

// try applies batch in one transaction. answers are the refusals of its ops.
func (w *writer) try(batch []*op) (events []schema.Event, answers []error, err error) {
	if w.failed != nil {
		return nil, nil, w.failed
	}
	defer func() {
		switch faultOf(err) {
		case broken:
			w.failed = unavailable(err)
			fallthrough
		case outage:
			w.link.drop(err)
		}
	}()
	ctx := context.Background()
	sqlTx, err := w.link.begin(ctx)
	if err != nil {
		return nil, nil, err
	}
	t := &tx{ctx: ctx, link: w.link}
	if answers, err = t.apply(batch); err == nil {
		err = t.flush()
	}
	if err != nil {
		_ = sqlTx.Rollback() // of a connection that may be gone; err says why
		return nil, nil, err
	}
	return t.events, answers, sqlTx.Commit()
}

// apply runs all ops; refusals are answers, any other error ends it.
func (t *tx) apply(batch []*op) (answers []error, err error) {
	if len(batch) == 0 { // a probe must write, or its commit proves nothing
		_, err = t.exec("UPDATE counters SET value = value WHERE name = 'pos'")
		return nil, err
	}
	answers = make([]error, len(batch))
	for i, o := range batch {
		err := o.apply(t)
		switch faultOf(err) {
		case none, refusal:
			answers[i] = err
		default:
			return nil, err
		}
	}
	return answers, nil
}

// recovered notes that a commit succeeded.
func (w *writer) recovered() {
	w.mu.Lock()
	was := w.down
	w.down = nil
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
		case w.closed:
			dropped++
		default:
			w.holdOne(o)
		}
	}
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

// holdOne is under the lock. A presence that was said anew meanwhile is out of date.
func (w *writer) holdOne(o *op) {
	if p := o.presence; p != nil {
		if w.presence[p.DeviceID] != nil {
			return
		}
		w.presence[p.DeviceID] = o
	}
	if o.counts {
		w.counted++
	}
	w.again = append(w.again, o)
}

// tell answers who waits for o.
func (o *op) tell(err error) {
	if o.done != nil {
		o.done(err)
	}
}

// waiting is 1 if somebody waits for o.
func (o *op) waiting() int {
	if o.done != nil {
		return 1
	}
	return 0
}
