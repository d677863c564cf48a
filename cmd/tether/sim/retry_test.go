package sim

import (
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
)

// TestAfter is southbound section 5, and section 4's wait.
func TestAfter(t *testing.T) {
	const least, most = 8 * time.Second, 12 * time.Second
	for _, c := range []struct {
		e           ending
		least, most time.Duration
		v           verdict
	}{
		{ending{code: schema.CloseDone}, 0, 0, verdict{stop: true}},
		{ending{code: schema.CloseDeviceGone}, 0, 0, verdict{stop: true}},
		{ending{code: schema.CloseProtocol}, least, most, verdict{}},
		{ending{code: schema.ClosePolicy}, schema.PolicyDelay, schema.PolicyDelay, verdict{}},
		{ending{code: schema.CloseInternal}, least, most, verdict{}},
		{ending{code: schema.CloseRestart, reason: "retry_after_ms=2500"}, 2500 * time.Millisecond, 2500 * time.Millisecond, verdict{}},
		{ending{code: schema.CloseRestart}, least, most, verdict{}},
		{ending{code: schema.CloseRestart, reason: "retry_after_ms=-1"}, least, most, verdict{}},
		{ending{code: schema.CloseRestart, reason: "retry_after_ms=99999999999999999"}, time.Hour, time.Hour, verdict{}},
		{ending{code: schema.CloseRestart, reason: "retry_after_ms=0"}, 100 * time.Millisecond, 100 * time.Millisecond, verdict{}},
		{ending{code: schema.CloseNoLogin}, least, most, verdict{}},
		{ending{code: schema.CloseLoginFailed}, least, most, verdict{forgetToken: true}},
		{ending{refused: schema.LoginFailed}, least, most, verdict{forgetToken: true}},
		{ending{refused: schema.Overloaded, retry: 7 * time.Second}, 7 * time.Second, 7 * time.Second, verdict{}},
		{ending{code: schema.CloseLiveness}, least, most, verdict{}},
		{ending{code: schema.CloseTakeover}, schema.PolicyDelay, schema.PolicyDelay, verdict{}},
		{ending{code: schema.CloseLoginLimited, reason: "retry_after_ms=300"}, 300 * time.Millisecond, 300 * time.Millisecond, verdict{}},
		{ending{reason: "lost"}, least, most, verdict{}},
	} {
		for part, wait := range map[float64]time.Duration{0: c.least, 1: c.most} {
			want := c.v
			want.wait = wait
			if got := c.e.after(part); got != want {
				t.Errorf("%+v: %+v, want %+v", c.e, got, want)
			}
		}
	}
}

// TestCause: what differs each time counts as one.
func TestCause(t *testing.T) {
	for text, want := range map[string]string{
		"read tcp 127.0.0.2:4711->127.0.0.1:9090: i/o timeout": "read tcp N->N: i/o timeout", "retry_after_ms=1234": "retry_after_ms=N",
	} {
		if got := cause(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
	if got := (ending{code: 4408, reason: "liveness"}).cause(); got != "4408 liveness" {
		t.Error(got)
	}
	if got := (ending{code: 1012, reason: "retry_after_ms=7"}).cause(); got != "1012 retry_after_ms=N" {
		t.Error(got)
	}
}
