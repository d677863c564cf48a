package session

import (
	"time"

	"golang.org/x/time/rate"

	"github.com/edgetether/tether/schema"
)

// How often a device may change its connection by taking over from itself before
// two of them are thought to have one identity (reliability T4).
const (
	twinBurst = 10
	twinEvery = time.Minute / twinBurst
)

// twins notices devices that are two: a cloned credential has both of them take over
// from each other without end.
type twins struct {
	takeovers cache[string, *rate.Limiter]
	noted     cache[string, time.Time]
}

// took notes a takeover, and says whether the device's log gets a line: at most
// one a minute.
func (t *twins) took(deviceID string, now time.Time) bool {
	l := t.takeovers.getOr(deviceID, func() *rate.Limiter { return rate.NewLimiter(rate.Every(twinEvery), twinBurst) })
	if l.AllowN(now, 1) {
		return false
	}
	if last, ok := t.noted.get(deviceID); ok && now.Sub(last) < noteEvery {
		return false
	}
	t.noted.put(deviceID, now)
	return true
}

// twin is the line of a device that is two; address is where the newest is.
func twin(deviceID string, epoch int64, address string, now time.Time) schema.Event {
	return schema.Event{
		DeviceID: deviceID, Time: now.UnixMilli(), Kind: schema.EventDuplicateIdentity, Outcome: "suspected", By: "server",
		Detail: schema.Detail("epoch", epoch, "address", address),
	}
}
