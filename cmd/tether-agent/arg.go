package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

const defaultMax = 256 // bytes of a string

// arg is one typed value that an order carries.
type arg struct {
	Type    argType  `yaml:"type"`
	Min     *int64   `yaml:"min"`     // int; default 0, so that no value begins with a dash unawares
	Max     *int64   `yaml:"max"`     // int; string: bytes, default 256
	Pattern string   `yaml:"pattern"` // string: what the whole of it must match
	Values  []string `yaml:"values"`  // enum
	Default any      `yaml:"default"` // nil: the order must carry a value

	match    *regexp.Regexp
	fallback string // Default, as it will stand in the command
}

type argType string

const (
	argInt    argType = "int"
	argString argType = "string"
	argBool   argType = "bool"
	argEnum   argType = "enum"
)

// settings are the keys that a type knows, besides type and default.
var settings = map[argType][]string{
	argInt:    {"min", "max"},
	argString: {"max", "pattern"},
	argBool:   {},
	argEnum:   {"values"},
}

// check prepares the argument, or says what is wrong with its declaration.
func (a *arg) check(name string) error {
	if !argName.MatchString(name) {
		return errors.New("the name must be of small letters, digits and _, and begin with a letter")
	}
	if a == nil {
		return errors.New("type: required")
	}
	known, ok := settings[a.Type]
	if !ok {
		return errors.New("type: must be int, string, bool or enum")
	}
	for setting, given := range map[string]bool{
		"min": a.Min != nil, "max": a.Max != nil, "pattern": a.Pattern != "", "values": a.Values != nil,
	} {
		if given && !slices.Contains(known, setting) {
			return fmt.Errorf("%s: means nothing for type %s", setting, a.Type)
		}
	}
	if err := a.checkBounds(); err != nil {
		return err
	}
	return a.checkDefault()
}

func (a *arg) checkBounds() (err error) {
	switch {
	case a.Type == argInt && a.Max != nil && a.least() > *a.Max:
		return errors.New("max: must not be less than min (default 0)")
	case a.Type == argString && a.Max != nil && *a.Max < 1:
		return errors.New("max: must be at least 1")
	case a.Type == argEnum && len(a.Values) == 0:
		return errors.New("values: required")
	}
	for _, v := range a.Values {
		if strings.ContainsRune(v, 0) {
			return errors.New("values: must not hold a NUL")
		}
	}
	if a.Pattern == "" {
		return nil
	}
	if a.match, err = regexp.Compile(`\A(?:` + a.Pattern + `)\z`); err != nil {
		return fmt.Errorf("pattern: %w", err)
	}
	return nil
}

func (a *arg) checkDefault() error {
	if a.Default == nil {
		return nil
	}
	raw, err := json.Marshal(a.Default)
	if err == nil {
		a.fallback, err = a.text(raw)
	}
	if err != nil {
		return fmt.Errorf("default: %w", err)
	}
	return nil
}

func (a *arg) least() int64 {
	if a.Min == nil {
		return 0
	}
	return *a.Min
}

// text turns a value of an order into the text that stands in the command, or
// says why it must not. The error never repeats the value.
func (a *arg) text(raw json.RawMessage) (string, error) {
	switch a.Type {
	case argInt:
		return a.intText(raw)
	case argBool:
		if s := string(raw); s == "true" || s == "false" {
			return s, nil
		}
		return "", errors.New("must be true or false")
	}
	var s *string
	if json.Unmarshal(raw, &s) != nil || s == nil {
		return "", errors.New("must be a string")
	}
	if a.Type == argEnum {
		if !slices.Contains(a.Values, *s) {
			return "", fmt.Errorf("must be one of %s", strings.Join(a.Values, ", "))
		}
		return *s, nil
	}
	return *s, a.checkString(*s)
}

func (a *arg) intText(raw json.RawMessage) (string, error) {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		return "", errors.New("must be a whole number")
	}
	if n < a.least() || a.Max != nil && n > *a.Max {
		if a.Max == nil {
			return "", fmt.Errorf("must be at least %d", a.least())
		}
		return "", fmt.Errorf("must be from %d to %d", a.least(), *a.Max)
	}
	return strconv.FormatInt(n, 10), nil
}

// checkString is strict where there is no pattern: no control characters, and
// no dash in front, which programs take for an option.
func (a *arg) checkString(s string) error {
	limit := int64(defaultMax)
	if a.Max != nil {
		limit = *a.Max
	}
	switch {
	case int64(len(s)) > limit:
		return fmt.Errorf("must be at most %d bytes", limit)
	case strings.ContainsRune(s, 0):
		return errors.New("must not hold a NUL")
	case a.match != nil && !a.match.MatchString(s):
		return errors.New("must match the configured pattern")
	case a.match == nil && strings.HasPrefix(s, "-"):
		return errors.New("must not begin with a dash")
	case a.match == nil && strings.ContainsFunc(s, unicode.IsControl):
		return errors.New("must not hold control characters")
	}
	return nil
}

// String describes the argument for people.
func (a *arg) String() string {
	var b strings.Builder
	b.WriteString(string(a.Type))
	switch a.Type {
	case argInt:
		fmt.Fprintf(&b, " from %d", a.least())
		if a.Max != nil {
			fmt.Fprintf(&b, " to %d", *a.Max)
		}
	case argEnum:
		fmt.Fprintf(&b, " of %s", strings.Join(a.Values, ", "))
	case argString:
		if a.Pattern != "" {
			fmt.Fprintf(&b, " matching %s", a.Pattern)
		}
	}
	if a.Default != nil {
		fmt.Fprintf(&b, ", %q if left out", a.fallback)
	}
	return b.String()
}
