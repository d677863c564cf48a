package conform

import (
	"fmt"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgetether/tether/schema"
)

var frameScenarios = []scenario[*probe]{
	{"frames", "Frames that are broken", []rule{
		{"binary", "southbound 5", "1003: a binary frame"},
		{"utf8", "southbound 5", "1007: text that is no UTF-8"},
		{"reserved", "southbound 5", "1002: a reserved bit"},
		{"unmasked", "southbound 5", "1002: a client's frame without a mask"},
		{"continuation", "southbound 5", "1002: a continuation of nothing"},
	}, serverFrames},
	{"fragments", "Fragments, and a ping of the transport between them", []rule{
		{"whole", "southbound 1", "Fragments of a text message are put together"},
		{"pong", "southbound 1", "RFC 6455: a ping is answered by a pong with the same payload"},
		{"many", "southbound 5", "1008: over 64 fragments"},
	}, serverFragments},
	{"size", "A message of 64 KiB, and one that is larger", []rule{
		{"taken", "southbound 1", "64 KiB a message"},
		{"over", "southbound 1", "larger is closed with 1009"},
	}, serverSize},
	{"flood", "More messages than a device may send", []rule{
		{"closed", "southbound 1", "20 messages a second, 100 at once; beyond it is a flood, 1008"},
	}, serverFlood},
}

// maskedFrame makes a short frame of a client; its mask is zero.
func maskedFrame(first byte, payload string) []byte {
	head := []byte{first, 0x80 | byte(len(payload))}
	if len(payload) > 125 {
		head = []byte{first, 0x80 | 126, byte(len(payload) >> 8), byte(len(payload))}
	}
	return append(append(head, 0, 0, 0, 0), payload...)
}

func serverFrames(p *probe) error {
	const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	for _, c := range []struct {
		key   string
		frame []byte
		code  schema.CloseCode
	}{
		{"binary", maskedFrame(fin|binaryOp, ping), schema.CloseBinary},
		{"utf8", maskedFrame(fin|textOp, "{\"\xff\":1}"), schema.CloseUTF8},
		{"reserved", maskedFrame(fin|reserved|textOp, ping), schema.CloseProtocol},
		{"unmasked", rawFrame(fin|textOp, ping), schema.CloseProtocol},
		{"continuation", maskedFrame(fin, ping), schema.CloseProtocol},
	} {
		l, _, err := p.login()
		if err != nil {
			return err
		}
		err = l.raw(c.frame)
		if err == nil {
			err = p.closes(c.key, l, c.code)
		}
		l.drop()
		if err != nil {
			return err
		}
	}
	return nil
}

func serverFragments(p *probe) error {
	l, _, err := p.login()
	if err != nil {
		return err
	}
	defer l.drop()
	text := `{"jsonrpc":"2.0","id":"grün","method":"ping"}`
	for _, frame := range [][]byte{
		maskedFrame(textOp, text[:26]), maskedFrame(fin|pingOp, "conform"), maskedFrame(0, ""), maskedFrame(fin, text[26:]),
	} {
		if err := l.raw(frame); err != nil {
			return err
		}
	}
	m, err := l.response()
	p.check("whole", err == nil && sameID(m.id, `"grün"`) && string(m.result) == `"pong"`, `"pong"`, "%s", why(err, m.String()))
	select {
	case pong := <-l.pongs:
		p.check("pong", pong == "conform", "conform", "%q", excerpt([]byte(pong)))
	case <-time.After(time.Second):
		p.check("pong", false, "a pong", "none")
	}
	many := maskedFrame(textOp, "{")
	for range schema.MaxFragments {
		many = append(many, maskedFrame(0, " ")...)
	}
	if err := l.raw(many); err != nil {
		return err
	}
	return p.closes("many", l, schema.ClosePolicy)
}

func serverSize(p *probe) error {
	l, _, err := p.login()
	if err != nil {
		return err
	}
	defer l.drop()
	const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	m, err := l.ask(padded(ping, schema.MaxMessage))
	p.check("taken", err == nil && string(m.result) == `"pong"`, `"pong"`, "%s", why(err, m.String()))
	// The write may fail: the server need not read it all.
	_ = l.send(padded(ping, schema.MaxMessage+1))
	return p.closes("over", l, schema.CloseTooBig)
}

// floodOf is more than may come at once.
const floodOf = 4 * schema.MessageBurst

func serverFlood(p *probe) error {
	l, _, err := p.login()
	if err != nil {
		return err
	}
	defer l.drop()
	for range floodOf {
		if l.write(websocket.TextMessage, `{"jsonrpc":"2.0","method":"ping"}`) != nil {
			break // closed already
		}
	}
	end, err := l.closed(time.Second)
	if err != nil {
		return &unexercised{fmt.Sprintf("%d messages at once were taken: the rate is a setting", floodOf)}
	}
	p.check("closed", end.code == schema.ClosePolicy, "closed with 1008", "%s", end.said())
	return nil
}
