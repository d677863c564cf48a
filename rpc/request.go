package rpc

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/edgetether/tether/schema"
)

// Request is a request or notification of the other side. It can be answered
// after Handler.Request has returned.
type Request struct {
	Method string
	Params []byte // raw JSON, an object or array; nil if absent, and when Handler.Request has returned

	peer  *Peer
	id    []byte // as it was written; nil for a notification
	short [20]byte
	batch *batch // nil if it came alone
	slot  int    // its place in the batch
}

// methods spares the common names an allocation.
var methods = func() map[string]string {
	m := map[string]string{}
	for _, name := range []string{
		schema.MethodLogin, schema.MethodPing, schema.MethodUploadStatus, schema.MethodUploadResult,
		schema.MethodDiscover, schema.MethodGiveOrder, schema.MethodRestartConfirm, schema.MethodDeviceUpdate,
	} {
		m[`"`+name+`"`] = name
	}
	return m
}()

// newRequest copies what it keeps of m, all but the params.
func newRequest(p *Peer, m *message, b *batch, slot int) *Request {
	r := p.spare.Swap(nil)
	if r == nil {
		r = new(Request)
	}
	*r = Request{Params: m.params, peer: p, batch: b, slot: slot}
	if name, ok := methods[string(m.method)]; ok {
		r.Method = name
	} else {
		name, _ := jsontext.AppendUnquote(nil, m.method) // the guard has decoded it
		r.Method = string(name)
	}
	if m.id != nil {
		r.id = append(r.short[:0], m.id...)
	}
	return r
}

// IsNotification says that no answer is wanted; Reply and Fail do nothing.
func (r *Request) IsNotification() bool { return r.id == nil }

// InBatch says that the request came in a batch.
func (r *Request) InBatch() bool { return r.batch != nil }

// Reply answers with a result. The first of Reply and Fail counts; both are
// safe from any goroutine and never block.
func (r *Request) Reply(result any) {
	if r.id == nil {
		return
	}
	b := buffers.Get().(*buffer)
	defer buffers.Put(b)
	answer, err := appendResult(b.bytes[:0], r.id, result)
	b.bytes = answer
	if err != nil {
		answer = encodeError(r.id, err)
	}
	r.answer(answer)
}

// ReplyLast is Reply of somebody who alone has the request, and nobody looks at it
// afterwards: the peer's next one takes its place in memory.
func (r *Request) ReplyLast(result any) {
	r.Reply(result)
	if r.peer != nil {
		r.peer.spare.Store(r)
	}
}

// Fail answers with an error: a schema.Error as errors.go maps it, any other
// as an internal error of which nothing is told.
func (r *Request) Fail(err error) {
	if r.id != nil {
		r.answer(encodeError(r.id, err))
	}
}

// Decode decodes the params into v, as the function Decode does.
func (r *Request) Decode(v any) error { return decode(r.Params, v, "params") }

// answer keeps nothing of the answer.
func (r *Request) answer(answer []byte) {
	switch {
	case !r.peer.endRequest(r):
	case r.batch != nil:
		r.batch.answer(r.slot, bytes.Clone(answer))
	default:
		r.peer.send(answer) //nolint:errcheck // a peer that is gone needs no answer
	}
}

// beginRequest notes that r is in flight. It refuses an id that already is.
func (p *Peer) beginRequest(r *Request) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, other := range p.inFlight {
		if bytes.Equal(other.id, r.id) {
			return false
		}
	}
	p.inFlight = append(p.inFlight, r)
	return true
}

// endRequest notes that r is answered, and says whether it was in flight.
func (p *Peer) endRequest(r *Request) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.inFlight, r)
	if i < 0 {
		return false
	}
	last := len(p.inFlight) - 1
	p.inFlight[i], p.inFlight[last] = p.inFlight[last], nil
	p.inFlight = p.inFlight[:last]
	return true
}

// dispatch judges a message and hands it on. It says whether anything in the
// message was valid.
func (p *Peer) dispatch(raw []byte, h Handler) bool {
	m := judge(raw)
	switch m.kind {
	case request, notification:
		if p.accept(&m, nil, 0, h) {
			return true
		}
	case response:
		return p.respond(m, h)
	case batchOf:
		return p.dispatchBatch(raw, h)
	}
	p.refuse(m)
	return false
}

// accept hands a request to the handler, or makes m say why not.
func (p *Peer) accept(m *message, b *batch, slot int, h Handler) bool {
	r := newRequest(p, m, b, slot)
	if !r.IsNotification() && !p.beginRequest(r) {
		m.refuse("this id is in flight")
		return false
	}
	h.Request(r)
	r.Params = nil // the next message takes their place
	return true
}

// refuse counts a message of which nothing was valid, and answers it if it
// wants an answer.
func (p *Peer) refuse(m message) {
	switch m.kind {
	case stray:
		p.unasked.Add(1)
		p.totals.Unasked.Add(1)
		return
	case invalid:
		p.send(m.answer()) //nolint:errcheck // a peer that is gone needs no answer
	}
	p.malformed.Add(1)
	p.totals.Malformed.Add(1)
}
