package rpc

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"

	json "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/edgetether/tether/schema"
)

// encoding replaces bad UTF-8, in what a command printed for instance, rather
// than to fail for it.
var encoding = json.JoinOptions(jsontext.AllowInvalidUTF8(true))

// appendResult makes a response behind b. The id is repeated byte for byte, and so
// is a result that is JSON already, but for white space around it.
func appendResult(b, id []byte, result any) ([]byte, error) {
	b = append(b, `{"jsonrpc":"2.0","id":`...)
	b = append(b, id...)
	b = append(b, `,"result":`...)
	if text, ok := result.(stdjson.RawMessage); ok {
		return append(append(b, bytes.TrimSpace(text)...), '}'), nil
	}
	switch result { // the answers that are given most
	case "pong":
		return append(b, `"pong"}`...), nil
	case struct{}{}:
		return append(b, `{}}`...), nil
	}
	w := bytes.NewBuffer(b)
	err := json.MarshalWrite(w, result, encoding)
	w.WriteByte('}')
	return w.Bytes(), err
}

// encodeError makes an error response; a nil id is null.
func encodeError(id []byte, err error) []byte {
	if id == nil {
		id = []byte("null")
	}
	fault, _ := json.Marshal(toWire(err), encoding) // two strings and three numbers: it cannot fail
	return bytes.Join([][]byte{[]byte(`{"jsonrpc":"2.0","id":`), id, []byte(`,"error":`), fault, []byte(`}`)}, nil)
}

// encodeParams makes the params of a call; nil is absent.
func encodeParams(params any, limit int) ([]byte, error) {
	if params == nil {
		return nil, nil
	}
	raw, err := json.Marshal(params, encoding)
	if err != nil {
		return nil, err
	}
	const envelope = 256 // more than everything around the params
	if len(raw) > limit-envelope {
		return nil, schema.Errorf(schema.TooLarge, "message_too_large", "params: over the limit of %d bytes", limit-envelope)
	}
	return raw, nil
}

// encodeRequest makes a request of params that are JSON already; nil is absent, and
// without an id it is a notification.
func encodeRequest(id uint64, method string, params []byte) ([]byte, error) {
	return json.Marshal(struct {
		ID      uint64         `json:"id,omitzero"`
		Version string         `json:"jsonrpc"`
		Method  string         `json:"method"`
		Params  jsontext.Value `json:"params,omitzero"`
	}{id, "2.0", method, params}, encoding)
}

// CheckValue checks a value that is to travel in a message, and may be nested so
// deep there: JSON that the other side takes (southbound section 1).
func CheckValue(member string, text []byte, depth int) error {
	if !jsontext.Value(text).IsValid() {
		return schema.InvalidMember(member, "must be JSON, in UTF-8 and with no name twice in an object")
	}
	return schema.CheckShape(member, text, depth)
}

// Decode decodes raw, the params or the result of a call, into v. Names are
// case-sensitive, unknown members are ignored. Its error is of kind
// schema.Invalid and names the member at fault.
func Decode(raw []byte, v any) error { return decode(raw, v, "value") }

// decode calls the outermost value root in its errors.
func decode(raw []byte, v any, root string) error {
	if raw == nil {
		return schema.InvalidMember(root, "is required")
	}
	err := json.Unmarshal(raw, v)
	if err == nil {
		return nil
	}
	var wrong *json.SemanticError
	if !errors.As(err, &wrong) {
		return schema.InvalidMember(root, "is not well-formed")
	}
	return schema.InvalidMember(memberName(wrong.JSONPointer, root), "%s", expectation(wrong))
}

// memberName spells a JSON pointer as we name members: "nic[0].mac".
func memberName(p jsontext.Pointer, root string) string {
	var b strings.Builder
	for token := range p.Tokens() {
		if _, err := strconv.Atoi(token); err == nil && b.Len() > 0 {
			b.WriteString("[" + token + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(token)
	}
	if b.Len() == 0 {
		return root
	}
	return b.String()
}

// expectation says what a member should have been.
func expectation(e *json.SemanticError) string {
	t := e.GoType
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil {
		return "is not valid"
	}
	switch k := t.Kind(); k {
	case reflect.String:
		return "must be a string"
	case reflect.Bool:
		return "must be true or false"
	case reflect.Struct, reflect.Map:
		return "must be an object"
	case reflect.Slice, reflect.Array:
		return "must be an array"
	case reflect.Float32, reflect.Float64:
		if e.JSONKind == '0' {
			return "is out of range"
		}
		return "must be a number"
	default:
		if k >= reflect.Int && k <= reflect.Uintptr {
			return "must be an integer in range"
		}
		return "is not valid"
	}
}
