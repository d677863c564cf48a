package session

import (
	"time"

	"github.com/edgetether/tether/schema"
)

// The states of a connection as Stats counts them: the phases of its core,
// where open is what its device is.
const (
	stateOnline  = uint8(open)
	stateClosing = uint8(closing)
	stateUnknown = stateClosing + 1
	stateCount   = 6
)

var stateWords = [stateCount]string{waiting: "waiting", checking: "checking", claiming: "claiming",
	stateOnline: string(schema.Online), stateUnknown: string(schema.Unknown), stateClosing: "closing"}

// What a device may send, as Stats counts it.
const (
	gotPing = iota
	gotStatus
	gotResult
	gotLogin
	gotDiscover
	gotResponse
	gotOther
	methodCount
)

var methodWords = [methodCount]string{gotPing: schema.MethodPing, gotStatus: schema.MethodUploadStatus,
	gotResult: schema.MethodUploadResult, gotLogin: schema.MethodLogin, gotDiscover: schema.MethodDiscover,
	gotResponse: "response", gotOther: "other"}

// gotMethod is where a request is counted. What strangers call is one word: no
// name that they make up is kept.
func gotMethod(method string) int {
	switch method {
	case schema.MethodPing:
		return gotPing
	case schema.MethodUploadStatus:
		return gotStatus
	case schema.MethodUploadResult:
		return gotResult
	case schema.MethodLogin:
		return gotLogin
	case schema.MethodDiscover:
		return gotDiscover
	}
	return gotOther
}

// How logins are counted. The form "none" is of those that are unusable, which
// have no other outcome than "invalid".
var (
	loginForms    = []string{"id_password", "sn_password", "token", "none"}
	loginOutcomes = []string{"success", "failed", "refused", "superseded", "invalid", "lost", "error"}
)

const formNone = 3

func formIndex(p schema.LoginParams) uint8 {
	word := formOf(p)
	for i, f := range loginForms {
		if f == word {
			return uint8(i)
		}
	}
	return formNone
}

// gauge is what a session has told the hub's meter of itself. It is the loop's.
type gauge struct {
	state  uint8
	flying bool          // an order has the slot
	form   uint8         // of the login
	began  time.Duration // of the hub's life: when the login, then the order in flight began
}

// age is how long the hub lives.
func (h *Hub) age() time.Duration { return time.Since(h.born) }

// count follows a step of the core, of which most change nothing here.
func (s *Session) count(ev event) {
	g, m := &s.gauge, s.hub.meter
	if state := s.core.counted(); state != g.state {
		m.sessions[g.state].Add(-1)
		m.sessions[state].Add(1)
		s.countLogin(ev, state)
		g.state = state
	}
	if flying := s.core.slot != nil && s.core.slot.stage != looking; flying != g.flying {
		if g.flying = flying; flying {
			m.inFlight.Add(1)
		} else {
			m.inFlight.Add(-1)
		}
	}
}

// uncount is for a session that has ended.
func (s *Session) uncount() {
	s.hub.meter.sessions[s.gauge.state].Add(-1)
	if s.gauge.flying {
		s.hub.meter.inFlight.Add(-1)
	}
}

// counted is the core's state for the meter.
func (c *core) counted() uint8 {
	if c.phase == open && c.state == schema.Unknown {
		return stateUnknown
	}
	return uint8(c.phase)
}

// countLogin counts a login that has come to its end with the step of ev.
func (s *Session) countLogin(ev event, state uint8) {
	was, now := phase(s.gauge.state), phase(state)
	switch {
	case was == checking || was == claiming:
		if outcome := loginOutcome(ev, now); outcome != "" {
			s.hub.meter.logins[s.gauge.form].add(outcome)
		}
		if now == open {
			s.hub.cfg.Observe.Login(s.hub.age() - s.gauge.began)
		}
	case was == waiting && now == closing:
		if l, ok := ev.(loginRequest); ok && l.err != nil {
			s.hub.meter.logins[formNone].add("invalid")
		}
	}
}

// loginOutcome is how a login ended that was being checked; empty: it goes on.
func loginOutcome(ev event, now phase) string {
	var err error
	switch ev := ev.(type) {
	case claimed:
		return "success"
	case authenticated:
		return ""
	case refused:
		err = ev.err
	case claimRefused:
		err = ev.err
	default: // the connection, or the server's patience
		if now != closing {
			return ""
		}
		return "lost"
	}
	switch schema.KindOf(err) {
	case schema.LoginFailed:
		return "failed"
	case schema.Overloaded:
		return "refused"
	case schema.Fenced:
		return "superseded"
	}
	return "error"
}

// observe measures what ev ends, before the core forgets when it began.
func (s *Session) observe(ev event) {
	switch ev := ev.(type) {
	case replied:
		s.cell.messages[gotResponse].Add(1)
		s.observeCall(ev.call)
	case outcomeDone:
		s.observeOutcome(ev)
	}
}

// observeCall measures a call that is still waited for. Its deadline tells
// when it was sent.
func (s *Session) observeCall(number uint64) {
	c := &s.core
	var due time.Time
	method := schema.MethodGiveOrder
	switch f := c.slot; {
	case number == 0:
	case number == c.telling.call:
		due, method = c.telling.due, schema.MethodDeviceUpdate
	case f != nil && f.stage == sent && f.call == number:
		due = f.due
	}
	if took := c.set.OrderTimeout - time.Until(due); !due.IsZero() && took <= c.set.OrderTimeout {
		s.hub.cfg.Observe.Call(method, took)
	}
}

func (s *Session) observeOutcome(ev outcomeDone) {
	f := s.core.slot
	switch {
	case ev.out.Late:
		if ev.err == nil {
			s.hub.meter.late.Add(1)
		}
	case f != nil && f.order.OrderID == ev.out.OrderID:
		s.hub.cfg.Observe.Order(f.order.IsInner, orderOutcome(ev), s.hub.age()-s.gauge.began)
	}
}

// orderOutcome is the word for how an order ended, as far as its record says.
func orderOutcome(ev outcomeDone) string {
	if ev.err != nil {
		return "not_stored"
	}
	switch ev.record.State {
	case schema.OrderSucceeded:
		return "succeeded"
	case schema.OrderStateFail:
		return "failed"
	case schema.OrderCancelled, schema.OrderQueued:
		return "not_sent"
	}
	reason := ev.out.Reason
	if r := ev.record.Reason; r != nil { // it had another outcome already
		reason = *r
	}
	if reason == schema.ReasonTimeout {
		return "timeout"
	}
	return "disconnected"
}
