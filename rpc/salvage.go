package rpc

import (
	"bytes"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// salvage looks again at a message that was refused: it tells what is no JSON
// at all from what is no request, and finds the id to answer with. It reads
// token by token, so that depth costs no stack.
func salvage(raw []byte, why string) message {
	g := guards.Get().(*guard)
	defer guards.Put(g)
	g.reset(raw, jsontext.AllowDuplicateNames(true))
	var w wreck
	if !w.read(g, raw) {
		return message{kind: invalid, code: codeParse, why: "no JSON"}
	}
	if w.twice {
		return refused(why)
	}
	if w.isNotification() {
		return message{kind: ignored}
	}
	m := refused(why)
	if legalID(w.id) {
		m.id = w.id
	}
	return m
}

// wreck is what can be known of a refused message: the members of an outermost
// object, those that are objects or arrays only by their presence.
type wreck struct {
	envelope
	twice  bool    // a member occurs twice: none of them can be trusted
	member *[]byte // whose value comes next; nil: somebody else's
}

// present stands for a value that was not kept.
var present = []byte{}

// decoderDepth is where the decoder gives up. What is nested deeper is told
// from what is no JSON by its brackets alone.
const decoderDepth = 10000

// read reads all tokens and says whether they are one JSON value.
func (w *wreck) read(g *guard, raw []byte) bool {
	values := 0
	for {
		start := g.dec.InputOffset()
		token, err := g.dec.ReadToken()
		switch {
		case err == io.EOF:
			return values == 1
		case err != nil:
			return g.dec.StackDepth() >= decoderDepth && balanced(raw)
		case g.dec.StackDepth() == 0:
			values++
		case g.dec.StackDepth() == 1 && token.Kind() != '}' && token.Kind() != ']':
			w.note(g, bytes.TrimLeft(raw[start:g.dec.InputOffset()], ",: \t\r\n"))
		}
	}
}

// note keeps a token of the outermost object.
func (w *wreck) note(g *guard, token []byte) {
	outer, n := g.dec.StackIndex(1)
	switch {
	case outer != '{' || n == 0:
	case n%2 == 1:
		if w.member = w.envelope.member(plain(token)); w.member != nil {
			w.twice = w.twice || *w.member != nil
			*w.member = present
		}
	case w.member != nil:
		*w.member = token
	}
}

// balanced says whether every bracket outside of strings is closed, and the
// last byte closes the first.
func balanced(raw []byte) bool {
	var open []byte
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; c {
		case '"':
			i = endOfString(raw, i+1)
		case '{', '[':
			open = append(open, c)
		case '}', ']':
			if len(open) == 0 || open[len(open)-1] != c-2 { // in ASCII, two after its opening
				return false
			}
			open = open[:len(open)-1]
		}
	}
	return len(open) == 0
}
