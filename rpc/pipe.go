package rpc

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
)

// Pipe returns the two ends of a connection in memory. It is unbuffered and
// speaks real WebSocket frames; inside a synctest bubble its time is virtual.
func Pipe(server, client Options) (srv, cli *Peer, err error) {
	a, b := net.Pipe()
	client.NetDial = func(context.Context, string, string) (net.Conn, error) { return b, nil }
	answered := make(chan error, 1)
	go func() {
		var err error
		srv, err = upgradePipe(a, server)
		answered <- err
	}()
	cli, err = Dial(context.Background(), "ws://pipe/ws", client)
	if err != nil {
		b.Close() //nolint:errcheck // unblocks the server's end
	}
	if err := errors.Join(err, <-answered); err != nil {
		a.Close() //nolint:errcheck // of no use any more
		return nil, nil, err
	}
	return srv, cli, nil
}

// upgradePipe answers the one handshake that comes over conn.
func upgradePipe(conn net.Conn, o Options) (*Peer, error) {
	r := bufio.NewReader(conn)
	req, err := http.ReadRequest(r)
	if err != nil {
		return nil, err
	}
	w := &pipeWriter{conn: conn, r: r, resp: http.Response{ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}}}
	p, err := Upgrade(w, req, o)
	if err != nil {
		w.resp.Body = io.NopCloser(&w.body)
		err = errors.Join(err, w.resp.Write(conn))
	}
	return p, err
}

// pipeWriter is the little of an HTTP server that a handshake needs.
type pipeWriter struct {
	conn net.Conn
	r    *bufio.Reader
	resp http.Response
	body bytes.Buffer
}

// Header, WriteHeader and Write collect the handshake's answer.
func (w *pipeWriter) Header() http.Header         { return w.resp.Header }
func (w *pipeWriter) WriteHeader(status int)      { w.resp.StatusCode = status }
func (w *pipeWriter) Write(b []byte) (int, error) { return w.body.Write(b) }

// Hijack makes it an http.Hijacker.
func (w *pipeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(w.r, bufio.NewWriter(w.conn)), nil
}
