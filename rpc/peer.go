package rpc

import (
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/edgetether/tether/schema"
	"github.com/gorilla/websocket"
)

// Handler is what a peer does with what arrives. Its methods run on the
// goroutine that called Serve, in the order of receipt.
type Handler interface {
	// Request is called for every valid request and notification. While it
	// blocks nothing more is read, which holds the other side back; what is
	// waiting to be written still goes out.
	Request(r *Request)
	// Late is called for the response to a call that was given up, once.
	Late(id uint64, resp Response)
}

// End says why a connection ended.
type End struct {
	Reason string           // one of the Reason… words
	Code   schema.CloseCode // received or sent, whichever was first; 0: none
	Text   string           // the close frame's reason
	Err    error            // the network's error, if there was one
}

// Reasons for which a connection ends.
const (
	ReasonClosedByPeer = "closed_by_peer"
	ReasonClosed       = "closed"        // by Close or Abort
	ReasonEOF          = "eof"           // FIN without a close frame
	ReasonReset        = "reset"         // RST, or another failure of the network
	ReasonMalformed    = "malformed"     // too many malformed messages or unasked responses in a row
	ReasonFlood        = "flood"         // Admit refused
	ReasonTooBig       = "too_big"       // a message over the limit
	ReasonBinary       = "binary"        // a binary frame
	ReasonUTF8         = "utf8"          // a message that is no UTF-8
	ReasonProtocol     = "protocol"      // a broken frame
	ReasonSlowMessage  = "slow_message"  // a message not whole in time
	ReasonFragments    = "fragments"     // a message in too many fragments
	ReasonWriteTimeout = "write_timeout" // a peer that does not read
	ReasonOutboxFull   = "outbox_full"   // likewise, before the write timed out
)

// Stats counts what a peer received.
type Stats struct {
	Messages  uint64 // whole messages, malformed ones included
	Malformed uint64 // messages of which nothing was valid
	Unasked   uint64 // responses that nobody waits for
}

// Peer is one side of a connection. Its methods are safe from any goroutine.
type Peer struct {
	ws   *websocket.Conn
	conn *frameConn
	out  outbox
	done chan struct{}

	// Of its Options.
	maxSent      int
	closeTimeout time.Duration
	notInBatch   []string
	admits       func() bool
	totals       *Totals

	closing atomic.Bool             // the end has a cause; what still arrives is discarded
	strikes int                     // malformed messages or unasked responses in a row; the reader's
	spare   atomic.Pointer[Request] // for the next one; nil: there is none

	messages, malformed, unasked atomic.Uint64

	mu       sync.Mutex
	end      *End        // nil: it goes on
	hangup   *time.Timer // closes the socket if the other side's close frame does not come
	inFlight []*Request  // not yet answered
	calls    callTable
}

func newPeer(ws *websocket.Conn, conn *frameConn, o Options) *Peer {
	p := &Peer{
		ws: ws, conn: conn, done: make(chan struct{}),
		maxSent: o.MaxSent, closeTimeout: o.CloseTimeout, notInBatch: o.NotInBatch, admits: o.Admit, totals: o.Totals,
	}
	p.out.peer, p.out.conn, p.out.timeout = p, conn, o.WriteTimeout
	p.out.max, p.out.pause, p.out.room = o.MaxOutbox, o.PauseAt, o.Room
	ws.SetPingHandler(p.transportPing)
	ws.SetPongHandler(func(string) error { p.admit(); return nil })
	ws.SetCloseHandler(func(int, string) error { return nil }) // answered through the outbox, by finish
	return p
}

// Serve reads until the connection ends and returns why it did, when all that
// the peer has started is stopped. Call it once.
func (p *Peer) Serve(h Handler) End {
	defer close(p.done)
	p.finish(p.readMessages(h))
	p.Abort()
	p.out.stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hangup != nil {
		p.hangup.Stop()
	}
	return *p.end
}

// readMessages hands over one message after the other until reading fails.
func (p *Peer) readMessages(h Handler) error {
	for {
		if p.out.pause > 0 {
			p.out.awaitRoom()
		}
		_, r, err := p.ws.NextReader()
		if err != nil {
			return err
		}
		b := buffers.Get().(*buffer)
		err = b.readAll(r)
		if err == nil && !p.closing.Load() {
			p.receive(b.bytes, h)
		}
		buffers.Put(b)
		if err != nil {
			return err
		}
	}
}

// receive takes one whole message. Nothing of raw is kept.
func (p *Peer) receive(raw []byte, h Handler) {
	p.messages.Add(1)
	if !p.admit() {
		return
	}
	if p.dispatch(raw, h) {
		p.strikes = 0
		return
	}
	if p.strikes++; p.strikes >= schema.MaxMalformed {
		p.fail(ReasonMalformed, schema.ClosePolicy)
	}
}

// admit asks Options.Admit and closes the connection if it refuses.
func (p *Peer) admit() bool {
	if p.admits == nil || p.admits() {
		return true
	}
	p.fail(ReasonFlood, schema.ClosePolicy)
	return false
}

func (p *Peer) transportPing(payload string) error {
	if p.admit() {
		p.out.answerPing(payload)
	}
	return nil
}

// finish brings the connection to its end after reading has failed with err:
// both close frames are exchanged as far as there is somebody to do it with.
func (p *Peer) finish(err error) {
	var bad *frameError
	var closed *websocket.CloseError
	switch {
	case errors.As(err, &bad):
		p.settle(End{Reason: bad.reason, Code: bad.code, Text: bad.text})
		p.out.close(bad.code, bad.text)
		p.conn.discard()
	case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
		code := schema.CloseCode(closed.Code)
		if code == websocket.CloseNoStatusReceived {
			code = 0
		}
		p.settle(End{Reason: ReasonClosedByPeer, Code: code, Text: closed.Text})
		p.out.close(code, "")
	case errors.As(err, &closed), errors.Is(err, io.EOF):
		p.settle(End{Reason: ReasonEOF, Err: err})
		return
	default:
		p.settle(End{Reason: ReasonReset, Err: err})
		return
	}
	p.awaitClose()
	p.out.stop()
}

// settle notes why the connection ends; the first cause counts.
func (p *Peer) settle(e End) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end == nil {
		p.end = &e
		p.closing.Store(true)
	}
}

// Close ends the connection in good order and never blocks: a close frame goes
// out after what is waiting to be written, then the other side's is awaited,
// and the socket is closed. Only the first call counts.
func (p *Peer) Close(code schema.CloseCode, reason string) {
	p.settle(End{Reason: ReasonClosed, Code: code, Text: reason})
	p.out.close(code, reason)
}

// fail closes the connection for a fault of the other side.
func (p *Peer) fail(reason string, code schema.CloseCode) {
	p.settle(End{Reason: reason, Code: code, Text: reason})
	p.out.close(code, reason)
}

// Abort closes the socket at once.
func (p *Peer) Abort() {
	p.settle(End{Reason: ReasonClosed})
	p.conn.Close() //nolint:errcheck // there is nobody to tell
	p.calls.stop()
}

// awaitClose starts the time within which the closing must be over.
func (p *Peer) awaitClose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hangup == nil {
		p.hangup = time.AfterFunc(p.closeTimeout, p.Abort)
	}
}

// writeFailed ends the connection: part of a frame may have gone out, so that
// nothing can follow it.
func (p *Peer) writeFailed(err error) {
	reason := ReasonReset
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		reason = ReasonWriteTimeout
	}
	p.settle(End{Reason: reason, Err: err})
	p.Abort()
}

// send puts a message into the outbox, which keeps nothing of it. A peer that lets
// the outbox fill up is ended.
func (p *Peer) send(message []byte) error {
	err := p.out.push(message)
	if errors.Is(err, errOutboxFull) {
		p.settle(End{Reason: ReasonOutboxFull, Err: err})
		p.Abort()
		return ErrClosed
	}
	return err
}

// SetMaxMessage changes the limit for messages that begin from now on.
func (p *Peer) SetMaxMessage(n int) { p.conn.scan.max.Store(int64(n)) }

// RemoteAddr is the other side's address.
func (p *Peer) RemoteAddr() net.Addr { return p.conn.RemoteAddr() }

// Subprotocol is what the handshake agreed on; empty if nothing.
func (p *Peer) Subprotocol() string { return p.ws.Subprotocol() }

// Done is closed when Serve has ended.
func (p *Peer) Done() <-chan struct{} { return p.done }

// Stats returns the counters.
func (p *Peer) Stats() Stats {
	return Stats{
		Messages:  p.messages.Load(),
		Malformed: p.malformed.Load(),
		Unasked:   p.unasked.Load(),
	}
}

// buffer holds one message while it is handled. Buffers are shared by all
// peers: an idle connection has none.
type buffer struct {
	bytes []byte
	more  [1]byte // shows that a full buffer is not all
}

var buffers = sync.Pool{New: func() any { return &buffer{bytes: make([]byte, 0, 1024)} }}

// readAll reads r to its end. The buffer grows with what has come, never with
// what was claimed, and what has come must be UTF-8: no more is read of a
// message that can no longer be any.
func (b *buffer) readAll(r io.Reader) error {
	b.bytes = b.bytes[:0]
	for checked := 0; ; {
		room := b.bytes[len(b.bytes):cap(b.bytes)]
		full := len(room) == 0
		if full {
			room = b.more[:]
		}
		n, err := r.Read(room)
		if full && n > 0 { // in few steps: each leaves its memory behind
			b.bytes = slices.Grow(b.bytes, 3*cap(b.bytes))
		}
		b.bytes = append(b.bytes, room[:n]...) // is there already, but for the one byte more
		text := wholeRunes(b.bytes[checked:])
		if !utf8.Valid(b.bytes[checked : checked+text]) {
			return errUTF8
		}
		checked += text
		switch {
		case err == io.EOF && checked < len(b.bytes):
			return errUTF8
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// wholeRunes is the length of b without the beginning of a character at its
// end, of which the rest may still come.
func wholeRunes(b []byte) int {
	for i := len(b) - 1; i >= 0 && i > len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return i
			}
			break
		}
	}
	return len(b)
}
