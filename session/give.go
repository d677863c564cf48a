package session

import (
	"context"
	"time"

	"github.com/edgetether/tether/schema"
)

// GiveOrder carries an order to its device, for a caller who waits up to
// ask.Wait for the outcome; the caller follows it. An order that waits or was
// sent goes on if the caller leaves.
func (h *Hub) GiveOrder(ask schema.Ask) schema.Giving {
	g := h.newGiving(&ask, (*giving).start)
	g.counted = true
	return g
}

// carry is GiveOrder for who does not wait for an order that waits itself.
func (h *Hub) carry(ctx context.Context, ask schema.Ask) (*schema.Order, error) {
	g := h.newGiving(&ask, (*giving).send)
	g.handsIn = true
	return schema.Follow(ctx, g, schema.NewWaker())
}

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

// AwaitOrder is for a caller who waits up to patience for the end of an order
// that was given before. An order that is not there is the store's error.
func (h *Hub) AwaitOrder(orderID string, patience time.Duration) schema.Giving {
	return &giving{hub: h, orderID: orderID, began: time.Now(), patience: patience, look: (*giving).lookAtRecord}
}
