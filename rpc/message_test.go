package rpc

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/edgetether/tether/schema"
)

// exchange is one message and the one answer to it; no answer if it is empty.
type exchange struct{ name, send, want string }

// run sends each message over a connection of its own, and a ping behind it:
// what is not answered is known by the ping's answer coming first.
func run(t *testing.T, o Options, h Handler, table []exchange) {
	t.Helper()
	for _, x := range table {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := servePipe(t, o, h)
				defer s.stop()
				s.send(x.send)
				if x.want != "" {
					s.expect(x.want)
				}
				s.send(ping(`"after"`))
				s.expect(pong(`"after"`))
			})
		})
	}
}

// The examples of the JSON-RPC 2.0 specification, section 7.
func TestSpecificationExamples(t *testing.T) {
	calculator := handler{request: func(r *Request) {
		var list []int
		var byName struct {
			Subtrahend int `json:"subtrahend"`
			Minuend    int `json:"minuend"`
		}
		switch r.Method {
		case "subtract":
			if r.Decode(&list) == nil {
				r.Reply(list[0] - list[1])
			} else if r.Decode(&byName) == nil {
				r.Reply(byName.Minuend - byName.Subtrahend)
			}
		case "sum":
			sum := 0
			_ = r.Decode(&list)
			for _, n := range list {
				sum += n
			}
			r.Reply(sum)
		case "get_data":
			r.Reply([]any{"hello", 5})
		case "ping":
			r.Reply("pong")
		default:
			r.Fail(schema.Errorf(schema.MethodNotFound, "method_not_found", "no such method"))
		}
	}}
	notFound := func(id string) string {
		return `{"jsonrpc":"2.0","id":` + id + `,"error":{"code":-32601,"message":"no such method",` +
			`"data":{"reason":"method_not_found","retryable":false}}}`
	}
	run(t, Options{}, calculator, []exchange{
		{"positional", `{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}`,
			`{"jsonrpc":"2.0","id":1,"result":19}`},
		{"positional swapped", `{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}`,
			`{"jsonrpc":"2.0","id":2,"result":-19}`},
		{"named", `{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}`,
			`{"jsonrpc":"2.0","id":3,"result":19}`},
		{"named swapped", `{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}`,
			`{"jsonrpc":"2.0","id":4,"result":19}`},
		{"notification", `{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}`, ""},
		{"notification without params", `{"jsonrpc": "2.0", "method": "foobar"}`, ""},
		{"unknown method", `{"jsonrpc": "2.0", "method": "foobar", "id": "1"}`, notFound(`"1"`)},
		{"invalid JSON", `{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]`, parseFault},
		{"invalid request", `{"jsonrpc": "2.0", "method": 1, "params": "bar"}`, faultOf("null", "method must be a string")},
		{"batch, invalid JSON", `[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method"]`, parseFault},
		{"empty array", `[]`, faultOf("null", "the batch is empty")},
		{"invalid batch, not empty", `[1]`, "[" + faultOf("null", "neither an object nor an array") + "]"},
		{"invalid batch", `[1,2,3]`, "[" + strings.Repeat(faultOf("null", "neither an object nor an array")+",", 2) +
			faultOf("null", "neither an object nor an array") + "]"},
		{"batch", `[
			{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
			{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
			{"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
			{"foo": "boo"},
			{"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
			{"jsonrpc": "2.0", "method": "get_data", "id": "9"}]`,
			`[{"jsonrpc":"2.0","id":"1","result":7},{"jsonrpc":"2.0","id":"2","result":19},` +
				faultOf("null", `jsonrpc must be "2.0"`) + "," + notFound(`"5"`) + `,{"jsonrpc":"2.0","id":"9","result":["hello",5]}]`},
		{"batch of notifications", `[{"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
			{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}]`, ""},
	})
}
