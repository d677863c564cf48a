package sim

import (
	"time"

	"github.com/edgetether/tether/schema"
)

// cadence decides when a device speaks and when it gives its connection up
// (southbound section 4). It has no clock: it is told the moment.
type cadence struct {
	pings, reports, replies time.Duration // intervals, and the wait for a reply
	max                     int           // replies missed in a row that end a connection

	ping, report beat
	missed       int // in a row
	begun        bool
}

// beat is one of the two messages: when the next is due, and until when the
// reply to the last is awaited (0: none is).
type beat struct{ due, expiry moment }

// action is what a cadence wants done.
type action uint8

const (
	rest       action = iota // nothing, until the moment told with it
	sendPing                 // the cadence takes it as sent
	sendReport               // likewise
	hangUp                   // too many replies were missed
)

// newCadence begins at a login: a report at once, a ping one interval later.
func newCadence(h schema.Heartbeat, now moment) cadence {
	c := cadence{
		pings:   orStandard(h.PingIntervalMS, schema.PingInterval),
		reports: orStandard(h.StatusIntervalMS, schema.StatusInterval),
		replies: orStandard(h.ReplyTimeoutMS, schema.ReplyTimeout),
		max:     h.MaxFailures, begun: true,
	}
	if c.max <= 0 {
		c.max = schema.MaxFailures
	}
	c.report.due, c.ping.due = now, now.in(c.pings)
	return c
}

func orStandard(ms int64, standard time.Duration) time.Duration {
	if ms <= 0 {
		return standard
	}
	return time.Duration(ms) * time.Millisecond
}

// answered is told of the reply to the ping or the report.
func (c *cadence) answered(b *beat) { b.expiry, c.missed = 0, 0 }

// miss counts the replies that did not come in time. What was missed is due
// again at once.
func (c *cadence) miss(now moment) (missed int) {
	for _, b := range []*beat{&c.ping, &c.report} {
		if b.expiry != 0 && b.expiry <= now {
			*b = beat{due: now}
			missed++
		}
	}
	c.missed += missed
	return missed
}

// next says what is to be done, and after a rest when to ask again. It is asked
// until it says so. A report takes the place of the ping.
func (c *cadence) next(now moment) (action, moment) {
	switch {
	case c.missed >= c.max:
		return hangUp, now
	case c.report.ready(now):
		c.report = beat{due: now.in(c.reports), expiry: now.in(c.replies)}
		c.ping.due = now.in(c.pings)
		return sendReport, now
	case c.ping.ready(now):
		c.ping = beat{due: now.in(c.pings), expiry: now.in(c.replies)}
		return sendPing, now
	}
	return rest, min(c.ping.wake(), c.report.wake())
}

func (b *beat) ready(now moment) bool { return b.expiry == 0 && b.due <= now }

func (b *beat) wake() moment {
	if b.expiry != 0 {
		return b.expiry
	}
	return b.due
}
