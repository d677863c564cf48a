package session

import (
	"sync"
	"sync/atomic"

	"github.com/edgetether/tether/schema"
)

// Waits are the callers that wait for an order that no session of theirs
// carries: one that is queued, or that was given by somebody else; and the jobs
// that are being carried out. They hear of an order's changes by its events,
// which every change leaves, whoever makes it. The zero value is ready.
type Waits struct {
	mu     sync.Mutex
	orders map[string]*awaited
	jobs   map[string]*failures
}

// awaited is an order that somebody waits for.
type awaited struct {
	changed chan struct{} // closed with the next change
	callers int
}

// join adds a caller. hear returns a channel that is closed with the order's
// next change; leave must be called.
func (w *Waits) join(orderID string) (hear func() <-chan struct{}, leave func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.orders == nil {
		w.orders = make(map[string]*awaited)
	}
	a := w.orders[orderID]
	if a == nil {
		a = &awaited{changed: make(chan struct{})}
		w.orders[orderID] = a
	}
	a.callers++
	hear = func() <-chan struct{} {
		w.mu.Lock()
		defer w.mu.Unlock()
		return a.changed
	}
	return hear, func() { w.leave(orderID, a) }
}

func (w *Waits) leave(orderID string, a *awaited) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a.callers--; a.callers == 0 {
		delete(w.orders, orderID)
	}
}

// Committed tells of events that have become durable. It never blocks.
func (w *Waits) Committed(events []schema.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.orders) == 0 && len(w.jobs) == 0 {
		return
	}
	for _, e := range events {
		ref := e.OrderRef()
		if a := w.orders[ref.OrderID]; a != nil {
			close(a.changed)
			a.changed = make(chan struct{})
		}
		if t := w.jobs[ref.JobID]; t != nil {
			t.add(e.Kind == schema.EventOrderResult && schema.OrderState(e.Outcome) != schema.OrderSucceeded)
		}
	}
}

// count adds a job that is being carried out; leave must be called.
func (w *Waits) count(jobID string) (t *failures, leave func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.jobs == nil {
		w.jobs = make(map[string]*failures)
	}
	t = &failures{changed: make(chan struct{}, 1)}
	w.jobs[jobID] = t
	return t, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.jobs, jobID)
	}
}

// failures is how many devices of a job did not succeed: that many at most, since
// an order may be counted again when a late result comes.
type failures struct {
	failed  atomic.Int64
	changed chan struct{} // holds one token: an order of the job has changed
}

func (t *failures) add(failed bool) {
	if failed {
		t.failed.Add(1)
	}
	t.tell()
}

func (t *failures) tell() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}
