package device

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
)

func TestRetryByCloseCode(t *testing.T) {
	overloaded := &schema.Error{Kind: schema.Overloaded, RetryAfter: 1234 * time.Millisecond}
	tests := []struct {
		name string
		end  ending
		want verdict
	}{
		{"done", ending{loggedIn: true, code: 1000}, verdict{stop: true}},
		{"protocol", ending{loggedIn: true, code: 1002}, verdict{wait: 10 * time.Second}},
		{"policy", ending{loggedIn: true, code: 1008}, verdict{wait: time.Minute}},
		{"internal", ending{loggedIn: true, code: 1011}, verdict{wait: 10 * time.Second}},
		{"restart", ending{loggedIn: true, code: 1012, reason: "retry_after_ms=2345"}, verdict{wait: 2345 * time.Millisecond}},
		{"restart, nothing said", ending{loggedIn: true, code: 1012}, verdict{wait: 10 * time.Second}},
		{"no login", ending{code: 4400}, verdict{wait: 10 * time.Second}},
		{"refused", ending{code: 4401}, verdict{wait: 10 * time.Second, forgetToken: true}},
		{"password changed", ending{loggedIn: true, code: 4401}, verdict{wait: 10 * time.Second, forgetToken: true}},
		{"refused, no close frame", ending{refused: schema.ErrLoginFailed}, verdict{wait: 10 * time.Second, forgetToken: true}},
		{"liveness", ending{loggedIn: true, code: 4408}, verdict{wait: 10 * time.Second}},
		{"takeover", ending{loggedIn: true, code: 4409}, verdict{wait: time.Minute}},
		{"gone", ending{loggedIn: true, code: 4410}, verdict{stop: true, err: ErrGone}},
		{"limited", ending{code: 4429, reason: "retry_after_ms=500"}, verdict{wait: 500 * time.Millisecond}},
		{"overloaded", ending{refused: overloaded}, verdict{wait: 1234 * time.Millisecond}},
		{"never at once", ending{code: 4429, reason: "retry_after_ms=0"}, verdict{wait: minRetryAfter}},
		{"never for ever", ending{code: 4429, reason: "retry_after_ms=9000000000000000000"}, verdict{wait: time.Hour}},
		{"not dialled", ending{reason: "connect: refused"}, verdict{wait: 10 * time.Second}},
	}
	for _, test := range tests {
		r := retry{maxTries: 5, rand: func() float64 { return 0.5 }, scaled: unscaled}
		if got := r.after(test.end); got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
}

func TestRetryJitter(t *testing.T) {
	for random, want := range map[float64]time.Duration{0: 8 * time.Second, 0.5: 10 * time.Second, 1: 12 * time.Second} {
		r := retry{maxTries: 5, rand: func() float64 { return random }, scaled: unscaled}
		if got := r.after(ending{}).wait; got != want {
			t.Errorf("rand %v: wait %v, want %v", random, got, want)
		}
	}
}

func TestRetryGivesUp(t *testing.T) {
	r := retry{maxTries: 5, rand: func() float64 { return 0.5 }, scaled: unscaled}
	for range 4 {
		if v := r.after(ending{}); v.stop {
			t.Fatal("stopped before the fifth try")
		}
		if v := r.after(ending{code: 4429, reason: "retry_after_ms=10"}); v.stop {
			t.Fatal("a refusal with retry_after_ms counted")
		}
	}
	v := r.after(ending{refused: schema.ErrLoginFailed})
	if !v.stop || !errors.Is(v.err, ErrTries) || !strings.Contains(v.err.Error(), "5 tries") {
		t.Fatalf("after the fifth try: %+v", v)
	}
	r.tries = 4
	if v := r.after(ending{loggedIn: true}); v.stop || r.tries != 0 {
		t.Fatalf("a login did not reset the count: %+v, %d", v, r.tries)
	}
}

func TestRetryUnlimited(t *testing.T) {
	r := retry{maxTries: -1, rand: func() float64 { return 0.5 }, scaled: unscaled}
	for range 1000 {
		if r.after(ending{}).stop {
			t.Fatal("gave up")
		}
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "retry_after_ms=", "retry_after_ms=1500", "retry_after_ms=-1", "retry_after_ms=1e3", "retry_after_ms=99999999999999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, reason string) {
		wait, told := parseRetryAfter(reason)
		if wait < 0 || wait > maxRetryAfter || !told && wait != 0 {
			t.Errorf("%q: %v %v", reason, wait, told)
		}
	})
}

func unscaled(d time.Duration) time.Duration { return d }
