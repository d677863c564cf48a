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
	orders map[string][]*waiter
	jobs   map[string]*failures
}

// waiter is one of those who wait for an order.
type waiter struct {
	wake schema.Waker
	at   int // its place among them
}

// join has wake told of each change of an order; leave must be called.
func (w *Waits) join(orderID string, wake schema.Waker) (leave func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.orders == nil {
		w.orders = make(map[string][]*waiter)
	}
	one := &waiter{wake, len(w.orders[orderID])}
	w.orders[orderID] = append(w.orders[orderID], one)
	return func() { w.leave(orderID, one) }
}

// leave puts the last of them in the place of one.
func (w *Waits) leave(orderID string, one *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.orders[orderID]
	last := len(all) - 1
	if last == 0 {
		delete(w.orders, orderID)
		return
	}
	all[one.at] = all[last]
	all[one.at].at = one.at
	all[last] = nil
	w.orders[orderID] = all[:last]
}

// wakeAll tells everybody to look again.
func (w *Waits) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, all := range w.orders {
		wake(all)
	}
}

func wake(all []*waiter) {
	for _, one := range all {
		one.wake.Wake()
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
		wake(w.orders[ref.OrderID])
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
