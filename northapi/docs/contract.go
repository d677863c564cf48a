package docs

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/schema/transcripts"
)

// contract is an OpenRPC document, as far as it is shown.
type contract struct {
	Info       struct{ Title, Version, Description string }
	Methods    []method
	Components struct {
		Schemas map[string]*shape
		Errors  map[string]fault
	}
	CloseCodes []struct {
		Code            int
		Meaning, Device string
	} `json:"x-close-codes"`
	Limits []struct {
		Unit, Description string
		Value             int
	} `json:"x-limits"`
	Times []struct {
		Side, Description string
		MS                int64
	} `json:"x-times"`
}

type method struct {
	Name, Summary, Description string
	Params                     []descriptor
	Result                     *descriptor // nil: a notification
	Errors                     []reference
	Examples                   []example
	Inner                      map[string]inner `json:"x-inner-orders"`
}

type reference struct {
	Ref string `json:"$ref"`
}

// name is the last part of what is referred to.
func (r reference) name() string { return r.Ref[strings.LastIndexByte(r.Ref, '/')+1:] }

type descriptor struct {
	Name     string
	Required bool
	Schema   shape
}

type example struct {
	Name, Description string
	Params            []value
	Result            *value
	Error             json.RawMessage `json:"x-error"`
}

type value struct {
	Name  string
	Value json.RawMessage
}

// inner is an order of the framework's.
type inner struct {
	Description string
	Data        shape
}

type fault struct {
	Code    int
	Message string
	Data    struct {
		Reason    string
		Retryable bool
	}
}

// What the page shows of it.
type (
	deviceData struct {
		Device, Cloud direction
		Errors        []fault
		Contract      contract
		Drawing       drawing
		Talks, Others []talk
	}
	direction struct {
		Title, Description string
		Methods            []methodView
	}
	methodView struct {
		method
		Notification bool
		Orders       []innerView
		Members      []member
		Answer       []member
		Word         string // the result where it is no object
		Faults       []fault
		Shown        []exchange
	}
	innerView struct {
		Name, Description string
		Data              []member
	}
	exchange struct {
		Name, Description string
		Request, Answer   string
		Failed            bool
	}
)

func devicePage() (any, error) {
	var d deviceData
	var cloud contract
	if err := json.Unmarshal(schema.OpenRPCDevice, &d.Contract); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(schema.OpenRPCCloud, &cloud); err != nil {
		return nil, err
	}
	var err error
	if d.Device, err = d.Contract.view(); err != nil {
		return nil, err
	}
	if d.Cloud, err = cloud.view(); err != nil {
		return nil, err
	}
	for _, e := range d.Contract.Components.Errors {
		d.Errors = append(d.Errors, e)
	}
	slices.SortFunc(d.Errors, func(a, b fault) int { return a.Code - b.Code })
	all, err := transcripts.All()
	if err != nil {
		return nil, err
	}
	for _, t := range all {
		if t.Name == mainTalk {
			d.Drawing = draw(t)
		}
		if t.OfDevice() {
			d.Talks = append(d.Talks, show(t))
		} else {
			d.Others = append(d.Others, show(t))
		}
	}
	return d, nil
}

// mainTalk is the conversation that is drawn: it has a bit of everything.
const mainTalk = "device/restart"

func (c contract) view() (direction, error) {
	d := direction{Title: strings.TrimPrefix(c.Info.Title, "tether, "), Description: c.Info.Description}
	for _, m := range c.Methods {
		v, err := c.viewMethod(m)
		if err != nil {
			return d, err
		}
		d.Methods = append(d.Methods, v)
	}
	return d, nil
}

func (c contract) viewMethod(m method) (methodView, error) {
	v := methodView{method: m, Notification: m.Result == nil}
	for _, p := range m.Params {
		v.Members = append(v.Members, c.members(p.Name, p.Required, p.Schema)...)
	}
	if m.Result != nil {
		s := c.resolve(m.Result.Schema)
		v.Answer, v.Word = c.membersOf("", s), string(s.Const)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Inner)) {
		o := m.Inner[name]
		v.Orders = append(v.Orders, innerView{name, o.Description, c.membersOf("data.", c.resolve(o.Data))})
	}
	for _, e := range m.Errors {
		v.Faults = append(v.Faults, c.Components.Errors[e.name()])
	}
	for _, e := range m.Examples {
		x, err := e.exchange(m)
		if err != nil {
			return v, err
		}
		v.Shown = append(v.Shown, x)
	}
	return v, nil
}

// exchange is an example as it goes over the wire.
func (e example) exchange(m method) (x exchange, err error) {
	x = exchange{Name: strings.ReplaceAll(e.Name, "_", " "), Description: e.Description, Failed: e.Error != nil}
	var b bytes.Buffer
	b.WriteString(`{"jsonrpc":"2.0",`)
	if m.Result != nil {
		b.WriteString(`"id":1,`)
	}
	b.WriteString(`"method":"` + m.Name + `"`)
	for i, p := range e.Params {
		if i == 0 {
			b.WriteString(`,"params":{`)
		} else {
			b.WriteByte(',')
		}
		b.WriteString(`"` + p.Name + `":`)
		b.Write(p.Value)
	}
	if len(e.Params) > 0 {
		b.WriteByte('}')
	}
	b.WriteByte('}')
	if x.Request, err = indented(b.Bytes()); err != nil {
		return x, err
	}
	switch {
	case e.Error != nil:
		x.Answer, err = indented([]byte(`{"jsonrpc":"2.0","id":1,"error":` + string(e.Error) + `}`))
	case e.Result != nil:
		x.Answer, err = indented([]byte(`{"jsonrpc":"2.0","id":1,"result":` + string(e.Result.Value) + `}`))
	}
	return x, err
}

func compact(text []byte) []byte {
	var b bytes.Buffer
	if json.Compact(&b, text) != nil {
		return text
	}
	return b.Bytes()
}

func indented(text []byte) (string, error) {
	var b bytes.Buffer
	err := json.Indent(&b, text, "", "  ")
	return b.String(), err
}
