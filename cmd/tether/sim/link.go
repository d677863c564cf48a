package sim

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/edgetether/tether/schema"
)

// Times of one connection.
const (
	dialTimeout  = 10 * time.Second // TCP, TLS and the WebSocket handshake
	loginTimeout = 10 * time.Second // from the login request to its reply
	closeWait    = time.Second      // for the server's close frame
)

// Buffers. What a server sends is short; a longer message is read past the
// buffer. A write buffer lives as long as a write.
const (
	readBuffer  = 256
	writeBuffer = 4 << 10
)

var (
	writeBuffers sync.Pool
	readBuffers  = sync.Pool{New: func() any { return new([]byte) }}
)

// read takes what arrives until the connection ends.
func (d *lean) read(l *link) error {
	for {
		if err := d.readOne(l); err != nil {
			return err
		}
	}
}

// readOne takes the next message.
func (d *lean) readOne(l *link) error {
	kind, r, err := l.ws.NextReader()
	if err != nil {
		return err
	}
	buffer := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(buffer)
	raw, err := readInto((*buffer)[:0], r)
	*buffer = raw
	switch {
	case err != nil:
		return err
	case kind != websocket.TextMessage:
		return l.refuse(schema.CloseBinary)
	case !utf8.Valid(raw):
		return l.refuse(schema.CloseUTF8)
	}
	d.receive(l, raw)
	return nil
}

// readInto is io.ReadAll into a buffer that is used again.
func readInto(b []byte, r io.Reader) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// refuse closes on a frame that breaks a rule. The error is the reader's end.
func (l *link) refuse(code schema.CloseCode) error {
	frame := websocket.FormatCloseMessage(int(code), "")
	_ = l.ws.WriteControl(websocket.CloseMessage, frame, time.Now().Add(closeWait)) // the connection ends either way
	return errBadFrame
}

var errBadFrame = errors.New("a frame that breaks the contract")

// send has a message written. It is called with the device's mutex held.
func (d *lean) send(l *link, text []byte) {
	if len(l.out) >= maxOut {
		_ = l.ws.Close() // the reader sees it
		return
	}
	l.out = append(l.out, outgoing{text: text})
	d.write(l)
}

// write has a goroutine write what waits, if none does.
func (d *lean) write(l *link) {
	if !l.writing {
		l.writing = true
		d.fleet.tasks.Go(func() { d.flush(l) })
	}
}

// flush writes until nothing waits. Closing the connection ends it at once.
func (d *lean) flush(l *link) {
	for {
		d.mu.Lock()
		out := l.out
		l.out = nil
		l.writing = len(out) > 0
		d.mu.Unlock()
		if len(out) == 0 {
			return
		}
		for _, o := range out {
			if err := l.put(o); err != nil {
				_ = l.ws.Close() // the reader sees it
				return           // writing stays true: nothing is written any more
			}
		}
	}
}

func (l *link) put(o outgoing) error {
	until := time.Now().Add(schema.WriteTimeout)
	if o.code != 0 {
		return l.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(int(o.code), string(o.text)), until)
	}
	_ = l.ws.SetWriteDeadline(until) // it returns nil
	return l.ws.WriteMessage(websocket.TextMessage, o.text)
}

// lostCause is how a connection was lost, in words that count together.
func lostCause(err error) string {
	var closed *websocket.CloseError // without a code, or without a close frame
	switch {
	case err == nil || errors.As(err, &closed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed):
		return "lost"
	case errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE):
		return "reset"
	}
	return "lost: " + err.Error()
}

// dialCause is likewise why there was no connection.
func dialCause(err error) string {
	var t interface{ Timeout() bool }
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.EMFILE):
		return "too many open files"
	case errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EADDRINUSE):
		return "no free port: more --sources"
	case errors.As(err, &t) && t.Timeout():
		return "timeout"
	}
	return err.Error()
}
