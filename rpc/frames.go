package rpc

import (
	"encoding/binary"
	"sync/atomic"
	"unicode/utf8"

	"github.com/edgetether/tether/schema"
)

// The WebSocket library hides fragments, the first byte of a message and the
// length that a frame claims. The scanner below sees them: it sits under the
// library, on the plain text of the connection, and follows the frame headers
// as they pass. Payload is skipped, not looked at. It holds every rule of
// frames, so that a broken one never reaches the library.

// frameError is a frame, or the lack of one, that ends the connection.
type frameError struct {
	reason string
	code   schema.CloseCode
	text   string
}

// Error is for the log; the other side gets the close code.
func (e *frameError) Error() string { return "rpc: " + e.reason + ": " + e.text }

func broken(text string) *frameError {
	return &frameError{ReasonProtocol, schema.CloseProtocol, text}
}

var (
	errBinary    = &frameError{ReasonBinary, schema.CloseBinary, "binary frame"}
	errTooBig    = &frameError{ReasonTooBig, schema.CloseTooBig, "message too big"}
	errUTF8      = &frameError{ReasonUTF8, schema.CloseUTF8, ReasonUTF8}
	errFragments = &frameError{ReasonFragments, schema.ClosePolicy, "too many fragments"}
	errSlow      = &frameError{ReasonSlowMessage, schema.ClosePolicy, "message not whole in time"}
)

// Opcodes and bits of RFC 6455 section 5.2.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA

	bitFin     = 0x80
	bitsRSV    = 0x70
	bitControl = 0x08
	bitMask    = 0x80

	maxHeader  = 14
	maxControl = 125  // payload of a control frame
	maxShort   = 1020 // of a message that fits into one of buffers, with its header
)

// appendFrame appends the message as a server sends it: in one frame, not masked.
func appendFrame(b, message []byte) []byte {
	b = append(b, bitFin|opText)
	if n := len(message); n < 126 {
		b = append(b, byte(n))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	}
	return append(b, message...)
}

// scanner follows the frames of one direction of a connection.
type scanner struct {
	masked bool         // what the other side must do: clients mask, servers do not
	max    atomic.Int64 // bytes of a message
	http   httpHead     // a client's connection begins with the handshake's answer

	header [maxHeader]byte
	n      int    // bytes of header that are here
	left   uint64 // payload of the current frame that is still to come
	final  bool   // the current frame is the last of its message
	reason []byte // payload of a close frame, as far as it has come

	open      bool // a message has begun, its last frame has not ended
	size      uint64
	fragments int
	idle      bool // between two messages at some point of the last feed

	draining bool // after an error: rules are off, a close frame is looked for
	closed   bool // draining has found it
}

// feed follows the frames in b. On an error it returns how much of b came
// before the frame at fault, and drains from there on.
func (s *scanner) feed(b []byte) (good int, err *frameError) {
	s.idle = false
	i := s.http.skip(b)
	good = len(b)
	for start := i; i < len(b); {
		var e *frameError
		if s.left > 0 {
			part := b[i : i+int(min(uint64(len(b)-i), s.left))]
			i += len(part)
			e = s.skip(part)
		} else {
			if s.n == 0 {
				start = i
			}
			e = s.step(b[i])
			i++
		}
		if e != nil && !s.draining {
			err, good, s.draining = e, start, true
		}
	}
	return good, err
}

// skip goes over payload. Only a close frame's is looked at.
func (s *scanner) skip(part []byte) (err *frameError) {
	s.left -= uint64(len(part))
	if s.opcode() == opClose && !s.draining {
		if s.reason = append(s.reason, part...); s.left == 0 {
			err = s.checkClose()
		}
	}
	s.endFrame()
	return err
}

// step takes one byte of a header. Each part is judged as soon as it is there,
// before the library can judge it.
func (s *scanner) step(b byte) (err *frameError) {
	s.header[s.n] = b
	s.n++
	if s.n == 2 {
		err = s.checkBits()
	}
	if err == nil && s.n == s.lengthEnd() {
		err = s.checkSize()
	}
	s.beginPayload()
	return err
}

func (s *scanner) opcode() byte    { return s.header[0] & 0x0F }
func (s *scanner) isControl() bool { return s.header[0]&bitControl != 0 }

// lengthEnd is where the length ends in the header, and the mask begins.
func (s *scanner) lengthEnd() int {
	switch s.header[1] &^ bitMask {
	case 126:
		return 4
	case 127:
		return 10
	}
	return 2
}

func (s *scanner) headerSize() int {
	if s.header[1]&bitMask != 0 {
		return s.lengthEnd() + 4
	}
	return s.lengthEnd()
}

func (s *scanner) payload() uint64 {
	switch n := s.header[1] &^ bitMask; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(s.header[2:]))
	case 127:
		return binary.BigEndian.Uint64(s.header[2:])
	default:
		return uint64(n)
	}
}

func (s *scanner) checkBits() *frameError {
	switch {
	case s.header[0]&bitsRSV != 0:
		return broken("reserved bits")
	case (s.header[1]&bitMask != 0) != s.masked:
		return broken("mask")
	case s.isControl():
		return s.checkControl()
	}
	switch s.opcode() {
	case opContinuation:
		if !s.open {
			return broken("continuation of nothing")
		}
	case opText:
		if s.open {
			return broken("message inside a message")
		}
	case opBinary:
		return errBinary
	default:
		return broken("opcode")
	}
	if s.fragments >= schema.MaxFragments {
		return errFragments
	}
	return nil
}

func (s *scanner) checkControl() *frameError {
	n := s.header[1] &^ bitMask
	switch op := s.opcode(); {
	case op != opClose && op != opPing && op != opPong:
		return broken("opcode")
	case s.header[0]&bitFin == 0:
		return broken("control frame in fragments")
	case n > maxControl:
		return broken("control frame too long")
	case op == opClose && n == 1:
		return broken("half a close code")
	}
	return nil
}

// checkClose judges the code and the text of a close frame.
func (s *scanner) checkClose() *frameError {
	p := s.reason
	s.reason = nil
	if s.masked {
		for i := range p {
			p[i] ^= s.header[2+i%4]
		}
	}
	code := binary.BigEndian.Uint16(p)
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1013, code >= 3000 && code <= 4999:
	default:
		return broken("close code")
	}
	if !utf8.Valid(p[2:]) {
		return broken("close text")
	}
	return nil
}

// checkSize compares what the frame claims with the limit: nothing of a
// message that is too big is ever held.
func (s *scanner) checkSize() *frameError {
	if s.isControl() {
		return nil
	}
	if limit := uint64(s.max.Load()); s.payload() > limit || s.size+s.payload() > limit {
		return errTooBig
	}
	return nil
}

// beginPayload goes over from a whole header to the payload.
func (s *scanner) beginPayload() {
	if s.n < 2 || s.n < s.headerSize() {
		return
	}
	s.n = 0
	s.left = s.payload()
	if s.draining {
		s.closed = s.closed || s.opcode() == opClose
		return
	}
	if s.isControl() {
		s.endFrame()
		return
	}
	s.open = true
	s.final = s.header[0]&bitFin != 0
	s.fragments++
	s.size += s.left
	s.endFrame()
}

// endFrame notes the end of a frame, and of a message, once nothing is left.
func (s *scanner) endFrame() {
	if s.left > 0 {
		return
	}
	if !s.isControl() && s.final {
		s.open, s.size, s.fragments = false, 0, 0
	}
	s.idle = s.idle || !s.open
}

// pending says that a message or frame has begun and is not whole.
func (s *scanner) pending() bool { return s.open || s.n > 0 || s.left > 0 }

// httpHead finds the end of an HTTP response's head.
type httpHead struct {
	pending bool
	newline bool // the last byte ended a line
}

// skip returns how much of b belongs to the head.
func (h *httpHead) skip(b []byte) int {
	if !h.pending {
		return 0
	}
	for i, c := range b {
		if c == '\n' && h.newline {
			h.pending = false
			return i + 1
		}
		if c != '\r' {
			h.newline = c == '\n'
		}
	}
	return len(b)
}
