package docs

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/edgetether/tether/schema"
)

// What the page shows of it.
type (
	apiData struct {
		API     api
		Tags    []tagView
		Objects []objectView
		Codes   []codeView
	}
	tagView struct {
		Name, Description string
		Operations        []operationView
	}
	operationView struct {
		operation
		Method, Path string
		Params, Body []member
		BodyAbout    string
		Requests     []sample
		Good         []goodView
		Bad          []codeView
		Failures     string // their statuses
	}
	goodView struct {
		Status, About, Kind string // Kind is the media type, if it is not the envelope
		Object              string // the component that data is
		Samples             []sample
	}
	codeView struct {
		Status, Code, Type, Message, About string
		Data, Object                       string // what is beside it: the text, or the component if that is long
	}
	objectView struct {
		Name, About string
		Members     []member
	}
	sample struct{ Name, About, Text string }
)

func apiPage() (any, error) {
	var d apiData
	var c contract
	if err := json.Unmarshal(schema.OpenAPI, &d.API); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(schema.OpenAPI, &c); err != nil {
		return nil, err
	}
	for _, tag := range d.API.Tags {
		v := tagView{Name: tag.Name, Description: tag.Description}
		for _, path := range d.API.Paths {
			for _, method := range path.It {
				if !slices.Contains(method.It.Tags, tag.Name) {
					continue
				}
				o, err := d.API.view(c, strings.ToUpper(method.Name), path.Name, method.It)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", path.Name, err)
				}
				v.Operations = append(v.Operations, o)
			}
		}
		d.Tags = append(d.Tags, v)
	}
	d.Objects = d.API.objects(c, d.Tags)
	var err error
	d.Codes, err = d.API.codes(d.Tags)
	return d, err
}

// view shows one operation.
func (a api) view(c contract, method, path string, o operation) (operationView, error) {
	v := operationView{operation: o, Method: method, Path: path}
	for _, ref := range o.Parameters {
		p := a.Components.Parameters[ref.name()]
		row := c.members(p.Name, p.In == "path", p.Schema)[0]
		if p.Description != "" {
			row.About = sentence(p.Description, c.resolve(p.Schema).limits())
		}
		v.Params = append(v.Params, row)
	}
	for i, m := range o.RequestBody.Content {
		if i == 0 && m.It.Schema.Ref != "" {
			s := c.resolve(m.It.Schema)
			v.Body, v.BodyAbout = c.membersOf("", s), s.Description
		}
		samples, err := a.samples(m)
		if err != nil {
			return v, err
		}
		v.Requests = append(v.Requests, samples...)
	}
	var statuses []string
	for _, r := range o.Responses {
		if r.Name < "300" {
			good, err := a.good(r.Name, r.It)
			if err != nil {
				return v, err
			}
			v.Good = append(v.Good, good)
			continue
		}
		statuses = append(statuses, r.Name)
		bad, err := a.bad(r.Name, r.It)
		if err != nil {
			return v, err
		}
		v.Bad = append(v.Bad, bad...)
	}
	v.Failures = strings.Join(statuses, ", ")
	return v, nil
}

// good shows an answer of success. data of the envelope is shown by its name:
// what it is stands once on the page.
func (a api) good(status string, r response) (goodView, error) {
	v := goodView{Status: status, About: r.Description}
	for _, m := range r.Content {
		if m.Name != envelope {
			v.Kind = m.Name
		}
		v.Object = m.It.Schema.data()
		if ref := m.It.Line; ref.Ref != "" {
			v.Object = ref.name()
		}
		samples, err := a.samples(m)
		if err != nil {
			return v, err
		}
		v.Samples = append(v.Samples, samples...)
	}
	return v, nil
}

// data is the component that the member data of an envelope is.
func (s shape) data() string {
	for _, p := range s.Properties {
		if p.name == "data" {
			return reference{p.shape.Ref}.name()
		}
	}
	return ""
}

// shortData is how long data may be to be shown in a row of a table.
const shortData = 120

// envelope is the media type of all that is in the envelope.
const envelope = "application/json"

// bad shows the codes of an answer of failure; one that has none is shown
// without.
func (a api) bad(status string, r response) ([]codeView, error) {
	if r.Ref != "" {
		r = a.Components.Responses[r.name()]
	}
	var all []codeView
	for _, m := range r.Content {
		for _, x := range m.It.Examples {
			v := codeView{Status: status, About: r.Description}
			var answer struct {
				Type, Code, Message string
				Data                json.RawMessage
			}
			if err := json.Unmarshal(x.It.Value, &answer); err != nil {
				return nil, err
			}
			v.Code, v.Type, v.Message = answer.Code, answer.Type, answer.Message
			if v.Data = string(compact(answer.Data)); len(v.Data) > shortData {
				v.Data, v.Object = "", m.It.Schema.data()
			}
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		all = []codeView{{Status: status, About: r.Description}}
	}
	return all, nil
}

func (a api) samples(m named[media]) ([]sample, error) {
	if m.It.Example != "" {
		return []sample{{m.Name, m.It.Schema.Description, m.It.Example}}, nil
	}
	var all []sample
	for _, x := range m.It.Examples {
		value := x.It.Value
		if x.It.Ref != "" {
			value = a.Components.Examples[x.It.name()].Value
		}
		text, err := indented(value)
		if err != nil {
			return nil, err
		}
		all = append(all, sample{Name: strings.ReplaceAll(x.Name, "_", " "), Text: text})
	}
	return all, nil
}

// objects are what answers are made of, and whatever these are made of; with
// the bodies that are sent, which stand where they are used, it is all.
func (a api) objects(c contract, tags []tagView) []objectView {
	inPlace := map[string]bool{}
	for _, tag := range tags {
		for _, o := range tag.Operations {
			for _, m := range o.RequestBody.Content {
				inPlace[m.It.Schema.Ref] = true
			}
		}
	}
	var all []objectView
	for _, s := range a.Components.Schemas {
		v := objectView{Name: s.Name, About: s.It.Description, Members: c.membersOf("", s.It)}
		shared := slices.ContainsFunc(tags, func(tag tagView) bool { return tag.answers(s.Name) })
		if shared || s.It.Properties != nil && !inPlace["#/components/schemas/"+s.Name] {
			all = append(all, v)
		}
	}
	return all
}

func (t tagView) answers(object string) bool {
	return slices.ContainsFunc(t.Operations, func(o operationView) bool {
		return slices.ContainsFunc(o.Good, func(g goodView) bool { return g.Object == object })
	})
}

// codes are those of all operations, and those that are answered elsewhere,
// each with a status once.
func (a api) codes(tags []tagView) ([]codeView, error) {
	var all []codeView
	for _, r := range a.Elsewhere {
		bad, err := a.bad(r.Name, r.It)
		if err != nil {
			return nil, err
		}
		all = append(all, bad...)
	}
	for _, tag := range tags {
		for _, o := range tag.Operations {
			all = append(all, o.Bad...)
		}
	}
	all = slices.DeleteFunc(all, func(v codeView) bool { return v.Code == "" })
	slices.SortStableFunc(all, func(a, b codeView) int {
		return cmp.Or(cmp.Compare(a.Status, b.Status), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Type, b.Type))
	})
	return slices.CompactFunc(all, func(a, b codeView) bool { return a.Status == b.Status && a.Code == b.Code && a.Type == b.Type }), nil
}
