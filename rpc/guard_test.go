package rpc

import (
	"bytes"
	stdjson "encoding/json"
	"strings"
	"testing"

	"github.com/edgetether/tether/schema"
)

// nested is n arrays, one in the other.
func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

func withParams(params string) string {
	return `{"jsonrpc":"2.0","id":7,"method":"echo","params":` + params + `}`
}

func TestJudge(t *testing.T) {
	tests := []struct {
		name, raw string
		kind      kind
		id, why   string
	}{
		{"request", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, request, "1", ""},
		{"with spaces", " {\t\"jsonrpc\" : \"2.0\" ,\n\"id\":1, \"method\":\"ping\"}\r\n", request, "1", ""},
		{"unknown members", `{"jsonrpc":"2.0","id":1,"method":"ping","x":{"y":[1]}}`, request, "1", ""},
		{"escaped names", `{"jsonrpc":"2.0","\u0069d":1,"meth\u006fd":"ping"}`, request, "1", ""},
		{"notification", `{"jsonrpc":"2.0","method":"ping"}`, notification, "", ""},
		{"no version", `{"id":1,"method":"ping"}`, invalid, "1", `jsonrpc must be "2.0"`},
		{"version 1.0", `{"jsonrpc":"1.0","id":1,"method":"ping"}`, invalid, "1", `jsonrpc must be "2.0"`},
		{"version as a number", `{"jsonrpc":2.0,"id":1,"method":"ping"}`, invalid, "1", `jsonrpc must be "2.0"`},
		{"no method", `{"jsonrpc":"2.0","id":1}`, invalid, "1", "method must be a string"},
		{"null method", `{"jsonrpc":"2.0","id":1,"method":null}`, invalid, "1", "method must be a string"},
		{"params null", `{"jsonrpc":"2.0","id":1,"method":"x","params":null}`, invalid, "1", "params must be an object or an array"},
		{"params a string", `{"jsonrpc":"2.0","id":"é","method":"x","params":"p"}`, invalid, `"é"`, "params must be an object or an array"},
		{"notification with bad params", `{"jsonrpc":"2.0","method":"x","params":5}`, ignored, "", ""},
		{"method and result", `{"jsonrpc":"2.0","id":1,"method":"x","result":5}`, invalid, "1", "a request has neither result nor error"},
		{"F16 id null", `{"jsonrpc":"2.0","id":null,"method":"ping"}`, invalid, "", "id must be a string or an integer"},
		{"F16 id true", `{"jsonrpc":"2.0","id":true,"method":"ping"}`, invalid, "", "id must be a string or an integer"},
		{"F16 id fraction", `{"jsonrpc":"2.0","id":1.0,"method":"ping"}`, invalid, "", "id must be a string or an integer"},
		{"F16 id exponent", `{"jsonrpc":"2.0","id":1e3,"method":"ping"}`, invalid, "", "id must be a string or an integer"},
		{"F16 id object", `{"jsonrpc":"2.0","id":{},"method":"ping"}`, invalid, "", "id must be a string or an integer"},
		{"F12 id twice", `{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}`, invalid, "", "a name occurs twice in an object"},
		{"F12 id twice, once an object", `{"jsonrpc":"2.0","id":{},"id":2,"method":"ping"}`, invalid, "", "a name occurs twice in an object"},
		{"F12 id twice, escaped", `{"jsonrpc":"2.0","id":1,"\u0069d":2,"method":"ping"}`, invalid, "", "a name occurs twice in an object"},
		{"F12 method twice", `{"jsonrpc":"2.0","id":1,"method":"ping","method":"login"}`, invalid, "", "a name occurs twice in an object"},
		{"F12 twice in params", withParams(`{"device_id":"1","device_id":"2"}`), invalid, "7", "a name occurs twice in an object"},
		{"F12 twice, deep in params", withParams(`[{"a":{"b":1,"b":1}}]`), invalid, "7", "a name occurs twice in an object"},
		{"F12 twice, then no JSON", `{"id":1,"id":2,`, invalid, "", "no JSON"},
		{"F12 wrong case", `{"jsonrpc":"2.0","id":1,"METHOD":"ping"}`, invalid, "1", "method must be a string"},
		{"F12 twice in a notification", `{"jsonrpc":"2.0","method":"x","params":{"a":1,"a":2}}`, ignored, "", ""},
		{"no JSON", `{"jsonrpc":"2.0","id":1,"method":"ping"`, invalid, "", "no JSON"},
		{"trailing data", `{"jsonrpc":"2.0","id":1,"method":"ping"}{}`, invalid, "", "no JSON"},
		{"trailing comma", `{"jsonrpc":"2.0","id":1,"method":"ping",}`, invalid, "", "no JSON"},
		{"empty", ``, invalid, "", "no JSON"},
		{"spaces", `  `, invalid, "", "no JSON"},
		{"NaN", withParams(`[NaN]`), invalid, "", "no JSON"},
		{"half a surrogate", withParams(`["\ud800"]`), invalid, "", "no JSON"},
		{"a scalar", `5`, invalid, "", "neither an object nor an array"},
		{"a string", `"{"`, invalid, "", "neither an object nor an array"},
		{"batch", `[]`, batchOf, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := judge([]byte(test.raw))
			if m.kind != test.kind || string(m.id) != test.id || m.why != test.why {
				t.Errorf("kind %d, id %s, why %q", m.kind, m.id, m.why)
			}
		})
	}
}

func TestF13_IdsAreEchoedAsText(t *testing.T) {
	for _, id := range []string{
		"0", "-0", "-1", "1", "9007199254740993", "18446744073709551615", "-9223372036854775809",
		"12345678901234567890123456789012", `""`, `"é"`, `"\u00e9"`, `"7"`, `"a\"b"`, `"` + strings.Repeat("x", 100) + `"`,
	} {
		if m := judge([]byte(ping(id))); m.kind != request || string(m.id) != id {
			t.Errorf("id %s: %+v", id, m)
		}
	}
}

func TestF13_NumberLength(t *testing.T) {
	for _, test := range []struct {
		number string
		kind   kind
	}{
		{strings.Repeat("1", schema.MaxNumber), request},
		{strings.Repeat("1", schema.MaxNumber+1), invalid},
		{"-" + strings.Repeat("1", schema.MaxNumber-1), request},
		{"-" + strings.Repeat("1", schema.MaxNumber), invalid},
		{"1." + strings.Repeat("1", schema.MaxNumber-2), request},
		{"1e999999999", request}, // a member that takes it says what is wrong with it
		{"1e-" + strings.Repeat("0", schema.MaxNumber), invalid},
		{`"` + strings.Repeat("1", 100) + `"`, request}, // no number
	} {
		if m := judge([]byte(withParams("[" + test.number + "]"))); m.kind != test.kind {
			t.Errorf("%s: kind %d, want %d", test.number, m.kind, test.kind)
		}
	}
	if m := judge([]byte(ping(strings.Repeat("1", schema.MaxNumber+1)))); m.kind != invalid || string(m.id) == "" {
		t.Errorf("a long id: %+v", m)
	}
}

func TestF11_Depth(t *testing.T) {
	for _, test := range []struct {
		depth int // of params, in the envelope
		kind  kind
	}{{schema.MaxDepth - 1, request}, {schema.MaxDepth, invalid}, {10000, invalid}, {30000, invalid}} {
		m := judge([]byte(withParams(nested(test.depth))))
		if m.kind != test.kind {
			t.Errorf("depth %d: %+v", test.depth, m)
		}
		if m.kind == invalid && m.code != codeRequest {
			t.Errorf("depth %d: code %d", test.depth, m.code)
		}
	}
	for _, raw := range []string{
		strings.Repeat("[", 40), strings.Repeat("[", 30000), nested(40) + "]", nested(40)[1:],
		strings.Repeat("[", 20000) + strings.Repeat("]", 19999) + "}", strings.Repeat("[", 40) + "x" + strings.Repeat("]", 40),
	} {
		if m := judge([]byte(raw)); m.kind != invalid || m.code != codeParse {
			t.Errorf("%.50s…: %+v", raw, m)
		}
	}
}

func TestJudgeResponses(t *testing.T) {
	for _, test := range []struct {
		raw  string
		kind kind
	}{
		{`{"jsonrpc":"2.0","id":7,"result":null}`, response},
		{`{"jsonrpc":"2.0","id":7,"result":{"status":"success"}}`, response},
		{`{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"m"}}`, response},
		{`{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"m","data":[1]}}`, response},
		{`{"jsonrpc":"2.0","id":"7","result":1}`, stray},
		{`{"jsonrpc":"2.0","id":7.0,"result":1}`, stray},
		{`{"jsonrpc":"2.0","id":7e0,"result":1}`, stray},
		{`{"jsonrpc":"2.0","id":0,"result":1}`, stray},
		{`{"jsonrpc":"2.0","id":-7,"result":1}`, stray},
		{`{"jsonrpc":"2.0","id":18446744073709551616,"result":1}`, stray},
		{`{"jsonrpc":"2.0","id":null,"result":1}`, stray},
		{`{"jsonrpc":"2.0","result":1}`, stray},
		{`{"id":7,"result":1}`, stray},
		{`{"jsonrpc":"2.0","id":7,"result":1,"error":{"code":-1,"message":"m"}}`, stray},
		{`{"jsonrpc":"2.0","id":7,"error":null}`, stray},
		{`{"jsonrpc":"2.0","id":7,"error":"broken"}`, stray},
		{`{"jsonrpc":"2.0","id":7,"error":{"code":1.5,"message":"m"}}`, stray},
		{`{"jsonrpc":"2.0","id":7,"error":{"CODE":1,"message":"m"}}`, stray},
		{`{"jsonrpc":"2.0","id":7,"error":{"code":1}}`, stray},
	} {
		if m := judge([]byte(test.raw)); m.kind != test.kind {
			t.Errorf("%s: kind %d, want %d", test.raw, m.kind, test.kind)
		}
	}
}

func TestExtentNeedsNoJSON(t *testing.T) {
	for _, test := range []struct {
		raw           string
		depth, number int
	}{
		{``, 0, 0}, {`"`, 0, 0}, {`"\`, 0, 0}, {`"\"`, 0, 0}, {`"[[\\"[`, 1, 0}, {`"[[\\\"["[`, 1, 0},
		{`]]][`, 0, 0}, {`-`, 0, 1}, {`{"a":[-1.5e+3]}`, 2, 7}, {`"123"12`, 0, 2},
	} {
		balanced([]byte(test.raw))
		if d, n := extent([]byte(test.raw)); d != test.depth || n != test.number {
			t.Errorf("%q: depth %d, number %d", test.raw, d, n)
		}
	}
}

// FuzzGuard holds the guard to what encoding/json, another decoder, thinks.
func FuzzGuard(f *testing.F) {
	for _, seed := range []string{
		ping("1"), ping(`"é"`), withParams(`{"a":{"b":[1,2.5e3,null,true]}}`), withParams(`{"a":1,"a":2}`),
		`{"jsonrpc":"2.0","id":7,"result":{}}`, `{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"m"}}`,
		`[` + ping("1") + `,5,[]]`, `[]`, `{}`, ``, nested(33), nested(10001), `{"\u0069d":1,"id":2}`, `"\ud800"`, `{"id":1}{`,
		`{"jsonrpc":"2.0","id":[1],"id":2}`, `{"a":"` + strings.Repeat(`\`, 9) + `"}`, `1e99999999999999999999999999999999999`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		m := judge(raw)
		if !bytes.Equal(raw, before) {
			t.Fatal("the input was changed")
		}
		valid := stdjson.Valid(raw)
		switch m.kind {
		case request, notification, response:
			if !valid {
				t.Fatalf("accepted what is no JSON: %q", raw)
			}
			if depth, number := extent(raw); depth > schema.MaxDepth || number > schema.MaxNumber {
				t.Fatalf("accepted over the limits: %q", raw)
			}
		case batchOf:
			if members, n, ok := split(raw); ok && (!valid || len(members) > schema.MaxBatch || len(members) > n) {
				t.Fatalf("%d of %d members of %q", len(members), n, raw)
			}
		case invalid:
			if m.code == codeParse && m.id != nil {
				t.Fatalf("an id out of no JSON: %q", raw)
			}
			if answer := m.answer(); !stdjson.Valid(answer) {
				t.Fatalf("answered with what is no JSON: %s", answer)
			}
		}
		if m.id != nil && (!legalID(m.id) || !bytes.Contains(raw, m.id)) {
			t.Fatalf("id %q of %q", m.id, raw)
		}
	})
}
