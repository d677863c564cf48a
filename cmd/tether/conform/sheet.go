package conform

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// scenario is one thing that the other side is walked through, on a bench or a
// probe.
type scenario[B any] struct {
	name, title string
	rules       []rule
	run         func(B) error // an error: it could not go on, and why
}

// rule is something that the contract says, and where.
type rule struct{ key, section, text string }

// sheet has the outcomes of a scenario's rules.
type sheet struct{ outcomes []Check }

func newSheet(rules []rule) *sheet {
	b := &sheet{outcomes: make([]Check, len(rules))}
	for i, r := range rules {
		b.outcomes[i] = Check{Name: r.key, Rule: r.section, Text: r.text, Outcome: NotExercised, Saw: "the scenario did not come to it"}
	}
	return b
}

// perform runs a scenario. What could not go on is a failure of the rule that
// it broke, or else of the first that was still to be looked at.
func perform[B any](ctx context.Context, s scenario[B], on B, b *sheet) Result {
	began := time.Now()
	err := s.run(on)
	var left *unexercised
	switch {
	case err == nil:
	case errors.As(err, &left):
		b.skipRest(left.why)
	case ctx.Err() != nil:
		b.skipRest("the run was interrupted")
	default:
		b.failNext(err)
	}
	return Result{Name: s.name, Title: s.title, Took: time.Since(began), Checks: b.outcomes}
}

// unexercised ends a scenario without blame.
type unexercised struct{ why string }

// Error is why.
func (u *unexercised) Error() string { return u.why }

// broken ends a scenario: something that it needs did not happen.
type broken struct{ want, saw string }

// Error has both.
func (b *broken) Error() string { return "expected " + b.want + ", seen: " + b.saw }

func (b *sheet) skipRest(why string) {
	for i := range b.outcomes {
		if b.outcomes[i].Outcome == NotExercised {
			b.outcomes[i].Saw = why
		}
	}
}

func (b *sheet) failNext(err error) {
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
func (b *sheet) check(key string, ok bool, want, saw string, args ...any) {
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
func (b *sheet) skip(key, why string) {
	for i := range b.outcomes {
		if c := &b.outcomes[i]; c.Name == key && c.Outcome == NotExercised {
			c.Saw = why
		}
	}
}
