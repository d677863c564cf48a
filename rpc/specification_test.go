package rpc

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
)

// The examples of the JSON-RPC 2.0 specification, its section 7, whole and in
// its order, against a peer on a real socket. "go test -v -run Specification"
// prints them as a table.
//
// The specification fixes which members an answer has and the bytes of jsonrpc,
// id, result and error.code; not the order of members or the white space. It
// leaves to us error.message ("a short description") and error.data ("may be
// omitted"): ours say more than its examples, and the table says where.

const (
	specParse    = `{"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": null}`
	specRequest  = `{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}`
	messageData  = "error.data, error.message" // ours to choose, as said above
	nothing      = ""
	specDeadline = 10 * time.Second
)

// noRequest is our answer to the member 1 of a batch.
var noRequest = faultOf("null", "neither an object nor an array")

func unknownMethod(id string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"error":{"code":-32601,"message":"method not found",` +
		`"data":{"reason":"method_not_found","retryable":false}}}`
}

var specification = []struct{ name, request, answer, ours, differs string }{
	{"positional parameters", `{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}`,
		`{"jsonrpc": "2.0", "result": 19, "id": 1}`, `{"jsonrpc":"2.0","id":1,"result":19}`, ""},
	{"positional parameters", `{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}`,
		`{"jsonrpc": "2.0", "result": -19, "id": 2}`, `{"jsonrpc":"2.0","id":2,"result":-19}`, ""},
	{"named parameters", `{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}`,
		`{"jsonrpc": "2.0", "result": 19, "id": 3}`, `{"jsonrpc":"2.0","id":3,"result":19}`, ""},
	{"named parameters", `{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}`,
		`{"jsonrpc": "2.0", "result": 19, "id": 4}`, `{"jsonrpc":"2.0","id":4,"result":19}`, ""},
	{"a notification", `{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}`, nothing, nothing, ""},
	{"a notification", `{"jsonrpc": "2.0", "method": "foobar"}`, nothing, nothing, ""},
	{"non-existent method", `{"jsonrpc": "2.0", "method": "foobar", "id": "1"}`,
		`{"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "1"}`, unknownMethod(`"1"`), messageData},
	{"invalid JSON", `{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]`, specParse, parseFault, messageData},
	{"invalid Request object", `{"jsonrpc": "2.0", "method": 1, "params": "bar"}`, specRequest, faultOf("null", "method must be a string"), messageData},
	{"batch, invalid JSON", `[
  {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
  {"jsonrpc": "2.0", "method"
]`, specParse, parseFault, messageData},
	{"an empty array", `[]`, specRequest, faultOf("null", "the batch is empty"), messageData},
	{"an invalid batch (but not empty)", `[1]`, "[\n  " + specRequest + "\n]",
		"[" + noRequest + "]", messageData},
	{"invalid batch", `[1,2,3]`, "[\n  " + specRequest + ",\n  " + specRequest + ",\n  " + specRequest + "\n]",
		"[" + noRequest + "," + noRequest + "," + noRequest + "]", messageData},
	{"batch", `[
    {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
    {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
    {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
    {"foo": "boo"},
    {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
    {"jsonrpc": "2.0", "method": "get_data", "id": "9"} 
]`, `[
    {"jsonrpc": "2.0", "result": 7, "id": "1"},
    {"jsonrpc": "2.0", "result": 19, "id": "2"},
    {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
    {"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "5"},
    {"jsonrpc": "2.0", "result": ["hello", 5], "id": "9"}
]`, `[{"jsonrpc":"2.0","id":"1","result":7},{"jsonrpc":"2.0","id":"2","result":19},` +
		faultOf("null", `jsonrpc must be "2.0"`) + "," + unknownMethod(`"5"`) + `,{"jsonrpc":"2.0","id":"9","result":["hello",5]}]`, messageData},
	{"batch (all notifications)", `[
    {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
    {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}
]`, nothing, nothing, ""},
}

// specMethods are the methods of the examples. Those that are only notified
// are unknown here, as foobar is: nobody can tell.
var specMethods = handler{request: func(r *Request) {
	switch r.Method {
	case "subtract":
		difference(r)
	case "sum":
		var terms []int
		if err := r.Decode(&terms); err != nil {
			r.Fail(err)
			return
		}
		total := 0
		for _, n := range terms {
			total += n
		}
		r.Reply(total)
	case "get_data":
		r.Reply([]any{"hello", 5})
	default:
		r.Fail(schema.Errorf(schema.MethodNotFound, "method_not_found", "method not found"))
	}
}}

// difference takes its params by position and by name.
func difference(r *Request) {
	var byPosition [2]int
	var byName struct{ Minuend, Subtrahend int }
	if r.Decode(&byPosition) == nil {
		r.Reply(byPosition[0] - byPosition[1])
	} else if err := stdjson.Unmarshal(r.Params, &byName); err == nil {
		r.Reply(byName.Minuend - byName.Subtrahend)
	} else {
		r.Fail(schema.InvalidMember("params", "two numbers are required"))
	}
}

func TestSpecification(t *testing.T) {
	ask := specPeer(t)
	for i, example := range specification {
		t.Run(fmt.Sprintf("%02d_%s", i+1, example.name), func(t *testing.T) {
			ours := ask(t, example.request)
			differs := differences(t, example.answer, ours)
			t.Logf("%d. %s\n  --> %s\n  <-- %s\n ours %s\n      %s", i+1, example.name, oneLine(example.request),
				orNothing(oneLine(example.answer)), orNothing(ours), verdict(differs))
			if ours != example.ours || differs != example.differs {
				t.Errorf("want %s, which differs in %q", example.ours, example.differs)
			}
		})
	}
}

// The specification leaves room, and southbound section 1 decides. These are
// all the requests that it allows, or says nothing of, and we refuse.
var decided = []struct{ name, request, answer, allows, rule string }{
	{"id null", `{"jsonrpc":"2.0","method":"subtract","params":[42,23],"id":null}`, faultOf("null", "id must be a string or an integer"),
		"4: an id may be null, which it discourages", "an id is a string or an integer"},
	{"id with a fraction", `{"jsonrpc":"2.0","method":"subtract","params":[42,23],"id":1.5}`, faultOf("null", "id must be a string or an integer"),
		"4: a number should not contain fractional parts", "fractions are -32600"},
	{"params null", `{"jsonrpc":"2.0","method":"get_data","params":null,"id":1}`, faultOf("1", "params must be an object or an array"),
		"4.2: params must be an array or an object; how a fault is answered is open", "a well-formed object that is no request gets -32600"},
	{"notification with wrong params", `{"jsonrpc":"2.0","method":"update","params":"bar"}`, nothing,
		"4.1 never answers a notification, 5 answers what is no request", "notifications are never answered, whatever they hold"},
	{"a name twice", `{"jsonrpc":"2.0","method":"get_data","id":1,"params":{"a":1,"a":2}}`, faultOf("1", "a name occurs twice in an object"),
		"nothing; RFC 8259 section 4: behaviour is unpredictable", "no name twice in an object"},
	{"depth 33", withParams(nested(schema.MaxDepth)), faultOf("7", "nested too deep"), "nothing", "depth at most 32"},
	{"a number of 33 digits", withParams("[" + strings.Repeat("1", schema.MaxNumber+1) + "]"), faultOf("7", "a number is too long"),
		"nothing", "numbers at most 32 characters"},
	{"batch of 65", "[" + strings.Repeat(ping("1")+",", schema.MaxBatch) + ping("1") + "]", faultOf("null", "the batch is too large"),
		"6: no limit", "up to 64 members; a larger one gets a single -32600"},
	{"login in a batch", `[{"jsonrpc":"2.0","method":"login","id":1}]`, "[" + faultOf("1", "this method is never in a batch") + "]",
		"6: any request", "login is never in a batch"},
	{"response in a batch", `[{"jsonrpc":"2.0","result":1,"id":1}]`, "[" + faultOf("null", "a response is never in a batch") + "]",
		"6: responses to a batch are an array; the server sends none", "responses are never batched"},
	{"batch in a batch", `[[]]`, "[" + faultOf("null", "a batch is never in a batch") + "]",
		"6: a member is a request object", "a member that is no request gets its own -32600"},
}

func TestSpecificationDecided(t *testing.T) {
	ask := specPeer(t)
	for _, d := range decided {
		t.Run(d.name, func(t *testing.T) {
			ours := ask(t, d.request)
			t.Logf("%s\n  --> %.100s\n ours %s\n      specification: %s\n      southbound section 1: %s", d.name, d.request, orNothing(ours), d.allows, d.rule)
			if ours != d.answer {
				t.Errorf("want %s", d.answer)
			}
		})
	}
}

// specPeer serves specMethods on a real socket. What it returns sends a text
// and gives the answer, which is empty if a ping sent behind is answered first.
func specPeer(t *testing.T) func(t *testing.T, text string) string {
	url, ends, _ := listen(t, Options{NotInBatch: []string{schema.MethodLogin}}, specMethods)
	c := connect(t, url)
	c.accepted()
	t.Cleanup(func() {
		c.conn.Close()
		within(t, specDeadline, ends)
	})
	const behind = `{"jsonrpc":"2.0","method":"get_data","id":"behind"}`
	return func(t *testing.T, text string) (answer string) {
		t.Helper()
		c.send(text)
		c.send(behind)
		for {
			f := c.receive()
			switch {
			case f == nil || f.op != opText:
				t.Fatalf("received %+v", f)
			case strings.Contains(f.payload, `"id":"behind"`):
				return answer
			case answer != "":
				t.Fatalf("a second answer: %s", f.payload)
			}
			answer = f.payload
		}
	}
}

// differences names the members in which two answers differ.
func differences(t *testing.T, want, got string) string {
	t.Helper()
	if want == nothing || got == nothing {
		if want != got {
			return "whether there is an answer"
		}
		return ""
	}
	w, g := answersOf(t, want), answersOf(t, got)
	if len(w) != len(g) || want[0] != got[0] {
		return "the number of answers"
	}
	var names []string
	for i := range w {
		for name := range w[i] {
			if w[i][name] != g[i][name] {
				names = append(names, name)
			}
		}
		for name := range g[i] {
			if _, both := w[i][name]; !both {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// answersOf takes answers apart: the bytes of each member, and of each of an
// error's own, without white space.
func answersOf(t *testing.T, text string) (answers []map[string]string) {
	t.Helper()
	dec := stdjson.NewDecoder(strings.NewReader(text))
	if text[0] == '[' {
		dec.Token()
	}
	for dec.More() {
		var members map[string]stdjson.RawMessage
		if err := dec.Decode(&members); err != nil {
			t.Fatal(err)
		}
		answer := map[string]string{}
		take(t, answer, "", members)
		answers = append(answers, answer)
	}
	if text[0] == '[' {
		dec.Token()
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		t.Fatalf("more than one value: %s", text)
	}
	return answers
}

func take(t *testing.T, answer map[string]string, prefix string, members map[string]stdjson.RawMessage) {
	t.Helper()
	for name, value := range members {
		if name == "error" {
			var inner map[string]stdjson.RawMessage
			if err := stdjson.Unmarshal(value, &inner); err != nil {
				t.Fatal(err)
			}
			take(t, answer, "error.", inner)
			continue
		}
		answer[prefix+name] = oneLine(string(value))
	}
}

// oneLine is a JSON text without white space; what is no JSON stays on a line.
func oneLine(text string) string {
	var b bytes.Buffer
	if stdjson.Compact(&b, []byte(text)) != nil {
		return strings.Join(strings.Fields(text), " ")
	}
	return b.String()
}

func orNothing(text string) string {
	if text == nothing {
		return "(nothing)"
	}
	return text
}

func verdict(differs string) string {
	if differs == "" {
		return "equal"
	}
	return "equal but for " + differs
}
