package rpc

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
)

// bubble runs f with a served peer inside a synctest bubble.
func bubble(t *testing.T, o Options, h Handler, f func(s *served)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(servePipe(t, o, h)) })
}

func TestF03_PeerThatDoesNotReadIsClosedAfterTheWriteTimeout(t *testing.T) {
	bubble(t, Options{}, echo, func(s *served) {
		start := time.Now()
		s.send(ping("1"))
		s.expectEnd(0, ReasonWriteTimeout)
		if d := time.Since(start); d != schema.WriteTimeout {
			t.Errorf("after %v", d)
		}
	})
}

func TestF03_FullOutboxEndsThePeer(t *testing.T) {
	bubble(t, Options{MaxOutbox: 1000}, echo, func(s *served) {
		for i := range 40 {
			s.conn.Write(frameOf(true, opText, ping(fmt.Sprint(i)))) // fails once the peer is gone
		}
		s.expectEnd(0, ReasonOutboxFull)
	})
}

func TestF03_BlockedHandlerDoesNotBlockWrites(t *testing.T) {
	release := make(chan struct{})
	h := handler{request: func(r *Request) {
		r.Reply("pong")
		if r.Method == "block" {
			<-release
		}
	}}
	bubble(t, Options{}, h, func(s *served) {
		release = make(chan struct{})
		s.send(`{"jsonrpc":"2.0","id":1,"method":"block"}`)
		s.expect(pong("1"))
		if err := s.peer.Notify("hello", nil); err != nil {
			t.Fatal(err)
		}
		s.expect(`{"jsonrpc":"2.0","method":"hello"}`)
		close(release)
		s.stop()
	})
}

func TestF04_SlowWriter(t *testing.T) {
	handled := 0
	bubble(t, Options{}, handler{request: func(*Request) { handled++ }}, func(s *served) {
		start := time.Now()
		var writer sync.WaitGroup
		writer.Go(func() {
			for _, b := range frameOf(true, opText, ping("1")) {
				if _, err := s.conn.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		})
		if f := s.receive(); f.code() != int(schema.ClosePolicy) || time.Since(start) != schema.MessageTimeout {
			t.Errorf("received %+v after %v", f, time.Since(start))
		}
		s.expectEnd(schema.ClosePolicy, ReasonSlowMessage)
		if handled != 0 || s.peer.Stats().Messages != 0 {
			t.Errorf("%d handled", handled)
		}
		writer.Wait()
	})
}

func TestF04_MessageDeadlineBothSides(t *testing.T) {
	message := frameOf(true, opText, ping("1"))
	for _, wait := range []time.Duration{schema.MessageTimeout - time.Millisecond, schema.MessageTimeout + time.Millisecond} {
		bubble(t, Options{}, echo, func(s *served) {
			s.write(message[:1])
			time.Sleep(wait)
			if wait > schema.MessageTimeout {
				s.expectClose(schema.ClosePolicy, ReasonSlowMessage)
				return
			}
			s.write(message[1:])
			s.expect(pong("1"))
			time.Sleep(time.Hour) // no deadline is left over
			s.send(ping("2"))
			s.expect(pong("2"))
			s.stop()
		})
	}
}

func TestF04_EachMessageHasItsOwnDeadline(t *testing.T) {
	bubble(t, Options{}, echo, func(s *served) {
		message := frameOf(true, opText, ping("1"))
		next := message
		for range 5 { // the end of one and the beginning of the next in one write
			s.write(append(next, message[:9]...))
			s.expect(pong("1"))
			time.Sleep(schema.MessageTimeout - time.Second)
			next = message[9:]
		}
		s.stop()
	})
}

func TestF04_PingsDoNotProlongAMessage(t *testing.T) {
	bubble(t, Options{}, echo, func(s *served) {
		s.write(frameOf(false, opText, "{"))
		for range 3 {
			time.Sleep(3 * time.Second)
			s.write(frameOf(true, opPing, "p"))
			if f := s.receive(); f.op != opPong || f.payload != "p" {
				t.Fatalf("received %+v", f)
			}
		}
		s.expectClose(schema.ClosePolicy, ReasonSlowMessage)
	})
}

func TestF04_TimeInTheHandlerIsNotThePeers(t *testing.T) {
	h := handler{request: func(r *Request) {
		time.Sleep(time.Minute)
		r.Reply("pong")
	}}
	bubble(t, Options{}, h, func(s *served) {
		both := append(frameOf(true, opText, ping("1")), frameOf(true, opText, ping("2"))...)
		cut := len(both) - 5
		s.write(both[:cut]) // the second is not whole when the handler blocks
		s.expect(pong("1"))
		s.write(both[cut:])
		s.expect(pong("2"))
		s.stop()
	})
}

func TestF05_ByteAtATime(t *testing.T) {
	bubble(t, Options{}, echo, func(s *served) {
		for _, b := range fragmentsOf(ping("1"), 3) {
			s.write([]byte{b})
		}
		s.expect(pong("1"))
		s.stop()
	})
}

func TestF06_SizeBothSides(t *testing.T) {
	bubble(t, Options{}, echo, func(s *served) {
		s.send(sized(schema.MaxMessage))
		s.expect(pong("1"))
		s.write(fragmentsOf(sized(schema.MaxMessage), schema.MaxFragments))
		s.expect(pong("1"))
		go s.conn.Write(frameOf(true, opText, sized(schema.MaxMessage+1)))
		s.expectClose(schema.CloseTooBig, ReasonTooBig)
	})
}

func TestF06_ClaimedLengthIsNotAllocated(t *testing.T) {
	bubble(t, Options{}, echo, func(s *served) {
		s.write(claim(1<<63 - 1))
		s.expectClose(schema.CloseTooBig, ReasonTooBig)
	})
}

func TestF06_LimitBeforeLogin(t *testing.T) {
	bubble(t, Options{}, echo, func(s *served) {
		s.peer.SetMaxMessage(schema.MaxLoginMessage)
		s.send(sized(schema.MaxLoginMessage))
		s.expect(pong("1"))
		s.peer.SetMaxMessage(schema.MaxMessage)
		s.send(sized(schema.MaxLoginMessage + 1))
		s.expect(pong("1"))
		s.peer.SetMaxMessage(schema.MaxLoginMessage)
		go s.conn.Write(frameOf(true, opText, sized(schema.MaxLoginMessage+1)))
		s.expectClose(schema.CloseTooBig, ReasonTooBig)
	})
}

func TestF07_Fragments(t *testing.T) {
	bubble(t, Options{}, echo, func(s *served) {
		s.write(fragmentsOf(ping("1"), schema.MaxFragments))
		s.expect(pong("1"))
		go s.conn.Write(fragmentsOf(ping("1"), schema.MaxFragments+1))
		s.expectClose(schema.ClosePolicy, ReasonFragments)
	})
}

func TestF07_PingBetweenFragmentsIsAnswered(t *testing.T) {
	bubble(t, Options{}, echo, func(s *served) {
		text := ping("1")
		s.write(frameOf(false, opText, text[:10]))
		s.write(frameOf(true, opPing, "here?"))
		if f := s.receive(); f.op != opPong || f.payload != "here?" {
			t.Fatalf("received %+v", f)
		}
		s.write(frameOf(true, opContinuation, text[10:]))
		s.expect(pong("1"))
		s.stop()
	})
}

func TestF08_InvalidUTF8(t *testing.T) {
	for _, bad := range []string{"\xff", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80"} {
		handled := 0
		bubble(t, Options{}, handler{request: func(*Request) { handled++ }}, func(s *served) {
			s.send(`{"jsonrpc":"2.0","id":"` + bad + `","method":"ping"}`)
			s.expectClose(schema.CloseUTF8, ReasonUTF8)
		})
		if handled != 0 {
			t.Errorf("%q was handled", bad)
		}
	}
}

func TestF08_CharacterSplitAcrossFragments(t *testing.T) {
	bubble(t, Options{}, echo, func(s *served) {
		text := ping(`"é"`)
		at := strings.Index(text, "é") + 1
		s.write(append(frameOf(false, opText, text[:at]), frameOf(true, opContinuation, text[at:])...))
		s.expect(pong(`"é"`))
		s.stop()
	})
}

func TestF09_BrokenFrames(t *testing.T) {
	for _, test := range []struct {
		frame  []byte
		code   schema.CloseCode
		reason string
	}{
		{[]byte{bitFin | opText, 1, 'x'}, schema.CloseProtocol, ReasonProtocol},
		{bare(bitFin|0x40|opText, bitMask|1, "x"), schema.CloseProtocol, ReasonProtocol},
		{frameOf(true, 3, "x"), schema.CloseProtocol, ReasonProtocol},
		{frameOf(true, opClose, "\x03\xed"), schema.CloseProtocol, ReasonProtocol}, // 1005 is never sent
		{frameOf(true, opClose, "\x03\xe8\xff"), schema.CloseProtocol, ReasonProtocol},
		{frameOf(true, opBinary, "x"), schema.CloseBinary, ReasonBinary},
	} {
		bubble(t, Options{}, echo, func(s *served) {
			go s.conn.Write(append(frameOf(true, opText, ping("1")), test.frame...))
			s.expect(pong("1")) // what came before the fault is still answered
			s.expectClose(test.code, test.reason)
		})
	}
}

func TestF15_UnaskedResponsesInARow(t *testing.T) {
	stray := `{"jsonrpc":"2.0","id":999999999,"result":1}`
	bubble(t, Options{}, echo, func(s *served) {
		for range schema.MaxMalformed - 1 {
			s.send(stray)
		}
		s.send(ping("1"))
		s.expect(pong("1"))
		for range schema.MaxMalformed {
			s.send(stray)
		}
		s.expectClose(schema.ClosePolicy, ReasonMalformed)
		if st := s.peer.Stats(); st.Unasked != 2*schema.MaxMalformed-1 || st.Malformed != 0 || st.Messages != 2*schema.MaxMalformed {
			t.Errorf("%+v", st)
		}
	})
}

func TestF11_MalformedInARow(t *testing.T) {
	handled := 0
	h := handler{request: func(r *Request) { handled++; r.Reply("pong") }}
	bubble(t, Options{}, h, func(s *served) {
		for round := range 2 {
			for range schema.MaxMalformed - 1 {
				s.send(withParams(nested(schema.MaxDepth)))
				s.expect(faultOf("7", "nested too deep"))
			}
			if round == 0 {
				s.send(ping("1"))
				s.expect(pong("1"))
			}
		}
		s.send("{")
		s.expect(parseFault)
		s.expectClose(schema.ClosePolicy, ReasonMalformed)
	})
	if handled != 1 {
		t.Errorf("%d handled", handled)
	}
}

func TestF16_RepeatedIdInFlight(t *testing.T) {
	var held *Request
	h := handler{request: func(r *Request) {
		if held == nil {
			held = r
			return
		}
		r.Reply("pong")
	}}
	bubble(t, Options{}, h, func(s *served) {
		s.send(ping("1"))
		s.send(ping("1"))
		s.expect(faultOf("1", "this id is in flight"))
		s.send(ping(`"1"`)) // another id
		s.expect(pong(`"1"`))
		held.Reply("pong")
		s.expect(pong("1"))
		held.Reply("again") // only the first counts
		held.Fail(ErrClosed)
		s.send(ping("1"))
		s.expect(pong("1"))
		s.stop()
	})
}

func TestF16_NotificationsAreNeverAnswered(t *testing.T) {
	var got []string
	h := handler{request: func(r *Request) {
		if !r.IsNotification() {
			r.Reply("pong")
			return
		}
		got = append(got, r.Method)
		r.Reply(1)
		r.Fail(ErrClosed)
	}}
	run(t, Options{}, h, []exchange{
		{"known", `{"jsonrpc":"2.0","method":"ping"}`, ""},
		{"unknown", `{"jsonrpc":"2.0","method":"nonsense","params":{"a":1}}`, ""},
		{"with bad params", `{"jsonrpc":"2.0","method":"ping","params":1}`, ""},
		{"with a name twice", `{"jsonrpc":"2.0","method":"ping","params":{"a":1,"a":1}}`, ""},
		{"too deep", `{"jsonrpc":"2.0","method":"ping","params":` + nested(40) + `}`, ""},
	})
	if fmt.Sprint(got) != "[ping nonsense]" {
		t.Errorf("handled %v", got)
	}
}

func TestF27_Flood(t *testing.T) {
	left := 3
	o := Options{Admit: func() bool { left--; return left >= 0 }}
	bubble(t, o, echo, func(s *served) {
		s.send(ping("1"))
		s.expect(pong("1"))
		s.send("no JSON")
		s.expect(parseFault)
		s.write(frameOf(true, opPing, ""))
		s.receive()
		s.send(ping("2"))
		s.expectClose(schema.ClosePolicy, ReasonFlood)
	})
}

func TestF27_TransportPingsAreCoalesced(t *testing.T) {
	bubble(t, Options{}, echo, func(s *served) {
		for i := range 1000 {
			s.write(frameOf(true, opPing, fmt.Sprint(i)))
			synctest.Wait() // the first pong is on its way, the others wait
		}
		if f := s.receive(); f.payload != "0" {
			t.Errorf("first pong %+v", f)
		}
		if f := s.receive(); f.payload != "999" {
			t.Errorf("second pong %+v", f)
		}
		s.stop()
	})
}

func TestF46_FailedWriteEndsTheConnection(t *testing.T) {
	bubble(t, Options{}, echo, func(s *served) {
		s.send(ping("1"))
		s.conn.Read(make([]byte, 5)) // a part of a frame
		s.conn.Close()
		if e := <-s.end; e.Reason != ReasonReset && e.Reason != ReasonEOF {
			t.Errorf("end %+v", e)
		}
		if err := s.peer.Notify("x", nil); err != ErrClosed {
			t.Errorf("notify: %v", err)
		}
	})
}

// TestRequestIsUsedAgain: who answers with ReplyLast has the next request in the same
// memory, alone, in a batch and as a notification, and each answer has its own id.
func TestRequestIsUsedAgain(t *testing.T) {
	seen := make(chan *Request, 100)
	url, _, _ := listen(t, Options{}, handler{request: func(r *Request) {
		seen <- r
		if r.Method != "ping" || r.Params != nil {
			t.Errorf("%s %s", r.Method, r.Params)
		}
		r.ReplyLast("pong")
	}})
	c := connect(t, url)
	c.accepted()
	one := func(id string) string { return `{"jsonrpc":"2.0","id":` + id + `,"result":"pong"}` }
	for i := range 20 {
		id := strconv.Itoa(i)
		c.send(ping(id))
		c.expect(one(id))
	}
	c.send(`{"jsonrpc":"2.0","method":"ping"}`)
	c.send("[" + ping("1") + "," + ping(`"two"`) + "]")
	c.expect("[" + one("1") + "," + one(`"two"`) + "]")
	first := <-seen
	for range 22 {
		if r := <-seen; r != first {
			t.Fatal("a request has a memory of its own")
		}
	}
}
