package rpc

import (
	"bytes"
	"io"
	"slices"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/edgetether/tether/schema"
)

// batch collects the answers to the members of one batch. They go out as one
// array, in the order of the members, when the last is there.
type batch struct {
	peer *Peer

	mu      sync.Mutex
	open    int      // members that still owe an answer
	answers [][]byte // by member; nil for notifications
}

// answer is called once for each member.
func (b *batch) answer(slot int, answer []byte) {
	b.mu.Lock()
	b.answers[slot] = answer
	b.open--
	last := b.open == 0
	b.mu.Unlock()
	if !last {
		return
	}
	all := slices.DeleteFunc(b.answers, func(a []byte) bool { return a == nil })
	if len(all) > 0 {
		message := slices.Concat([]byte("["), bytes.Join(all, []byte(",")), []byte("]"))
		b.peer.send(message) //nolint:errcheck // a peer that is gone needs no answer
	}
}

// dispatchBatch judges the members of a batch one by one.
func (p *Peer) dispatchBatch(raw []byte, h Handler) bool {
	members, n, ok := split(raw)
	switch {
	case !ok:
		p.refuse(salvage(raw, "not well-formed"))
		return false
	case n == 0:
		p.refuse(refused("the batch is empty"))
		return false
	case n > schema.MaxBatch:
		p.refuse(refused("the batch is too large"))
		return false
	}
	b := &batch{peer: p, open: n, answers: make([][]byte, n)}
	valid := false
	for slot, member := range members {
		valid = p.dispatchMember(b, slot, member, h) || valid
	}
	if !valid {
		p.malformed.Add(1)
		p.totals.Malformed.Add(1)
	}
	return valid
}

// dispatchMember does for a member what dispatch does for a message.
func (p *Peer) dispatchMember(b *batch, slot int, raw []byte, h Handler) bool {
	m := judge(raw)
	switch m.kind {
	case request:
		p.acceptMember(&m, b, slot, h)
	case notification:
		p.accept(&m, b, slot, h)
		b.answer(slot, nil)
	case ignored:
		b.answer(slot, nil)
	case response, stray:
		m = refused("a response is never in a batch")
	case batchOf:
		m = refused("a batch is never in a batch")
	}
	if m.kind == invalid {
		b.answer(slot, m.answer())
	}
	return m.kind == request || m.kind == notification
}

func (p *Peer) acceptMember(m *message, b *batch, slot int, h Handler) {
	name, _ := jsontext.AppendUnquote(nil, m.method) // the guard has decoded it
	if slices.Contains(p.notInBatch, string(name)) {
		m.refuse("this method is never in a batch")
		return
	}
	p.accept(m, b, slot, h)
}

// split finds the members of an array: the first MaxBatch of them, and how
// many there are. It is false if raw is no JSON.
func split(raw []byte) (members [][]byte, n int, ok bool) {
	g := guards.Get().(*guard)
	defer guards.Put(g)
	g.reset(raw, jsontext.AllowDuplicateNames(true)) // judged with the member
	if _, err := g.dec.ReadToken(); err != nil {
		return nil, 0, false
	}
	for ; g.dec.PeekKind() != ']'; n++ {
		member, err := g.value(raw)
		if err != nil {
			return nil, 0, false
		}
		if n < schema.MaxBatch {
			members = append(members, member)
		}
	}
	if _, err := g.dec.ReadToken(); err != nil {
		return nil, 0, false
	}
	_, err := g.dec.ReadToken()
	return members, n, err == io.EOF
}
