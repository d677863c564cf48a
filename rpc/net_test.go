package rpc

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
)

// listen serves peers on a real socket.
func listen(t testing.TB, o Options, h Handler) (url string, ends <-chan End, peers <-chan *Peer) {
	t.Helper()
	return listenOn(t, (*httptest.Server).Start, o, h)
}

func listenOn(t testing.TB, start func(*httptest.Server), o Options, h Handler) (string, <-chan End, <-chan *Peer) {
	t.Helper()
	e, p := make(chan End, 1000), make(chan *Peer, 1000)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := Upgrade(w, r, o)
		if err != nil {
			return
		}
		p <- peer
		go func() { e <- peer.Serve(h) }() // the HTTP handler returns
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	start(s)
	t.Cleanup(s.Close)
	return "ws" + strings.TrimPrefix(s.URL, "http"), e, p
}

// connect is a bare client on a real socket.
func connect(t testing.TB, url string, header ...string) *served {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "ws://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	s := &served{t: t, conn: conn, r: bufio.NewReader(conn)}
	s.write([]byte(handshakeText + strings.Join(append(header, "\r\n"), "\r\n")))
	return s
}

func (s *served) accepted() *http.Response {
	s.t.Helper()
	resp, err := http.ReadResponse(s.r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		s.t.Fatalf("handshake: %v %v", resp, err)
	}
	return resp
}

func TestNetPing(t *testing.T) {
	url, ends, _ := listen(t, Options{}, echo)
	p, err := Dial(context.Background(), url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	end := serve(p, echo)
	got := make(chan Response, 1)
	for range 100 {
		if _, err := p.Call("ping", nil, func(r Response) { got <- r }); err != nil {
			t.Fatal(err)
		}
		if r := within(t, 10*time.Second, got); string(r.Result) != `"pong"` {
			t.Fatalf("%+v", r)
		}
	}
	p.Close(schema.CloseDone, "bye")
	if e := within(t, 10*time.Second, ends); e.Reason != ReasonClosedByPeer || e.Code != schema.CloseDone || e.Text != "bye" {
		t.Errorf("server's end %+v", e)
	}
	if e := within(t, 10*time.Second, end); e.Reason != ReasonClosed || e.Code != schema.CloseDone {
		t.Errorf("client's end %+v", e)
	}
}

func TestF02_FINAndRST(t *testing.T) {
	url, ends, peers := listen(t, Options{}, echo)
	for _, test := range []struct {
		reason string
		linger int
		send   []byte
	}{
		{ReasonEOF, -1, nil}, {ReasonEOF, -1, frameOf(true, opText, ping("1"))[:9]},
		{ReasonReset, 0, nil}, {ReasonReset, 0, frameOf(true, opText, ping("1"))[:9]},
	} {
		c := connect(t, url)
		c.accepted()
		within(t, 10*time.Second, peers)
		c.write(test.send)
		c.conn.(*net.TCPConn).SetLinger(test.linger)
		start := time.Now()
		c.conn.Close()
		e := within(t, 10*time.Second, ends)
		if e.Reason != test.reason || e.Code != 0 || e.Err == nil {
			t.Errorf("end %+v, want %s", e, test.reason)
		}
		if d := time.Since(start); d > 100*time.Millisecond {
			t.Logf("%s after %v on a busy machine", test.reason, d)
		}
	}
}

func TestF03_SlowReaderOnASocket(t *testing.T) {
	url, ends, peers := listen(t, Options{WriteTimeout: 100 * time.Millisecond, MaxOutbox: 64 << 20}, echo)
	c := connect(t, url)
	c.accepted()
	p := within(t, 10*time.Second, peers)
	big := strings.Repeat("x", schema.MaxMessage/2)
	for range 500 { // more than the buffers of the kernel hold
		if p.Notify("x", big) != nil {
			break
		}
	}
	if e := within(t, 10*time.Second, ends); e.Reason != ReasonWriteTimeout {
		t.Errorf("end %+v", e)
	}
}

// TestSocketTakesAPart: what the socket takes only in part, and all that is put
// in meanwhile, follows whole and in order once it is read; and what comes later
// is written at once again, also when the time for the last write is long over.
func TestSocketTakesAPart(t *testing.T) {
	const timeout = 500 * time.Millisecond
	url, _, peers := listen(t, Options{WriteTimeout: timeout, MaxOutbox: 64 << 20}, echo)
	c := connect(t, url)
	c.accepted()
	p := within(t, 10*time.Second, peers)
	big := strings.Repeat("x", schema.MaxMessage/2)
	n := 0
	notify := func(text string) {
		t.Helper()
		n++
		if err := p.Notify(fmt.Sprint("m", n), text); err != nil {
			t.Fatalf("message %d: %v", n, err)
		}
	}
	writing := func() bool {
		p.out.mu.Lock()
		defer p.out.mu.Unlock()
		return p.out.writing
	}
	for !writing() {
		notify(big) // until the buffers of the kernel are full
	}
	for range 20 {
		notify("small")
	}
	read := 0
	readAll := func() {
		t.Helper()
		for read < n {
			read++
			f := c.receive()
			if f == nil || !strings.Contains(string(f.payload), fmt.Sprintf(`"m%d"`, read)) {
				t.Fatalf("message %d is %.80v", read, f)
			}
		}
	}
	readAll()
	p.out.writers.Wait()
	<-time.After(timeout + timeout/5) // the time for the last write passes
	for range 100 {
		notify("at once")
		if writing() {
			t.Fatal("a goroutine writes what the socket takes")
		}
	}
	readAll()
}

// A device that sends without reading must still get the close frame: no reset
// may overtake it.
func TestCloseFrameSurvivesWhatIsUnread(t *testing.T) {
	url, ends, _ := listen(t, Options{}, echo)
	c := connect(t, url)
	c.accepted()
	c.write(frameOf(true, opText, sized(schema.MaxMessage+1)))
	for range 20 {
		c.write(frameOf(true, opText, sized(schema.MaxMessage)))
	}
	f := c.receive()
	if f == nil || f.code() != int(schema.CloseTooBig) {
		t.Fatalf("received %+v", f)
	}
	c.write(frameOf(true, opClose, f.payload[:2]))
	if c.receive() != nil {
		t.Error("still open")
	}
	if e := within(t, 10*time.Second, ends); e.Reason != ReasonTooBig || e.Code != schema.CloseTooBig {
		t.Errorf("end %+v", e)
	}
}

func TestF10_CompressionIsDeclined(t *testing.T) {
	url, ends, _ := listen(t, Options{}, echo)
	c := connect(t, url, "Sec-WebSocket-Extensions: permessage-deflate")
	if resp := c.accepted(); resp.Header.Get("Sec-Websocket-Extensions") != "" || resp.Header.Get("Sec-Websocket-Protocol") != "" {
		t.Errorf("header %v", resp.Header)
	}
	c.write(bare(bitFin|0x40|opText, bitMask|1, "x"))
	if f := c.receive(); f.code() != int(schema.CloseProtocol) {
		t.Errorf("received %+v", f)
	}
	c.conn.Close()
	within(t, 10*time.Second, ends)
}

func TestF10_ClientRefusesCompression(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Sec-WebSocket-Extensions", "permessage-deflate; server_no_context_takeover; client_no_context_takeover")
		h := &headerWriter{ResponseWriter: w}
		if p, err := Upgrade(h, r, Options{}); err == nil {
			p.Abort()
		}
	}))
	defer s.Close()
	if p, err := Dial(context.Background(), "ws"+strings.TrimPrefix(s.URL, "http"), Options{}); err == nil || p != nil {
		t.Errorf("%v %v", p, err)
	}
}

// headerWriter smuggles the header that was set into the handshake's answer.
type headerWriter struct{ http.ResponseWriter }

func (w *headerWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := w.ResponseWriter.(http.Hijacker).Hijack()
	return extensionConn{conn}, rw, err
}

type extensionConn struct{ net.Conn }

func (c extensionConn) Write(b []byte) (int, error) {
	head := strings.Replace(string(b), "\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n", 1)
	_, err := c.Conn.Write([]byte(head))
	return len(b), err
}

func TestT20_Origins(t *testing.T) {
	url, _, peers := listen(t, Options{Origins: []string{"https://console.example"}}, echo)
	for _, test := range []struct {
		origin string
		status int
	}{
		{"", 101}, {"https://console.example", 101}, {"https://CONSOLE.example", 101},
		{"https://evil.example", 403}, {"null", 403}, {"https://x.console.example", 403}, {"http://console.example", 403},
	} {
		o := Options{Header: http.Header{}}
		if test.origin != "" {
			o.Header.Set("Origin", test.origin)
		}
		p, err := Dial(context.Background(), url, o)
		var refused *HandshakeError
		switch {
		case err == nil && test.status == 101:
			p.Abort()
			within(t, 10*time.Second, peers)
		case !errors.As(err, &refused) || refused.Status != test.status:
			t.Errorf("origin %q: %v, want %d", test.origin, err, test.status)
		}
	}
}

func TestUpgradeOfNoHandshake(t *testing.T) {
	url, _, _ := listen(t, Options{}, echo)
	resp, err := http.Get("http" + strings.TrimPrefix(url, "ws"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d", resp.StatusCode)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestUpgradeRefusesDataBeforeTheAnswer(t *testing.T) {
	url, _, peers := listen(t, Options{}, echo)
	c := connect(t, url, "X: y\r\n\r\n"+string(frameOf(true, opText, ping("1"))))
	if f, _ := io.ReadAll(c.r); strings.Contains(string(f), "pong") || len(peers) != 0 {
		t.Errorf("received %q", f)
	}
}

func TestDialTLS(t *testing.T) {
	var cert tls.Certificate
	url, ends, _ := listenOn(t, func(s *httptest.Server) { s.StartTLS(); cert = s.TLS.Certificates[0] }, Options{}, echo)
	if _, err := Dial(context.Background(), url, Options{}); err == nil {
		t.Fatal("an unknown certificate was accepted")
	}
	roots := tls.Config{RootCAs: rootsOf(t, cert)}
	p, err := Dial(context.Background(), url, Options{TLS: &roots})
	if err != nil {
		t.Fatal(err)
	}
	end := serve(p, echo)
	got := make(chan Response, 1)
	if _, err := p.Call("echo", []string{strings.Repeat("x", 60000)}, func(r Response) { got <- r }); err != nil {
		t.Fatal(err)
	}
	if r := within(t, 10*time.Second, got); len(r.Result) != 60004 {
		t.Errorf("%d bytes", len(r.Result))
	}
	p.Close(schema.CloseDone, "")
	within(t, 10*time.Second, end)
	within(t, 10*time.Second, ends)
}

func TestDialFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // it never answers
	silent := "ws://" + l.Addr().String()
	if _, err := Dial(context.Background(), silent, Options{MessageTimeout: 20 * time.Millisecond}); err == nil {
		t.Error("no answer: no error")
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := Dial(ctx, silent, Options{}); err == nil {
		t.Error("cancelled: no error")
	}
	for _, url := range []string{"http://x", "ws://127.0.0.1:1", "wss://127.0.0.1:1", "://"} {
		if _, err := Dial(context.Background(), url, Options{}); err == nil {
			t.Errorf("%s: no error", url)
		}
	}
}

func TestPipeRefused(t *testing.T) {
	o := Options{Header: http.Header{"Origin": {"x"}}}
	var refused *HandshakeError
	if _, _, err := Pipe(Options{}, o); !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
		t.Errorf("%v", err)
	}
	if refused.Error() != "rpc: handshake refused: 403 Forbidden" {
		t.Error(refused.Error())
	}
	o.Header = http.Header{"Upgrade": {"x"}}
	if _, _, err := Pipe(Options{}, o); err == nil {
		t.Error("no error")
	}
}

// The server's first message may come with the handshake's answer.
func TestMessageRightAfterTheHandshake(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		req, _ := http.ReadRequest(bufio.NewReader(conn))
		text := ping("1")
		tail := fmt.Appendf(nil, "\x81%c%s\x88\x02\x03\xe8", len(text), text)
		if p, err := Upgrade(&pipeWriter{conn: &gluedConn{conn, tail}, r: bufio.NewReader(conn)}, req, Options{}); err == nil {
			p.Serve(echo)
		}
	}()
	p, err := Dial(context.Background(), "ws://"+l.Addr().String(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if e := p.Serve(handler{request: func(*Request) { n++ }}); e.Reason != ReasonClosedByPeer || n != 1 {
		t.Errorf("end %+v, %d requests", e, n)
	}
}

// gluedConn writes a tail along with its first write.
type gluedConn struct {
	net.Conn
	tail []byte
}

func (c *gluedConn) Write(b []byte) (int, error) {
	all := fmt.Appendf(nil, "%s%s", b, c.tail)
	c.tail = nil
	_, err := c.Conn.Write(all)
	return len(b), err
}

func rootsOf(t *testing.T, cert tls.Certificate) *x509.CertPool {
	t.Helper()
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return pool
}
