package conform

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgetether/tether/schema"
)

var hostileScenarios = []scenario[*bench]{
	{"unknown-method", "A method that a device does not have", []rule{
		{"request", "southbound 6", "-32601 method not found"},
		{"notification", "southbound 1", "Notifications are never answered, whatever they hold"},
		{"string-id", "southbound 1", `An id is answered with the same id, same type: "7" is not 7`},
		{"large-id", "southbound 1", "and a large one with all its digits"},
	}, unknownMethod},
	{"unasked", "A response to nothing", []rule{
		{"ignored", "southbound 1", "It settles nothing, and the connection is kept"},
	}, unasked},
	{"malformed", "Messages that are no JSON, or no request", []rule{
		{"answers", "southbound 1", "If it is answered, by -32700 or -32600, with id null where the id cannot be trusted"},
		{"read-on", "southbound 1", "The connection is read on"},
	}, malformed},
	{"batch", "A batch", []rule{
		{"answer", "southbound 1", "A batch of requests is answered as the specification says, in one array, or refused by -32600"},
		{"read-on", "southbound 1", "The connection is read on"},
	}, batch},
	{"large", "A message of 64 KiB, and one that is larger", []rule{
		{"taken", "southbound 1", "A message of 64 KiB is taken"},
		{"over", "southbound 1", "A larger one is closed with 1009, or taken; the device is back after it"},
	}, large},
	{"fragments", "Fragments, and a ping of the transport between them", []rule{
		{"whole", "southbound 1", "RFC 6455: fragments of a text message are put together"},
		{"pong", "southbound 1", "RFC 6455: a ping is answered by a pong with the same payload"},
	}, fragments},
	{"frames", "Frames that are broken", []rule{
		{"utf8", "southbound 5", "1007: text that is no UTF-8 ends the connection"},
		{"binary", "southbound 5", "1003: a binary frame ends the connection, or is ignored"},
		{"reserved", "southbound 5", "1002: a reserved bit ends the connection"},
		{"returns", "southbound 4", "The device logs in again each time"},
	}, frames},
}

func unknownMethod(b *bench) error {
	s, err := b.session(welcome{})
	if err != nil {
		return err
	}
	for _, c := range []struct{ key, id string }{
		{"request", "1001"}, {"string-id", `"1002"`}, {"large-id", "9007199254740991"},
	} {
		if err := s.callAs(c.id, "conform_unheard", map[string]any{}); err != nil {
			return err
		}
		m, err := s.await(c.id, b.patience())
		if err != nil {
			b.check(c.key, false, "-32601 with id "+c.id, "%v", err)
			continue
		}
		b.check(c.key, m.err != nil && m.err.Code == -32601, "-32601", "%s", m)
	}
	before := s.responses()
	if err := s.notify("conform_unheard", map[string]any{"why": "not"}); err != nil {
		return err
	}
	err = s.stay(b.lag() + b.o.beat(schema.PingInterval))
	b.check("notification", err == nil && s.responses() == before, "no answer", "%v, %d answers", err, s.responses()-before)
	return nil
}

func (s *session) responses() (n int) {
	for _, m := range s.seen {
		if m.kind == response {
			n++
		}
	}
	return n
}

// survives checks that an order is carried out on the same connection.
func (b *bench) survives(s *session, key string) error {
	o, err := b.echo(s, b.newOrderID())
	if b.ctx.Err() != nil {
		return b.ctx.Err()
	}
	b.check(key, err == nil && o.is(schema.ResultSuccess), "the connection is kept, the next order succeeds", "%s", why(err, o.String()))
	return nil
}

func why(err error, text string) string {
	if err != nil {
		return err.Error()
	}
	return text
}

func unasked(b *bench) error {
	s, err := b.session(welcome{})
	if err != nil {
		return err
	}
	for _, text := range []string{
		`{"jsonrpc":"2.0","id":999999,"result":"pong"}`, `{"jsonrpc":"2.0","id":"999999","result":{}}`,
		`{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"invalid request"}}`,
	} {
		if err := s.send(text); err != nil {
			return err
		}
	}
	return b.survives(s, "ignored")
}

func malformed(b *bench) error {
	s, err := b.session(welcome{})
	if err != nil {
		return err
	}
	s.spoiled = true
	for _, id := range []string{"5001", "5002", "5003"} {
		s.asked[id] = true
	}
	for _, text := range []string{
		`{`, ``, `nonsense`, `7`, `null`, `"ping"`, `{}`, `{"jsonrpc":"1.0","id":5001,"method":"give_order"}`,
		`{"jsonrpc":"2.0","id":{},"method":"give_order"}`, `{"jsonrpc":"2.0","id":5002,"id":5003,"method":"give_order","method":"restart"}`,
		strings.Repeat("[", 5000),
	} {
		if s.send(text) != nil {
			break // what follows tells
		}
	}
	if err := b.survives(s, "read-on"); err != nil {
		return err
	}
	b.check("answers", true, "", "")
	for _, m := range s.seen {
		if m.kind == response && (m.id == "null" || strings.HasPrefix(m.id, "500")) {
			b.check("answers", m.err != nil && (m.err.Code == -32700 || m.err.Code == -32600), "-32700 or -32600", "%s", m)
		}
	}
	return nil
}

func batch(b *bench) error {
	s, err := b.session(welcome{})
	if err != nil {
		return err
	}
	s.spoiled = true
	s.asked["2001"], s.asked["2002"] = true, true
	err = s.send(`[{"jsonrpc":"2.0","id":2001,"method":"conform_unheard"},{"jsonrpc":"2.0","method":"conform_unheard"},` +
		`{"jsonrpc":"2.0","id":2002,"method":"conform_unheard"}]`)
	if err != nil {
		return err
	}
	both := func() bool { return s.answers["2001"].err != nil && s.answers["2002"].err != nil }
	refused := func() bool {
		for _, m := range s.seen {
			if m.kind == response && m.id == "null" && m.err != nil && m.err.Code == -32600 {
				return true
			}
		}
		return false
	}
	err = s.pump(b.patience(), func(message) bool { return both() || refused() })
	b.check("answer", err == nil, "both answered by -32601, or -32600", "%v", err)
	return b.survives(s, "read-on")
}

func large(b *bench) error {
	s, err := b.session(welcome{})
	if err != nil {
		return err
	}
	if err := s.sendPadded("3001", schema.MaxMessage); err != nil {
		return err
	}
	m, err := s.await("3001", b.patience())
	b.check("taken", err == nil && m.err != nil && m.err.Code == -32601, "-32601", "%s", why(err, m.String()))
	if s, err = b.session(welcome{}); err != nil {
		return err
	}
	// Its write may fail: the client need not take it all.
	_ = s.sendPadded("3002", schema.MaxMessage+schema.MaxMessage/2)
	m, err = s.await("3002", b.patience())
	var end *ending
	switch {
	case errors.As(err, &end):
		ok := end.code == schema.CloseTooBig || end.code == 0
		b.check("over", ok, "1009", "%v", end)
		return b.comesAgain("over")
	case err != nil:
		b.check("over", false, "1009, or -32601", "%v", err)
	default:
		b.check("over", m.err != nil && m.err.Code == -32601, "1009, or -32601", "%s", m)
	}
	return nil
}

// sendPadded sends a request for an unknown method that has so many bytes.
func (s *session) sendPadded(id string, size int) error {
	s.asked[id] = true
	text := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"conform_unheard","params":{"pad":""}}`, id)
	return s.send(strings.Replace(text, `"pad":""`, `"pad":"`+strings.Repeat("x", size-len(text))+`"`, 1))
}

// comesAgain waits for the client after a connection that it gave up, however
// long it takes, and lets it in.
func (b *bench) comesAgain(key string) error {
	b.current = nil
	s, e, err := b.knock(b.longest())
	if err != nil {
		b.check(key, false, "the device logs in again", "%v", err)
		return err
	}
	b.admit(s, e, welcome{})
	return nil
}

// Bits and opcodes of RFC 6455 section 5.2.
const (
	fin      = 0x80
	reserved = 0x40
	textOp   = 0x1
	binaryOp = 0x2
	pingOp   = 0x9
)

// rawFrame makes a frame of a server, which is not masked. It is short enough.
func rawFrame(first byte, payload string) []byte {
	if len(payload) < 126 {
		return append([]byte{first, byte(len(payload))}, payload...)
	}
	return append([]byte{first, 126, byte(len(payload) >> 8), byte(len(payload))}, payload...)
}

func fragments(b *bench) error {
	s, err := b.session(welcome{})
	if err != nil {
		return err
	}
	s.asked["4001"] = true
	text, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 4001, "method": schema.MethodGiveOrder, "params": map[string]any{
		"order_id": b.newOrderID(), "order_type": b.o.EchoOrder, "is_inner": false, "device_id": b.o.Device.ID, "params": echoParams(),
		"deadline_time": time.Now().Add(b.o.scaled(schema.OrderTimeout)).UnixMilli(),
	}})
	if err != nil {
		return err
	}
	cut := strings.Index(string(text), "grün") + len("gr") + 1 // in the middle of a character
	for _, frame := range [][]byte{
		rawFrame(textOp, string(text[:cut])), rawFrame(fin|pingOp, "conform-4001"),
		rawFrame(0, string(text[cut:cut+4])), rawFrame(fin, string(text[cut+4:])),
	} {
		if err := s.sendRaw(frame); err != nil {
			return err
		}
	}
	m, err := s.await("4001", b.patience())
	o := outcomeOf(m)
	b.check("whole", err == nil && o.is(schema.ResultSuccess) && contains(o.Data, echoText), "success", "%s", why(err, o.String()))
	select {
	case pong := <-s.pongs:
		b.check("pong", pong == "conform-4001", "conform-4001", "%q", excerpt([]byte(pong)))
	case <-time.After(b.lag() + edge):
		b.check("pong", false, "a pong", "none")
	}
	return nil
}

func frames(b *bench) error {
	for _, c := range []struct {
		key    string
		frame  []byte
		code   schema.CloseCode
		orKept bool
	}{
		{"utf8", rawFrame(fin|textOp, "{\"jsonrpc\":\"2.0\",\"method\":\"x\xff\"}"), schema.CloseUTF8, false},
		{"binary", rawFrame(fin|binaryOp, `{"jsonrpc":"2.0","method":"conform_unheard"}`), schema.CloseBinary, true},
		{"reserved", rawFrame(fin|reserved|textOp, `{"jsonrpc":"2.0","method":"conform_unheard"}`), websocket.CloseProtocolError, false},
	} {
		s, err := b.session(welcome{})
		if err != nil {
			return err
		}
		if err := s.sendRaw(c.frame); err != nil {
			return err
		}
		end, err := s.leaves(b.lag() + b.o.beat(schema.PingInterval) + time.Second)
		switch {
		case b.ctx.Err() != nil:
			return b.ctx.Err()
		case err != nil:
			b.check(c.key, c.orKept, fmt.Sprintf("closed with %d", c.code), "the connection is kept")
			continue
		}
		b.check(c.key, end.code == c.code || end.code == 0, fmt.Sprintf("closed with %d", c.code), "%v", end)
		if err := b.comesAgain("returns"); err != nil {
			return err
		}
	}
	b.check("returns", true, "", "")
	return nil
}
