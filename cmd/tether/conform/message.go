package conform

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/edgetether/tether/schema"
)

// kind is what a message is by JSON-RPC 2.0.
type kind uint8

const (
	invalid kind = iota
	request
	notification
	response
)

// message is one JSON-RPC object of the other side, taken apart.
type message struct {
	at     time.Time // when it was whole
	kind   kind
	id     string // its JSON text: 7 and "7" are two ids
	method string
	params jsontext.Value
	result jsontext.Value
	err    *rpcError
	fault  string // of an invalid one: what is wrong with it
	raw    []byte
}

// rpcError is the error object of a response.
type rpcError struct {
	Code    int            `json:"code"`
	Message string         `json:"message"`
	Data    jsontext.Value `json:"data,omitzero"`
}

// envelope is what a message may have; whatever else is there is ignored.
type envelope struct {
	Version jsontext.Value `json:"jsonrpc"`
	ID      jsontext.Value `json:"id"`
	Method  jsontext.Value `json:"method"`
	Params  jsontext.Value `json:"params"`
	Result  jsontext.Value `json:"result"`
	Error   jsontext.Value `json:"error"`
}

// parse takes a frame apart: one message, or the members of a batch. It never
// fails: what is wrong is the fault of the message.
func parse(raw []byte, at time.Time) (messages []message, batch bool) {
	text := bytes.TrimLeft(raw, " \t\r\n")
	if len(text) == 0 || text[0] != '[' {
		return []message{parseOne(raw, at)}, false
	}
	var members []jsontext.Value
	if err := json.Unmarshal(raw, &members); err != nil {
		return []message{{at: at, raw: raw, fault: notJSON(raw, err)}}, false
	}
	if len(members) == 0 || len(members) > schema.MaxBatch {
		fault := fmt.Sprintf("a batch of %d members, 1 to %d are allowed", len(members), schema.MaxBatch)
		return []message{{at: at, raw: raw, fault: fault}}, false
	}
	for _, member := range members {
		messages = append(messages, parseOne(member, at))
	}
	return messages, true
}

func parseOne(raw []byte, at time.Time) message {
	m := message{at: at, raw: raw}
	if m.fault = m.fill(raw); m.fault != "" {
		m.kind = invalid
	}
	return m
}

// fill reads an object; what it returns is what is wrong with it.
func (m *message) fill(raw []byte) (fault string) {
	var e envelope
	if err := json.Unmarshal(raw, &e); err != nil {
		return notJSON(raw, err)
	}
	if depth(raw) > schema.MaxDepth {
		return fmt.Sprintf("nested deeper than %d", schema.MaxDepth)
	}
	if string(e.Version) != `"2.0"` {
		return `jsonrpc is not "2.0"`
	}
	if e.ID != nil && !legalID(e.ID) {
		return "the id is neither an integer nor a string: " + excerpt(e.ID)
	}
	m.id = string(e.ID)
	if e.Method == nil {
		return m.fillResponse(e)
	}
	if err := json.Unmarshal(e.Method, &m.method); err != nil || e.Method.Kind() != '"' {
		return "the method is no string"
	}
	if e.Params != nil && e.Params.Kind() != '{' && e.Params.Kind() != '[' {
		return "params are neither an object nor an array"
	}
	m.params = e.Params
	if m.kind = request; e.ID == nil {
		m.kind = notification
	}
	return ""
}

func (m *message) fillResponse(e envelope) (fault string) {
	m.kind = response
	switch {
	case (e.Result == nil) == (e.Error == nil):
		return "neither method nor one of result and error"
	case e.ID == nil && e.Error == nil:
		return "a result without an id"
	case e.Error == nil:
		m.result = e.Result
		return ""
	}
	m.err = &rpcError{}
	if err := json.Unmarshal(e.Error, m.err); err != nil || e.Error.Kind() != '{' {
		return "the error is no object with code and message"
	}
	return ""
}

// legalID: an integer or a string. A response to what could not be read has null.
func legalID(id jsontext.Value) bool {
	switch id.Kind() {
	case '"', 'n':
		return true
	case '0':
		return !bytes.ContainsAny(id, ".eE")
	}
	return false
}

// notJSON says why a text could not be read.
func notJSON(raw []byte, err error) string {
	if !utf8.Valid(raw) {
		return "no UTF-8"
	}
	if len(bytes.TrimSpace(raw)) > 0 && jsontext.Value(raw).IsValid() {
		return "a JSON value, but neither an object nor a batch: " + excerpt(raw)
	}
	return fmt.Sprintf("no JSON object: %v: %s", err, excerpt(raw))
}

// depth is how deep brackets are nested in a valid JSON text.
func depth(raw []byte) int {
	deepest, now, quoted := 0, 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

// maxExcerpt bounds how much of a message a report shows.
const maxExcerpt = 160

// excerpt is the beginning of what the other side sent, fit to be shown: it
// obeys no terminal.
func excerpt(raw []byte) string {
	cut := raw[:min(len(raw), maxExcerpt)]
	clean := bytes.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7F && r < 0xA0 || r == 0x2028 || r == 0x2029 || r >= 0x202A && r <= 0x202E || r >= 0x2066 && r <= 0x2069 {
			return '.'
		}
		return r
	}, bytes.ToValidUTF8(cut, []byte("?")))
	if len(cut) < len(raw) {
		return fmt.Sprintf("%s… (%d bytes)", clean, len(raw))
	}
	return string(clean)
}

// String shows a message in a report, without what is secret in it.
func (m message) String() string {
	switch m.kind {
	case request, notification:
		if m.method == schema.MethodLogin {
			return "login"
		}
		return fmt.Sprintf("%s %s", excerpt([]byte(m.method)), excerpt(m.params))
	case response:
		if m.err != nil {
			return fmt.Sprintf("error %d %s", m.err.Code, excerpt([]byte(m.err.Message)))
		}
		return "result " + excerpt(m.result)
	}
	return m.fault
}

// decode reads params or a result into v; what is absent is an empty object.
func decode(raw jsontext.Value, v any) error {
	if raw == nil {
		raw = jsontext.Value("{}")
	}
	return json.Unmarshal(raw, v)
}

// holds looks for a text in all strings of a decoded JSON value.
func holds(value any, text string) bool {
	switch v := value.(type) {
	case string:
		return strings.Contains(v, text)
	case []any:
		for _, member := range v {
			if holds(member, text) {
				return true
			}
		}
	case map[string]any:
		for _, member := range v {
			if holds(member, text) {
				return true
			}
		}
	}
	return false
}
