package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/edgetether/tether/schema"
)

// rfcCase is a behaviour of RFC 6455. Families have the numbers of the groups
// of the Autobahn test suite. What that suite echoes as a message is here the
// id of a ping, which comes back as it is.
type rfcCase struct {
	name string
	send [][]byte // each in a write of its own
	// see is what must be seen, in this order; the last is "alive" if the
	// connection must go on.
	see []string
}

// TestRFC6455 holds the whole service to it, over real sockets: each family
// over connections of a device of its own, all at once.
func TestRFC6455(t *testing.T) {
	besideControl(t, func(w *world) {
		families := [][]rfcCase{sizes(), pingsAndPongs(), reservedBits(), opcodes(), fragmentation(),
			utf8Valid(), utf8Invalid(), closes(), closeCodes(), autoFragmentation()}
		var all sync.WaitGroup
		for n, cases := range families {
			d := w.register(fmt.Sprint("family-", n))
			all.Go(func() {
				for _, c := range cases {
					t.Run(c.name, func(t *testing.T) { c.run(t, w, d) })
				}
			})
		}
		all.Wait()
	})
}

func (rc rfcCase) run(t *testing.T, w *world, d credentials) {
	c := w.loggedIn(t, d)
	defer c.conn.Close()
	for _, b := range rc.send {
		c.write(b)
	}
	for _, want := range rc.see {
		switch last, some := strings.CutPrefix(want, "some pongs to "); {
		case some:
			c.pongsTo(last)
		case strings.HasPrefix(want, "maybe "):
			c.maybe(strings.TrimPrefix(want, "maybe "))
		case want == "alive":
			c.alive()
			c.leave()
			return
		default:
			c.sees(want)
		}
	}
	c.write(frame(bitFin|opClose, closing(1000, ""))) // answers the server's close frame
	c.sees("gone")
}

// pongsTo reads pongs up to one. Those to pings that a newer one has overtaken
// may be left out (section 5.5.3).
func (c *bare) pongsTo(last string) {
	c.t.Helper()
	for {
		switch got := c.see(); {
		case got == "pong "+last:
			return
		case !strings.HasPrefix(got, "pong "):
			c.t.Fatalf("saw %s before the pong to %s", got, last)
		}
	}
}

// maybe reads one thing, if it is the next: an answer that is on its way when
// the connection is closed may be lost.
func (c *bare) maybe(what string) {
	if got := c.see(); got != what {
		c.next = got
	}
}

func whole(message string) []byte { return frame(bitFin|opText, message) }

// echo is what a ping with this id shows.
func echo(id string) string { return "ok " + id }

func one(b ...[]byte) [][]byte { return [][]byte{bytes.Join(b, nil)} }

func chop(b []byte, n int) [][]byte { return slices.Collect(slices.Chunk(b, n)) }

// sizes: messages at the boundaries of the three forms of a length, whole and
// in pieces of the network.
func sizes() (cases []rfcCase) {
	least := len(pingOf(`""`))
	for _, n := range []int{least, 64, 124, 125, 126, 127, 128, 1000, 4096, 65535, 65536} {
		text := pingSized(n)
		sees := []string{echo(`"` + strings.Repeat("x", n-least) + `"`), "alive"}
		cases = append(cases, rfcCase{fmt.Sprint("1.1 text of ", n), one(whole(text)), sees},
			rfcCase{fmt.Sprint("1.1 text of ", n, " in 997s"), chop(whole(text), 997), sees})
		if n < 200 {
			cases = append(cases, rfcCase{fmt.Sprint("1.1 text of ", n, " in octets"), chop(whole(text), 1), sees})
		}
	}
	for _, n := range []int{0, 125, 126, 127, 128, 65535, 65536} {
		cases = append(cases, rfcCase{fmt.Sprint("1.2 binary of ", n), one(frame(bitFin|opBinary, strings.Repeat("\xfe", n))), []string{"close 1003"}})
	}
	return append(cases,
		rfcCase{"1.1 empty text", one(whole("")), []string{"-32700 null", "alive"}},
		rfcCase{"1.1 text of 65537", one(whole(pingSized(65537))), []string{"close 1009"}})
}

func pingsAndPongs() []rfcCase {
	long := strings.Repeat("\xfe", 125)
	ping := func(payload string) []byte { return frame(bitFin|opPing, payload) }
	pong := func(payload string) []byte { return frame(bitFin|opPong, payload) }
	return []rfcCase{
		{"2.1 ping without payload", one(ping("")), []string{"pong", "alive"}},
		{"2.2 ping with text", one(ping("Hello, world!")), []string{"pong Hello, world!", "alive"}},
		{"2.3 ping with what is no UTF-8", one(ping("\x00\xff\xfe\xfd\xfc\xfb\x00\xff")), []string{"pong \x00\xff\xfe\xfd\xfc\xfb\x00\xff", "alive"}},
		{"2.4 ping of 125", one(ping(long)), []string{"pong " + long, "alive"}},
		{"2.5 ping of 126", one(ping(long + "x")), []string{"close 1002"}},
		{"2.6 ping of 125 in octets", chop(ping(long), 1), []string{"pong " + long, "alive"}},
		{"2.7 pong that nobody asked for", one(pong("")), []string{"alive"}},
		{"2.8 likewise with payload", one(pong("unsolicited")), []string{"alive"}},
		{"2.9 pong, then ping", one(pong("unsolicited"), ping("ping")), []string{"pong ping", "alive"}},
		{"2.10 ten pings at once", one(ping("0"), ping("1"), ping("2"), ping("3"), ping("4"), ping("5"), ping("6"), ping("7"), ping("8"), ping("9")),
			[]string{"some pongs to 9", "alive"}},
		{"2.11 ten pings in octets", chop(bytes.Join([][]byte{ping("0"), ping("1"), ping("2"), ping("3"), ping("4"), ping("5"), ping("6"), ping("7"), ping("8"), ping("9")}, nil), 1),
			[]string{"some pongs to 9", "alive"}},
	}
}

func reservedBits() (cases []rfcCase) {
	for bits := byte(1); bits < 8; bits++ {
		for _, op := range []byte{opText, opPing, opPong, opClose} {
			cases = append(cases, rfcCase{fmt.Sprintf("3 bits %03b of opcode %d", bits, op),
				one(frame(bitFin|bits<<4|op, "")), []string{"close 1002"}})
		}
		cases = append(cases, rfcCase{fmt.Sprintf("3 bits %03b after a message, in octets", bits),
			append(one(whole(pingOf("1"))), chop(frame(bitFin|bits<<4|opText, "x"), 1)...), []string{"maybe ok 1", "close 1002"}})
	}
	return cases
}

func opcodes() (cases []rfcCase) {
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		cases = append(cases,
			rfcCase{fmt.Sprint("4 opcode ", op), one(frame(bitFin|op, "")), []string{"close 1002"}},
			rfcCase{fmt.Sprint("4 opcode ", op, " with payload, in octets"), chop(frame(bitFin|op, "reserved opcode payload"), 1), []string{"close 1002"}},
			rfcCase{fmt.Sprint("4 opcode ", op, " in a message"), one(frame(opText, "{"), frame(bitFin|op, "x")), []string{"close 1002"}})
	}
	return cases
}

// parts is a ping in two parts, with something in between.
func parts(between ...[]byte) []byte {
	text := pingOf("1")
	return bytes.Join([][]byte{frame(opText, text[:9]), bytes.Join(between, nil), frame(bitFin|opMore, text[9:])}, nil)
}

func fragmentation() []rfcCase {
	ping, pong := frame(bitFin|opPing, "p"), frame(bitFin|opPong, "q")
	text := pingOf("1")
	return []rfcCase{
		{"5.1 ping in fragments", one(frame(opPing, "a"), frame(bitFin|opMore, "b")), []string{"close 1002"}},
		{"5.2 pong in fragments", one(frame(opPong, "a"), frame(bitFin|opMore, "b")), []string{"close 1002"}},
		{"5.3 text in two", one(parts()), []string{"ok 1", "alive"}},
		{"5.4 likewise, in frames", [][]byte{frame(opText, text[:9]), frame(bitFin|opMore, text[9:])}, []string{"ok 1", "alive"}},
		{"5.5 likewise, in octets", chop(parts(), 1), []string{"ok 1", "alive"}},
		{"5.6 ping in between", one(parts(ping)), []string{"pong p", "ok 1", "alive"}},
		{"5.7 likewise, in frames", [][]byte{frame(opText, text[:9]), ping, frame(bitFin|opMore, text[9:])}, []string{"pong p", "ok 1", "alive"}},
		{"5.8 likewise, in octets", chop(parts(ping), 1), []string{"pong p", "ok 1", "alive"}},
		{"5.8 pong in between", one(parts(pong, pong)), []string{"ok 1", "alive"}},
		{"5.9 continuation of nothing", one(frame(bitFin|opMore, "x"), whole(text)), []string{"close 1002"}},
		{"5.10 likewise, in frames", [][]byte{frame(bitFin|opMore, "x"), whole(text)}, []string{"close 1002"}},
		{"5.11 likewise, in octets", chop(frame(bitFin|opMore, "x"), 1), []string{"close 1002"}},
		{"5.12 continuation of nothing, not the last", one(frame(opMore, "x"), whole(text)), []string{"close 1002"}},
		{"5.15 text in two, then continuation", one(parts(), frame(opMore, "x"), whole(text)), []string{"maybe ok 1", "close 1002"}},
		{"5.16 continuation, text, continuation", one(frame(opMore, "x"), frame(opText, "x"), frame(bitFin|opMore, "x")), []string{"close 1002"}},
		{"5.18 text in text", one(frame(opText, "x"), frame(bitFin|opText, "x")), []string{"close 1002"}},
		{"5.19 pings between five parts", one(frame(opText, text[:5]), frame(opMore, text[5:9]), ping, frame(opMore, text[9:20]), frame(opMore, ""), ping, frame(bitFin|opMore, text[20:])),
			[]string{"some pongs to p", "ok 1", "alive"}},
		{"5.20 an empty part at either end", one(frame(opText, ""), frame(opMore, text), frame(bitFin|opMore, "")), []string{"ok 1", "alive"}},
		{"5.21 64 parts", one(fragments(pingSized(200), schema.MaxFragments)), []string{echo(`"` + strings.Repeat("x", 200-len(pingOf(`""`))) + `"`), "alive"}},
		{"5.22 65 parts", one(fragments(pingSized(200), schema.MaxFragments+1)), []string{"close 1008"}},
		{"5.23 a close frame in between", one(frame(opText, "x"), frame(bitFin|opClose, closing(1000, ""))), []string{"close 1000"}},
	}
}

func autoFragmentation() (cases []rfcCase) {
	text := pingSized(schema.MaxMessage)
	sees := []string{echo(`"` + strings.Repeat("x", schema.MaxMessage-len(pingOf(`""`))) + `"`), "alive"}
	for _, size := range []int{1024, 1300, 4096, 32768, 65535} {
		n := (len(text) + size - 1) / size
		cases = append(cases, rfcCase{fmt.Sprint("10.1 64 KiB in fragments of ", size), one(fragments(text, n)), sees},
			rfcCase{fmt.Sprint("10.1 64 KiB in fragments of ", size, ", chopped"), chop(fragments(text, n), 1300), sees})
	}
	return cases
}
