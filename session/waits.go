package session

import (
	"encoding/json"
	"sync"

	"github.com/edgetether/tether/schema"
)

// Waits are the callers that wait for an order that no session of theirs
// carries: one that is queued, or that was given by somebody else. They hear of
// an order's changes by its events, which every change leaves, whoever makes
// it. The zero value is ready.
type Waits struct {
	mu     sync.Mutex
	orders map[string]*awaited
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
	if len(w.orders) == 0 {
		return
	}
	for _, e := range events {
		if a := w.orders[orderOf(e)]; a != nil {
			close(a.changed)
			a.changed = make(chan struct{})
		}
	}
}

// orderOf is the order that an event is of; empty if it is of none.
func orderOf(e schema.Event) string {
	switch e.Kind {
	case schema.EventOrder, schema.EventOrderResult, schema.EventRestartVerified:
	default:
		return ""
	}
	var d struct {
		OrderID string `json:"order_id"`
	}
	if json.Unmarshal(e.Detail, &d) != nil {
		return ""
	}
	return d.OrderID
}
