package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// contract holds what goes over the wire of a transcript to the OpenRPC
// documents: what the server takes they describe, and what it says too.
type contract struct {
	compiler *jsonschema.Compiler
	methods  map[string]place
	seen     map[string]bool // methods whose params and results were compared
}

// place is where a method stands in a document.
type place struct {
	document string
	params   string // the path of their schema; empty: it has none
	result   string // likewise; empty: a notification
	errors   []int  // codes
	device   bool   // whether a device calls it
}

var documentTexts = map[string]json.RawMessage{"device": schema.OpenRPCDevice, "cloud": schema.OpenRPCCloud}

func newContract(t *testing.T) *contract {
	t.Helper()
	c := &contract{compiler: jsonschema.NewCompiler(), methods: map[string]place{}, seen: map[string]bool{}}
	for name, text := range documentTexts {
		parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.compiler.AddResource("tether:"+name, parsed); err != nil {
			t.Fatal(err)
		}
		c.readMethods(t, name, text)
	}
	return c
}

func (c *contract) readMethods(t *testing.T, name string, text []byte) {
	type reference struct {
		Ref string `json:"$ref"`
	}
	var document struct {
		Methods []struct {
			Name   string
			Params []struct{ Schema reference }
			Result *struct{}
			Errors []reference
		}
		Components struct{ Errors map[string]struct{ Code int } }
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	for i, m := range document.Methods {
		p := place{document: name, device: name == "device"}
		if len(m.Params) > 0 {
			p.params, _, _ = strings.Cut(m.Params[0].Schema.Ref, "/properties/")
		}
		if m.Result != nil {
			p.result = fmt.Sprintf("#/methods/%d/result/schema", i)
		}
		for _, e := range m.Errors {
			p.errors = append(p.errors, document.Components.Errors[strings.TrimPrefix(e.Ref, "#/components/errors/")].Code)
		}
		c.methods[m.Name] = p
	}
}

// check validates a value against a schema of a document.
func (c *contract) check(document, at string, value json.RawMessage) error {
	s, err := c.compiler.Compile("tether:" + document + at)
	if err != nil {
		return err
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		return err
	}
	return s.Validate(parsed)
}

// spoken is a message as far as it matters here.
type spoken struct {
	ID     json.RawMessage
	Method string
	Params json.RawMessage
	Result json.RawMessage
	Error  *struct {
		Code    int
		Message string
	}
}

// listener follows one connection.
type listener struct {
	*contract
	asked map[string]spoken // requests of the client, by id
}

// sent is told what the client sends. What is no message is not remembered.
func (l *listener) sent(text string) {
	var m spoken
	if json.Unmarshal([]byte(text), &m) == nil && m.Method != "" && m.ID != nil {
		l.asked[string(m.ID)] = m
	}
}

// said is told what the server says.
func (l *listener) said(text string) error {
	var m spoken
	if json.Unmarshal([]byte(text), &m) != nil {
		return nil // a batch: its members were said singly elsewhere
	}
	if m.Method != "" {
		return l.called(m)
	}
	request, ok := l.asked[string(m.ID)]
	p, known := l.methods[request.Method]
	if !ok || !known || !p.device {
		return nil
	}
	if m.Error != nil {
		return l.refused(request, p, m)
	}
	l.seen[request.Method] = true
	if err := l.check(p.document, p.result, m.Result); err != nil {
		return fmt.Errorf("the result of %s: %w", request.Method, err)
	}
	if err := l.params(request, p); err != nil {
		return fmt.Errorf("%s was taken: %w", request.Method, err)
	}
	return nil
}

// called: what the server asks of a device is as the document says.
func (l *listener) called(m spoken) error {
	p, known := l.methods[m.Method]
	if !known || p.device || (p.result == "") != (m.ID == nil) {
		return fmt.Errorf("%s is not of this direction", m.Method)
	}
	l.seen[m.Method] = true
	return l.params(m, p)
}

func (l *listener) params(m spoken, p place) error {
	if p.params == "" {
		return nil
	}
	return l.check(p.document, p.params, m.Params)
}

// noSchemaSays are refusals whose reason is beyond a schema.
var noSchemaSays = []string{"is no order of this device", "is not the device of this session", "must be at most 64 bytes"}

// refused: the error is one of the method's, and params that are refused are
// refused by the document as well.
func (l *listener) refused(request spoken, p place, m spoken) error {
	if !slices.Contains(p.errors, m.Error.Code) {
		return fmt.Errorf("%d is no error of %s", m.Error.Code, request.Method)
	}
	beyond := slices.ContainsFunc(noSchemaSays, func(s string) bool { return strings.Contains(m.Error.Message, s) })
	if m.Error.Code != rpc.ErrorCode(schema.Invalid) || beyond || request.Params == nil {
		return nil
	}
	if l.params(request, p) == nil {
		return fmt.Errorf("%s was refused with %q, and the document takes it", request.Method, m.Error.Message)
	}
	return nil
}
