package northapi_test

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// fault is a value that a schema refuses, and the member that is wrong in it:
// a path from the value, as messages write it.
type fault struct {
	value any
	at    string
	why   string
}

// things that are there, by the member that names them.
var known = map[string]any{
	"device_id": ownDevice, "group_id": ownGroup, "order_id": ownOrder, "key_id": revokedKey, "job_id": ownJob, "group_ids": []any{spareGroup},
}

// samples are texts that a pattern takes, and others that it does not. A new
// pattern needs its row.
var samples = map[string]struct{ good, bad []string }{
	`^[0-9]{1,20}$`:                           {[]string{"1", "00000000000000000001"}, []string{"", "x", "-1", "1.0", " 1", "000000000000000000001"}},
	`^\P{Cc}*$`:                               {[]string{"x", "größer <b>", "0"}, []string{"a\nb", "\u0000", "\u0085"}},
	`^[!-~]([ -~]*[!-~])?$`:                   {[]string{"A", "SN 1~"}, []string{"", " A", "A ", "é", "A\t"}},
	`^[A-Za-z][A-Za-z0-9_.-]{0,63}$`:          {[]string{"blink", "restart", "a" + strings.Repeat("1", 63)}, []string{"", "1a", "a b", "a" + strings.Repeat("1", 64)}},
	`^([0-9]{4}-[0-9]{2}-[0-9]{2})?$`:         {[]string{"", "2026-10-02"}, []string{"2026-1-2", "yesterday"}},
	`^([0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5})?$`: {[]string{"", "02:00:00:00:00:aF"}, []string{"02:00:00:00:00", "02-00-00-00-00-01"}},
	`^([0-9]{1,3}(\.[0-9]{1,3}){3})?$`:        {[]string{"", "10.0.0.7"}, []string{"10.0.0", "::1", "10.0.0.7 "}},
	`^([0-9]{15})?$`:                          {[]string{"", "490154203237518"}, []string{"49015420323751", "49015420323751x"}},
}

// goods are values that a schema takes: the smallest, the largest, and every
// word where there are few.
func goods(s *openapi3.Schema) []any {
	switch {
	case len(s.OneOf) == 2:
		return append(goods(s.OneOf[0].Value), nil)
	case s.Enum != nil:
		return s.Enum
	case s.Type.Is("boolean"):
		return []any{true, false}
	case s.Type.Is("integer"):
		return slices.DeleteFunc([]any{number(s.Min), number(s.Max)}, func(v any) bool { return v == nil })
	case s.Type.Is("array"):
		return goodArrays(s)
	case s.Type.Is("object"):
		return goodObjects(s)
	}
	return goodTexts(s)
}

func number(p *float64) any {
	if p == nil {
		return nil
	}
	return int64(*p)
}

func goodTexts(s *openapi3.Schema) []any {
	if s.Extensions["x-min-bytes"] != nil { // bytes are more than characters
		return []any{"eight888", strings.Repeat("x", int(*s.MaxLength)), "ünïcödé"}
	}
	var all []any
	for _, text := range samples[s.Pattern].good {
		all = append(all, text)
	}
	if s.MaxLength != nil {
		all = append(all, strings.Repeat("x", int(*s.MaxLength)))
		if s.Pattern == `^\P{Cc}*$` {
			all = append(all, strings.Repeat("€", int(*s.MaxLength)))
		}
	}
	return all
}

func goodArrays(s *openapi3.Schema) []any {
	var all []any
	if s.MinItems == 0 {
		all = append(all, []any{})
	}
	for _, item := range goods(s.Items.Value) {
		all = append(all, []any{item})
	}
	if !s.UniqueItems && s.MaxItems != nil {
		all = append(all, slices.Repeat([]any{goods(s.Items.Value)[0]}, int(*s.MaxItems)))
	}
	return all
}

// goodObjects are one with as little in it as may be, and that one with each
// value of each member.
func goodObjects(s *openapi3.Schema) []any {
	all := []any{least(s)}
	for name, p := range s.Properties {
		for _, v := range goods(p.Value) {
			all = append(all, with(without(least(s), others(s, name)), name, v))
		}
	}
	return all
}

// others are the members one of which an object has in place of the named one.
func others(s *openapi3.Schema, name string) (all []string) {
	own := false
	for _, alternative := range s.OneOf {
		if slices.Contains(alternative.Value.Required, name) {
			own = true
		} else {
			all = append(all, alternative.Value.Required...)
		}
	}
	if !own {
		return nil
	}
	return all
}

func without(object map[string]any, names []string) map[string]any {
	left := maps.Clone(object)
	maps.DeleteFunc(left, func(name string, _ any) bool { return slices.Contains(names, name) })
	return left
}

// least has the members that are required, and one more if that is not enough.
func least(s *openapi3.Schema) map[string]any {
	required := s.Required
	if s.Else != nil {
		required = append(slices.Clone(required), s.Else.Value.Required...)
	}
	if len(s.OneOf) > 2 { // one of these, and not or null
		required = append(slices.Clone(required), s.OneOf[0].Value.Required...)
	}
	object := map[string]any{}
	for _, name := range required {
		object[name] = first(name, s.Properties[name].Value)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if _, there := object[name]; !there && uint64(len(object)) < s.MinProps {
			object[name] = first(name, s.Properties[name].Value)
		}
	}
	return object
}

func first(name string, s *openapi3.Schema) any {
	if v, ok := known[name]; ok {
		return v
	}
	return goods(s)[0]
}

func with(object map[string]any, name string, v any) map[string]any {
	changed := maps.Clone(object)
	changed[name] = v
	return changed
}

// any of what is good: each member there or not, of any of its values.
func random(r *rand.Rand, s *openapi3.Schema) map[string]any {
	object := least(s)
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[name].Value
		if _, thing := known[name]; thing || r.IntN(2) == 0 {
			continue
		}
		object = without(object, others(s, name))
		all := goods(p)
		if p.Type.Is("object") && len(p.Properties) > 0 {
			object[name] = random(r, p)
		} else {
			object[name] = all[r.IntN(len(all))]
		}
	}
	return object
}

// faults are values that a schema refuses, each for one reason.
func faults(s *openapi3.Schema) []fault {
	if len(s.OneOf) == 2 { // or null
		return faults(s.OneOf[0].Value)
	}
	all := otherTypes(s)
	switch {
	case s.Type.Is("string"):
		return append(all, badTexts(s)...)
	case s.Type.Is("integer"):
		all = append(all, fault{1.5, "", "no integer"}, fault{"1", "", "of type string, and looks like none"})
		if s.Min != nil {
			all = append(all, fault{int64(*s.Min) - 1, "", "too small by one"})
		}
		if s.Max != nil {
			all = append(all, fault{int64(*s.Max) + 1, "", "too large by one"})
		}
	case s.Type.Is("array"):
		return append(all, badArrays(s)...)
	case s.Type.Is("object"):
		return append(all, badObjects(s)...)
	}
	return all
}

func otherTypes(s *openapi3.Schema) (all []fault) {
	for typ, v := range map[string]any{"string": "text", "boolean": true, "integer": 5, "array": []any{}, "object": map[string]any{}} {
		if !s.Type.Is(typ) {
			all = append(all, fault{v, "", "of type " + typ})
		}
	}
	return all
}

func badTexts(s *openapi3.Schema) (all []fault) {
	if s.Extensions["x-min-bytes"] != nil {
		all = append(all, fault{"seven77", "", "too short by one"}, fault{"tp_eight888", "", "as of the server"}, fault{strings.Repeat("ü", 37), "", "too long in bytes"})
	}
	for _, text := range samples[s.Pattern].bad {
		all = append(all, fault{text, "", "not of its form"})
	}
	if s.Enum != nil {
		all = append(all, fault{"no such word", "", "no word of the list"}, fault{strings.ToUpper(s.Enum[0].(string)), "", "in another case"})
	}
	if s.MaxLength != nil {
		all = append(all, fault{strings.Repeat("x", int(*s.MaxLength)+1), "", "too long by one"})
	}
	if s.MinLength > 0 {
		all = append(all, fault{"", "", "empty"})
	}
	return all
}

func badArrays(s *openapi3.Schema) (all []fault) {
	item := goods(s.Items.Value)[0]
	if s.UniqueItems {
		all = append(all, fault{[]any{item, item}, "[1]", "given twice"})
	}
	if s.MaxItems != nil {
		all = append(all, fault{slices.Repeat([]any{item}, int(*s.MaxItems)+1), "", "too many by one"})
	}
	for _, f := range faults(s.Items.Value) {
		all = append(all, fault{[]any{item, f.value}, "[1]" + f.at, f.why})
	}
	return all
}

func badObjects(s *openapi3.Schema) (all []fault) {
	if len(s.Properties) == 0 {
		return nil
	}
	object := least(s)
	all = append(all, fault{with(object, "colour", 1), ".colour", "unknown"})
	for _, name := range s.Required {
		left := maps.Clone(object)
		delete(left, name)
		all = append(all, fault{left, "." + name, "missing"})
	}
	for name, p := range s.Properties {
		whole := with(without(object, others(s, name)), name, first(name, p.Value))
		all = append(all, fault{twice(whole, name), "." + name, "given twice"})
		delete(whole, name)
		other := strings.ToUpper(name[:1]) + name[1:]
		all = append(all, fault{with(whole, other, first(name, p.Value)), "." + other, "in another case"})
		for _, f := range faults(p.Value) {
			all = append(all, fault{with(without(object, others(s, name)), name, f.value), "." + name + f.at, f.why})
		}
	}
	return all
}

// twice is an object that has a member twice.
func twice(object map[string]any, name string) json.RawMessage {
	text, _ := json.Marshal(object)
	member, _ := json.Marshal(map[string]any{name: object[name]})
	return json.RawMessage(string(text[:len(text)-1]) + "," + string(member[1:]))
}
