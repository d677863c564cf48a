package conform

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Outcome is what became of a check.
type Outcome string

// The outcomes.
const (
	Passed       Outcome = "passed"
	Failed       Outcome = "failed"
	NotExercised Outcome = "not exercised"
)

// Check is one rule of the contract, held against what was seen.
type Check struct {
	Name    string  `json:"name"`
	Rule    string  `json:"rule"` // where the contract has it: "southbound 4"
	Text    string  `json:"text"` // what it says
	Outcome Outcome `json:"outcome"`
	Want    string  `json:"want,omitempty"`
	Saw     string  `json:"saw,omitempty"` // or why it was not exercised
}

// Result is one scenario with its checks.
type Result struct {
	Name   string        `json:"name"`
	Title  string        `json:"title"`
	Took   time.Duration `json:"took_ns"`
	Checks []Check       `json:"checks"`
}

// Report is what a run found.
type Report struct {
	Of        string    `json:"of"` // what was tested
	Tolerance string    `json:"tolerance"`
	Results   []Result  `json:"scenarios"`
	Started   time.Time `json:"started"`
}

// Count says how many checks ended so.
func (r *Report) Count(o Outcome) (n int) {
	for _, s := range r.Results {
		n += s.count(o)
	}
	return n
}

func (s Result) count(o Outcome) (n int) {
	for _, c := range s.Checks {
		if c.Outcome == o {
			n++
		}
	}
	return n
}

// outcome of a scenario is its worst check's.
func (s Result) outcome() Outcome {
	switch {
	case s.count(Failed) > 0:
		return Failed
	case s.count(Passed) > 0:
		return Passed
	}
	return NotExercised
}

// Passed says whether all is well; strict wants every check exercised too.
func (r *Report) Passed(strict bool) bool {
	return r.Count(Failed) == 0 && r.Count(Passed) > 0 && (!strict || r.Count(NotExercised) == 0)
}

// palette are the colours of a terminal, or nothing.
type palette map[Outcome]string

var colours = palette{Passed: "\x1b[32m", Failed: "\x1b[31m", NotExercised: "\x1b[33m"}

func (p palette) paint(o Outcome, text string) string {
	if p == nil {
		return text
	}
	return p[o] + text + "\x1b[0m"
}

// WriteText prints a table for people: a line for each scenario, and below it
// what did not pass.
func (r *Report) WriteText(w io.Writer, coloured bool) error {
	var p palette
	if coloured {
		p = colours
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Conformance of %s\n%s\n\n", r.Of, r.Tolerance)
	for _, s := range r.Results {
		p.scenario(&b, s)
	}
	verdict := Passed
	if !r.Passed(false) {
		verdict = Failed
	}
	fmt.Fprintf(&b, "\n%s: %d scenarios, %d checks: %d passed, %d failed, %d not exercised\n", p.paint(verdict, string(verdict)),
		len(r.Results), r.Count(Passed)+r.Count(Failed)+r.Count(NotExercised), r.Count(Passed), r.Count(Failed), r.Count(NotExercised))
	_, err := io.WriteString(w, b.String())
	return err
}

func (p palette) scenario(b *strings.Builder, s Result) {
	o := s.outcome()
	fmt.Fprintf(b, "%s  %-20s %2d/%-2d %8s  %s\n", p.paint(o, fmt.Sprintf("%-13s", o)), s.Name,
		s.count(Passed), len(s.Checks), s.Took.Round(10*time.Millisecond), s.Title)
	for _, c := range s.Checks {
		switch c.Outcome {
		case Passed:
		case Failed:
			fmt.Fprintf(b, "    %s  %s: %s\n", p.paint(Failed, "failed"), c.Rule, c.Text)
			if c.Want != "" {
				fmt.Fprintf(b, "            expected: %s\n", c.Want)
			}
			fmt.Fprintf(b, "            seen:     %s\n", c.Saw)
		case NotExercised:
			fmt.Fprintf(b, "    %s  %s: %s\n            because:  %s\n", p.paint(NotExercised, "not exercised"), c.Rule, c.Text, c.Saw)
		}
	}
}
