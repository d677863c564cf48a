package session

import (
	"context"
	"time"

	"github.com/edgetether/tether/schema"
)

// GiveOrder carries an order to its device and waits up to ask.Wait for the
// outcome. The record is returned whenever there is one, also beside an error.
// Without error the order has succeeded, or still waits or is sent. An order
// that waits or was sent goes on if ctx ends.
func (h *Hub) GiveOrder(ctx context.Context, ask schema.Ask) (o *schema.Order, err error) {
	defer func() { h.meter.refused(o, err) }()
	start := time.Now()
	if h.isDraining() {
		return nil, h.refuseOrder(ask, schema.ErrDraining)
	}
	record, err := h.carry(ctx, ask)
	if err != nil || record.State != schema.OrderQueued {
		return record, err
	}
	return h.wait(ctx, *record, ask.Wait-time.Since(start))
}

// carry is GiveOrder for who does not wait for an order that waits itself.
func (h *Hub) carry(ctx context.Context, ask schema.Ask) (*schema.Order, error) {
	record, err := h.giveNow(ctx, ask)
	if err != nil && record == nil && ask.Queues(err) {
		return h.queueOrder(ask)
	}
	return record, err
}

// giveNow is for a device that is there and free.
func (h *Hub) giveNow(ctx context.Context, ask schema.Ask) (*schema.Order, error) {
	s := h.find(ask.Order.DeviceID)
	if s == nil {
		return nil, h.refuseOrder(ask, errOffline)
	}
	ev := orderRequest{ticket: newTicket(), ask: ask, upload: h.receives(ask.Order)}
	select {
	case s.mailbox <- ev:
		record, err := ev.ticket.wait(ctx, ask.Wait, s.done)
		if err == errLeftBehind {
			err = h.refuseOrder(ask, errOffline)
		}
		return record, err
	case <-s.done:
		return nil, h.refuseOrder(ask, errOffline)
	default:
		h.meter.mailbox.Add(1)
		return nil, h.refuseOrder(ask, errMailboxFull)
	}
}

var errMailboxFull = schema.Errorf(schema.OrderRefused, "device_busy", "the device's mailbox is full; try again")

// receives says whether an order's file is to come to this node's receiver.
func (h *Hub) receives(o schema.Order) bool {
	return o.Order == schema.OrderUploadLog && h.cfg.Uploads != nil
}

// refuseOrder leaves the line of an order that never reached a session, unless
// it is to wait instead.
func (h *Hub) refuseOrder(ask schema.Ask, err *schema.Error) error {
	if !ask.Queues(err) {
		h.cfg.Journal.Record(refusedOrder(ask.Order, err, time.Now()))
	}
	return err
}

// queueOrder stores an order that is to wait, and tells the device's session.
// Its caller may leave meanwhile: what is stored is told.
func (h *Hub) queueOrder(ask schema.Ask) (*schema.Order, error) {
	ctx, cancel := context.WithTimeout(h.ctx, h.cfg.Settings.IntentTimeout)
	defer cancel()
	o, err := h.cfg.Queue.Enqueue(ctx, schema.Queued{Order: ask.Order, Expires: ask.Expires, Once: ask.Once})
	switch pub := schema.Public(err); {
	case err == nil:
	case pub.Kind == schema.OrderRefused:
		return nil, h.refuseOrder(ask, pub)
	case pub.Kind == schema.StoreUnavailable:
		return nil, storeUnavailable(ask.Order)
	default:
		return nil, err
	}
	h.clerk.expires(ask.Expires)
	h.tellOfOrder(o)
	return &o, nil
}

// tellOfOrder tells the device's session, or the claim that will open it, of an
// order that waits.
func (h *Hub) tellOfOrder(o schema.Order) {
	if s := h.waitingFor(o); s != nil {
		select {
		case s.mailbox <- orderWaits{&o}:
		case <-s.done:
		}
	}
}

// handOn is tellOfOrder for those who must not wait. What it cannot tell, the
// clerk does.
func (h *Hub) handOn(o schema.Order) {
	if s := h.waitingFor(o); s != nil {
		select {
		case s.mailbox <- orderWaits{&o}:
		default:
		}
	}
}

func (h *Hub) waitingFor(o schema.Order) *Session {
	h.mu.Lock()
	defer h.mu.Unlock()
	for try := range h.claims {
		if try.deviceID == o.DeviceID {
			try.waiting = &o
		}
	}
	return h.owners[o.DeviceID].session
}

// findWaiting asks the store for the orders that wait for a device.
func (h *Hub) findWaiting(ctx context.Context, deviceID string) event {
	orders, err := h.cfg.Queue.NextOrders(ctx, deviceID, time.Now().UnixMilli())
	ev := found{orders: orders, err: err}
	ev.upload = len(orders) > 0 && h.receives(orders[0])
	return ev
}

// AwaitOrder waits up to patience for the end of an order that was given
// before. It returns as GiveOrder does.
func (h *Hub) AwaitOrder(ctx context.Context, orderID string, patience time.Duration) (*schema.Order, error) {
	o, err := h.cfg.Queue.Order(ctx, schema.Everything, orderID)
	if err != nil {
		return nil, err
	}
	return h.wait(ctx, o, patience)
}

// wait waits for the end of o, whoever brings it about: each change of its
// record is an event, of which Waits hears. At the end of patience, and of one
// that only waits while the server is stopping, the record is returned as it is.
func (h *Hub) wait(ctx context.Context, o schema.Order, patience time.Duration) (*schema.Order, error) {
	if patience <= 0 {
		return &o, orderError(o)
	}
	over := time.NewTimer(patience)
	defer over.Stop()
	hear, leave := h.cfg.Waits.join(o.OrderID)
	defer leave()
	stopping := h.stopping
	for {
		changed := hear() // what changes after this look is heard of
		o, err := h.cfg.Queue.Order(ctx, schema.Everything, o.OrderID)
		if err != nil {
			return nil, err
		}
		if o.State.Ended() {
			return &o, orderError(o)
		}
		select {
		case <-changed:
			continue
		case <-stopping:
			if stopping = nil; o.State == schema.OrderSent {
				continue
			}
		case <-over.C:
		case <-ctx.Done():
		}
		return &o, nil
	}
}
