package rpc

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/edgetether/tether/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handler is a Handler made of functions; nil ones do nothing.
type handler struct {
	request func(*Request)
	late    func(uint64, Response)
}

func (h handler) Request(r *Request) {
	if h.request != nil {
		h.request(r)
	}
}

func (h handler) Late(id uint64, resp Response) {
	if h.late != nil {
		h.late(id, resp)
	}
}

// echo answers ping with pong, echo with its params, and knows nothing else.
var echo = handler{request: func(r *Request) {
	switch r.Method {
	case schema.MethodPing:
		r.Reply("pong")
	case "echo":
		r.Reply(rawJSON(r.Params))
	default:
		r.Fail(schema.Errorf(schema.MethodNotFound, "method_not_found", "no such method"))
	}
}}

// rawJSON marshals as itself.
type rawJSON []byte

func (r rawJSON) MarshalJSON() ([]byte, error) {
	if r == nil {
		return []byte("null"), nil
	}
	return r, nil
}

// serve runs a peer on a goroutine; the channel gives its end.
func serve(p *Peer, h Handler) <-chan End {
	ended := make(chan End, 1)
	go func() { ended <- p.Serve(h) }()
	return ended
}

// served is a peer under test, with a bare connection as its other side.
type served struct {
	t    testing.TB
	peer *Peer
	end  <-chan End
	conn net.Conn // the other side, a client's
	r    *bufio.Reader
}

// servePipe serves a server's peer over an unbuffered pipe.
func servePipe(t testing.TB, o Options, h Handler) *served {
	t.Helper()
	a, b := net.Pipe()
	s := &served{t: t, conn: b, r: bufio.NewReader(b)}
	up := make(chan error, 1)
	go func() {
		var err error
		s.peer, err = upgradePipe(a, o)
		up <- err
	}()
	s.handshake()
	if err := <-up; err != nil {
		t.Fatal(err)
	}
	s.end = serve(s.peer, h)
	return s
}

const handshakeText = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"

func (s *served) handshake() {
	s.t.Helper()
	s.write([]byte(handshakeText + "\r\n"))
	resp, err := http.ReadResponse(s.r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		s.t.Fatalf("handshake: %v %v", resp, err)
	}
}

func (s *served) write(b []byte) {
	s.t.Helper()
	if _, err := s.conn.Write(b); err != nil {
		s.t.Fatalf("write: %v", err)
	}
}

// send writes a whole text message.
func (s *served) send(text string) {
	s.t.Helper()
	s.write(frameOf(true, opText, text))
}

// wireFrame is one frame as it was received.
type wireFrame struct {
	op      byte
	payload string
}

func (f wireFrame) code() int {
	if f.op != opClose || len(f.payload) < 2 {
		return 0
	}
	return int(binary.BigEndian.Uint16([]byte(f.payload)))
}

// receive reads one frame of the peer; nil at the connection's end.
func (s *served) receive() *wireFrame {
	var head [2]byte
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		return nil
	}
	n := int64(head[1] & 0x7F)
	switch n {
	case 126:
		var b [2]byte
		io.ReadFull(s.r, b[:])
		n = int64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		io.ReadFull(s.r, b[:])
		n = int64(binary.BigEndian.Uint64(b[:]))
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(s.r, payload); err != nil {
		return nil
	}
	return &wireFrame{head[0] & 0x0F, string(payload)}
}

// expect reads one text message and compares it.
func (s *served) expect(want string) {
	s.t.Helper()
	f := s.receive()
	if f == nil || f.op != opText || f.payload != want {
		s.t.Fatalf("received %+v\nwant     %s", f, want)
	}
}

// expectClose reads on to the close frame, answers it, and compares the end.
func (s *served) expectClose(code schema.CloseCode, reason string) {
	s.t.Helper()
	for {
		f := s.receive()
		if f == nil {
			s.t.Fatalf("no close frame; end %+v", <-s.end)
		}
		if f.op != opClose {
			continue
		}
		if f.code() != int(code) {
			s.t.Fatalf("close code %d %q, want %d", f.code(), f.payload[2:], code)
		}
		s.conn.Write(frameOf(true, opClose, f.payload[:2])) // the peer may be gone
		break
	}
	s.expectEnd(code, reason)
}

func (s *served) expectEnd(code schema.CloseCode, reason string) {
	s.t.Helper()
	if e := <-s.end; e.Reason != reason || e.Code != code {
		s.t.Fatalf("end %+v, want %s %d", e, reason, code)
	}
}

// stop ends the connection from the other side.
func (s *served) stop() {
	s.conn.Close()
	<-s.end
}

// frameOf makes a client's frame; its mask is zero.
func frameOf(final bool, op byte, payload string) []byte {
	b := []byte{op}
	if final {
		b[0] |= bitFin
	}
	switch n := len(payload); {
	case n < 126:
		b = append(b, bitMask|byte(n))
	case n < 1<<16:
		b = append(b, bitMask|126, byte(n>>8), byte(n))
	default:
		b = append(b, bitMask|127)
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	b = append(b, 0, 0, 0, 0)
	return append(b, payload...)
}

// fragmentsOf makes one message of n frames.
func fragmentsOf(payload string, n int) []byte {
	var b []byte
	op := byte(opText)
	for i := range n {
		part := payload[i*len(payload)/n : (i+1)*len(payload)/n]
		b = append(b, frameOf(i == n-1, op, part)...)
		op = opContinuation
	}
	return b
}

func ping(id string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"ping"}`, id)
}

func pong(id string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":"pong"}`, id)
}

// fault is the error response to an invalid request.
func faultOf(id, why string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32600,"message":"invalid request: %s",`+
		`"data":{"reason":"invalid_request","retryable":false}}}`, id, strings.ReplaceAll(why, `"`, `\"`))
}

const parseFault = `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"parse error",` +
	`"data":{"reason":"parse_error","retryable":false}}}`

// sized is a ping of exactly n bytes.
func sized(n int) string {
	const head, tail = `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"`, `"}}`
	return head + strings.Repeat("x", n-len(head)-len(tail)) + tail
}

// within fails the test if what it waits for takes longer: real sockets only.
func within[T any](t testing.TB, d time.Duration, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(d):
		t.Fatal("it took too long")
		panic("unreachable")
	}
}
