package sim

import (
	"strconv"
	"strings"
	"time"

	"github.com/edgetether/tether/schema"
)

// ending is how a connection, or an attempt at one, came to its end.
type ending struct {
	loggedIn bool
	code     schema.CloseCode // the server's; 0: it said none
	reason   string           // the close frame's, or ours
	refused  schema.Kind      // how the login was answered, if by an error
	retry    time.Duration    // that error's retry_after_ms
}

// verdict is what follows.
type verdict struct {
	stop        bool
	wait        time.Duration
	forgetToken bool
}

// after judges an ending (southbound sections 4 and 5). A simulated device tries
// without end; part is a random part of the spread, from 0 to 1.
func (e ending) after(part float64) verdict {
	if e.code == schema.CloseDone || e.code == schema.CloseDeviceGone {
		return verdict{stop: true}
	}
	v := verdict{forgetToken: e.code == schema.CloseLoginFailed || e.refused == schema.LoginFailed}
	told, ok := retryAfter(e.reason)
	switch {
	case ok:
		v.wait = told
	case e.refused == schema.Overloaded && e.retry > 0:
		v.wait = e.retry
	case e.code == schema.ClosePolicy || e.code == schema.CloseTakeover:
		return verdict{wait: schema.PolicyDelay}
	default:
		v.wait = time.Duration(float64(schema.ReconnectDelay) * (0.8 + 0.4*part))
	}
	v.wait = min(max(v.wait, 100*time.Millisecond), time.Hour)
	return v
}

// retryAfter reads the close reason "retry_after_ms=N".
func retryAfter(reason string) (time.Duration, bool) {
	text, found := strings.CutPrefix(reason, "retry_after_ms=")
	if !found {
		return 0, false
	}
	ms, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, false
	}
	return time.Duration(min(ms, uint64(time.Hour/time.Millisecond))) * time.Millisecond, true
}
