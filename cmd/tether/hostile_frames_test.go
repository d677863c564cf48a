package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/edgetether/tether/schema"
)

// times is a thing seen n times.
func times(n int, what string) []string {
	s := make([]string, n)
	for i := range s {
		s[i] = what
	}
	return s
}

// claim is the head of a frame that says it has so many bytes.
func claim(n uint64) []byte {
	b := []byte{bitFin | opText, bitMask | 127}
	for shift := 56; shift >= 0; shift -= 8 {
		b = append(b, byte(n>>shift))
	}
	return append(b, 0, 0, 0, 0)
}

// breaks sends bytes for which the connection must be closed with a code.
func breaks(code int, b ...[]byte) func(*bare) {
	return func(c *bare) {
		for _, part := range b {
			c.write(part)
		}
		c.ends(code)
	}
}

// frameAttacks are of bytes that are no WebSocket, or too much of it.
var frameAttacks = []attack{
	{"F02 RST in the middle of a frame", true, cutOff("reset", 0), 100 * time.Millisecond},
	{"F02 FIN without a close frame", true, cutOff("eof", -1), 100 * time.Millisecond},
	{"F05 a byte at a time", true, func(c *bare) {
		c.chopped(frame(bitFin|opText, pingOf("1")), 1)
		c.chopped(fragments(pingOf("2"), 20), 1)
		c.sees("ok 1", "ok 2")
	}, soon},
	{"F06 64 KiB and one more", true, func(c *bare) {
		c.text(pingSized(schema.MaxMessage))
		_, text, _ := c.receive()
		if len(text) < schema.MaxMessage-100 {
			c.t.Errorf("64 KiB: %.100s", text)
		}
		c.text(pingSized(schema.MaxMessage + 1))
		c.ends(1009)
	}, 0},
	{"F06 a frame that claims 2^63-1", true, breaks(1009, claim(1<<63-1)), blind},
	{"F06 a frame that claims 2^64-1", true, breaks(1009, claim(1<<64-1)), blind},
	{"F06 a sum of fragments that wraps round", true,
		breaks(1009, frame(opText, "xx"), append([]byte{bitFin | opMore}, claim(1<<64 - 2)[1:]...)), blind},
	{"F06 4 KiB and one more before the login", false, func(c *bare) {
		c.text(pingSized(schema.MaxLoginMessage + 1))
		c.ends(1009)
	}, soon},
	{"F07 64 fragments and one more", true, func(c *bare) {
		c.write(fragments(pingOf("1"), schema.MaxFragments))
		c.sees("ok 1")
		c.write(fragments(pingOf("2"), schema.MaxFragments+1))
		c.ends(1008)
	}, soon},
	{"F07 10,000 fragments", true, breaks(1008, fragments(pingSized(20_000), 10_000)), soon},
	{"F07 empty fragments for ever", true, breaks(1008, frame(opText, ""), []byte(strings.Repeat(string(frame(opMore, "")), 10_000))), soon},
	{"F07 pings between fragments", true, func(c *bare) {
		c.write(frame(opText, pingOf("1")[:10]))
		c.write(frame(bitFin|opPing, "here?"))
		c.sees("pong here?")
		c.write(frame(bitFin|opMore, pingOf("1")[10:]))
		c.sees("ok 1")
	}, soon},
	{"F08 no UTF-8", true, breaks(1007, frame(bitFin|opText, pingOf("\"\xff\""))), soon},
	{"F08 no UTF-8, in fragments", true, breaks(1007, fragments(pingOf("\"\xed\xa0\x80\""), 30)), soon},
	{"F09 no mask", true, breaks(1002, []byte{bitFin | opText, 1, 'x'}), soon},
	{"F09 reserved bits", true, breaks(1002, frame(bitFin|0x30|opText, "x")), soon},
	{"F09 opcode 3", true, breaks(1002, frame(bitFin|0x3, "x")), soon},
	{"F09 opcode 11", true, breaks(1002, frame(bitFin|0xB, "x")), soon},
	{"F09 binary", true, breaks(1003, frame(bitFin|opBinary, "x")), soon},
	{"F09 nothing like it", true, breaks(1002, []byte("GET / HTTP/1.1\r\n\r\n")), blind},
	{"F10 compressed, though not agreed on", true, func(c *bare) {
		other := c.w.dial(c.t)
		defer other.conn.Close()
		if h := other.handshake("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"); h.Get("Sec-Websocket-Extensions") != "" {
			c.t.Error("the offer was taken")
		}
		breaks(1002, frame(bitFin|0x40|opText, "\xaaVJ\xad\x02\x00"))(c)
	}, soon},
	{"F27 10,000 pings", true, flood(frame(bitFin|opText, `{"jsonrpc":"2.0","method":"ping"}`)), 0},
	{"F27 10,000 pings of the transport", true, flood(frame(bitFin|opPing, "x")), 0},
	{"F27 10,000 pongs", true, flood(frame(bitFin|opPong, "")), 0},
}

// cutOff ends the connection in the middle of a frame. The session must be
// gone at once, for that reason and no other, and without a miss.
func cutOff(reason string, linger int) func(*bare) {
	return func(c *bare) {
		before := len(c.w.ended(c.device.id))
		c.write(frame(bitFin|opText, pingOf("1"))[:9])
		_ = c.conn.SetLinger(linger)
		c.conn.Close()
		c.offline()
		c.over = time.Now()
		await(c.t, "a line of the log", func() bool { return len(c.w.ended(c.device.id)) > before })
		if got := c.w.ended(c.device.id)[before]; got != reason {
			c.t.Errorf("the log says %s, not %s", got, reason)
		}
	}
}

// offline waits until the service no longer takes the device for connected.
func (c *bare) offline() {
	await(c.t, "a session that has ended", func() bool {
		live, err := c.w.svc.hub.Live(c.t.Context(), []string{c.device.id})
		return err == nil && len(live) == 0
	})
}

// flood sends a frame 10,000 times, as fast as it can.
func flood(one []byte) func(*bare) {
	return func(c *bare) {
		all := []byte(strings.Repeat(string(one), 100))
		for range 100 {
			if _, err := c.conn.Write(all); err != nil {
				break // the server has had enough
			}
		}
		for range schema.MessageBurst {
			if got := c.see(); got == "close 1008" || got == "gone" { // gone: its frame came, and was lost with the rest
				return
			} else if got != "pong x" {
				c.t.Fatalf("saw %s", got)
			}
		}
		c.t.Fatal("not closed")
	}
}

// slowAttacks are of peers that take their time, or everybody's.
var slowAttacks = []attack{
	{"F03 T17 does not read", true, unread, 12 * time.Second},
	{"F04 T16 a byte a second", true, trickle(frame(bitFin|opText, pingOf("1")), 1008), schema.MessageTimeout + time.Second},
	{"T16 a byte a second before the login", false, trickle(frame(bitFin|opText, strings.Repeat(" ", 100)), 4408), schema.LoginTimeout + time.Second},
	{"T16 no login", false, func(c *bare) { c.ends(4408) }, schema.LoginTimeout + time.Second},
	{"T16 a handshake of a byte a second", false, func(c *bare) {
		slow := c.w.dial(c.t)
		defer slow.conn.Close()
		c.conn.Close()
		slow.trickle([]byte(handshakeText))
		_, _ = io.Copy(io.Discard, slow.r) // to the end, of whatever kind it is
	}, headerTimeout + 2*time.Second},
	{"T16 a head of 9 KiB", false, func(c *bare) {
		big := c.w.dial(c.t)
		defer big.conn.Close()
		c.conn.Close()
		big.write([]byte(handshakeText + "X: " + strings.Repeat("x", 20<<10) + "\r\n\r\n"))
		status, _ := big.r.ReadString('\n')
		if !strings.Contains(status, " 431 ") {
			c.t.Errorf("answered %q", status)
		}
	}, 2 * time.Second},
}

// trickle sends a byte a second, until the server closes with a code.
func trickle(b []byte, code int) func(*bare) {
	return func(c *bare) {
		c.trickle(b)
		c.sees(fmt.Sprint("close ", code))
	}
}

// trickle sends a byte a second until they are all sent or something comes back.
func (c *bare) trickle(b []byte) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	answered := make(chan struct{})
	go func() { defer close(answered); _, _ = c.r.Peek(1) }()
	for i := range b {
		c.write(b[i : i+1])
		select {
		case <-second.C:
		case <-answered:
			return
		}
	}
	<-answered
}

// unread asks for megabytes and reads none of them. The connection must end,
// for that reason; the frames that are half written stay so.
func unread(c *bare) {
	before := len(c.w.ended(c.device.id))
	_ = c.conn.SetReadBuffer(4096)
	for i := range schema.MessageBurst - 2 {
		c.text(pingOf(fmt.Sprintf(`"%d%s"`, i, strings.Repeat("x", schema.MaxMessage-100))))
	}
	c.offline()
	await(c.t, "a line of the log", func() bool { return len(c.w.ended(c.device.id)) > before })
	if got := c.w.ended(c.device.id)[before]; got != "outbox_full" && got != "write_timeout" {
		c.t.Errorf("the log says %s", got)
	}
}
