package session

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/edgetether/tether/schema"
)

// The methods of this file are what business asks of the hub; northapi
// declares them as its Sessions.

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
			try.revoked = reason
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
	h.mu.Lock()
	for try := range h.claims {
		if try.deviceID == u.DeviceID {
			try.update = &u
		}
	}
	o, ok := h.owners[u.DeviceID]
	h.mu.Unlock()
	if !ok {
		return nil
	}
	select {
	case o.session.mailbox <- updateRequest{u}:
	case <-o.session.done:
	case <-ctx.Done():
		return schema.Errorf(schema.Overloaded, "cancelled", "the caller gave up; the device is told at its next login")
	}
	return nil
}

// Crowded says that a flood of strangers is at the door, and that no more
// connections should be accepted for now. A fleet that returns is none.
func (h *Hub) Crowded() bool { return h.door.crowded() }

func (h *Hub) isDraining() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.draining
}

// The devices of a draining hub are asked to come back over drainSpread, the
// first of them after drainPause, which a server may take to start again.
const (
	drainPause  = 3 * time.Second
	drainSpread = 10 * time.Second
)

// Drain takes no new orders, lets those in flight have their outcome, and
// sends every device away with a time of its own to come back at. It returns
// when the last session has ended and the store has taken the outcomes that it
// could not take before, which Run hands to it, or when ctx ends; what is left
// then, Close ends.
func (h *Hub) Drain(ctx context.Context) {
	all := h.startDraining()
	for i, s := range all {
		wait := drainPause + drainSpread*time.Duration(i)/time.Duration(len(all))
		s.stop(drainRequest{retryText(wait)})
	}
	select {
	case <-h.empty:
		h.clerk.emptied(ctx) // an order that was in flight may have its outcome there
	case <-ctx.Done():
	}
}

// comeBack is some time within the spread, for a device that comes late to a drain.
func comeBack() time.Duration { return drainPause + rand.N(drainSpread) }

func (h *Hub) startDraining() []*Session {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.draining {
		close(h.stopping)
		h.cfg.Waits.wakeAll()
		h.door.close()
	}
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

// Close ends all sessions and waits for every goroutine of the hub but Run's. The
// store must be open until it has returned.
func (h *Hub) Close() {
	h.startDraining()
	h.mu.Lock()
	h.closed = true
	all := h.snapshot()
	h.mu.Unlock()
	h.cancel()
	for _, s := range all {
		s.stop(stopRequest{code: schema.CloseRestart, reason: "drain", text: retryText(comeBack())})
	}
	h.wg.Wait()
	h.clerk.round(func(schema.Order) {}) // once more; the store commits it before it closes
}
