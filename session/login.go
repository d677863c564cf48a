package session

import (
	"fmt"
	"time"

	"github.com/edgetether/tether/schema"
)

// retryAfterStore is when a device should come back if the store did not answer.
const retryAfterStore = 5 * time.Second

// beforeLogin takes a message of a device that is not logged in (southbound
// section 2): rpc.discover is answered, a login is tried, anything else ends
// the connection.
func (c *core) beforeLogin(ev event, now time.Time) {
	switch ev := ev.(type) {
	case discoverRequest:
		c.emit(reply{ev.to, c.set.Discover})
	case loginRequest:
		c.onLogin(ev, now)
	case replied: // nothing was asked
	default:
		c.emit(fail{requestOf(ev), schema.ErrLoginRequired})
		c.hangUp(schema.CloseNoLogin, "login first", "no_login", now)
	}
}

// requestOf is what a message of the device is answered through.
func requestOf(ev event) responder {
	switch ev := ev.(type) {
	case pingRequest:
		return ev.to
	case statusRequest:
		return ev.to
	case resultRequest:
		return ev.to
	case badRequest:
		return ev.to
	}
	return nil
}

func (c *core) onLogin(ev loginRequest, now time.Time) {
	if c.phase != waiting {
		c.emit(fail{ev.to, schema.ErrAlreadyLoggedIn})
		return
	}
	if ev.err != nil {
		c.emit(fail{ev.to, ev.err})
		c.hangUp(schema.CloseNoLogin, "unusable login", "bad_login", now)
		return
	}
	c.phase, c.login = checking, &pendingLogin{ev.to, ev.params}
	c.owe(authenticate{ev.params})
}

// onAuthenticated goes on to claim the device. Only now may the older session
// of the device be touched.
func (c *core) onAuthenticated(ev authenticated) {
	if c.phase != checking {
		return
	}
	c.phase, c.deviceID = claiming, ev.cred.DeviceID
	c.owe(claimDevice{cred: ev.cred, params: c.login.params})
}

func (c *core) onRefused(ev refused, now time.Time) {
	if c.phase != checking {
		return
	}
	if ev.note {
		c.deviceID = ev.deviceID
		c.logRefusal(schema.KindOf(ev.err), now)
	}
	c.refuseLogin(ev.err, now)
}

func (c *core) logRefusal(kind schema.Kind, now time.Time) {
	if kind == schema.LoginFailed {
		c.log(schema.EventLoginFailed, "failed", "device", now, "address", c.address)
		return
	}
	c.log(schema.EventLoginRefused, "refused", "device", now, "address", c.address)
}

// refuseLogin answers a login that did not succeed, and closes with the code
// of southbound section 5 that says what the device should do.
func (c *core) refuseLogin(err error, now time.Time) {
	c.emit(fail{c.login.to, err})
	switch schema.KindOf(err) {
	case schema.LoginFailed:
		c.hangUp(schema.CloseLoginFailed, "login failed", "login_failed", now)
	case schema.Fenced:
		c.hangUp(schema.CloseTakeover, "a newer login took over", "takeover", now)
	case schema.Overloaded:
		c.hangUp(schema.CloseLoginLimited, retryText(schema.Public(err).RetryAfter), "login_refused", now)
	default:
		c.hangUp(schema.CloseInternal, "internal error", "internal", now)
	}
}

// retryText is the reason of a close frame that says when to come back.
func retryText(d time.Duration) string {
	return fmt.Sprintf("retry_after_ms=%d", d.Milliseconds())
}

func (c *core) onClaimRefused(ev claimRefused, now time.Time) {
	if c.phase == claiming {
		c.refuseLogin(ev.err, now)
	}
}

// onClaimed opens the session. If the connection was lost meanwhile, the
// device is given up again.
func (c *core) onClaimed(ev claimed, now time.Time) {
	c.epoch, c.lastSeen = ev.epoch, now
	if c.phase != claiming {
		c.giveUpDevice(now)
		return
	}
	c.phase = open
	c.startLiveness(now) // first, so that who hears of the login finds the session
	c.emit(reply{c.login.to, schema.LoginResult{
		DeviceID: c.deviceID, Token: ev.token, TokenExpires: ev.expires, ServerTime: now.UnixMilli(),
		Unsettled: nonNil(ev.answer.Unsettled), Heartbeat: c.set.Heartbeat,
	}})
	c.bootID, c.login = c.login.params.BootID, nil
	if u := ev.answer.Update; u != nil && (c.telling.next == nil || c.telling.next.Version < u.Version) {
		c.telling.next = u
	}
	c.nextTelling(now)
	c.onOrderWaits(orderWaits{ev.answer.Waiting})
}

func nonNil(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
