package rpc

import (
	"context"
	stdjson "encoding/json"
	"io"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	json "github.com/go-json-experiment/json"
	"github.com/sourcegraph/jsonrpc2"

	"github.com/edgetether/tether/schema"
)

// Response is the answer to a call.
type Response struct {
	Result  []byte        // raw JSON; nil if Err is set
	Err     *schema.Error // the other side's error, mapped back
	RPCCode int           // its JSON-RPC code
}

// lastCall counts the calls of the process: an id is never used again, so that
// no response can be taken for another call's.
var lastCall atomic.Uint64

// maxForgotten is how many calls a connection remembers after they were given
// up. The response to an older one is unasked.
const maxForgotten = 64

// callTable is the calls of one connection that wait for their response.
type callTable struct {
	mu        sync.Mutex
	stopped   bool
	lib       *library                  // made at the first call
	waiting   map[uint64]func(Response) // by id
	forgotten []uint64                  // given up, oldest first
}

// Call sends a request and returns its id; it never blocks. done is called at
// most once, on the goroutine of Serve, in the order of receipt with requests.
// It is not called after Forget, nor if the connection ends first.
func (p *Peer) Call(method string, params any, done func(Response)) (id uint64, err error) {
	raw, err := encodeParams(params, p.maxSent)
	if err != nil {
		return 0, err
	}
	id = lastCall.Add(1)
	lib := p.calls.begin(id, done, p.send)
	if lib == nil {
		return 0, ErrClosed
	}
	if err := lib.call(id, method, raw); err != nil {
		p.calls.end(id)
		return 0, ErrClosed
	}
	return id, nil
}

// Forget gives a call up. A response that still comes goes to Handler.Late; a
// done that has begun on Serve's goroutine is not stopped.
func (p *Peer) Forget(id uint64) {
	if lib := p.calls.forget(id); lib != nil {
		lib.settle(givenUp(id))
	}
}

// Notify sends a notification; it never blocks.
func (p *Peer) Notify(method string, params any) error {
	raw, err := encodeParams(params, p.maxSent)
	if err != nil {
		return err
	}
	text, err := encodeRequest(0, method, raw)
	if err != nil {
		return err
	}
	return p.send(text)
}

// respond settles the call that m answers. It says whether anybody had asked.
func (p *Peer) respond(m message, h Handler) bool {
	done, lib := p.calls.end(m.call)
	if lib == nil {
		p.refuse(message{kind: stray})
		return false
	}
	resp, ok := lib.settle(m.canonical())
	switch {
	case !ok: // the connection is ending
	case done == nil:
		h.Late(m.call, resp)
	default:
		done(resp)
	}
	return true
}

// begin notes a call; nil means that the connection has ended.
func (t *callTable) begin(id uint64, done func(Response), send func([]byte) error) *library {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return nil
	}
	if t.lib == nil {
		t.lib = newLibrary(send)
		t.waiting = make(map[uint64]func(Response))
	}
	t.waiting[id] = done
	return t.lib
}

// end takes a call out. No done: it was given up. No library: there is no such
// call, or it has had its response.
func (t *callTable) end(id uint64) (done func(Response), lib *library) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if done, ok := t.waiting[id]; ok {
		delete(t.waiting, id)
		return done, t.lib
	}
	if i := slices.Index(t.forgotten, id); i >= 0 {
		t.forgotten = slices.Delete(t.forgotten, i, i+1)
		return nil, t.lib
	}
	return nil, nil
}

// forget remembers a call only as given up; nil means that none waits.
func (t *callTable) forget(id uint64) *library {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.waiting[id]; !ok {
		return nil
	}
	delete(t.waiting, id)
	if len(t.forgotten) == maxForgotten {
		t.forgotten = slices.Delete(t.forgotten, 0, 1)
	}
	t.forgotten = append(t.forgotten, id)
	return t.lib
}

// stop ends the library's goroutines; no call is accepted any more.
func (t *callTable) stop() {
	t.mu.Lock()
	t.stopped = true
	lib := t.lib
	t.mu.Unlock()
	if lib != nil {
		lib.conn.Close() //nolint:errcheck // it says only that it was closed before
	}
}

// canonical writes a response anew, for the library: it would match names in
// any case, and take the last of two.
func (m message) canonical() []byte {
	if m.fault == nil {
		return libraryMessage(m.call, "result", m.result)
	}
	fault, _ := json.Marshal(m.fault, encoding) // it was decoded a moment ago
	return libraryMessage(m.call, "error", fault)
}

// givenUp is the response that frees the library's entry of a call.
func givenUp(id uint64) []byte {
	return libraryMessage(id, "error", []byte(`{"code":0,"message":"given up"}`))
}

func libraryMessage(id uint64, name string, value []byte) []byte {
	b := append([]byte(nil), `{"jsonrpc":"2.0","id":`...)
	b = strconv.AppendUint(b, id, 10)
	b = append(b, `,"`+name+`":`...)
	b = append(b, value...)
	return append(b, '}')
}

// library is the JSON-RPC library's connection. It is told the ids of our calls,
// and sees the responses to them, one at a time; nothing else.
type library struct {
	conn    *jsonrpc2.Conn
	send    func([]byte) error
	in      chan []byte
	settled chan *jsonrpc2.Response
	closed  chan struct{}
	one     sync.Mutex // for one response on its way through
}

func newLibrary(send func([]byte) error) *library {
	l := &library{
		send:    send,
		in:      make(chan []byte),
		settled: make(chan *jsonrpc2.Response),
		closed:  make(chan struct{}),
	}
	l.conn = jsonrpc2.NewConn(context.Background(), libraryStream{l}, noRequests{},
		jsonrpc2.OnRecv(l.received), jsonrpc2.SetLogger(silence{}))
	return l
}

// call has the library await the response to a request, and then sends it. The library
// itself would write each <, > and & in six bytes, beyond the limit that was kept.
func (l *library) call(id uint64, method string, params []byte) error {
	text, err := encodeRequest(id, method, params)
	if err != nil {
		return err
	}
	if _, err = l.conn.DispatchCall(context.Background(), method, nil, jsonrpc2.PickID(jsonrpc2.ID{Num: id})); err != nil {
		return err
	}
	return l.send(text)
}

// settle passes a response through the library, which frees its entry. It is
// false if the library was stopped meanwhile.
func (l *library) settle(raw []byte) (Response, bool) {
	l.one.Lock()
	defer l.one.Unlock()
	select {
	case l.in <- raw:
	case <-l.closed:
		return Response{}, false
	}
	select {
	case resp := <-l.settled:
		return fromLibrary(resp), true
	case <-l.closed:
		return Response{}, false
	}
}

// received is called by the library for what ReadObject gave it.
func (l *library) received(_ *jsonrpc2.Request, resp *jsonrpc2.Response) {
	select {
	case l.settled <- resp:
	case <-l.closed:
	}
}

func fromLibrary(r *jsonrpc2.Response) Response {
	if r.Error != nil {
		return Response{Err: fromWire(r.Error), RPCCode: int(r.Error.Code)}
	}
	return Response{Result: *r.Result}
}

// libraryStream is what the library takes for the network.
type libraryStream struct{ *library }

// ReadObject gives the library the next response that the guard has let through.
func (s libraryStream) ReadObject(v any) error {
	select {
	case raw := <-s.in:
		return stdjson.Unmarshal(raw, v)
	case <-s.closed:
		return io.EOF
	}
}

// WriteObject drops the library's request: call sends its own.
func (libraryStream) WriteObject(any) error { return nil }

// Close ends the stream; the socket is the peer's.
func (s libraryStream) Close() error {
	close(s.closed) // the library calls this once
	return nil
}

// noRequests is the library's handler; it never gets a request.
type noRequests struct{}

// Handle is never called: requests do not reach the library.
func (noRequests) Handle(context.Context, *jsonrpc2.Conn, *jsonrpc2.Request) {}

// silence is the library's logger: it would write a line for each response
// that nobody waits for.
type silence struct{}

// Printf drops the library's log.
func (silence) Printf(string, ...any) {}
