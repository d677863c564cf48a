package session

import (
	"context"
	"time"

	"github.com/edgetether/tether/schema"
)

// ticket is where an order's caller waits. The session puts at most one value
// into each channel and never waits for the caller, who may be long gone.
type ticket struct {
	accepted chan schema.Order
	settled  chan settlement
}

type settlement struct {
	order *schema.Order
	err   error
}

func newTicket() *ticket {
	return &ticket{accepted: make(chan schema.Order, 1), settled: make(chan settlement, 1)}
}

// wait waits for the outcome, but no longer than patience once the order's
// intent is durable: then the record as it was sent is returned. A patience of
// schema.OrderTimeout or more waits for the outcome itself. ended is the
// session's end, before which every ticket is settled.
func (t *ticket) wait(ctx context.Context, patience time.Duration, ended <-chan struct{}) (*schema.Order, error) {
	var over <-chan time.Time
	if patience < schema.OrderTimeout {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		over = timer.C
	}
	var sent *schema.Order
	impatient := false
	for {
		select {
		case s := <-t.settled:
			return s.order, s.err
		case o := <-t.accepted:
			sent = &o
		case <-over:
			impatient = true
		case <-ctx.Done():
			return sent, schema.Errorf(schema.Overloaded, "cancelled", "the caller gave up; an order that was sent goes on")
		case <-ended:
			return t.afterEnd(sent)
		}
		if impatient && sent != nil {
			return t.latest(sent)
		}
	}
}

// latest prefers an outcome that came at the same moment.
func (t *ticket) latest(sent *schema.Order) (*schema.Order, error) {
	select {
	case s := <-t.settled:
		return s.order, s.err
	default:
		return sent, nil
	}
}

// errLeftBehind is told who waits for an order that the session ended without
// having looked at: no byte of it was sent.
var errLeftBehind = schema.Errorf(schema.OrderRefused, "device_offline", "the device went offline before the order was sent")

// afterEnd looks once more what the session has told; sent is what was accepted.
func (t *ticket) afterEnd(sent *schema.Order) (*schema.Order, error) {
	select {
	case s := <-t.settled:
		return s.order, s.err
	case o := <-t.accepted:
		sent = &o
	default:
	}
	if sent == nil {
		return nil, errLeftBehind
	}
	return sent, schema.Errorf(schema.OrderUnknown, "device_disconnected", "the session ended before the order did")
}
