package conform

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/edgetether/tether/schema"
)

// bench is a scenario at work: the kit, and the outcomes of its rules.
type bench struct {
	*kit
	outcomes []Check
}

func newOutcomes(rules []rule) []Check {
	checks := make([]Check, len(rules))
	for i, r := range rules {
		checks[i] = Check{Name: r.key, Rule: r.section, Text: r.text, Outcome: NotExercised, Saw: "the scenario did not come to it"}
	}
	return checks
}

// perform runs a scenario. What could not go on is a failure of the rule that
// it broke, or else of the first that was still to be looked at.
func (b *bench) perform(s Scenario) Result {
	began := time.Now()
	err := s.run(b)
	var left *unexercised
	switch {
	case err == nil:
	case errors.As(err, &left):
		b.skipRest(left.why)
	case b.ctx.Err() != nil:
		b.skipRest("the run was interrupted")
	default:
		b.failNext(err)
	}
	return Result{Name: s.Name, Title: s.Title, Took: time.Since(began), Checks: b.outcomes}
}

// unexercised ends a scenario without blame.
type unexercised struct{ why string }

// Error is why.
func (u *unexercised) Error() string { return u.why }

// broken ends a scenario: something that it needs did not happen.
type broken struct{ want, saw string }

// Error has both.
func (b *broken) Error() string { return "expected " + b.want + ", seen: " + b.saw }

func (b *bench) skipRest(why string) {
	for i := range b.outcomes {
		if b.outcomes[i].Outcome == NotExercised {
			b.outcomes[i].Saw = why
		}
	}
}

func (b *bench) failNext(err error) {
	want, saw := "the scenario goes on", err.Error()
	var cause *broken
	if errors.As(err, &cause) {
		want, saw = cause.want, cause.saw
	}
	for i := range b.outcomes {
		if c := &b.outcomes[i]; c.Outcome == NotExercised {
			c.Outcome, c.Want, c.Saw = Failed, want, saw
			b.skipRest("the scenario ended before")
			return
		}
	}
	last := &b.outcomes[len(b.outcomes)-1]
	last.Outcome, last.Want, last.Saw = Failed, want, saw
}

// check is the outcome of a rule. A rule that is looked at several times has
// failed when it failed once.
func (b *bench) check(key string, ok bool, want, saw string, args ...any) {
	for i := range b.outcomes {
		c := &b.outcomes[i]
		if c.Name != key || c.Outcome == Failed {
			continue
		}
		if ok {
			c.Outcome, c.Saw = Passed, ""
		} else {
			c.Outcome, c.Want, c.Saw = Failed, want, fmt.Sprintf(saw, args...)
		}
	}
}

// skip says why a rule was not looked at.
func (b *bench) skip(key, why string) {
	for i := range b.outcomes {
		if c := &b.outcomes[i]; c.Name == key && c.Outcome == NotExercised {
			c.Saw = why
		}
	}
}

// took checks that something took between least and most, with the slack.
func (b *bench) took(key string, d, least, most time.Duration) {
	lo, hi := b.o.Slack.early(least), b.o.Slack.late(most)
	b.check(key, d >= lo && d <= hi, span(lo, hi), "after %v", round(d))
}

// span shows a window of time.
func span(least, most time.Duration) string {
	if least == 0 {
		return fmt.Sprintf("within %v", round(most))
	}
	return fmt.Sprintf("after %v to %v", round(least), round(most))
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

func join(faults []string) string { return strings.Join(faults, "; ") }

// window is when a client has to be back.
type window struct{ least, most time.Duration }

// reconnect is 10 s with 20 % to both sides.
func (b *bench) reconnect() window {
	d := b.o.scaled(schema.ReconnectDelay)
	return window{d * 8 / 10, d * 12 / 10}
}

// backOff is 60 s at least; that it ends is checked too.
func (b *bench) backOff() window {
	d := b.o.scaled(schema.PolicyDelay)
	return window{d, d * 12 / 10}
}

// after is a time that a message told: it is not the client's to scale.
func after(d time.Duration) window { return window{d, d} }

// lag is how long something "at once" may take.
func (b *bench) lag() time.Duration { return b.o.Slack.late(0) }

// edge is a little time, so that what is due at the end of a wait is in it.
const edge = time.Millisecond
