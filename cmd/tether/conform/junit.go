package conform

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"time"
)

// WriteJSON writes the report for programs.
func (r *Report) WriteJSON(w io.Writer) error {
	all := struct {
		*Report
		Passed       int `json:"passed"`
		Failed       int `json:"failed"`
		NotExercised int `json:"not_exercised"`
	}{r, r.Count(Passed), r.Count(Failed), r.Count(NotExercised)}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(all)
}

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitMessage `xml:"failure"`
	Skipped *junitMessage `xml:"skipped"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes the report for what shows results of tests: a suite for
// each scenario, a case for each check.
func (r *Report) WriteJUnit(w io.Writer) error {
	all := junitSuites{
		Name: "conformance of " + r.Of, Tests: r.Count(Passed) + r.Count(Failed) + r.Count(NotExercised),
		Failures: r.Count(Failed), Skipped: r.Count(NotExercised),
	}
	for _, s := range r.Results {
		all.Suites = append(all.Suites, s.junit())
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s Result) junit() junitSuite {
	suite := junitSuite{
		Name: s.Name, Tests: len(s.Checks), Failures: s.count(Failed), Skipped: s.count(NotExercised),
		Time: fmt.Sprintf("%.3f", float64(s.Took)/float64(time.Second)),
	}
	for _, c := range s.Checks {
		one := junitCase{Class: s.Name, Name: c.Name}
		switch c.Outcome {
		case Passed:
		case Failed:
			one.Failure = &junitMessage{c.Rule + ": " + c.Text, "expected: " + c.Want + "\nseen: " + c.Saw}
		case NotExercised:
			one.Skipped = &junitMessage{Message: c.Saw}
		}
		suite.Cases = append(suite.Cases, one)
	}
	return suite
}
