package rpc

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
)

func TestCloseGoesOutAfterWhatWaits(t *testing.T) {
	h := handler{request: func(r *Request) {
		r.Fail(schema.ErrLoginFailed)
		r.peer.Close(schema.CloseLoginFailed, "login failed")
		r.peer.Close(schema.CloseDone, "only the first counts")
	}}
	bubble(t, Options{}, h, func(s *served) {
		s.send(ping("1"))
		if f := s.receive(); f.op != opText || !strings.Contains(f.payload, "-32001") {
			t.Errorf("received %+v", f)
		}
		s.expectClose(schema.CloseLoginFailed, ReasonClosed)
		select {
		case <-s.peer.Done():
		default:
			t.Error("not done")
		}
	})
}

func TestCloseWaitsForTheOtherSideAndDiscards(t *testing.T) {
	handled := 0
	bubble(t, Options{}, handler{request: func(*Request) { handled++ }}, func(s *served) {
		s.peer.Close(schema.CloseTakeover, "")
		if f := s.receive(); f.code() != int(schema.CloseTakeover) {
			t.Fatalf("received %+v", f)
		}
		start := time.Now()
		for range 3 {
			s.send(ping("1"))
		}
		s.expectEnd(schema.CloseTakeover, ReasonClosed)
		if d := time.Since(start); d != defaultCloseTimeout || handled != 0 {
			t.Errorf("after %v, %d handled", d, handled)
		}
	})
}

func TestCloseWhileTheHandlerBlocks(t *testing.T) {
	h := handler{request: func(*Request) { time.Sleep(time.Minute) }}
	bubble(t, Options{}, h, func(s *served) {
		s.send(ping("1"))
		synctest.Wait()
		start := time.Now()
		s.peer.Close(schema.CloseRestart, "retry_after_ms=5")
		if f := s.receive(); f.code() != int(schema.CloseRestart) || f.payload[2:] != "retry_after_ms=5" {
			t.Errorf("received %+v", f)
		}
		if s.receive() != nil || time.Since(start) != defaultCloseTimeout {
			t.Errorf("closed after %v", time.Since(start))
		}
		<-s.end
	})
}

func TestCloseOfAPeerThatDoesNotRead(t *testing.T) {
	bubble(t, Options{WriteTimeout: 3 * time.Second}, echo, func(s *served) {
		start := time.Now()
		s.peer.Close(schema.CloseRestart, "")
		s.expectEnd(schema.CloseRestart, ReasonClosed)
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("after %v", d)
		}
	})
}

func TestCloseWithoutServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, cli, err := Pipe(Options{}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := srv.Call("x", nil, nil); err != nil {
			t.Fatal(err)
		}
		srv.Close(schema.CloseRestart, "")
		if e := cli.Serve(echo); e.Reason != ReasonClosedByPeer || e.Code != schema.CloseRestart {
			t.Errorf("end %+v", e)
		}
		srv.Abort()
	})
}

func TestClosedByPeer(t *testing.T) {
	for _, test := range []struct {
		payload string
		code    schema.CloseCode
		text    string
	}{{"\x03\xe8bye", 1000, "bye"}, {"\x11\x39", 4409, ""}, {"", 0, ""}} {
		bubble(t, Options{}, echo, func(s *served) {
			s.write(append(frameOf(true, opText, ping("1")), frameOf(true, opClose, test.payload)...))
			s.expect(pong("1"))
			if f := s.receive(); f.op != opClose || len(f.payload) > 0 && f.payload != test.payload[:2] {
				t.Errorf("received %+v", f)
			}
			if e := <-s.end; e.Reason != ReasonClosedByPeer || e.Code != test.code || e.Text != test.text {
				t.Errorf("end %+v", e)
			}
			if s.receive() != nil {
				t.Error("still open")
			}
		})
	}
}

func TestClosedByPeerThatDoesNotRead(t *testing.T) {
	bubble(t, Options{}, echo, func(s *served) {
		start := time.Now()
		s.write(frameOf(true, opClose, "\x03\xe8"))
		s.expectEnd(1000, ReasonClosedByPeer)
		if d := time.Since(start); d != defaultCloseTimeout {
			t.Errorf("after %v", d)
		}
	})
}

func TestEndWithoutCloseFrame(t *testing.T) {
	bubble(t, Options{}, echo, func(s *served) {
		s.conn.Close()
		s.expectEnd(0, ReasonEOF)
	})
	bubble(t, Options{}, echo, func(s *served) {
		s.write(frameOf(true, opText, "half")[:7])
		s.conn.Close()
		s.expectEnd(0, ReasonEOF)
	})
	bubble(t, Options{}, echo, func(s *served) {
		s.peer.Abort()
		s.expectEnd(0, ReasonClosed)
	})
}

func TestBothCloseAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, cli, err := Pipe(Options{}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		a, b := serve(srv, echo), serve(cli, echo)
		start := time.Now()
		srv.Close(schema.CloseRestart, "")
		cli.Close(schema.CloseDone, "")
		if e := <-a; e.Reason != ReasonClosed || e.Code != schema.CloseRestart {
			t.Errorf("server's end %+v", e)
		}
		// The server's frame may be there before the client has said anything.
		if e := <-b; (e.Reason != ReasonClosed || e.Code != schema.CloseDone) && (e.Reason != ReasonClosedByPeer || e.Code != schema.CloseRestart) {
			t.Errorf("client's end %+v", e)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("after %v", d)
		}
	})
}

func TestCloseReasonIsCutAtACharacter(t *testing.T) {
	bubble(t, Options{}, echo, func(s *served) {
		s.peer.Close(schema.CloseDone, strings.Repeat("é", 100))
		if f := s.receive(); f.payload[2:] != strings.Repeat("é", 61) {
			t.Errorf("%d bytes: %q", len(f.payload), f.payload)
		}
		s.stop()
	})
}
