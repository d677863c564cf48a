package rpc

import (
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
)

// steadyConn brings a byte after a time, in every Read.
type steadyConn struct {
	net.Conn
	after time.Duration
}

func (c *steadyConn) SetReadDeadline(time.Time) error { return nil }

func (c *steadyConn) Read(p []byte) (int, error) {
	time.Sleep(c.after)
	return copy(p[:1], "\xff"), nil
}

// TestF04_TheWayToTheNextRead: a byte that comes just before the deadline buys
// no second one, though the deadline passes before the next Read.
func TestF04_TheWayToTheNextRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &steadyConn{}
		c := newFrameConn(conn, Options{}.withDefaults(), true)
		c.scan.header, c.scan.n = [maxHeader]byte{bitFin | opText, bitMask | 100}, 2
		b := make([]byte, 1)
		c.Read(b) // the deadline is armed
		conn.after = schema.MessageTimeout - time.Millisecond
		if n, err := c.Read(b); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		time.Sleep(2 * time.Millisecond)
		conn.after = 0
		c.Read(b) // what came before a fault is handed on
		if _, err := c.Read(b); err != errSlow {
			t.Errorf("read on after the deadline: %v", err)
		}
	})
}

// TestF04_TheHandlersTimeIsGivenBack, and no more than that.
func TestF04_TheHandlersTimeIsGivenBack(t *testing.T) {
	h := handler{request: func(r *Request) {
		time.Sleep(time.Minute)
		r.Reply("pong")
	}}
	for _, wait := range []time.Duration{schema.MessageTimeout - time.Millisecond, schema.MessageTimeout + time.Millisecond} {
		bubble(t, Options{}, h, func(s *served) {
			both := append(frameOf(true, opText, ping("1")), frameOf(true, opText, ping("2"))...)
			s.write(both[:len(both)-5])
			s.expect(pong("1"))
			time.Sleep(wait)
			if wait > schema.MessageTimeout {
				s.expectClose(schema.ClosePolicy, ReasonSlowMessage)
				return
			}
			s.write(both[len(both)-5:])
			s.expect(pong("2"))
			s.stop()
		})
	}
}

// TestF08_FailsFast: what can no longer become UTF-8 is not waited for. What
// still can is.
func TestF08_FailsFast(t *testing.T) {
	for _, bad := range []string{"\xff", "\xc3(", "\xed\xa0", "\xf4\x90", "\xf8", "\xe2\x82\xe2", "\xc0\x80", "\xf0\x80"} {
		bubble(t, Options{}, echo, func(s *served) {
			start := time.Now()
			s.write(frameOf(false, opText, `{"jsonrpc":"2.0","id":"`+bad))
			s.expectClose(schema.CloseUTF8, ReasonUTF8)
			if d := time.Since(start); d != 0 {
				t.Errorf("%x: after %v", bad, d)
			}
		})
	}
	for _, part := range []string{"\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xf4\x8f"} {
		bubble(t, Options{}, echo, func(s *served) {
			start := time.Now()
			s.write(frameOf(false, opText, `{"jsonrpc":"2.0","id":"`+part))
			s.expectClose(schema.ClosePolicy, ReasonSlowMessage)
			if d := time.Since(start); d != schema.MessageTimeout {
				t.Errorf("%x: after %v", part, d)
			}
		})
		bubble(t, Options{}, echo, func(s *served) {
			s.send(`{"jsonrpc":"2.0","id":"` + part)
			s.expectClose(schema.CloseUTF8, ReasonUTF8) // it ends in the middle of a character
		})
	}
}

// TestT15_Buffer: a message takes no more memory than its limit, in few steps.
func TestT15_Buffer(t *testing.T) {
	for _, limit := range []int{schema.MaxLoginMessage, schema.MaxMessage} {
		text := strings.Repeat("x", limit)
		var b *buffer
		steps := testing.AllocsPerRun(10, func() {
			b = buffers.New().(*buffer)
			if err := b.readAll(strings.NewReader(text)); err != nil {
				t.Fatal(err)
			}
		})
		if cap(b.bytes) > limit || steps > 12 {
			t.Errorf("%d bytes take %d, in %.0f allocations", limit, cap(b.bytes), steps)
		}
	}
}
