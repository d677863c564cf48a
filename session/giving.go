package session

import (
	"context"
	"time"

	"github.com/edgetether/tether/schema"
)

// giving is a schema.Giving: an order that the device's session has first, and
// that waits then, if it may.
type giving struct {
	hub      *Hub
	orderID  string
	ask      *schema.Ask // nil: it is in the queue, or somebody else's
	counted  bool        // what it is refused for
	handsIn  bool        // the caller does not wait for an order that waits itself
	began    time.Time
	patience time.Duration
	over     *time.Timer // its end; nil: not looked at yet
	wake     schema.Waker
	look     func(*giving, context.Context) // nil: it is over

	// While the device's session has the order.
	session *Session
	ticket  *ticket
	sent    *schema.Order // as it is durable

	leave func() // what Waits tells of it; nil: not yet

	record *schema.Order
	err    error
}

func (h *Hub) newGiving(ask *schema.Ask, look func(*giving, context.Context)) *giving {
	return &giving{hub: h, orderID: ask.Order.OrderID, ask: ask, began: time.Now(), patience: ask.Wait, look: look}
}

// Look implements schema.Giving.
func (g *giving) Look(ctx context.Context, wake schema.Waker) bool {
	if g.over == nil {
		g.wake, g.over = wake, time.AfterFunc(g.patience, wake.Wake)
	}
	if g.look == nil {
		return true
	}
	whole := false
	defer func() {
		if !whole { // it panicked
			g.release()
		}
	}()
	g.look(g, ctx)
	whole = true
	return g.look == nil
}

// Result implements schema.Giving.
func (g *giving) Result() (*schema.Order, error) { return g.record, g.err }

func (g *giving) end(record *schema.Order, err error) {
	g.record, g.err, g.look = record, err, nil
	g.release()
	if g.counted && g.sent == nil { // what was sent is not refused any more
		g.hub.meter.refused(record, err)
	}
}

// release ends what would wake the caller.
func (g *giving) release() {
	g.over.Stop()
	if g.leave != nil {
		g.leave()
		g.leave = nil
	}
}

func (g *giving) impatient() bool { return time.Since(g.began) >= g.patience }

// start is for an order of business.
func (g *giving) start(ctx context.Context) {
	if g.hub.isDraining() {
		g.end(nil, g.hub.refuseOrder(*g.ask, schema.ErrDraining))
		return
	}
	g.send(ctx)
}

// send hands the order to the device's session, if it is there.
func (g *giving) send(ctx context.Context) {
	s := g.hub.find(g.ask.Order.DeviceID)
	if s == nil {
		g.refused(ctx, errOffline)
		return
	}
	ev := orderRequest{ticket: newTicket(g.wake), ask: *g.ask, upload: g.hub.receives(g.ask.Order)}
	select {
	case s.mailbox <- ev:
		g.session, g.ticket, g.look = s, ev.ticket, (*giving).lookAtTicket
		g.lookAtTicket(ctx) // the session may be done
	case <-s.done:
		g.refused(ctx, errOffline)
	default:
		g.hub.meter.mailbox.Add(1)
		g.refused(ctx, errMailboxFull)
	}
}

var errMailboxFull = schema.Errorf(schema.OrderRefused, "device_busy", "the device's mailbox is full; try again")

// refused is an order that no session has taken.
func (g *giving) refused(ctx context.Context, err *schema.Error) {
	g.settled(ctx, nil, g.hub.refuseOrder(*g.ask, err))
}

// settled goes on with what became of the order at the device: what was
// refused may be told to wait instead.
func (g *giving) settled(ctx context.Context, record *schema.Order, err error) {
	if err != nil && record == nil && g.ask.Queues(err) {
		record, err = g.hub.queueOrder(*g.ask)
	}
	g.session, g.ticket, g.ask = nil, nil, nil
	if err != nil || record.State != schema.OrderQueued || g.handsIn || g.impatient() {
		g.end(record, err)
		return
	}
	g.record, g.look = record, (*giving).lookAtRecord
	g.lookAtRecord(ctx)
}

// lookAtTicket sees what the session has said. The outcome is waited for to the
// end of the caller's patience once the order's intent is durable; a patience of
// schema.OrderTimeout or more is for the outcome itself, which comes no later.
func (g *giving) lookAtTicket(ctx context.Context) {
	ended := closed(g.session.done) // first: before its end it settles every ticket that it has looked at
	select {
	case o := <-g.ticket.accepted:
		g.sent = &o
	default:
	}
	select {
	case s := <-g.ticket.settled:
		g.settled(ctx, s.order, s.err)
		return
	default:
	}
	switch {
	case ended && g.sent == nil: // no byte of it was sent
		g.refused(ctx, errOffline)
	case ended:
		g.settled(ctx, g.sent, schema.Errorf(schema.OrderUnknown, "device_disconnected", "the session ended before the order did"))
	case ctx.Err() != nil:
		g.settled(ctx, g.sent, schema.Errorf(schema.Overloaded, "cancelled", "the caller gave up; an order that was sent goes on"))
	case g.sent != nil && g.patience < schema.OrderTimeout && g.impatient():
		g.settled(ctx, g.sent, nil)
	}
}

// lookAtRecord sees whether the order has ended, whoever brought that about:
// each change of its record is an event, of which Waits tells. At the end of the
// caller's patience, and of an order that only waits while the server is
// stopping, the record is the answer as it is.
func (g *giving) lookAtRecord(ctx context.Context) {
	if g.leave == nil {
		g.leave = g.hub.cfg.Waits.join(g.orderID, g.wake) // what changes after this look is told
	}
	o, err := g.hub.cfg.Queue.Order(context.WithoutCancel(ctx), schema.Everything, g.orderID)
	switch {
	case err == nil:
		g.record = &o
	case g.record == nil || !g.impatient():
		g.end(nil, err)
		return
	}
	stopped := closed(g.hub.stopping) && g.record.State != schema.OrderSent
	if g.record.State.Ended() || stopped || g.impatient() || ctx.Err() != nil {
		g.end(g.record, orderError(*g.record))
	}
}

// closed says whether what a channel is closed for has happened.
func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
