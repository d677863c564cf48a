package rpc

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"sync"

	json "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/edgetether/tether/schema"
)

// The guard decides what a message is, in one pass of a strict decoder, or of
// quick where that is enough. What it lets through needs no second look: the envelope is whole, its names are
// spelled right, no object in it names a member twice, and depth and numbers
// are within their limits.

type kind uint8

const (
	invalid      kind = iota // answered with an error
	ignored                  // a notification that is no good: never answered
	request                  // has an id
	notification             // has none
	response                 // well-formed, to a call with a number of ours
	stray                    // any other response
	batchOf                  // an array; its members are judged singly
)

// message is one JSON value of the wire, judged. The slices alias the input.
type message struct {
	kind   kind
	code   int    // of an invalid one: codeParse or codeRequest
	why    string // likewise, for people
	id     []byte // as it was written; nil if absent or not legal
	method []byte // with its quotes
	params []byte // nil if absent
	call   uint64 // of a response: the call that it answers
	result []byte // of a response: nil if it is an error
	fault  *fault // of a response: nil if it is a result
}

func refused(why string) message { return message{kind: invalid, code: codeRequest, why: why} }

// refuse makes a request that cannot be served invalid; it keeps its id.
func (m *message) refuse(why string) {
	id := m.id
	*m = refused(why)
	m.id = id
}

// judge decides what raw is.
func judge(raw []byte) message {
	var e envelope
	if quickly(raw, &e) {
		return e.judge()
	}
	return judgeAny(raw)
}

// judgeAny is judge for what is unusual.
func judgeAny(raw []byte) message {
	g := guards.Get().(*guard)
	defer guards.Put(g)
	g.reset(raw)
	outer := g.dec.PeekKind()
	depth, number := extent(raw)
	switch {
	case depth > schema.MaxDepth:
		return salvage(raw, "nested too deep")
	case outer == '[':
		return message{kind: batchOf}
	case number > schema.MaxNumber:
		return salvage(raw, "a number is too long")
	case outer == '{':
		return g.object(raw)
	}
	return salvage(raw, "neither an object nor an array")
}

// guard is a decoder with its input.
type guard struct {
	in  bytes.Buffer
	dec jsontext.Decoder
}

var guards = sync.Pool{New: func() any { return new(guard) }}

func (g *guard) reset(raw []byte, opts ...jsontext.Options) {
	g.in = *bytes.NewBuffer(raw) // the decoder works on a bytes.Buffer without a copy
	g.dec.Reset(&g.in, opts...)
}

// value reads the next value, as a part of raw.
func (g *guard) value(raw []byte) ([]byte, error) {
	v, err := g.dec.ReadValue()
	if err != nil {
		return nil, err
	}
	end := int(g.dec.InputOffset())
	return raw[end-len(v) : end], nil
}

// envelope is the members of a JSON-RPC object; nil means absent.
type envelope struct {
	version, id, method, params, result, fault []byte
}

// object reads the one object that raw must be.
func (g *guard) object(raw []byte) message {
	var e envelope
	if err := g.envelope(raw, &e); err != nil {
		why := "not well-formed"
		if errors.Is(err, jsontext.ErrDuplicateName) {
			why = "a name occurs twice in an object"
		}
		return salvage(raw, why)
	}
	return e.judge()
}

func (g *guard) envelope(raw []byte, e *envelope) error {
	if _, err := g.dec.ReadToken(); err != nil {
		return err
	}
	for g.dec.PeekKind() != '}' {
		name, err := g.value(raw)
		if err != nil {
			return err
		}
		value, err := g.value(raw)
		if err != nil {
			return err
		}
		if m := e.member(plain(name)); m != nil {
			*m = value
		}
	}
	if _, err := g.dec.ReadToken(); err != nil {
		return err
	}
	_, err := g.dec.ReadToken()
	if err == io.EOF {
		return nil
	}
	return errors.Join(err, errTrailing)
}

var errTrailing = errors.New("rpc: more than one value")

// plain is a name without quotes and escapes.
func plain(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	name, _ := jsontext.AppendUnquote(nil, quoted)
	return name
}

// member is where the value of a name goes; nil for names of others.
func (e *envelope) member(name []byte) *[]byte {
	switch string(name) {
	case "jsonrpc":
		return &e.version
	case "id":
		return &e.id
	case "method":
		return &e.method
	case "params":
		return &e.params
	case "result":
		return &e.result
	case "error":
		return &e.fault
	}
	return nil
}

func (e *envelope) judge() message {
	isResponse := e.result != nil || e.fault != nil
	if e.method == nil && isResponse {
		return e.judgeResponse()
	}
	why := e.faultOf(isResponse)
	switch {
	case why == "" && e.id == nil:
		return message{kind: notification, method: e.method, params: e.params}
	case why == "":
		return message{kind: request, id: e.id, method: e.method, params: e.params}
	case e.isNotification() && !isResponse:
		return message{kind: ignored}
	}
	m := refused(why)
	if legalID(e.id) {
		m.id = e.id
	}
	return m
}

// faultOf says what keeps the envelope from being a request.
func (e *envelope) faultOf(isResponse bool) string {
	switch {
	case string(e.version) != `"2.0"`:
		return `jsonrpc must be "2.0"`
	case len(e.method) == 0 || e.method[0] != '"':
		return "method must be a string"
	case isResponse:
		return "a request has neither result nor error"
	case e.id != nil && !legalID(e.id):
		return "id must be a string or an integer"
	case e.params != nil && e.params[0] != '{' && e.params[0] != '[':
		return "params must be an object or an array"
	}
	return ""
}

// isNotification says that no answer is wanted, whatever else is wrong.
func (e *envelope) isNotification() bool {
	return e.id == nil && string(e.version) == `"2.0"` && len(e.method) > 0 && e.method[0] == '"'
}

// judgeResponse accepts a response only if every part of it is beyond doubt:
// what the library behind would stumble over is a stray one here.
func (e *envelope) judgeResponse() message {
	id, ok := callID(e.id)
	if !ok || string(e.version) != `"2.0"` || (e.result == nil) == (e.fault == nil) {
		return message{kind: stray}
	}
	m := message{kind: response, call: id, result: e.result}
	if e.fault != nil {
		var ok bool
		if m.fault, ok = readFault(e.fault); !ok {
			return message{kind: stray}
		}
	}
	return m
}

// fault is the error object of a response.
type fault struct {
	Code    *int64         `json:"code"`
	Message *string        `json:"message"`
	Data    jsontext.Value `json:"data,omitzero"`
}

func readFault(raw []byte) (*fault, bool) {
	f := new(fault)
	err := json.Unmarshal(raw, f)
	return f, err == nil && f.Code != nil && f.Message != nil
}

// legalID accepts a string and an integer without fraction or exponent.
func legalID(id []byte) bool {
	if len(id) == 0 {
		return false
	}
	switch id[0] {
	case '"':
		return true
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return !bytes.ContainsAny(id, ".eE")
	}
	return false
}

// callID reads the id of one of our own calls: a number from 1, in the one
// spelling that we use.
func callID(id []byte) (uint64, bool) {
	if len(id) == 0 || id[0] < '1' || id[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(id), 10, 64)
	return n, err == nil
}

// extent returns how deep raw is nested, and the length of its longest number.
// It needs no valid JSON.
func extent(raw []byte) (depth, number int) {
	open := 0
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '"':
			i = endOfString(raw, i+1)
		case c == '{' || c == '[':
			open++
			depth = max(depth, open)
		case c == '}' || c == ']':
			open--
		case c == '-' || '0' <= c && c <= '9':
			start := i
			for i+1 < len(raw) && inNumber(raw[i+1]) {
				i++
			}
			number = max(number, i+1-start)
		}
	}
	return depth, number
}

func inNumber(c byte) bool {
	return '0' <= c && c <= '9' || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-'
}

// endOfString returns the index of the quote that ends the string whose
// content begins at i.
func endOfString(raw []byte, i int) int {
	for {
		n := bytes.IndexByte(raw[i:], '"')
		if n < 0 {
			return len(raw)
		}
		i += n
		slashes := 0
		for raw[i-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return i
		}
		i++
	}
}
