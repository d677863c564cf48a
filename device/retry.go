package device

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/edgetether/tether/schema"
)

// The errors that end Run, for errors.Is.
var (
	// ErrGone: the server closed with 4410, the device is deleted or disabled.
	ErrGone = errors.New("device: deleted or disabled by the server")
	// ErrTries: as many tries in a row as Config.MaxTries did not end in a login.
	ErrTries = errors.New("device: no login")
)

// ending is all that is known of one connection that is over, or of one that
// never came to be.
type ending struct {
	loggedIn bool
	code     schema.CloseCode // 0: none was received
	reason   string           // the close frame's text, or what went wrong in our words
	refused  *schema.Error    // the server's answer to login, if an error
}

// retry decides what follows an ending (southbound sections 4 and 5). It has no
// clock and does not wait.
type retry struct {
	maxTries int // negative: unlimited
	rand     func() float64
	scaled   func(time.Duration) time.Duration // what is kept of the contract's times
	tries    int                               // in a row without a login
}

// verdict is what follows: stop with err (nil: all is well), or wait.
type verdict struct {
	stop        bool
	err         error
	wait        time.Duration
	forgetToken bool
}

// after judges an ending.
func (r *retry) after(e ending) verdict {
	switch e.code {
	case schema.CloseDone:
		return verdict{stop: true}
	case schema.CloseDeviceGone:
		return verdict{stop: true, err: ErrGone}
	}
	v := verdict{forgetToken: e.credentialRefused()}
	if e.loggedIn {
		r.tries = 0
	}
	if after, told := e.retryAfter(); told {
		v.wait = after
		return v
	}
	if !e.loggedIn {
		r.tries++
		if r.maxTries >= 0 && r.tries >= r.maxTries {
			return verdict{stop: true, err: fmt.Errorf("%w after %d tries, the last: %s", ErrTries, r.tries, e),
				forgetToken: v.forgetToken}
		}
	}
	v.wait = r.pause(e.code)
	return v
}

// pause is the wait for which the server named no time. 10 s are spread by 20 %
// to both sides, so that a fleet does not come back in one instant. The 60 s of
// an identity in conflict are a least.
func (r *retry) pause(code schema.CloseCode) time.Duration {
	if code == schema.ClosePolicy || code == schema.CloseTakeover {
		return r.scaled(schema.PolicyDelay)
	}
	return r.scaled(time.Duration(float64(schema.ReconnectDelay) * (0.8 + 0.4*r.rand())))
}

// credentialRefused: what was presented is good no more, by close code or by
// the answer to login.
func (e ending) credentialRefused() bool {
	return e.code == schema.CloseLoginFailed || e.refused != nil && e.refused.Kind == schema.LoginFailed
}

// A server may ask for any delay between these; the lower keeps a device
// that is refused for ever from spinning.
const (
	minRetryAfter = 100 * time.Millisecond
	maxRetryAfter = time.Hour
)

// retryAfter is the wait that the server named, in its close reason or in its
// answer to login.
func (e ending) retryAfter() (time.Duration, bool) {
	wait, told := parseRetryAfter(e.reason)
	if !told && e.refused != nil && e.refused.Kind == schema.Overloaded && e.refused.RetryAfter > 0 {
		wait, told = e.refused.RetryAfter, true
	}
	return min(max(wait, minRetryAfter), maxRetryAfter), told
}

// parseRetryAfter reads the close reason "retry_after_ms=N".
func parseRetryAfter(reason string) (time.Duration, bool) {
	text, found := strings.CutPrefix(reason, "retry_after_ms=")
	if !found {
		return 0, false
	}
	ms, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, false
	}
	return time.Duration(min(ms, uint64(maxRetryAfter.Milliseconds()))) * time.Millisecond, true
}

// String is the cause for people; no secret is in it.
func (e ending) String() string {
	switch {
	case e.refused != nil:
		return fmt.Sprintf("login refused: %s", e.refused.Message)
	case e.code != 0:
		return fmt.Sprintf("closed with %d %s", e.code, e.reason)
	}
	return e.reason
}
