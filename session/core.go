package session

import (
	"encoding/json"
	"time"

	"github.com/edgetether/tether/schema"
)

// Settings are the times of a session. The zero value of each member stands
// for the contract's (schema/limits.go).
type Settings struct {
	LoginTimeout  time.Duration // from the upgrade to the login request
	FirstDue      time.Duration // silence tolerated at failure count 0
	NextDue       time.Duration // and from then on
	MaxFailures   int
	IntentTimeout time.Duration // for the store to commit an order's intent
	OrderTimeout  time.Duration // for the device's reply to an order
	RestartHold   time.Duration // for a device to go and restart, before it is given what waits for it
	// StatusSample is how often a report is kept in the history and in the log;
	// the default is a minute, negative keeps every one.
	StatusSample time.Duration
	Heartbeat    schema.Heartbeat // told to the device at login
	// Discover is the OpenRPC document that answers rpc.discover.
	Discover json.RawMessage
}

func (s Settings) withDefaults() Settings {
	setDefault(&s.LoginTimeout, schema.LoginTimeout)
	setDefault(&s.FirstDue, schema.FirstDue)
	setDefault(&s.NextDue, schema.NextDue)
	setDefault(&s.MaxFailures, schema.MaxFailures)
	setDefault(&s.IntentTimeout, schema.IntentTimeout)
	setDefault(&s.OrderTimeout, schema.OrderTimeout)
	setDefault(&s.RestartHold, schema.RestartWindow)
	setDefault(&s.StatusSample, time.Minute)
	setDefault(&s.Heartbeat, schema.Heartbeat{
		PingIntervalMS:   schema.PingInterval.Milliseconds(),
		StatusIntervalMS: schema.StatusInterval.Milliseconds(),
		ReplyTimeoutMS:   schema.ReplyTimeout.Milliseconds(),
		MaxFailures:      schema.MaxFailures,
	})
	return s
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// phase is where a session is in its life; doc.go draws it.
type phase uint8

const (
	waiting  phase = iota // for a login
	checking              // the secret is being checked
	claiming              // the store is asked for the device
	open                  // owns its device at its epoch
	closing               // the connection is lost or given up; answers may still be owed
)

// core decides everything that a session decides. It is only state: no
// goroutine, clock, random number, lock or I/O.
type core struct {
	set     *Settings
	node    int64
	address string // of the device's end
	phase   phase
	reason  string // why it is closing

	// Login.
	opened time.Time
	login  *pendingLogin // nil: there is none
	bootID string

	// Ownership, from the claim on.
	deviceID string
	epoch    int64

	liveness
	calls   uint64 // numbers of calls, from 1
	slot    *flight
	givenUp map[uint64]lostCall
	line    line
	telling telling
	drain   *drainRequest

	// owed counts the answers of store, check and receiver that have yet to come.
	owed    int
	effects []effect
}

// pendingLogin is a login that has no answer yet.
type pendingLogin struct {
	to     responder
	params schema.LoginParams
}

// newCore starts a session for a connection from address.
func newCore(set *Settings, node int64, address string, now time.Time) core {
	return core{set: set, node: node, address: address, opened: now}
}

// step tells the core what happened at now, and returns what it wants done, in
// that order. The slice is good until the next step.
func (c *core) step(ev event, now time.Time) []effect {
	c.effects = c.effects[:0]
	switch ev.(type) {
	case tick:
		c.onTick(now)
	case ended, stopRequest, drainRequest, orderRequest, updateRequest, orderWaits, callFailed:
		c.onOutside(ev, now)
	case authenticated, refused, claimed, claimRefused, found, intentDone, outcomeDone, uploadChecked:
		c.owed--
		c.onCompletion(ev, now)
	default:
		c.onMessage(ev, now)
	}
	c.takeWaiting(now)
	return c.effects
}

// onOutside takes what comes neither of the device nor as an answer.
func (c *core) onOutside(ev event, now time.Time) {
	switch ev := ev.(type) {
	case ended:
		c.shut(ev.reason, now)
	case stopRequest:
		c.hangUp(ev.code, ev.text, ev.reason, now)
	case drainRequest:
		c.onDrain(ev, now)
	case orderRequest:
		c.onOrder(ev, now)
	case updateRequest:
		c.onUpdate(ev.update, now)
	case orderWaits:
		c.onOrderWaits(ev)
	case callFailed:
		c.onCallFailed(ev, now)
	}
}

// onCompletion takes an answer that was owed.
func (c *core) onCompletion(ev event, now time.Time) {
	switch ev := ev.(type) {
	case authenticated:
		c.onAuthenticated(ev)
	case refused:
		c.onRefused(ev, now)
	case claimed:
		c.onClaimed(ev, now)
	case claimRefused:
		c.onClaimRefused(ev, now)
	case found:
		c.onFound(ev, now)
	case intentDone:
		c.onIntentDone(ev, now)
	case outcomeDone:
		c.onOutcomeDone(ev, now)
	case uploadChecked:
		c.onUploadChecked(ev, now)
	}
}

// onMessage takes what the device sent, in order of receipt.
func (c *core) onMessage(ev event, now time.Time) {
	switch c.phase {
	case closing: // nobody is there to be answered
	case open:
		c.touch(now)
		c.serve(ev, now)
	default:
		c.beforeLogin(ev, now)
	}
}

// serve answers a message of a device that is logged in.
func (c *core) serve(ev event, now time.Time) {
	switch ev := ev.(type) {
	case pingRequest:
		c.emit(ev)
	case statusRequest:
		c.onStatus(ev, now)
	default:
		c.serveRare(ev, now)
	}
}

func (c *core) serveRare(ev event, now time.Time) {
	switch ev := ev.(type) {
	case resultRequest:
		c.onResult(ev, now)
	case replied:
		c.onReplied(ev, now)
	case discoverRequest:
		c.emit(reply{ev.to, c.set.Discover})
	case badRequest:
		c.emit(fail(ev))
	case loginRequest:
		c.emit(fail{ev.to, schema.ErrAlreadyLoggedIn})
	}
}

// emit asks for an effect.
func (c *core) emit(e effect) { c.effects = append(c.effects, e) }

// owe asks for an effect that will be answered by an event.
func (c *core) owe(e effect) {
	c.owed++
	c.emit(e)
}

// deadline is when the core wants its next tick; zero is never.
func (c *core) deadline() time.Time {
	var at time.Time
	switch c.phase {
	case waiting:
		at = c.opened.Add(c.set.LoginTimeout)
	case open:
		at = earlier(earlier(c.due, c.telling.due), c.lineDue())
	}
	if c.slot != nil {
		at = earlier(at, c.slot.due)
	}
	return at
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// onTick does what is due at now. A tick that comes early does nothing.
func (c *core) onTick(now time.Time) {
	switch {
	case c.phase == waiting && !now.Before(c.opened.Add(c.set.LoginTimeout)):
		c.hangUp(schema.CloseLiveness, "no login", "no_login", now)
	case c.phase == open:
		c.checkTelling(now)
		c.checkLiveness(now)
	}
	c.checkSlot(now)
}

// hangUp closes the connection for a reason of ours. The session ends with it:
// nothing that still arrives is served.
func (c *core) hangUp(code schema.CloseCode, text, reason string, now time.Time) {
	if c.phase == closing {
		return
	}
	c.emit(hangUp{code, text})
	c.shut(reason, now)
}

// shut ends the session, whoever ended the connection: the device is given up,
// and an order in flight has its outcome at once.
func (c *core) shut(reason string, now time.Time) {
	if c.phase == closing {
		return
	}
	was := c.phase
	c.phase, c.reason = closing, reason
	if was == open {
		c.giveUpDevice(now)
		c.loseOrder(now)
	}
}

// giveUpDevice tells hub and store that this epoch's hold has ended. Both
// compare the epoch: a newer one is not touched (T5).
func (c *core) giveUpDevice(now time.Time) {
	c.emit(release{c.deviceID, c.epoch})
	c.emit(presence{schema.Presence{
		DeviceID: c.deviceID, Epoch: c.epoch, State: schema.Offline, Reason: c.reason,
		LastSeen: c.lastSeen.UnixMilli(), Now: now.UnixMilli(),
	}})
}

// finished says that the session owes nothing to anybody.
func (c *core) finished() bool { return c.phase == closing && c.owed == 0 }

// onDrain ends the session as soon as no order is in flight.
func (c *core) onDrain(ev drainRequest, now time.Time) {
	c.drain = &ev
	c.drainIfFree(now)
}

func (c *core) drainIfFree(now time.Time) {
	if c.drain != nil && c.slot == nil {
		c.hangUp(schema.CloseRestart, c.drain.text, "drain", now)
	}
}

// log writes a line of the device's log.
func (c *core) log(kind schema.EventKind, outcome, by string, now time.Time, detail ...any) {
	c.emit(record{schema.Event{
		DeviceID: c.deviceID, Time: now.UnixMilli(), Kind: kind, Outcome: outcome, By: by,
		Detail: schema.Detail(detail...),
	}})
}
