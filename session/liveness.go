package session

import (
	"hash/fnv"
	"io"
	"time"

	"github.com/edgetether/tether/schema"
)

// liveness is the failure-count part of a core (southbound section 4).
type liveness struct {
	state    schema.DevState
	why      string // the reason of the state
	failures int
	due      time.Time // when the next message is due
	lastSeen time.Time
	report   *schema.StatusInfo // the last one
	reported time.Time
	sampled  time.Time     // the last report that the history keeps
	stagger  time.Duration // see staggered
}

func (c *core) startLiveness(now time.Time) {
	c.state, c.why, c.due = schema.Online, "login", now.Add(c.set.FirstDue)
	c.stagger = staggered(c.deviceID)
	c.publish()
}

// touch takes any valid message of the device as its sign of life.
func (c *core) touch(now time.Time) {
	c.failures, c.lastSeen, c.due = 0, now, now.Add(c.set.FirstDue)
	if c.state != schema.Online {
		c.setState(schema.Online, "message", now)
	}
}

// checkLiveness counts a miss if one is due. A late tick counts one miss, and
// the next is due a whole period from now: after a pause of this process the
// devices get their chance to be heard.
func (c *core) checkLiveness(now time.Time) {
	if now.Before(c.due) {
		return
	}
	c.failures++
	if c.failures >= c.set.MaxFailures {
		c.hangUp(schema.CloseLiveness, "silent for too long", "liveness", now)
		return
	}
	c.due = now.Add(c.set.NextDue)
	if c.state != schema.Unknown {
		c.setState(schema.Unknown, "liveness", now)
	}
}

func (c *core) setState(s schema.DevState, why string, now time.Time) {
	c.state, c.why = s, why
	c.publish()
	c.emit(presence{schema.Presence{
		DeviceID: c.deviceID, Epoch: c.epoch, State: s, Reason: why,
		LastSeen: c.lastSeen.UnixMilli(), Now: now.UnixMilli(),
	}})
}

func (c *core) publish() {
	live := &schema.Live{State: c.state, Reason: c.why, LastSeenTime: c.lastSeen.UnixMilli(), Epoch: c.epoch, Report: c.report}
	if c.report != nil {
		live.ReportTime = c.reported.UnixMilli()
	}
	c.emit(publish{live})
}

// onStatus takes a report into the live table, and now and then into the
// history. The device that it is of is the session's, whatever it says (T13).
func (c *core) onStatus(ev statusRequest, now time.Time) {
	if ev.info.DeviceID != "" && ev.info.DeviceID != c.deviceID {
		c.emit(fail{ev.to, schema.InvalidMember("device_id", "is not the device of this session")})
		return
	}
	ev.info.DeviceID = c.deviceID
	c.report, c.reported = ev.info, now
	c.publish()
	c.emit(reply{ev.to, struct{}{}})
	if c.keeps(now) {
		c.sampled = now
		c.emit(sample{schema.Sample{DeviceID: c.deviceID, Time: now.UnixMilli(), Status: *ev.info}})
	}
}

// keeps says whether the history keeps a report of now: it does the first one, and
// from then on one in each slot of StatusSample.
func (c *core) keeps(now time.Time) bool {
	every := c.set.StatusSample
	slot := func(t time.Time) time.Duration { return (t.Sub(c.opened) + c.stagger%every) / every }
	return every < 0 || c.sampled.IsZero() || slot(now) != slot(c.sampled)
}

// staggered is when the slots of a device begin, as the time before its session's
// beginning: another for each. Else a fleet that came at once would be written down at
// once, every minute.
func staggered(deviceID string) time.Duration {
	h := fnv.New64a()
	io.WriteString(h, deviceID) //nolint:errcheck // never fails
	return time.Duration(h.Sum64() >> 1)
}

// telling is the part of a core that keeps its device told of its record. It
// is no order: it neither waits for one nor keeps one waiting.
type telling struct {
	call    uint64 // in flight; 0 is none
	version int64  // of the record that was sent
	due     time.Time
	next    *schema.DeviceUpdate // changed again while the call was in flight
	refused bool                 // the device does not know the method
}

// onUpdate sends the device its record, or remembers to when the last sending is answered.
func (c *core) onUpdate(u schema.DeviceUpdate, now time.Time) {
	t := &c.telling
	switch {
	case c.phase == closing || t.refused || u.Version < t.version:
	case t.call != 0 || c.phase != open: // a claim may still be under way
		if t.next == nil || t.next.Version < u.Version {
			t.next = &u
		}
	default:
		c.calls++
		t.call, t.version, t.due = c.calls, u.Version, now.Add(c.set.OrderTimeout)
		c.emit(call{t.call, schema.MethodDeviceUpdate, u})
	}
}

// onTold takes the device's answer to device_update. An error other than
// "method not found" leaves it untold: the next login tells it again.
func (c *core) onTold(ev replied, now time.Time) {
	switch {
	case ev.resp.Err == nil:
		c.emit(told{c.deviceID, c.telling.version})
	case ev.resp.Err.Kind == schema.MethodNotFound:
		c.telling.refused = true
	}
	c.nextTelling(now)
}

func (c *core) checkTelling(now time.Time) {
	t := &c.telling
	if t.call == 0 || now.Before(t.due) {
		return
	}
	c.emit(forget{t.call})
	c.nextTelling(now)
}

func (c *core) nextTelling(now time.Time) {
	next := c.telling.next
	c.telling.call, c.telling.due, c.telling.next = 0, time.Time{}, nil
	if next != nil {
		c.onUpdate(*next, now)
	}
}
