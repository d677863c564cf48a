package rpc

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/edgetether/tether/schema"
)

// Buffers. Most messages are some hundred bytes long; a read buffer lives as
// long as its connection, a write buffer as long as a write. A client writes
// a message that does not fit into its buffer in fragments, hence the size.
const (
	readBuffer        = 768
	serverWriteBuffer = 4 << 10
	clientWriteBuffer = schema.MaxMessage
)

var serverWriteBuffers, clientWriteBuffers sync.Pool

// HandshakeError is a handshake that the server refused.
type HandshakeError struct {
	Status int // HTTP
}

// Error says which status the server refused with.
func (e *HandshakeError) Error() string {
	return fmt.Sprintf("rpc: handshake refused: %d %s", e.Status, http.StatusText(e.Status))
}

// Upgrade answers a WebSocket handshake. If it fails, it has answered the
// HTTP error itself. The HTTP handler may return while the peer lives on.
func Upgrade(w http.ResponseWriter, r *http.Request, o Options) (*Peer, error) {
	o = o.withDefaults()
	u := websocket.Upgrader{
		HandshakeTimeout: o.WriteTimeout,
		ReadBufferSize:   readBuffer,
		WriteBufferSize:  serverWriteBuffer,
		WriteBufferPool:  &serverWriteBuffers,
		Subprotocols:     []string{schema.Subprotocol},
		CheckOrigin:      o.checkOrigin,
	}
	h := &hijacker{ResponseWriter: w, o: o}
	ws, err := u.Upgrade(h, r, nil)
	if err != nil {
		return nil, err
	}
	return newPeer(ws, h.conn, o), nil
}

// checkOrigin accepts a request without an Origin, as devices send it, or with
// one that is listed.
func (o Options) checkOrigin(r *http.Request) bool {
	for _, origin := range r.Header.Values("Origin") {
		listed := func(s string) bool { return strings.EqualFold(s, origin) }
		if !slices.ContainsFunc(o.Origins, listed) {
			return false
		}
	}
	return true
}

// hijacker puts the frame scanner between the connection and the WebSocket
// library.
type hijacker struct {
	http.ResponseWriter
	o    Options
	conn *frameConn
}

// Hijack returns the connection under its frame scanner.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	boundSending(conn)
	h.conn = newFrameConn(conn, h.o, true)
	return h.conn, rw, nil
}

// sendBuffer is how many bytes the kernel keeps for a device that does not read.
// Left alone it would keep megabytes for each, and none of our bounds would see them.
const sendBuffer = 32 << 10

func boundSending(conn net.Conn) {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
		conn = t.NetConn()
	}
	if c, ok := conn.(interface{ SetWriteBuffer(int) error }); ok {
		_ = c.SetWriteBuffer(sendBuffer) // without it there is more, that is all
	}
}

// Dial connects to url, ws or wss. A handshake that was refused is a
// *HandshakeError.
func Dial(ctx context.Context, url string, o Options) (*Peer, error) {
	o = o.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, o.MessageTimeout)
	defer cancel()
	d := dialer{o: o}
	w := websocket.Dialer{
		NetDialContext:    d.dial,
		NetDialTLSContext: d.dialTLS,
		ReadBufferSize:    readBuffer,
		WriteBufferSize:   clientWriteBuffer,
		WriteBufferPool:   &clientWriteBuffers,
		Subprotocols:      []string{schema.Subprotocol},
	}
	ws, resp, err := w.DialContext(ctx, url, o.Header)
	if d.release != nil && !d.release() && err == nil {
		err = ctx.Err() // it has closed the connection
	}
	switch {
	case err == nil && resp.Header.Get("Sec-Websocket-Extensions") != "":
		d.conn.Close() //nolint:errcheck // it is of no use
		return nil, errors.New("rpc: the server chose an extension that was not offered")
	case err == nil:
		d.conn.rearm()
		return newPeer(ws, d.conn, o), nil
	case errors.Is(err, websocket.ErrBadHandshake):
		return nil, &HandshakeError{resp.StatusCode}
	}
	return nil, err
}

// dialer makes the connection of one Dial, with the frame scanner on top.
type dialer struct {
	o       Options
	conn    *frameConn
	release func() bool // ends the context's hold on the connection
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := d.connect(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return d.wrap(ctx, conn), nil
}

func (d *dialer) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := d.connect(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{}
	if d.o.TLS != nil {
		config = d.o.TLS.Clone()
	}
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(addr)
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close() //nolint:errcheck // the handshake's error counts
		return nil, err
	}
	return d.wrap(ctx, secure), nil
}

func (d *dialer) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	if d.o.NetDial != nil {
		return d.o.NetDial(ctx, network, addr)
	}
	var nd net.Dialer
	return nd.DialContext(ctx, network, addr)
}

// wrap also lets the end of ctx interrupt the handshake that follows.
func (d *dialer) wrap(ctx context.Context, conn net.Conn) net.Conn {
	d.conn = newFrameConn(conn, d.o, false)
	d.release = context.AfterFunc(ctx, func() { conn.Close() }) //nolint:errcheck // the context's error counts
	return d.conn
}
