package northapi

import (
	"errors"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/edgetether/tether/schema"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxNamed is how much of a member's name a message repeats, in bytes.
const maxNamed = 100

// decodeBody reads a command's JSON body, strictly: a member that is unknown,
// in another case, given twice or of another type is an error that names it.
// A command takes nothing from the query string.
func decodeBody(r *http.Request, into any) error {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return schema.InvalidMember("Content-Type", "must be application/json")
	}
	if r.URL.RawQuery != "" {
		return schema.InvalidMember("query string", "must be empty: the parameters are members of the body")
	}
	return explain(json.UnmarshalRead(r.Body, into, json.RejectUnknownMembers(true)))
}

// once is a request type that an Idempotency-Key may come with.
type once interface{ useOnce(key string) }

// decodeOnce takes the header Idempotency-Key. Where it would not be heeded it
// is refused: who asks for it must not believe to have got it.
func decodeOnce(h http.Header, into any) error {
	keys := h.Values("Idempotency-Key")
	if len(keys) == 0 {
		return nil
	}
	q, ok := into.(once)
	if !ok {
		return errOnce
	}
	if err := schema.CheckOnceKey("Idempotency-Key", strings.Join(keys, "\n")); err != nil {
		return err
	}
	q.useOnce(keys[0])
	return nil
}

var errOnce = schema.Errorf(schema.Invalid, "not_offered", "Idempotency-Key: this service does not offer it")

// explain says what was wrong with a body, in our own words: those of the
// JSON library change, and repeat the offending value, which may be a secret.
func explain(err error) error {
	if err == nil {
		return nil
	}
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		return schema.Errorf(schema.TooLarge, "body_too_large", "body: must be at most %d bytes", schema.MaxBody)
	}
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		if errors.Is(syntax, jsontext.ErrDuplicateName) {
			return schema.InvalidMember(memberAt(syntax.JSONPointer), "is given twice")
		}
		return schema.Errorf(schema.Invalid, "malformed_json", "%s: malformed JSON at byte %d", memberAt(syntax.JSONPointer), syntax.ByteOffset)
	}
	var meaning *json.SemanticError
	if !errors.As(err, &meaning) {
		return schema.Errorf(schema.Invalid, "malformed_json", "body: could not be read whole")
	}
	member := memberAt(meaning.JSONPointer)
	if errors.Is(meaning, json.ErrUnknownName) {
		return schema.InvalidMember(member, "unknown member")
	}
	return schema.InvalidMember(member, "must be %s", wanted(meaning.GoType))
}

// memberAt writes a JSON pointer as messages do: "nic[0].mac".
func memberAt(p jsontext.Pointer) string {
	var b strings.Builder
	for token := range p.Tokens() {
		if _, err := strconv.ParseUint(token, 10, 32); err == nil {
			b.WriteString("[" + token + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(token)
	}
	if b.Len() == 0 {
		return "body"
	}
	return clip(b.String())
}

// clip bounds a name that the caller made up.
func clip(name string) string {
	if len(name) > maxNamed {
		name = name[:maxNamed] + "…"
	}
	return strings.ToValidUTF8(name, "")
}

// wanted is the JSON type that a Go type is read from.
func wanted(t reflect.Type) string {
	if t == nil {
		return "of another type"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int64:
		return "an integer"
	case reflect.Slice:
		return "an array"
	case reflect.Struct:
		return "an object"
	default:
		return "of another type"
	}
}
