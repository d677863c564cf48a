package rpc

import (
	"bytes"
	"errors"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/edgetether/tether/schema"
	"github.com/gorilla/websocket"
)

// ErrClosed is returned for what cannot be sent any more.
var ErrClosed = errors.New("rpc: connection closed")

var errOutboxFull = errors.New("rpc: too much is waiting to be written")

// outbox is what waits to be written, bounded in bytes. Nobody who puts
// something in ever waits for the network. What the socket takes at once is
// written where it is put in; otherwise a goroutine writes, and exists only while
// there is something to write. There is one writer of the connection at a time.
type outbox struct {
	peer    *Peer // whose it is
	conn    *frameConn
	max     int
	pause   int           // Options.PauseAt
	room    *Room         // nil: of no others
	timeout time.Duration // for each write

	mu      sync.Mutex
	waiting []frame
	bytes   int
	taken   int           // of room: bytes that the socket did not take at once
	pong    []byte        // the answer to the newest ping; nil: none
	closed  bool          // nothing more is accepted
	failing bool          // nothing more is written
	drained chan struct{} // closed when little waits; nil: nobody wants to know
	writing bool          // there is a writer
	writers sync.WaitGroup
}

type frame struct {
	kind int // of websocket: TextMessage, PongMessage, CloseMessage
	data []byte
}

// push puts a text message in. What has to wait of it is copied.
func (o *outbox) push(data []byte) error {
	f := frame{websocket.TextMessage, data}
	now, err := o.admit(f)
	if now {
		o.writeNow(f)
	}
	return err
}

// admit puts f in, or makes the caller its writer.
func (o *outbox) admit(f frame) (now bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false, ErrClosed
	}
	if o.full(len(f.data)) {
		o.closed = true
		return false, errOutboxFull
	}
	if o.writing || o.conn.direct == nil {
		f.data = bytes.Clone(f.data)
		o.put(f)
		return false, nil
	}
	o.bytes += len(f.data)
	o.begin()
	return true, nil
}

// full needs the lock. It says whether n bytes are too many to wait. Of all
// peers' room something is left for each one that has nothing waiting.
func (o *outbox) full(n int) bool {
	if o.bytes+n > o.max {
		return true
	}
	return o.room != nil && o.bytes > 0 && o.bytes+n > o.room.most()
}

// awaitRoom waits until little waits to be written, or nothing is written any more.
// The reader does: who does not take answers is not to have more of them made.
func (o *outbox) awaitRoom() {
	for {
		o.mu.Lock()
		if !o.behind() {
			o.mu.Unlock()
			return
		}
		if o.drained == nil {
			o.drained = make(chan struct{})
		}
		drained := o.drained
		o.mu.Unlock()
		<-drained
	}
}

// behind needs the lock.
func (o *outbox) behind() bool { return o.bytes > o.pause && !o.failing }

// wrote needs the lock. It is for bytes that need not wait any more.
func (o *outbox) wrote(n int) {
	o.bytes -= n
	if o.drained != nil && !o.behind() {
		close(o.drained)
		o.drained = nil
	}
}

// hold needs the lock, and is for bytes that wait; those that were written are given back.
func (o *outbox) hold(n int) {
	if o.room != nil {
		o.taken += n
		o.room.taken.Add(int64(n))
	}
}

// answerPing puts a pong in. Only the newest is kept: RFC 6455 section 5.5.3
// allows it, and a flood of pings then costs no memory.
func (o *outbox) answerPing(payload string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.pong = append(make([]byte, 0, len(payload)), payload...)
	o.start()
}

// close puts a close frame in, after which nothing is accepted. Without a
// code it is the empty one that answers an empty one.
func (o *outbox) close(code schema.CloseCode, text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.closed = true
	data := []byte{}
	if code != 0 {
		data = websocket.FormatCloseMessage(int(code), cut(text, maxControl-2))
	}
	o.put(frame{websocket.CloseMessage, data})
}

// stop accepts nothing more and waits for the writer to end: when it has
// written what waits, or at once if the socket is closed.
func (o *outbox) stop() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.writers.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hold(-o.taken) // what was never written
}

// put needs the lock.
func (o *outbox) put(f frame) {
	o.waiting = append(o.waiting, f)
	o.bytes += len(f.data)
	o.hold(len(f.data))
	o.start()
}

// start needs the lock.
func (o *outbox) start() {
	if !o.writing {
		o.begin()
		go o.write() // not writers.Go: this is the way of every answer, and it allocates
	}
}

// begin needs the lock. Who calls it is the writer then.
func (o *outbox) begin() {
	o.writing = true
	o.writers.Add(1)
}

// writeNow writes without waiting. What the socket does not take is left to the
// goroutine, and so is what was put in meanwhile.
func (o *outbox) writeNow(f frame) {
	o.conn.now = true
	err := o.writeFrame(f)
	o.conn.now = false
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes += len(o.conn.rest)
	o.hold(len(o.conn.rest))
	switch {
	case err != nil:
		go o.fail(err)
	case len(o.conn.rest) > 0 || len(o.waiting) > 0 || o.pong != nil:
		go o.write()
	default:
		o.writing = false
		o.writers.Done()
	}
}

// fail is the goroutine's end after an error: writing stays set, and nothing is
// ever written again.
func (o *outbox) fail(err error) {
	defer o.writers.Done()
	o.mu.Lock()
	o.failing = true
	o.wrote(0)
	o.mu.Unlock()
	o.peer.writeFailed(err)
}

// write is the goroutine.
func (o *outbox) write() {
	if err := o.writeRest(); err != nil {
		o.fail(err)
		return
	}
	var batch []frame
	for {
		var more bool
		if batch, more = o.take(batch); !more {
			o.writers.Done()
			return
		}
		for i, f := range batch {
			if err := o.writeFrame(f); err != nil {
				o.fail(err)
				return
			}
			batch[i] = frame{}
		}
	}
}

// writeRest writes what the socket did not take at once.
func (o *outbox) writeRest() error {
	n := len(o.conn.rest)
	if n == 0 {
		return nil
	}
	err := o.conn.writeRest(o.timeout)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wrote(n)
	o.hold(-n)
	return err
}

// take swaps the frames that wait for the empty batch of those just written.
func (o *outbox) take(batch []frame) (next []frame, more bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	next = o.waiting
	o.waiting = batch[:0]
	if o.pong != nil {
		next = append([]frame{{websocket.PongMessage, o.pong}}, next...)
		o.pong = nil
	}
	if len(next) == 0 {
		if o.conn.direct != nil {
			o.conn.SetWriteDeadline(time.Time{}) //nolint:errcheck // one that has passed would keep all from it
		}
		o.writing = false
		o.waiting = keep(next, batch)
		return nil, false
	}
	return next, true
}

// keep picks what an idle connection holds on to: a short queue, or none.
func keep(a, b []frame) []frame {
	const short = 4
	for _, q := range [][]frame{a, b} {
		if c := cap(q); c > 0 && c <= short {
			return q[:0]
		}
	}
	return nil
}

func (o *outbox) writeFrame(f frame) error {
	err := o.send(f, time.Now().Add(o.timeout))
	o.mu.Lock()
	if f.kind != websocket.PongMessage {
		o.wrote(len(f.data))
		if !o.conn.now { // else it never waited
			o.hold(-len(f.data))
		}
	}
	o.mu.Unlock()
	if f.kind == websocket.CloseMessage && (err == nil || errors.Is(err, websocket.ErrCloseSent)) {
		o.peer.awaitClose()
		return nil
	}
	return err
}

// send writes f in one frame. The WebSocket library would leave memory behind for
// each; what a server mostly sends is short, and its frames are simple.
func (o *outbox) send(f frame, deadline time.Time) error {
	if f.kind != websocket.TextMessage || !o.conn.scan.masked || len(f.data) > maxShort {
		o.peer.ws.SetWriteDeadline(deadline) //nolint:errcheck // never fails
		return o.peer.ws.WriteMessage(f.kind, f.data)
	}
	b := buffers.Get().(*buffer)
	defer buffers.Put(b)
	b.bytes = appendFrame(b.bytes[:0], f.data)
	if err := o.conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	_, err := o.conn.Write(b.bytes)
	return err
}

// cut shortens text to at most n bytes of whole characters.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
