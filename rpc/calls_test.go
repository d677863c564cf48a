package rpc

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
)

// called is the raw request of a call, as the other side receives it.
func (s *served) called(method string, id uint64) {
	s.t.Helper()
	s.expect(fmt.Sprintf(`{"id":%d,"jsonrpc":"2.0","method":"%s"}`, id, method))
}

func result(id uint64, value string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":%s}`, id, value)
}

// caller records what becomes of calls, in the order of receipt.
type caller struct{ log []string }

func (c *caller) done(name string) func(Response) {
	return func(r Response) { c.note(name, r) }
}

func (c *caller) note(name string, r Response) {
	if r.Err != nil {
		c.log = append(c.log, fmt.Sprintf("%s: %d %v", name, r.RPCCode, r.Err))
		return
	}
	c.log = append(c.log, name+": "+string(r.Result))
}

func (c *caller) handler() handler {
	return handler{
		request: func(r *Request) { c.log = append(c.log, r.Method); r.Reply("pong") },
		late:    func(_ uint64, r Response) { c.note("late", r) },
	}
}

func (c *caller) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	if strings.Join(c.log, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(c.log, "\n"), strings.Join(want, "\n"))
	}
}

// call makes a call and reads its request.
func (s *served) call(method string, done func(Response)) uint64 {
	s.t.Helper()
	id, err := s.peer.Call(method, nil, done)
	if err != nil {
		s.t.Fatal(err)
	}
	s.called(method, id)
	return id
}

func TestCall(t *testing.T) {
	var c caller
	bubble(t, Options{}, c.handler(), func(s *served) {
		a, b, e := s.call("a", c.done("a")), s.call("b", c.done("b")), s.call("e", c.done("e"))
		s.send(result(b, `{"status":"success","data":{"x":[1,"é"]}}`))
		s.send(ping("1"))
		s.expect(pong("1"))
		s.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"error":{"code":-32005,"message":"later","data":{"reason":"busy","retry_after_ms":1500}}}`, e))
		s.send(result(a, "null"))
		c.expect(t, `b: {"status":"success","data":{"x":[1,"é"]}}`, "ping", "e: -32005 busy: later", "a: null")
		s.stop()
	})
}

func TestCallParams(t *testing.T) {
	bubble(t, Options{}, echo, func(s *served) {
		p := schema.GiveOrder{OrderID: "1", OrderType: "<beep>", DeviceID: "2", Params: []byte(`{"a" : 1}`)}
		id, err := s.peer.Call(schema.MethodGiveOrder, p, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.expect(fmt.Sprintf(`{"id":%d,"jsonrpc":"2.0","method":"give_order","params":{"order_id":"1","order_type":"<beep>",`+
			`"is_inner":false,"device_id":"2","params":{"a":1},"deadline_time":0}}`, id))
		if err := s.peer.Notify(schema.MethodRestartConfirm, schema.RestartConfirm{OrderID: "1"}); err != nil {
			t.Fatal(err)
		}
		s.expect(`{"jsonrpc":"2.0","method":"restart_confirm","params":{"order_id":"1"}}`)
		s.stop()
	})
}

// TestValueLimits: what a value must be to travel.
func TestValueLimits(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for text, ok := range map[string]bool{
		nested(3): true, nested(4): false, strings.Repeat("1", schema.MaxNumber): true, strings.Repeat("1", schema.MaxNumber+1): false,
		`{"a":"[[[[","b":"` + strings.Repeat("1", 99) + `"}`: true, `{"a":1,"a":2}`: false, "\"\xff\"": false, `"\ud800"`: false, "": false,
	} {
		if err := CheckValue("data", []byte(text), 3); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestCallKeepsItsLimit: what was within the limit is on the wire as it is, also if
// an encoder for web pages would write it otherwise.
func TestCallKeepsItsLimit(t *testing.T) {
	bubble(t, Options{}, echo, func(s *served) {
		text := strings.Repeat("<&>", (schema.MaxMessage-256-2)/3)
		id, err := s.peer.Call("x", text, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.expect(fmt.Sprintf(`{"id":%d,"jsonrpc":"2.0","method":"x","params":"%s"}`, id, text))
		s.stop()
	})
}

func TestCallOverTheLimitIsRefused(t *testing.T) {
	bubble(t, Options{}, echo, func(s *served) {
		for _, test := range []struct {
			n  int
			ok bool
		}{{schema.MaxMessage - 256 - 2, true}, {schema.MaxMessage - 256 - 1, false}} { // with its quotes
			_, err := s.peer.Call("x", strings.Repeat("x", test.n), nil)
			if (err == nil) != test.ok || err != nil && schema.KindOf(err) != schema.TooLarge {
				t.Errorf("%d bytes: %v", test.n, err)
			}
			if err = s.peer.Notify("x", strings.Repeat("x", test.n)); (err == nil) != test.ok {
				t.Errorf("%d bytes: %v", test.n, err)
			}
		}
		if _, err := s.peer.Call("x", func() {}, nil); err == nil {
			t.Error("a function was encoded")
		}
		s.stop()
	})
}

func TestForget(t *testing.T) {
	var c caller
	bubble(t, Options{}, c.handler(), func(s *served) {
		first := s.call("first", c.done("first"))
		s.peer.Forget(first)
		s.peer.Forget(first)
		s.peer.Forget(first + 1000)
		second := s.call("second", c.done("second"))
		s.send(result(first, "1")) // late, while the next one waits
		s.send(result(first, "1")) // late is told once
		s.send(result(second, "2"))
		synctest.Wait()
		s.peer.Forget(second) // it is over
		c.expect(t, "late: 1", "second: 2")
		if st := s.peer.Stats(); st.Unasked != 1 {
			t.Errorf("%+v", st)
		}
		s.stop()
	})
}

func TestForgetFromDone(t *testing.T) {
	var c caller
	bubble(t, Options{}, c.handler(), func(s *served) {
		var other uint64
		id := s.call("a", func(r Response) { c.note("a", r); s.peer.Forget(other) })
		other = s.call("b", c.done("b"))
		s.send(result(id, "1"))
		s.send(result(other, "2"))
		c.expect(t, "a: 1", "late: 2")
		s.stop()
	})
}

func TestForgottenCallsAreBounded(t *testing.T) {
	var c caller
	bubble(t, Options{}, c.handler(), func(s *served) {
		var ids []uint64
		for range maxForgotten + 1 {
			ids = append(ids, s.call("x", c.done("x")))
			s.peer.Forget(ids[len(ids)-1])
		}
		s.send(result(ids[0], "0"))
		s.send(result(ids[1], "1"))
		s.send(result(ids[maxForgotten], "64"))
		c.expect(t, "late: 1", "late: 64")
		s.stop()
	})
}

func TestF43_SecondAnswerIsUnasked(t *testing.T) {
	var c caller
	bubble(t, Options{}, c.handler(), func(s *served) {
		id := s.call("x", c.done("x"))
		s.send(result(id, "1"))
		s.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"error":{"code":1,"message":"m"}}`, id))
		c.expect(t, "x: 1")
		if st := s.peer.Stats(); st.Unasked != 1 || st.Malformed != 0 {
			t.Errorf("%+v", st)
		}
		s.stop()
	})
}

func TestT18_ForgedResponses(t *testing.T) {
	var c, d caller
	synctest.Test(t, func(t *testing.T) {
		mine, other := servePipe(t, Options{}, c.handler()), servePipe(t, Options{}, d.handler())
		id, foreign := mine.call("x", c.done("x")), other.call("x", d.done("x"))
		if id == foreign || id == 0 {
			t.Fatalf("ids %d and %d", id, foreign)
		}
		for _, forged := range []string{
			result(foreign, "1"), result(id+1000, "1"), result(0, "1"), `{"jsonrpc":"2.0","id":null,"result":1}`,
			fmt.Sprintf(`{"jsonrpc":"2.0","id":"%d","result":1}`, id),
			fmt.Sprintf(`{"jsonrpc":"2.0","id":%d.0,"result":1}`, id),
			fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":1,"error":{"code":1,"message":"m"}}`, id),
			fmt.Sprintf(`{"jsonrpc":"2.0","ID":%d,"id":%d,"result":1}`, id, foreign),
			fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"error":{"code":"x","message":"m"}}`, id),
		} {
			mine.send(forged)
		}
		mine.send("[" + result(id, "1") + "]")
		mine.expect("[" + faultOf("null", "a response is never in a batch") + "]")
		c.expect(t)
		// Names in another case mean nothing, to the library behind neither.
		mine.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":"true","ID":%d,"Error":{"code":1,"message":"m"},"RESULT":0}`, id, foreign))
		c.expect(t, `x: "true"`)
		other.send(result(foreign, "2"))
		d.expect(t, "x: 2")
		if st := mine.peer.Stats(); st.Unasked != 9 || st.Malformed != 1 {
			t.Errorf("%+v", st)
		}
		mine.stop()
		other.stop()
	})
}

func TestCallsEndWithTheConnection(t *testing.T) {
	var c caller
	bubble(t, Options{}, c.handler(), func(s *served) {
		id := s.call("x", c.done("x"))
		s.stop()
		s.peer.Forget(id)
		if _, err := s.peer.Call("x", nil, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("call: %v", err)
		}
		if err := s.peer.Notify("x", nil); !errors.Is(err, ErrClosed) {
			t.Errorf("notify: %v", err)
		}
		c.expect(t)
	})
}

func TestCallAfterCloseIsRefused(t *testing.T) {
	bubble(t, Options{}, echo, func(s *served) {
		s.peer.Close(schema.CloseDone, "")
		if _, err := s.peer.Call("x", nil, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("call: %v", err)
		}
		s.expectClose(schema.CloseDone, ReasonClosed)
	})
}

// Both ends are peers: the library's Conn on each side, calls in both
// directions at once, from the handler too.
func TestCallsInBothDirections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, cli, err := Pipe(Options{}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if srv.Subprotocol() != schema.Subprotocol || cli.Subprotocol() != schema.Subprotocol || srv.RemoteAddr() == nil {
			t.Error("handshake")
		}
		const n = 100
		got := make(chan string, 3*n)
		note := func(r Response) { got <- string(r.Result) }
		back := handler{request: func(r *Request) {
			r.Reply("pong")
			if _, err := srv.Call("ping", map[string]int{"n": 1}, note); err != nil {
				t.Error(err)
			}
		}}
		a, b := serve(srv, back), serve(cli, echo)
		for range n {
			go cli.Call("ping", nil, note)
			go srv.Call("ping", nil, note)
		}
		for range 3 * n {
			if v := <-got; v != `"pong"` {
				t.Errorf("result %s", v)
			}
		}
		srv.Close(schema.CloseDone, "")
		<-a
		<-b
	})
}

func TestForgetRacesTheResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, cli, err := Pipe(Options{}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		outcome := make(chan string, 1)
		h := handler{late: func(uint64, Response) { outcome <- "late" }}
		a, b := serve(srv, h), serve(cli, echo)
		for range 200 {
			id, err := srv.Call("ping", nil, func(Response) { outcome <- "done" })
			if err != nil {
				t.Fatal(err)
			}
			srv.Forget(id)
			<-outcome // one of the two, once
		}
		time.Sleep(time.Second)
		if len(outcome) != 0 || srv.Stats().Unasked != 0 {
			t.Errorf("%d more, %+v", len(outcome), srv.Stats())
		}
		srv.Close(schema.CloseDone, "")
		<-a
		<-b
	})
}

func TestF03_CallsFillTheOutbox(t *testing.T) {
	bubble(t, Options{MaxOutbox: 1000}, echo, func(s *served) {
		var err error
		for n := 0; err == nil; n++ {
			if _, err = s.peer.Call("x", nil, nil); n > 1000 {
				t.Fatal("no bound")
			}
		}
		if !errors.Is(err, ErrClosed) {
			t.Errorf("call: %v", err)
		}
		s.expectEnd(0, ReasonOutboxFull)
	})
}
