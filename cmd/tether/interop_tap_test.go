//go:build interop

package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// tap stands between a device and the service, passes on every byte as it is,
// and reads along. What it says of a conversation is what went over the wire,
// whatever the device's library makes of it.
type tap struct {
	listener net.Listener
	target   string
	wg       sync.WaitGroup

	mu    sync.Mutex
	lines []tapped
	conns []net.Conn
}

// tapped is a handshake, a message or a close frame.
type tapped struct {
	conn   int    // number of the connection, from 1
	from   side   // who sent it
	kind   string // "handshake", "message", or the name of a control frame
	frames int
	text   string
}

type side string

const (
	fromDevice side = "-->"
	fromServer side = "<--"
)

func newTap(t *testing.T, target string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{listener: l, target: target}
	p.wg.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *tap) url() string { return "ws://" + p.listener.Addr().String() + "/ws" }

func (p *tap) close() {
	p.listener.Close()
	p.mu.Lock()
	for _, c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *tap) accept() {
	for n := 1; ; n++ {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", p.target)
		if err != nil {
			near.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, near, far)
		p.mu.Unlock()
		p.wg.Go(func() { p.pass(n, fromDevice, near, far) })
		p.wg.Go(func() { p.pass(n, fromServer, far, near) })
	}
}

// pass passes on what one side sends, each frame as soon as it is noted, until
// the side has ended or is no WebSocket.
func (p *tap) pass(conn int, from side, src, dst net.Conn) {
	defer dst.(*net.TCPConn).CloseWrite()
	r := bufio.NewReader(src)
	raw, text, err := handshake(r)
	if err != nil {
		return
	}
	p.note(tapped{conn, from, "handshake", 0, text})
	message, frames := "", 0
	for {
		if _, err := dst.Write(raw); err != nil {
			return
		}
		f, err := readFrame(r)
		if err != nil {
			return
		}
		raw = f.raw
		if f.op > 1 {
			p.note(tapped{conn, from, frameNames[f.op], 1, f.controlText()})
			continue
		}
		frames++
		if message += f.payload; f.final {
			p.note(tapped{conn, from, "message", frames, message})
			message, frames = "", 0
		}
	}
}

// frameNames names frames by their opcode.
var frameNames = map[byte]string{2: "binary", 8: "close", 9: "ping", 10: "pong"}

// controlText is what a person reads of a frame that is no text.
func (f tappedFrame) controlText() string {
	if f.op == 8 && len(f.payload) >= 2 {
		return strings.TrimSpace(fmt.Sprint(binary.BigEndian.Uint16([]byte(f.payload)), " ", f.payload[2:]))
	}
	return strconv.Quote(f.payload)
}

// handshake reads a request or a response. Of its lines, the first and those
// that name the WebSocket's properties are noted.
func handshake(r *bufio.Reader) (raw []byte, text string, err error) {
	var said []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, "", err
		}
		raw = append(raw, line...)
		line = strings.TrimSpace(line)
		name, _, _ := strings.Cut(strings.ToLower(line), ":")
		switch name {
		case "":
			return raw, strings.Join(said, "; "), nil
		case "origin", "sec-websocket-extensions", "sec-websocket-protocol":
			said = append(said, line)
		default:
			if said == nil {
				said = append(said, line)
			}
		}
	}
}

// tappedFrame is one WebSocket frame, and the bytes that it came in.
type tappedFrame struct {
	raw     []byte
	final   bool
	op      byte
	payload string
}

var errReserved = errors.New("a frame with a reserved bit")

func readFrame(r io.Reader) (f tappedFrame, err error) {
	take := func(n int) []byte {
		b := make([]byte, n)
		if err == nil {
			_, err = io.ReadFull(r, b)
		}
		f.raw = append(f.raw, b...)
		return b
	}
	head := take(2)
	f.final, f.op = head[0]&0x80 != 0, head[0]&0x0F
	if head[0]&0x70 != 0 {
		return f, errReserved
	}
	length := int(head[1] & 0x7F)
	switch length {
	case 126:
		length = int(binary.BigEndian.Uint16(take(2)))
	case 127:
		length = int(binary.BigEndian.Uint64(take(8)))
	}
	mask := make([]byte, 4)
	if head[1]&0x80 != 0 {
		copy(mask, take(4))
	}
	payload := append([]byte(nil), take(length)...)
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	f.payload = string(payload)
	return f, err
}

func (p *tap) note(l tapped) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, l)
}

// noted is all that was noted so far.
func (p *tap) noted() []tapped {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]tapped(nil), p.lines...)
}

// String is the conversation, as a person reads it.
func (p *tap) String() string {
	var b strings.Builder
	for _, l := range p.noted() {
		fmt.Fprintf(&b, "%d %s ", l.conn, l.from)
		switch {
		case l.kind != "message":
			fmt.Fprintf(&b, "(%s) ", l.kind)
		case l.frames > 1:
			fmt.Fprintf(&b, "(in %d fragments) ", l.frames)
		}
		b.WriteString(abridged(strings.TrimSpace(l.text)) + "\n")
	}
	return b.String()
}

// abridged is a text whose middle is left out if it is long.
func abridged(text string) string {
	const head, tail = 400, 50
	if len(text) <= head+tail {
		return text
	}
	left, right := text[:head], text[len(text)-tail:]
	return fmt.Sprintf("%s … (%d bytes in all) … %s", strings.ToValidUTF8(left, ""), len(text), strings.ToValidUTF8(right, ""))
}

// envelope is a message as far as it tells who answers whom.
type envelope struct {
	ID     json.RawMessage
	Method string
}

// envelopes are the messages that a text holds: more than one in a batch.
func envelopes(text string) (list []envelope, err error) {
	if json.Unmarshal([]byte(text), &list) == nil {
		return list, nil
	}
	var one envelope
	err = json.Unmarshal([]byte(text), &one)
	return []envelope{one}, err
}

// faults holds a conversation to JSON-RPC: every request is answered once, by
// the other side, with its id byte for byte; nothing else is an answer.
func faults(lines []tapped) (found []string) {
	open := map[string]string{} // by connection, asking side and id: the method
	other := map[side]side{fromDevice: fromServer, fromServer: fromDevice}
	key := func(conn int, asks side, id json.RawMessage) string {
		return fmt.Sprint(conn, " ", asks, " ", string(id))
	}
	for _, l := range lines {
		if l.kind != "message" {
			continue
		}
		list, err := envelopes(l.text)
		if err != nil {
			found = append(found, "no JSON: "+l.text)
		}
		for _, m := range list {
			asked, answered := key(l.conn, l.from, m.ID), key(l.conn, other[l.from], m.ID)
			switch {
			case m.Method != "" && m.ID == nil: // a notification
			case m.Method != "" && open[asked] != "":
				found = append(found, "an id again before its answer: "+l.text)
			case m.Method != "":
				open[asked] = m.Method
			case open[answered] == "":
				found = append(found, "answers nothing: "+l.text)
			default:
				delete(open, answered)
			}
		}
	}
	for id, method := range open {
		found = append(found, "not answered: "+id+" "+method)
	}
	return found
}

// TestInteropFaults: a conversation that is none is found out.
func TestInteropFaults(t *testing.T) {
	const ask, answer = `{"id":1,"method":"ping"}`, `{"id":1,"result":"pong"}`
	line := func(conn int, from side, text string) tapped { return tapped{conn, from, "message", 1, text} }
	for _, tc := range []struct {
		name  string
		lines []tapped
		want  int
	}{
		{"whole", []tapped{line(1, fromDevice, ask), line(1, fromServer, answer)}, 0},
		{"both ask with one id", []tapped{line(1, fromDevice, ask), line(1, fromServer, ask), line(1, fromDevice, answer), line(1, fromServer, answer)}, 0},
		{"batch", []tapped{line(1, fromDevice, "["+ask+`,{"id":"1","method":"ping"}]`), line(1, fromServer, `[{"id":"1"},`+answer+"]")}, 0},
		{"notification", []tapped{line(1, fromServer, `{"method":"restart_confirm"}`)}, 0},
		{"no answer", []tapped{line(1, fromDevice, ask)}, 1},
		{"answered twice", []tapped{line(1, fromDevice, ask), line(1, fromServer, answer), line(1, fromServer, answer)}, 1},
		{"answered by itself", []tapped{line(1, fromDevice, ask), line(1, fromDevice, answer)}, 2},
		{"answered elsewhere", []tapped{line(1, fromDevice, ask), line(2, fromServer, answer)}, 2},
		{"another spelling", []tapped{line(1, fromDevice, ask), line(1, fromServer, `{"id":1.0,"result":"pong"}`)}, 2},
		{"an id again", []tapped{line(1, fromDevice, ask), line(1, fromDevice, ask), line(1, fromServer, answer)}, 1},
		{"no JSON", []tapped{line(1, fromDevice, "{")}, 2},
	} {
		if got := faults(tc.lines); len(got) != tc.want {
			t.Errorf("%s: %q", tc.name, got)
		}
	}
}
