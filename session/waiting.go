package session

import (
	"time"

	"github.com/edgetether/tether/schema"
)

// line is the part of a core that takes orders from the queue of its device.
// The queue itself is the store's, where it survives a restart, where others
// cancel and expire what is in it, and where a claim by compare and set decides
// between all of them. The core knows of one order that waits, and asks which
// is the first when its slot is free.
type line struct {
	next    *schema.Order // one that waits, not always the first; nil: none is known to
	hold    time.Time     // nothing is taken before
	claimed int64         // the time of the last claim
}

// queueHold is how long the queue is left alone after something went wrong.
const queueHold = time.Second

// onOrderWaits hears of an order that waits.
func (c *core) onOrderWaits(ev orderWaits) {
	if c.line.next == nil {
		c.line.next = ev.order
	}
}

// mayTake says that the queue's first order could be sent, were it not for hold.
func (c *core) mayTake() bool {
	return c.line.next != nil && c.slot == nil && c.phase == open && c.state == schema.Online && c.drain == nil
}

// lineDue is when an order that waits can be taken; zero: that is not a matter of time.
func (c *core) lineDue() time.Time {
	if c.mayTake() {
		return c.line.hold
	}
	return time.Time{}
}

// takeWaiting takes the slot for the order that waits longest. It ends every
// step, so that nothing that makes it possible can be forgotten.
func (c *core) takeWaiting(now time.Time) {
	if !c.mayTake() || now.Before(c.line.hold) {
		return
	}
	c.slot = &flight{order: *c.line.next, stage: looking}
	c.line.next = nil
	c.owe(findWaiting{c.deviceID})
}

// onFound claims the first of the orders that wait. It is claimed and not
// merely sent: it may be cancelled or expired by now.
func (c *core) onFound(ev found, now time.Time) {
	f := c.slot
	if f == nil || f.stage != looking {
		return
	}
	if ev.err != nil {
		ev.orders = []schema.Order{f.order}
		c.line.hold = now.Add(queueHold)
	}
	c.slot = nil
	if ev.err == nil && len(ev.orders) > 0 && c.phase == open && c.state == schema.Online && c.drain == nil {
		c.begin(&flight{order: ev.orders[0], upload: ev.upload, waited: true}, now)
		ev.orders = ev.orders[1:]
	}
	if len(ev.orders) > 0 {
		c.onOrderWaits(orderWaits{&ev.orders[0]})
	}
	c.drainIfFree(now)
}

// claimFailed looks again at once, if the order that was to be claimed is not
// the first any more; otherwise after a while.
func (c *core) claimFailed(f *flight, err *schema.Error, now time.Time) {
	if !f.waited {
		return
	}
	c.stillWaits(f)
	if err.Kind != schema.OrderConflict {
		c.line.hold = now.Add(queueHold)
	}
}

// waitAgain sees to an order that was claimed and could not be sent: it is
// back in the queue. The device may have another session by now: it is told.
func (c *core) waitAgain(f *flight, ev outcomeDone, now time.Time) {
	if ev.out.State != schema.OrderQueued {
		return
	}
	c.stillWaits(f)
	c.line.hold = now.Add(queueHold)
	if ev.err == nil {
		c.emit(handOn{ev.record})
	}
}

// stillWaits remembers that there is something to look for in the queue.
func (c *core) stillWaits(f *flight) {
	o := f.order
	o.SentTime = nil
	c.onOrderWaits(orderWaits{&o})
}

// confirmRestart lets the device restart. What waits is left for its next
// login: sent now, it would be lost with the connection.
func (c *core) confirmRestart(orderID string, now time.Time) {
	c.emit(confirm{orderID})
	c.line.hold = now.Add(c.set.RestartHold)
}
