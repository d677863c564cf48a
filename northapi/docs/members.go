package docs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// shape is a JSON Schema, as far as the documents use it.
type shape struct {
	Ref           string `json:"$ref"`
	Type          string
	Description   string
	Const         json.RawMessage
	Enum          []json.RawMessage
	OneOf         []shape
	Required      []string
	Properties    properties
	Items         *shape
	Pattern       string
	MinLength     int
	MaxLength     int
	MaxItems      int
	Minimum       *json.Number
	Maximum       *json.Number
	MinBytes      int `json:"x-min-bytes"`
	MaxBytes      int `json:"x-max-bytes"`
	Default       json.RawMessage
	MaxProperties *int // 0: an empty object
}

// properties keep the order in which they stand in the document.
type properties []property

type property struct {
	name  string
	shape shape
}

// UnmarshalJSON reads the object member by member.
func (p *properties) UnmarshalJSON(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	if _, err := dec.Token(); err != nil {
		return err
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		one := property{name: fmt.Sprint(name)}
		if err := dec.Decode(&one.shape); err != nil {
			return err
		}
		*p = append(*p, one)
	}
	return nil
}

// member is a row of a table of members.
type member struct {
	Name, Type, About string
	Required          bool
}

// resolve follows a reference: to a component, or to a property of one. What
// is said of it where it is used goes before what is said of the component.
func (c contract) resolve(s shape) shape {
	for s.Ref != "" {
		found := c.find(strings.Split(strings.TrimPrefix(s.Ref, "#/components/schemas/"), "/"))
		if s.Description != "" {
			found.Description = s.Description
		}
		s = found
	}
	return s
}

// find returns a component, or one of its properties; the tests of package
// schema see to it that every reference finds something.
func (c contract) find(path []string) shape {
	s := c.Components.Schemas[path[0]]
	if s == nil {
		return shape{}
	}
	if len(path) < 3 {
		return *s
	}
	for _, p := range s.Properties {
		if p.name == path[2] {
			return p.shape
		}
	}
	return shape{}
}

// members are the row of a member, and below it those of its own members.
func (c contract) members(name string, required bool, s shape) []member {
	s = c.resolve(s)
	about := s.Description
	nullable := ""
	if len(s.OneOf) == 2 && s.OneOf[1].Type == "null" { // something, or null
		s, nullable = c.resolve(s.OneOf[0]), " or null"
	}
	row := member{Name: name, Type: s.kind() + nullable, Required: required, About: sentence(about, s.limits())}
	if s.Items == nil {
		return append([]member{row}, c.membersOf(name+".", s)...)
	}
	item := c.resolve(*s.Items)
	row.Type = "array of " + item.kind()
	return append([]member{row}, c.membersOf(name+"[].", item)...)
}

func (c contract) membersOf(prefix string, s shape) []member {
	var all []member
	for _, p := range s.Properties {
		required := false
		for _, r := range s.Required {
			required = required || r == p.name
		}
		all = append(all, c.members(prefix+p.name, required, p.shape)...)
	}
	return all
}

// kind is a type in a word or two.
func (s shape) kind() string {
	switch {
	case s.Const != nil:
		return string(s.Const)
	case s.Enum != nil:
		return string(bytes.Join(asBytes(s.Enum), []byte(" or ")))
	}
	return s.Type
}

func asBytes(texts []json.RawMessage) [][]byte {
	all := make([][]byte, len(texts))
	for i, t := range texts {
		all[i] = t
	}
	return all
}

// limits says in words what a value must keep to, and what stands for none.
func (s shape) limits() string {
	var all []string
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	switch {
	case s.MaxBytes > 0: // says more than characters do
	case s.MinLength > 1 && s.MaxLength > 0:
		say("%d to %d characters", s.MinLength, s.MaxLength)
	case s.MaxLength > 0:
		say("at most %d characters", s.MaxLength)
	}
	if s.MaxItems > 0 {
		say("at most %d", s.MaxItems)
	}
	switch {
	case s.MinBytes > 0:
		say("%d to %d bytes", s.MinBytes, s.MaxBytes)
	case s.MaxBytes > 0:
		say("at most %d bytes", s.MaxBytes)
	}
	if s.Minimum != nil {
		say("from %s", *s.Minimum)
	}
	if s.Maximum != nil {
		say("to %s", *s.Maximum)
	}
	if s.Pattern != "" && s.Description == "" { // otherwise it is said in words
		say("`%s`", s.Pattern)
	}
	if s.Default != nil {
		say("left out: `%s`", s.Default)
	}
	return strings.Join(all, ", ")
}

// sentence puts the limits behind what is said.
func sentence(about, limits string) string {
	switch {
	case limits == "":
		return about
	case about == "":
		return strings.ToUpper(limits[:1]) + limits[1:] + "."
	}
	return about + " (" + limits + ")"
}
