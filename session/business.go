package session

import (
	"context"
	"time"

	"github.com/edgetether/tether/schema"
)

// The methods of this file are what business asks of the hub; northapi
// declares them as its Sessions.

// GiveOrder carries an order to its device and waits up to patience for the
// outcome. The record is returned whenever there is one, also beside an error.
// Without error the order has succeeded, or is still sent. An order that was
// sent goes on if ctx ends.
func (h *Hub) GiveOrder(ctx context.Context, o schema.Order, patience time.Duration) (*schema.Order, error) {
	s := h.find(o.DeviceID)
	switch {
	case h.isDraining():
		return nil, h.refuseOrder(o, schema.ErrDraining)
	case s == nil:
		return nil, h.refuseOrder(o, errOffline)
	}
	ev := orderRequest{ticket: newTicket(), order: o}
	if o.Order == schema.OrderUploadLog && h.cfg.Uploads != nil {
		target, err := h.cfg.Uploads.Issue(o.OrderID, o.DeviceID, time.Now())
		if err != nil {
			return nil, h.refuseOrder(o, schema.Public(err))
		}
		ev.sftp = &target
	}
	select {
	case s.mailbox <- ev:
		return ev.ticket.wait(ctx, patience, s.done)
	case <-s.done:
		return nil, h.refuseOrder(o, errOffline)
	default:
		return nil, h.refuseOrder(o, errMailboxFull)
	}
}

var errMailboxFull = schema.Errorf(schema.OrderRefused, "device_busy", "the device's mailbox is full; try again")

// refuseOrder leaves the line of an order that never reached a session.
func (h *Hub) refuseOrder(o schema.Order, err *schema.Error) error {
	h.cfg.Journal.Record(refusedOrder(o, err, time.Now()))
	return err
}

// Live tells of those of the devices that are connected; others are absent.
func (h *Hub) Live(_ context.Context, deviceIDs []string) (map[string]schema.Live, error) {
	live := make(map[string]schema.Live, len(deviceIDs))
	for _, id := range deviceIDs {
		s := h.find(id)
		if s == nil {
			continue
		}
		if l := s.live.Load(); l != nil {
			now := *l
			now.LastSeenTime = s.lastSeen.Load()
			live[id] = now
		}
	}
	return live, nil
}

// End closes a device's session because of a change that business made:
// "deleted", "disabled" or "password". A login that is being checked meanwhile
// does not get through.
func (h *Hub) End(_ context.Context, deviceID, reason string) error {
	ev := stopRequest{code: schema.CloseDeviceGone, reason: reason, text: "the device was " + reason}
	if reason == "password" {
		ev.code, ev.text = schema.CloseLoginFailed, "the password was changed"
	}
	h.mu.Lock()
	for try := range h.claims {
		if try.deviceID == deviceID {
			try.revoked = true
		}
	}
	o, ok := h.owners[deviceID]
	h.mu.Unlock()
	if ok {
		o.session.stop(ev)
	}
	return nil
}

// Tell sends a device its changed record, if it is connected.
func (h *Hub) Tell(ctx context.Context, u schema.DeviceUpdate) error {
	s := h.find(u.DeviceID)
	if s == nil {
		return nil
	}
	select {
	case s.mailbox <- updateRequest{u}:
	case <-s.done:
	case <-ctx.Done():
		return schema.Errorf(schema.Overloaded, "cancelled", "the caller gave up; the device is told at its next login")
	}
	return nil
}

func (h *Hub) isDraining() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.draining
}

// drainSpread is the time over which the devices of a draining hub are asked
// to come back.
const drainSpread = 10 * time.Second

// Drain takes no new orders, lets those in flight have their outcome, and
// sends every device away with a time of its own to come back at. It returns
// when the last session has ended; when ctx ends first, what is left is closed
// at once.
func (h *Hub) Drain(ctx context.Context) {
	for i, s := range h.startDraining() {
		wait := time.Second + drainSpread*time.Duration(i%10000)/10000
		s.stop(drainRequest{retryText(wait)})
	}
	select {
	case <-h.empty:
	case <-ctx.Done():
	}
}

func (h *Hub) startDraining() []*Session {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
	if len(h.sessions) == 0 {
		h.closeEmpty()
	}
	return h.snapshot()
}

// snapshot lists the sessions; the caller holds the lock.
func (h *Hub) snapshot() []*Session {
	all := make([]*Session, 0, len(h.sessions))
	for s := range h.sessions {
		all = append(all, s)
	}
	return all
}

// Close ends all sessions and waits for every goroutine of the hub. The store
// must be open until it has returned.
func (h *Hub) Close() {
	h.startDraining()
	h.mu.Lock()
	h.closed = true
	all := h.snapshot()
	h.mu.Unlock()
	h.cancel()
	for _, s := range all {
		s.stop(stopRequest{code: schema.CloseRestart, reason: "drain", text: retryText(schema.ReconnectDelay)})
	}
	h.wg.Wait()
}
