package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Opcodes and bits of RFC 6455 section 5.2.
const (
	opMore   = 0x0 // continuation
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xA

	bitFin  = 0x80
	bitMask = 0x80
)

// bare is a WebSocket client that is nothing but bytes on a real socket: it
// sends what no library would, and says of what it receives what it sees.
type bare struct {
	t      testing.TB
	w      *world
	conn   *net.TCPConn
	r      *bufio.Reader
	device credentials
	next   string    // seen, and put back
	over   time.Time // when what was to be seen was there, if it is not the end of the attack
}

// credentials are of a device that the test has registered.
type credentials struct{ id, password string }

// login is the message that logs a device in.
func (d credentials) login() string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":"login","method":"login","params":{"device_id":%q,"password":%q,"boot_id":"b"}}`, d.id, d.password)
}

// register adds a device with a password that the server makes.
func (w *world) register(name string) credentials {
	id, password := w.addDevice(name)
	return credentials{id, password}
}

// dial connects and does nothing else.
func (w *world) dial(t testing.TB) *bare {
	t.Helper()
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return newBare(t, w, conn)
}

func newBare(t testing.TB, w *world, conn net.Conn) *bare {
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &bare{t: t, w: w, conn: conn.(*net.TCPConn), r: bufio.NewReader(conn)}
}

// upgraded is dial and the handshake.
func (w *world) upgraded(t testing.TB) *bare {
	t.Helper()
	c := w.dial(t)
	c.handshake("")
	return c
}

// loggedIn is upgraded and the login.
func (w *world) loggedIn(t testing.TB, d credentials) *bare {
	t.Helper()
	c := w.upgraded(t)
	c.device = d
	c.text(d.login())
	c.sees(`ok "login"`)
	return c
}

const handshakeText = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"

// handshake upgrades the connection; more is further lines of the request's head.
func (c *bare) handshake(more string) http.Header {
	c.t.Helper()
	c.write([]byte(handshakeText + more + "\r\n"))
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		c.t.Fatalf("handshake: %v %v", resp, err)
	}
	return resp.Header
}

// write sends bytes. The server may have closed already: what it has said is
// to be read all the same.
func (c *bare) write(b []byte) { _, _ = c.conn.Write(b) }

// chopped sends bytes n at a time, each in a packet of its own.
func (c *bare) chopped(b []byte, n int) {
	for part := range slices.Chunk(b, n) {
		c.write(part)
	}
}

func (c *bare) text(message string) { c.write(frame(bitFin|opText, message)) }

// frame makes a client's frame: first is its first byte.
func frame(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, bitMask|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, bitMask|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, bitMask|127), uint64(n))
	}
	mask := rand.Uint32()
	b = binary.BigEndian.AppendUint32(b, mask)
	for i := range len(payload) {
		b = append(b, payload[i]^byte(mask>>(24-8*(i%4))))
	}
	return b
}

// fragments makes one message of n frames of about the same size.
func fragments(message string, n int) []byte {
	var b []byte
	for i := range n {
		first := byte(opMore)
		if i == 0 {
			first = opText
		}
		if i == n-1 {
			first |= bitFin
		}
		b = append(b, frame(first, message[i*len(message)/n:(i+1)*len(message)/n])...)
	}
	return b
}

// closing is the payload of a close frame.
func closing(code int, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(code))) + reason
}

// pingOf is a ping of which the id is the given JSON text: it comes back as it
// is, so that any text makes its way there and back.
func pingOf(id string) string { return `{"jsonrpc":"2.0","id":` + id + `,"method":"ping"}` }

// pingSized is a ping of exactly n bytes, by its id.
func pingSized(n int) string {
	return pingOf(`"` + strings.Repeat("x", n-len(pingOf(`""`))) + `"`)
}

// see reads what comes next, and says it in a word or two: "ok ID" and
// "-32600 ID" are answers, "call METHOD" is the server's own, "pong PAYLOAD",
// "close 1000", and "gone" for a connection that ended without a close frame.
func (c *bare) see() (seen string) {
	if seen, c.next = c.next, ""; seen != "" {
		return seen
	}
	op, payload, err := c.receive()
	switch {
	case err != nil && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)):
		return "gone"
	case err != nil:
		return err.Error()
	case op == opPong:
		return strings.TrimSpace("pong " + payload)
	case op == opClose && len(payload) < 2:
		return "close"
	case op == opClose:
		return fmt.Sprint("close ", binary.BigEndian.Uint16([]byte(payload)))
	case op != opText:
		return fmt.Sprint("opcode ", op)
	}
	return inShort(payload)
}

// inShort says what a message of the server is.
func inShort(text string) string {
	if strings.HasPrefix(text, "[") {
		var members []json.RawMessage
		if err := json.Unmarshal([]byte(text), &members); err != nil {
			return "no JSON"
		}
		short := make([]string, len(members))
		for i, m := range members {
			short[i] = inShort(string(m))
		}
		return fmt.Sprint(short)
	}
	var m message
	switch err := json.Unmarshal([]byte(text), &m); {
	case err != nil:
		return "no JSON"
	case m.Error != nil:
		return fmt.Sprintf("%d %s", m.Error.Code, m.ID)
	case m.Method != "":
		return "call " + m.Method
	}
	return fmt.Sprintf("ok %s", m.ID)
}

// receive reads one frame of the server, which is never in parts nor masked.
func (c *bare) receive() (op byte, payload string, err error) {
	var head [2]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return 0, "", err
	}
	if head[0]&^0x0F != bitFin || head[1]&bitMask != 0 {
		return 0, "", fmt.Errorf("a frame that begins with %x", head)
	}
	long := map[byte]int{126: 2, 127: 8}[head[1]]
	size := make([]byte, 8)
	if _, err := io.ReadFull(c.r, size[8-long:]); err != nil {
		return 0, "", err
	}
	n := binary.BigEndian.Uint64(size)
	if long == 0 {
		n = uint64(head[1])
	}
	body := make([]byte, n)
	_, err = io.ReadFull(c.r, body)
	return head[0] & 0x0F, string(body), err
}

// sees reads what comes and compares it. Each is one thing, or several of
// which any will do, between bars.
func (c *bare) sees(want ...string) {
	c.t.Helper()
	for i, w := range want {
		if got := c.see(); !slices.Contains(strings.Split(w, "|"), got) {
			c.t.Fatalf("saw %.200s in place of %.200s, number %d", got, w, i+1)
		}
	}
}

// ends answers the server's close frame, and sees the end of the connection.
func (c *bare) ends(code int) {
	c.t.Helper()
	c.sees(fmt.Sprint("close ", code))
	c.write(frame(bitFin|opClose, closing(code, "")))
	c.sees("gone")
	c.conn.Close()
}

// alive sees that the connection is as good as before.
func (c *bare) alive() {
	c.t.Helper()
	c.text(pingOf(`"alive"`))
	c.sees(`ok "alive"`)
}

// leave closes it in good order.
func (c *bare) leave() {
	c.t.Helper()
	c.write(frame(bitFin|opClose, closing(1000, "")))
	c.sees("close 1000", "gone")
	c.conn.Close()
}
