package session

import (
	"fmt"
	"slices"

	"github.com/edgetether/tether/schema"
)

// commitClaim is the store's compare and set on the epoch, and the hub's.
func (w *world) commitClaim(who int) {
	c := &w.conns[who]
	epoch := c.claim
	c.claim = 0
	if epoch < w.stored {
		w.step(who, claimRefused{schema.ErrFenced})
		return
	}
	if w.online {
		w.log = append(w.log, schema.EventDisconnect)
	}
	w.stored, w.online, c.claimed = epoch, true, true
	w.log = append(w.log, schema.EventConnect)
	if w.owner >= 0 && w.owns < epoch {
		w.conns[w.owner].taken = true
	}
	w.owner, w.owns = who, epoch
	a := schema.Claimed{}
	if id := w.first(); id != "" {
		o := w.orders[id]
		a.Waiting = &o
	}
	w.step(who, claimed{epoch: epoch, token: "tt_x", answer: a})
}

// first is the order that waits longest; empty: none does.
func (w *world) first() string {
	if len(w.queue) == 0 {
		return ""
	}
	return w.queue[0]
}

// queueOrder is an order that the hub has the store keep, and tells of.
func (w *world) queueOrder() {
	w.orderN++
	o := schema.Order{OrderID: fmt.Sprint("o", w.orderN), DeviceID: testDevice, Order: "blink", State: schema.OrderQueued}
	w.orders[o.OrderID] = o
	w.queue = append(w.queue, o.OrderID)
	w.tellOwner(o)
}

func (w *world) tellOwner(o schema.Order) {
	if w.owner >= 0 {
		w.step(w.owner, orderWaits{&o})
	}
}

// endWaiting ends the first order that waits, as business or the clerk does.
func (w *world) endWaiting(state schema.OrderState) {
	o := w.orders[pop(&w.queue)]
	o.State = state
	w.orders[o.OrderID] = o
	if w.sends[o.OrderID] > 0 {
		w.fail("%s became %s, and was sent", o.OrderID, state)
	}
}

// claimOrder is the store's compare and set on the order that waits longest.
func (w *world) claimOrder(in schema.Intent) error {
	if w.first() != in.Order.OrderID {
		return schema.ErrNotFirst
	}
	pop(&w.queue)
	return nil
}

// requeue is the store's compare and set on a claim that is taken back.
func (w *world) requeue(o schema.Order, out schema.Outcome) schema.Order {
	in := w.claims[o.OrderID]
	if o.State != schema.OrderSent || in.Epoch != out.Epoch || *in.Order.SentTime != out.Sent {
		return o
	}
	if w.sends[o.OrderID] > 0 {
		w.fail("%s was taken back, and was sent", o.OrderID)
	}
	o.State, o.SentTime = schema.OrderQueued, nil
	w.orders[o.OrderID] = o
	w.queue = slices.Insert(w.queue, 0, o.OrderID) // nothing else was sent since it was the first
	return o
}

func (w *world) commitIntent(in schema.Intent) error {
	if in.Epoch != w.stored {
		return schema.ErrFenced
	}
	for _, o := range w.orders {
		if o.State == schema.OrderSent {
			return schema.Errorf(schema.OrderRefused, "device_busy", "busy")
		}
	}
	if in.Waited {
		if err := w.claimOrder(in); err != nil {
			return err
		}
	}
	w.orders[in.Order.OrderID] = in.Order
	w.claims[in.Order.OrderID] = in
	return nil
}

// commitOutcome is the store's compare and set on an order's state.
func (w *world) commitOutcome(out schema.Outcome) (schema.Order, error) {
	o, ok := w.orders[out.OrderID]
	if !ok || out.DeviceID != testDevice {
		return schema.Order{}, schema.ErrOrderNotFound
	}
	if out.State == schema.OrderQueued {
		return w.requeue(o, out), nil
	}
	word := out.State == schema.OrderSucceeded || out.State == schema.OrderStateFail
	if o.State != schema.OrderSent && !(o.State == schema.OrderStateLost && word) {
		return o, nil
	}
	if word {
		w.checkWord(out)
	}
	if out.State == schema.OrderCancelled && w.sends[out.OrderID] > 0 {
		w.fail("cancelled as not sent: %s was sent", out.OrderID)
	}
	if out.State == schema.OrderCancelled && w.claims[out.OrderID].Waited {
		w.fail("%s was to wait, and was cancelled", out.OrderID)
	}
	o.State, o.Message = out.State, out.Message
	if out.Reason != "" {
		o.Reason = &out.Reason
	}
	w.orders[out.OrderID] = o
	return o, nil
}

// checkWord holds an outcome against what the device said of that order.
func (w *world) checkWord(out schema.Outcome) {
	if out.Message != out.OrderID {
		w.fail("order %s got the outcome of %s", out.OrderID, out.Message)
	}
	if w.said[out.OrderID] == "" {
		w.fail("order %s has an outcome that the device never gave", out.OrderID)
	}
}

// step lets a core decide, and carries out its effects in the model.
func (w *world) step(who int, ev event) {
	c := &w.conns[who]
	var failed []uint64 // calls that could not be sent
	var handed []schema.Order
	for _, e := range c.core.step(ev, w.now) {
		switch e := e.(type) {
		case reply, fail:
			c.answered++
		case hangUp:
			c.gone, c.calls = true, nil
			c.hangUps++
		case authenticate:
			c.auth = true
		case claimDevice:
			w.epochs++
			c.claim = w.epochs
		case beginOrder:
			w.checkFree(who)
			c.intents = append(c.intents, e.in)
		case endOrder:
			c.outcomes = append(c.outcomes, e)
		case callOrder:
			if c.dead {
				failed = append(failed, e.number)
			} else {
				w.send(who, e)
			}
		case forget:
			i := slices.IndexFunc(c.calls, func(k openCall) bool { return k.number == e.call })
			if i >= 0 {
				c.calls[i].lost = true
			}
		case release:
			if w.owner >= 0 && w.owns == e.epoch {
				w.owner = -1
			}
		case presence:
			w.setPresence(c, e.p)
		case settle:
			w.tell(e)
		case retryOutcome:
			w.retries = append(w.retries, e.out)
		case findWaiting:
			w.checkFree(who)
			c.looks++
		case handOn:
			handed = append(handed, e.order)
		}
	}
	for _, number := range failed {
		w.step(who, callFailed{number})
	}
	for _, o := range handed {
		w.tellOwner(o)
	}
}

// checkFree: nothing is begun for a device that is away or silent, nor two
// things at once.
func (w *world) checkFree(who int) {
	c := &w.conns[who]
	if c.core.phase != open || c.core.state != schema.Online {
		w.fail("%c begins an order, and is not online", 'A'+who)
	}
	if c.looks+len(c.intents) > 0 {
		w.fail("%c begins two orders", 'A'+who)
	}
}

func (w *world) setPresence(c *conn, p schema.Presence) {
	if p.State == schema.Offline {
		c.offline++
	}
	if p.Epoch != w.stored || !w.online {
		return
	}
	if p.State == schema.Offline {
		w.online = false
		w.log = append(w.log, schema.EventDisconnect)
	}
}

// send checks what goes to the device: an order whose intent is durable, once,
// over a connection that is open.
func (w *world) send(who int, e callOrder) {
	c, g := &w.conns[who], e.order
	if o, ok := w.orders[g.OrderID]; !ok || o.State != schema.OrderSent {
		w.fail("%s was sent before its intent was durable", g.OrderID)
	}
	if c.gone || c.core.phase != open {
		w.fail("%s was sent over a connection that is gone", g.OrderID)
	}
	if slices.ContainsFunc(c.calls, func(k openCall) bool { return k.number == e.number }) {
		w.fail("two calls with one number")
	}
	for t, id := range w.tickets {
		if id == g.OrderID && w.settled[t] > 0 {
			w.fail("%s was sent after its caller was told no", id)
		}
	}
	w.sends[g.OrderID]++
	if w.sends[g.OrderID] > 1 {
		w.fail("%s was sent twice", g.OrderID)
	}
	if f := c.core.slot; f == nil || !f.due.Equal(w.now.Add(schema.OrderTimeout)) {
		w.fail("%s has not its 10 s", g.OrderID)
	}
	c.calls = append(c.calls, openCall{number: e.number, orderID: g.OrderID})
}

// tell checks what an order's caller is told.
func (w *world) tell(e settle) {
	id, ok := w.tickets[e.ticket]
	w.settled[e.ticket]++
	o, stored := w.orders[id]
	switch {
	case !ok:
		w.fail("nobody waits on this ticket")
	case w.settled[e.ticket] > 1:
		w.fail("%s was settled twice", id)
	case e.order != nil && (e.order.OrderID != id || e.order.State != o.State):
		w.fail("%s was told another record than the store's", id)
	case e.err == nil && stored && o.State == schema.OrderQueued && w.queueing:
		delete(w.tickets, e.ticket) // it waits, and is told elsewhere
	case schema.KindOf(e.err) == schema.StoreUnavailable && stored && o.State == schema.OrderSent && w.sends[id] == 0 && w.queueing:
		delete(w.tickets, e.ticket) // that it waits could not be stored yet: neither yes nor no
	case e.err == nil && (!stored || o.State != schema.OrderSucceeded):
		w.fail("%s was told success, and the store says %q", id, o.State)
	case e.err == nil && w.said[id] != "yes":
		w.fail("%s was told success, and the device said %q", id, w.said[id])
	case schema.KindOf(e.err) == schema.OrderRefused && w.sends[id] > 0:
		w.fail("%s was told refused, and it was sent", id)
	}
}
