package rpc

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/edgetether/tether/schema"
)

// pings is a batch of n pings, and what it is answered with.
func pings(n int) (send, want string) {
	var s, w []string
	for i := range n {
		s, w = append(s, ping(fmt.Sprint(i))), append(w, pong(fmt.Sprint(i)))
	}
	return "[" + strings.Join(s, ",") + "]", "[" + strings.Join(w, ",") + "]"
}

func TestF14_Batches(t *testing.T) {
	full, answers := pings(schema.MaxBatch)
	over, _ := pings(schema.MaxBatch + 1)
	huge := "[" + strings.Repeat("1,", 10000) + "1]"
	response := `{"jsonrpc":"2.0","id":7,"result":1}`
	noResponse := faultOf("null", "a response is never in a batch")
	run(t, Options{NotInBatch: []string{schema.MethodLogin}}, echo, []exchange{
		{"64 members", full, answers},
		{"65 members", over, faultOf("null", "the batch is too large")},
		{"10,000 members", huge, faultOf("null", "the batch is too large")},
		{"10,000 members, no JSON", huge + "]", parseFault},
		{"empty", " [ ] ", faultOf("null", "the batch is empty")},
		{"no JSON", `[` + ping("1"), parseFault},
		{"no JSON inside", `[` + ping("1") + `,x]`, parseFault},
		{"of responses", "[" + response + "," + response + "]", "[" + noResponse + "," + noResponse + "]"},
		{"with a response", "[" + ping("1") + "," + response + "]", "[" + pong("1") + "," + noResponse + "]"},
		{"nested", "[[" + ping("1") + "]]", "[" + faultOf("null", "a batch is never in a batch") + "]"},
		{"too deep", "[" + ping("1") + "," + nested(schema.MaxDepth) + "]", faultOf("null", "nested too deep")},
		{"login", `[{"jsonrpc":"2.0","id":1,"method":"login"},` + ping("2") + `]`,
			"[" + faultOf("1", "this method is never in a batch") + "," + pong("2") + "]"},
		{"login, escaped", `[{"jsonrpc":"2.0","id":1,"method":"log\u0069n"}]`,
			"[" + faultOf("1", "this method is never in a batch") + "]"},
		{"an id twice", `[{"jsonrpc":"2.0","id":1,"method":"ping","id":2},` + ping("2") + `]`,
			"[" + faultOf("null", "a name occurs twice in an object") + "," + pong("2") + "]"},
		{"a long number", `[{"jsonrpc":"2.0","id":1,"method":"ping","params":[` + strings.Repeat("1", 33) + `]},` + ping("2") + `]`,
			"[" + faultOf("1", "a number is too long") + "," + pong("2") + "]"},
		{"with a bad notification", `[{"jsonrpc":"2.0","method":"x","params":1},` + ping("2") + `]`, "[" + pong("2") + "]"},
		{"only a bad notification", `[{"jsonrpc":"2.0","method":"x","params":1}]`, ""},
	})
}

func TestF14_BatchIsAnsweredWhenTheLastMemberIs(t *testing.T) {
	var held []*Request
	h := handler{request: func(r *Request) {
		if held = append(held, r); r.Method == "alone" {
			r.Reply(r.InBatch())
		}
	}}
	bubble(t, Options{}, h, func(s *served) {
		s.send(`[` + ping("1") + `,` + ping("2") + `,` + ping("1") + `,{"jsonrpc":"2.0","method":"note"}]`)
		s.send(`{"jsonrpc":"2.0","id":4,"method":"alone"}`)
		s.expect(`{"jsonrpc":"2.0","id":4,"result":false}`)
		if len(held) != 4 || !held[0].InBatch() || !held[2].IsNotification() {
			t.Fatalf("%d requests", len(held))
		}
		held[1].Reply("pong")
		held[1].Reply("pong")
		synctest.Wait()
		held[0].Reply("pong")
		s.expect("[" + pong("1") + "," + pong("2") + "," + faultOf("1", "this id is in flight") + "]")
		s.stop()
	})
}

func TestF14_MemoryOfABatch(t *testing.T) {
	huge := []byte("[" + strings.Repeat("1,", schema.MaxMessage/2-2) + "1]")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	split(huge)
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 256<<10 {
		t.Errorf("%d bytes", allocated)
	}
}

func TestBatchCountsAsOneMessage(t *testing.T) {
	bubble(t, Options{}, echo, func(s *served) {
		for range schema.MaxMalformed - 1 {
			s.send("[1,2]")
			s.receive()
		}
		s.send("[1," + ping("2") + "]") // one valid member is enough
		s.receive()
		for range schema.MaxMalformed {
			s.send("[]")
			s.receive()
		}
		s.expectClose(schema.ClosePolicy, ReasonMalformed)
		if st := s.peer.Stats(); st.Malformed != 2*schema.MaxMalformed-1 || st.Messages != 2*schema.MaxMalformed {
			t.Errorf("%+v", st)
		}
	})
}
