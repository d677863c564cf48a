package rpc

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgetether/tether/schema"
)

func newScanner() *scanner {
	s := &scanner{masked: true}
	s.max.Store(schema.MaxMessage)
	return s
}

// bare makes a frame of arbitrary header bytes, with a zero mask.
func bare(b0, b1 byte, payload string) []byte {
	return append(append([]byte{b0, b1}, 0, 0, 0, 0), payload...)
}

func claim(length uint64) []byte {
	b := []byte{bitFin | opText, bitMask | 127}
	for shift := 56; shift >= 0; shift -= 8 {
		b = append(b, byte(length>>shift))
	}
	return append(b, 0, 0, 0, 0)
}

func TestScanner(t *testing.T) {
	text := frameOf(true, opText, "hello")
	tests := []struct {
		name  string
		bytes [][]byte
		err   *frameError // by reason; nil: none
	}{
		{"text", [][]byte{text, text}, nil},
		{"empty text", [][]byte{frameOf(true, opText, "")}, nil},
		{"fragments with control frames between", [][]byte{frameOf(false, opText, "he"), frameOf(true, opPing, "p"),
			frameOf(false, opContinuation, "ll"), frameOf(true, opPong, ""), frameOf(true, opContinuation, "o"), text}, nil},
		{"close", [][]byte{frameOf(true, opClose, "")}, nil},
		{"F06 the limit", [][]byte{frameOf(true, opText, strings.Repeat("x", schema.MaxMessage))}, nil},
		{"F06 one over", [][]byte{frameOf(true, opText, strings.Repeat("x", schema.MaxMessage+1))}, errTooBig},
		{"F06 2^63-1", [][]byte{claim(1<<63 - 1)}, errTooBig},
		{"F06 2^64-1", [][]byte{claim(1<<64 - 1)}, errTooBig},
		{"F06 sum of fragments", [][]byte{frameOf(false, opText, strings.Repeat("x", schema.MaxMessage)), frameOf(true, opContinuation, "x")}, errTooBig},
		{"F06 sum that wraps round", [][]byte{frameOf(false, opText, "xx"), append([]byte{bitFin}, claim(1<<64 - 2)[1:]...)}, errTooBig},
		{"F07 64 fragments", [][]byte{fragmentsOf("x", 64), fragmentsOf("x", 64)}, nil},
		{"F07 65 fragments", [][]byte{fragmentsOf("x", 65)}, errFragments},
		{"F07 empty fragments for ever", [][]byte{fragmentsOf("", 1000)}, errFragments},
		{"F09 no mask", [][]byte{{bitFin | opText, 1, 'x'}}, broken("mask")},
		{"F09 RSV1", [][]byte{bare(bitFin|0x40|opText, bitMask|1, "x")}, broken("reserved bits")},
		{"F09 RSV2", [][]byte{bare(bitFin|0x20|opText, bitMask|1, "x")}, broken("reserved bits")},
		{"F09 RSV3", [][]byte{bare(bitFin|0x10|opText, bitMask|1, "x")}, broken("reserved bits")},
		{"F09 opcode 3", [][]byte{frameOf(true, 3, "x")}, broken("opcode")},
		{"F09 opcode 11", [][]byte{frameOf(true, 11, "x")}, broken("opcode")},
		{"F09 binary", [][]byte{frameOf(true, opBinary, "x")}, errBinary},
		{"F09 continuation of nothing", [][]byte{frameOf(true, opContinuation, "x")}, broken("continuation of nothing")},
		{"F09 text in a message", [][]byte{frameOf(false, opText, "x"), text}, broken("message inside a message")},
		{"F09 ping in fragments", [][]byte{frameOf(false, opPing, "x")}, broken("control frame in fragments")},
		{"F09 ping of 125", [][]byte{frameOf(true, opPing, strings.Repeat("x", 125))}, nil},
		{"F09 ping of 126", [][]byte{frameOf(true, opPing, strings.Repeat("x", 126))}, broken("control frame too long")},
		{"F09 close 4409", [][]byte{frameOf(true, opClose, "\x11\x39x")}, nil},
		{"F09 close 1005", [][]byte{frameOf(true, opClose, "\x03\xed")}, broken("close code")},
		{"F09 close 0", [][]byte{frameOf(true, opClose, "\x00\x00")}, broken("close code")},
		{"F09 close 5000", [][]byte{frameOf(true, opClose, "\x13\x88")}, broken("close code")},
		{"F09 close text", [][]byte{frameOf(true, opClose, "\x03\xe8\xff")}, broken("close text")},
		{"F09 half a close code", [][]byte{frameOf(true, opClose, "x")}, broken("half a close code")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			all := bytes.Join(test.bytes, nil)
			for _, chunk := range []int{1, 2, 3, 7, len(all)} {
				good, err := feedAll(newScanner(), all, chunk)
				switch {
				case (err == nil) != (test.err == nil) || err != nil && *err != *test.err:
					t.Fatalf("in chunks of %d: %v, want %v", chunk, err, test.err)
				case err == nil && good != len(all):
					t.Fatalf("in chunks of %d: %d of %d good", chunk, good, len(all))
				}
			}
		})
	}
}

// feedAll feeds b in chunks, up to an error.
func feedAll(s *scanner, b []byte, chunk int) (good int, err *frameError) {
	for len(b) > 0 && err == nil {
		n := min(chunk, len(b))
		var g int
		g, err = s.feed(b[:n])
		good += g
		b = b[n:]
	}
	return good, err
}

func TestScannerKeepsWhatCameBeforeTheFault(t *testing.T) {
	text := frameOf(true, opText, "hello")
	good, err := newScanner().feed(append(bytes.Clone(text), bare(0xFF, 0xFF, "")...))
	if good != len(text) || err == nil {
		t.Errorf("good %d, err %v", good, err)
	}
}

func TestScannerDrainsToTheCloseFrame(t *testing.T) {
	s := newScanner()
	b := append(frameOf(true, opBinary, strings.Repeat("\x88", 200)), frameOf(true, opText, "x")...)
	if _, err := s.feed(b); err == nil || s.closed {
		t.Fatalf("err %v, closed %v", err, s.closed)
	}
	if s.feed(frameOf(true, opClose, "")); !s.closed {
		t.Error("the close frame was not seen")
	}
}

func TestScannerSkipsTheHandshake(t *testing.T) {
	head := "HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n"
	all := append([]byte(head), bitFin|opText, 1, 'x', bitFin|opBinary, 0)
	for _, chunk := range []int{1, 5, len(all)} {
		s := &scanner{http: httpHead{pending: true}}
		s.max.Store(10)
		good, err := feedAll(s, all, chunk)
		if err != errBinary || chunk == len(all) && good != len(head)+3 {
			t.Errorf("in chunks of %d: good %d, err %v", chunk, good, err)
		}
	}
}

// lateConn is a connection whose process was paused: its deadline fires when
// it is long over.
type lateConn struct {
	net.Conn
	pauses  int
	written []byte
}

func (c *lateConn) SetReadDeadline(time.Time) error { return nil }

func (c *lateConn) Read(p []byte) (int, error) {
	if c.pauses == 0 {
		return copy(p, c.written), nil
	}
	c.pauses--
	time.Sleep(schema.MessageTimeout + 30*time.Second)
	return 0, os.ErrDeadlineExceeded
}

func TestF23_PauseOfTheProcessIsNotThePeersFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &lateConn{written: frameOf(true, opText, "x")[:3]}
		c := newFrameConn(conn, Options{}.withDefaults(), true)
		b := make([]byte, 100)
		c.Read(b) // half a header: the deadline is armed
		conn.pauses, conn.written = 2, frameOf(true, opText, "x")[3:]
		if n, err := c.Read(b); n == 0 || err != nil {
			t.Errorf("n %d, err %v", n, err)
		}
	})
}

// FuzzFrames holds the scanner to two things: it does not matter how the bytes
// are cut, and the WebSocket library finds no fault with what it lets through.
func FuzzFrames(f *testing.F) {
	f.Add(frameOf(true, opText, "hello"), 1)
	f.Add(fragmentsOf("hello world", 5), 3)
	f.Add(fragmentsOf("", 66), 100)
	f.Add(claim(1<<63-1), 2)
	f.Add(append(frameOf(false, opText, "a"), frameOf(true, opPing, "b")...), 4)
	f.Add(frameOf(true, opClose, "\x03\xe8bye"), 5)
	f.Add([]byte{0xFF, 0xFF}, 1)
	f.Fuzz(func(t *testing.T, b []byte, chunk int) {
		whole, cut := newScanner(), newScanner()
		good, err := feedAll(whole, b, max(1, len(b)))
		_, err2 := feedAll(cut, b, max(1, chunk))
		if (err == nil) != (err2 == nil) || err != nil && *err != *err2 {
			t.Fatalf("whole: %v, in chunks of %d: %v", err, chunk, err2)
		}
		if err == nil && whole.pending() != cut.pending() {
			t.Fatal("pending differs")
		}
		libraryAgrees(t, b[:good])
	})
}

// libraryAgrees reads good with the WebSocket library.
func libraryAgrees(t *testing.T, good []byte) {
	a, b := net.Pipe()
	defer a.Close()
	go func() {
		defer b.Close()
		b.Write([]byte(handshakeText + "\r\n"))
		go io.Copy(io.Discard, b)
		b.Write(good)
	}()
	p, err := upgradePipe(a, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		_, _, err := p.ws.ReadMessage()
		var closed *websocket.CloseError
		switch {
		case err == nil:
			continue
		case !errors.As(err, &closed) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) &&
			!errors.Is(err, io.ErrClosedPipe): // a pong that nobody took
			t.Fatalf("%v: %x", err, good)
		}
		return
	}
}
