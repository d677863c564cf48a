package sim

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/edgetether/tether/schema"
)

// member is a device of the fleet, on the library or lean.
type member interface {
	common() *unit
	start(at moment) // connects then, and stays connected
	restart()        // leaves in good order and comes back at once, as a new process
	stop()           // leaves in good order, for good
}

// unit is what all members have: an account, a line, and a part in the figures.
// A member tells it what becomes of its connections, one after the other.
type unit struct {
	fleet   *fleet
	account *Account // the member's own, once it has started
	id      string   // device_id, as it was registered
	index   int

	line   atomic.Pointer[line] // the newest
	since  atomic.Int64         // moment of the login; 0: it is not online
	hurtAt atomic.Int64         // moment of the last fault on purpose; 0: none
	began  moment               // of the present attempt
	lostAt moment               // of the last connection; 0: there was none
	seen   bool                 // it has logged in before
}

func (u *unit) common() *unit { return u }

// dial makes the line of a new attempt.
func (u *unit) dial(ctx context.Context, network, address string) (net.Conn, error) {
	s := &u.fleet.stats
	now := u.fleet.clock.now()
	u.began = now
	u.line.Store(nil)
	s.attempts.Add(1)
	s.first.CompareAndSwap(0, int64(now))
	l, err := u.fleet.network.connect(ctx, network, address, u.index)
	if err != nil {
		return nil, err // not a *line that is nil
	}
	u.line.Store(l)
	return l, nil
}

// loggedIn counts a login.
func (u *unit) loggedIn(form string) {
	s, now := &u.fleet.stats, u.fleet.clock.now()
	s.logins.add(form)
	s.login.Add(now.since(u.began))
	if u.lostAt != 0 {
		s.back.Add(now.since(u.lostAt))
	}
	if !u.seen {
		u.seen = true
		s.last.Store(int64(now))
		u.fleet.arrive()
	}
	u.since.Store(int64(now))
	s.online.Add(1)
}

// form is what a login presents.
func (u *unit) form(token bool) string {
	switch {
	case token:
		return "token"
	case strings.HasPrefix(u.account.Password, schema.PasswordPrefix):
		return "password"
	}
	return "bcrypt"
}

// over counts the end of a connection, or of an attempt at one.
func (u *unit) over(e ending) {
	s := &u.fleet.stats
	f := sound
	if l := u.line.Load(); l != nil {
		f = l.is()
	}
	if !e.loggedIn {
		if f == sound {
			s.failures.add(e.cause())
		}
		return
	}
	u.lostAt = u.fleet.clock.now()
	u.since.Store(0)
	s.online.Add(-1)
	switch f {
	case ended:
	case sound:
		s.lost.add(e.cause())
	default:
		s.hurt.Add(1)
	}
}

// hurt does something to the present line; false: there is none that is sound.
func (u *unit) hurt(f fault) bool {
	l := u.line.Load()
	if l == nil || !u.onlineFor(0) {
		return false
	}
	u.hurtAt.Store(int64(u.fleet.clock.now()))
	return l.hurt(f)
}

// onlineFor says whether it has been logged in for so long.
func (u *unit) onlineFor(d time.Duration) bool {
	at := moment(u.since.Load())
	return at != 0 && u.fleet.clock.now().since(at) >= d
}

// behaves says that no fault is the cause of what the server sees of it now.
func (u *unit) behaves() bool {
	at := moment(u.hurtAt.Load())
	return at == 0 || u.fleet.clock.now().since(at) > buriedFor
}

// cause is why a connection ended: the close code as it is, and a text without
// the numbers that are others each time.
func (e ending) cause() string {
	if e.code == 0 {
		return cause(e.reason)
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", e.code, cause(e.reason)))
}
