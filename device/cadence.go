package device

import (
	"time"

	"github.com/edgetether/tether/schema"
)

// action is what the cadence wants done now.
type action uint8

const (
	wait       action = iota // nothing before the wake time
	sendPing                 // a ping goes out; the cadence takes it as sent now
	sendReport               // a status report goes out; likewise
	leave                    // too many went unanswered: close and reconnect
)

// event is what the cadence is told.
type event uint8

const (
	tick        event = iota // time passed, nothing else
	pingReply                // the ping that was awaited is answered
	reportReply              // the report that was awaited is answered
	reportSent               // the report goes out now: its figures took their time
)

// cadence decides when a device speaks and when it gives its connection up
// (southbound section 4). It is a state machine without clock, goroutine or
// I/O: the connection's loop tells it what happened and does what it says.
type cadence struct {
	pingEvery   time.Duration
	reportEvery time.Duration
	replyWithin time.Duration
	maxFailures int

	ping, report beat
	failures     int // unanswered in a row
}

// beat is one of the two messages: when it goes out next, and until when the
// reply to the last one is awaited (zero: none is).
type beat struct {
	due    time.Time
	expiry time.Time
}

// newCadence begins at a login: a report at once, the first ping one interval
// later. What the server leaves out of h, or sends as nonsense, has the
// contract's value.
func newCadence(h schema.Heartbeat, now time.Time) *cadence {
	c := &cadence{
		pingEvery:   interval(h.PingIntervalMS, schema.PingInterval),
		reportEvery: interval(h.StatusIntervalMS, schema.StatusInterval),
		replyWithin: interval(h.ReplyTimeoutMS, schema.ReplyTimeout),
		maxFailures: h.MaxFailures,
	}
	if c.maxFailures <= 0 {
		c.maxFailures = schema.MaxFailures
	}
	c.report.due = now
	c.ping.due = now.Add(c.pingEvery)
	return c
}

// Bounds of what a server may set: below the first a device would flood, above
// the second it would never speak.
const (
	minInterval = 100 * time.Millisecond
	maxInterval = time.Hour
)

func interval(ms int64, standard time.Duration) time.Duration {
	if ms <= 0 {
		return standard
	}
	if ms > maxInterval.Milliseconds() {
		return maxInterval
	}
	return max(time.Duration(ms)*time.Millisecond, minInterval)
}

// next takes what happened and says what to do. After anything but wait it is
// asked again with a tick; wake is when to ask after a wait.
func (c *cadence) next(now time.Time, e event) (do action, wake time.Time) {
	switch e {
	case pingReply:
		c.ping.expiry, c.failures = time.Time{}, 0
	case reportReply:
		c.report.expiry, c.failures = time.Time{}, 0
	case reportSent:
		c.reported(now)
	case tick:
	}
	// A message that was missed goes out again at once.
	for _, b := range []*beat{&c.ping, &c.report} {
		if !b.expiry.IsZero() && !now.Before(b.expiry) {
			b.expiry = time.Time{}
			b.due = now
			c.failures++
		}
	}
	if c.failures >= c.maxFailures {
		return leave, now
	}
	return c.speak(now)
}

// speak sends what is due. A report replaces the ping: the next one is an
// interval after it. Nothing is sent twice while its reply is awaited.
func (c *cadence) speak(now time.Time) (action, time.Time) {
	switch {
	case c.report.ready(now):
		c.reported(now)
		return sendReport, now
	case c.ping.ready(now):
		c.ping = beat{due: now.Add(c.pingEvery), expiry: now.Add(c.replyWithin)}
		return sendPing, now
	}
	return wait, earlier(c.ping.wake(), c.report.wake())
}

// reported counts from now: the wait for the reply, and what comes next.
func (c *cadence) reported(now time.Time) {
	c.report = beat{due: now.Add(c.reportEvery), expiry: now.Add(c.replyWithin)}
	c.ping.due = now.Add(c.pingEvery)
}

func (b *beat) ready(now time.Time) bool { return b.expiry.IsZero() && !now.Before(b.due) }

// wake is when the beat needs attention: while a reply is awaited, its expiry.
func (b *beat) wake() time.Time {
	if b.expiry.IsZero() {
		return b.due
	}
	return b.expiry
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
