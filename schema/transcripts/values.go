package transcripts

import (
	"fmt"
	"regexp"
	"strings"
)

var placeholder = regexp.MustCompile(`<(\.\.\.|[a-z][a-z0-9_]*)>`)

// Values are what the placeholders of a transcript stand for in one replay.
type Values map[string]string

// Fill puts the values into text, for what is sent. A placeholder that has
// none is an error.
func (v Values) Fill(text string) (string, error) {
	var unknown error
	filled := placeholder.ReplaceAllStringFunc(text, func(p string) string {
		value, ok := v[p[1:len(p)-1]]
		if !ok {
			unknown = fmt.Errorf("%s has no value yet", p)
		}
		return value
	})
	return filled, unknown
}

// Match compares got with want, letter by letter but for the placeholders, and
// remembers the values of those.
func (v Values) Match(want, got string) error {
	form, names := v.pattern(want)
	m := form.FindStringSubmatch(got)
	if m == nil {
		return fmt.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for i, name := range names {
		if value, ok := v[name]; ok && value != m[i+1] {
			return fmt.Errorf("<%s> is both %s and %s in\n%s", name, value, m[i+1], got)
		}
		v[name] = m[i+1]
	}
	return nil
}

// pattern is what want looks like; names are those of its groups.
func (v Values) pattern(want string) (form *regexp.Regexp, names []string) {
	var b strings.Builder
	last := 0
	for _, at := range placeholder.FindAllStringSubmatchIndex(want, -1) {
		b.WriteString(regexp.QuoteMeta(want[last:at[0]]))
		last = at[1]
		switch name := want[at[2]:at[3]]; {
		case name == "...":
			b.WriteString(`.*`)
		case name == "ms":
			b.WriteString(`[0-9]+`)
		case v[name] != "":
			b.WriteString(regexp.QuoteMeta(v[name]))
		default:
			b.WriteString(`(` + formOf(name) + `)`)
			names = append(names, name)
		}
	}
	b.WriteString(regexp.QuoteMeta(want[last:]))
	return regexp.MustCompile(`(?s)^` + b.String() + `$`), names
}

// formOf is what a placeholder stands for where it is first met.
func formOf(name string) string {
	switch {
	case strings.HasPrefix(name, "token"):
		return `tt_[A-Za-z0-9_-]{32}`
	case strings.HasPrefix(name, "password"):
		return `tp_[A-Za-z0-9_-]{32}`
	}
	return `[0-9]+`
}
