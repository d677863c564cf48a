package conform

import (
	"strings"
	"testing"
)

// TestBrokenClients: a client that breaks one rule is told which.
func TestBrokenClients(t *testing.T) {
	for _, c := range []struct{ fault, scenario, rule string }{
		{"pings late", "cadence", "pings"},
		{"ignores the heartbeat of the login", "cadence", "reports"},
		{"reuses ids", "every-message", "ids"},
		{"ignores restart_confirm", "restart-confirmed", "at-once"},
		{"takes any confirm", "restart-unconfirmed", "other"},
		{"restarts twice", "restart-repeated", "not-again"},
		{"never uses its token", "login-token", "token"},
		{"presents the refused token", "login-refused", "password"},
		{"keeps its boot_id", "boot-id", "new"},
		{"ignores retry_after_ms", "login-limited", "short"},
		{"waits for its login for ever", "login-unanswered", "gives-up"},
		{"reports before its login", "every-message", "first-request"},
		{"reports late", "login-password", "report"},
		{"reports text", "every-message", "reports"},
		{"pings beside its reports", "cadence", "replaces"},
		{"waits before it pings again", "missed-once", "again"},
		{"never resets its count", "missed-once", "stays"},
		{"never gives up", "missed-thrice", "closes"},
		{"does not back off", "close-4409", "returns"},
		{"reconnects at once", "reset", "returns"},
		{"goes on after 1000", "close-1000", "stops"},
		{"stops after 1012", "close-1012", "long"},
		{"succeeds at what it does not know", "order-unknown", "fail"},
		{"does orders twice", "order-repeated", "once"},
		{"ignores the deadline", "order-expired", "fail"},
		{"does not correct its clock", "order-clock", "behind"},
		{"hands nothing in", "unsettled", "known"},
		{"fails device_update", "device-update", "told"},
		{"lies of an upload", "upload-log", "fail"},
		{"answers notifications", "unknown-method", "notification"},
		{"answers string ids with numbers", "unknown-method", "string-id"},
		{"dies of bad JSON", "malformed", "read-on"},
	} {
		t.Run(strings.ReplaceAll(c.fault, " ", "-"), func(t *testing.T) {
			t.Parallel()
			r := inBubble(t, func(o *Options, l *memory) {
				o.Launch = (&raw{dial: l.dial, fault: c.fault}).launch
				if c.scenario != "every-message" {
					o.Only = []string{c.scenario}
				} else {
					o.Only = []string{"cadence"}
				}
			})
			for _, s := range r.Results {
				for _, check := range s.Checks {
					if s.Name == c.scenario && check.Name == c.rule && check.Outcome == Failed {
						t.Logf("%s: %s\nexpected: %s\nseen: %s", check.Rule, check.Text, check.Want, check.Saw)
						return
					}
				}
			}
			t.Errorf("%s/%s did not fail:\n%s", c.scenario, c.rule, textOf(t, r))
		})
	}
}

// TestPlainClientConforms: the same client without a fault passes everywhere,
// but for what it does not do.
func TestPlainClientConforms(t *testing.T) {
	r := inBubble(t, func(o *Options, l *memory) { o.Launch = (&raw{dial: l.dial}).launch })
	if !r.Passed(true) {
		t.Errorf("%s", textOf(t, r))
	}
}
