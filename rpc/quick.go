package rpc

import "github.com/edgetether/tether/schema"

// What devices send, nearly all of the time, is a small object in ASCII without
// escapes. quick tells that it is well-formed and has no name twice several
// times faster than the decoder, which is written for any JSON. It refuses
// whatever is unusual, right or wrong; the decoder then has the word.

const (
	quickDepth   = 4  // at most schema.MaxDepth
	quickMembers = 16 // of one object: names are compared with each other
)

// quick is a place in a text.
type quick struct {
	raw []byte
	i   int
}

// EachMember gives take the name, without its quotes, and the value of each
// member of the object that raw must be, as parts of raw. It is false if raw is
// wrong or unusual, or as soon as take is: then Decode has the word.
func EachMember(raw []byte, take func(name, value []byte) bool) bool {
	q := quick{raw: raw}
	return q.next() == '{' && q.object(1, take) && q.next() == 0 && q.i == len(raw)
}

// quickly reads a message.
func quickly(raw []byte, e *envelope) bool {
	return EachMember(raw, func(name, value []byte) bool {
		if m := e.member(name); m != nil {
			*m = value
		}
		return true
	})
}

// next goes to what follows white space, and returns it; 0 is the end.
func (q *quick) next() byte {
	for i := q.i; i < len(q.raw); i++ {
		switch c := q.raw[i]; c {
		case ' ', '\t', '\n', '\r':
		default:
			q.i = i
			return c
		}
	}
	q.i = len(q.raw)
	return 0
}

func (q *quick) value(depth int) bool {
	switch c := q.next(); {
	case c == '"':
		return q.text() != nil
	case c == '-' || '0' <= c && c <= '9':
		return q.number()
	case c == '{':
		return depth < quickDepth && q.object(depth+1, nil)
	case c == '[':
		return depth < quickDepth && q.array(depth+1)
	case c == 't':
		return q.word("true")
	case c == 'f':
		return q.word("false")
	case c == 'n':
		return q.word("null")
	}
	return false
}

// object reads an object; take is told of its members, unless it is nil.
func (q *quick) object(depth int, take func(name, value []byte) bool) bool {
	var names [quickMembers]span // small: the reader's stack is every device's
	q.i++
	if q.next() == '}' {
		q.i++
		return true
	}
	for n := range names {
		if q.next() != '"' {
			return false
		}
		name := q.text()
		names[n] = span{int32(q.i - 1 - len(name)), int32(q.i - 1)}
		if name == nil || q.has(names[:n], name) || q.next() != ':' {
			return false
		}
		q.i++
		q.next()
		start := q.i
		if !q.value(depth) || take != nil && !take(name, q.raw[start:q.i]) {
			return false
		}
		switch q.next() {
		case ',':
			q.i++
		case '}':
			q.i++
			return true
		default:
			return false
		}
	}
	return false
}

// span is a part of the text, from and to.
type span [2]int32

func (q *quick) has(names []span, name []byte) bool {
	for _, n := range names {
		if string(q.raw[n[0]:n[1]]) == string(name) {
			return true
		}
	}
	return false
}

func (q *quick) array(depth int) bool {
	q.i++
	if q.next() == ']' {
		q.i++
		return true
	}
	for q.value(depth) {
		switch q.next() {
		case ',':
			q.i++
		case ']':
			q.i++
			return true
		default:
			return false
		}
	}
	return false
}

// text reads a string and returns what is between its quotes; nil: it is unusual.
func (q *quick) text() []byte {
	start := q.i + 1
	for i := start; i < len(q.raw); i++ {
		switch c := q.raw[i]; {
		case unescaped[c]:
		case c == '"':
			q.i = i + 1
			return q.raw[start:i]
		default:
			return nil
		}
	}
	return nil
}

// unescaped are the characters of a string that stand for themselves.
var unescaped = func() (p [256]bool) {
	for c := ' '; c < 0x7F; c++ {
		p[c] = c != '"' && c != '\\'
	}
	return p
}()

// number reads a number. What may not follow one is found by who looks at what does.
func (q *quick) number() bool {
	start := q.i
	q.skip("-")
	if !q.skip("0") && !q.digits() {
		return false
	}
	if q.skip(".") && !q.digits() {
		return false
	}
	if q.skip("eE") {
		q.skip("+-")
		if !q.digits() {
			return false
		}
	}
	return q.i-start <= schema.MaxNumber
}

// skip goes over one of the characters, if it is there.
func (q *quick) skip(one string) bool {
	for k := range len(one) {
		if q.i < len(q.raw) && q.raw[q.i] == one[k] {
			q.i++
			return true
		}
	}
	return false
}

func (q *quick) digits() bool {
	start := q.i
	for q.i < len(q.raw) && '0' <= q.raw[q.i] && q.raw[q.i] <= '9' {
		q.i++
	}
	return q.i > start
}

func (q *quick) word(w string) bool {
	if len(q.raw)-q.i < len(w) || string(q.raw[q.i:q.i+len(w)]) != w {
		return false
	}
	q.i += len(w)
	return true
}
