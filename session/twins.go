package session

import (
	"time"

	"golang.org/x/time/rate"

	"github.com/edgetether/tether/schema"
)

// How often a device may take over from a connection on which it still spoke before
// two devices are thought to have one identity (reliability T4). Two that keep to the
// contract wait for a minute each time. One whose connection was lost is silent for
// longer, before it comes back, than it takes to become Unknown.
const (
	twinBurst = 5
	twinEvery = 2 * time.Minute
)

// twins notices devices that are two: a cloned credential has both of them take over
// from each other without end.
type twins struct {
	takeovers cache[string, *rate.Limiter]
	noted     notes[string]
}

// took notes a takeover, and says whether the device's log gets a line: at most
// one a minute.
func (t *twins) took(deviceID string, now time.Time) bool {
	l := t.takeovers.getOr(deviceID, func() *rate.Limiter { return rate.NewLimiter(rate.Every(twinEvery), twinBurst) })
	if l.AllowN(now, 1) {
		return false
	}
	return t.noted.due(deviceID, now)
}

// twin is the line of a device that is two; address is where the newest is.
func twin(deviceID string, epoch int64, address string, now time.Time) schema.Event {
	return schema.Event{
		DeviceID: deviceID, Time: now.UnixMilli(), Kind: schema.EventDuplicateIdentity, Outcome: "suspected", By: "server",
		Detail: schema.Detail("epoch", epoch, "address", address),
	}
}

// speaks says whether the session's device was heard of in time.
func (s *Session) speaks() bool {
	l := s.live.Load()
	return l != nil && l.State == schema.Online
}
