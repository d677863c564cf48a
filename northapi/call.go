package northapi

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/edgetether/tether/schema"
)

// call is a request that is being carried out, and where its answer is written.
type call struct {
	*api
	http.ResponseWriter
	began    time.Time
	status   int           // as it was answered
	streamed bool          // over HTTP/2
	patience time.Duration // for each piece of the answer
	observed string        // its name for Observe; empty: it is not observed

	at      *mounted
	address string          // of who asks
	who     caller          // its key is empty if nobody was let in
	leave   func()          // the place among its key's requests; nil: it has none
	giving  schema.Giving   // what its answer waits for; nil: it waits for nothing
	caller  context.Context // ends when the caller leaves
	wake    schema.Waker
	rep     reply
	err     error
}

// ServeHTTP leaves it to the router where a request goes. An answer that is long
// in coming is waited for out here, for one token: thousands of callers wait at
// once (reliability T27), and what each of them holds meanwhile is the stack of
// its connection's goroutine, which must not have been deep before either.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{api: a, ResponseWriter: w, began: time.Now(), status: http.StatusOK, streamed: r.ProtoMajor == 2, patience: schema.WriteTimeout, caller: r.Context()}
	defer c.observe()
	if r.URL.Path == waitingPath {
		aside(func() { a.router.ServeHTTP(c, r.WithContext(context.WithoutCancel(c.caller))) })
	} else {
		a.router.ServeHTTP(c, r)
	}
	if c.giving == nil {
		return
	}
	defer context.AfterFunc(c.caller, c.wake.Wake)()
	for c.giving != nil {
		<-c.wake
		aside(c.look)
	}
}

// aside runs f on a goroutine of its own, whose stack is given back with it.
// A panic of f is the caller's: net/http ends a connection by one.
func aside(f func()) {
	done := make(chan any)
	go func() {
		defer func() { done <- recover() }()
		f()
	}()
	if v := <-done; v != nil {
		panic(v)
	}
}

// WriteHeader notes the status on its way.
func (c *call) WriteHeader(status int) {
	c.status = status
	c.limitWrite()
	c.ResponseWriter.WriteHeader(status)
}

// writePiece is how much of an answer is written at a time.
const writePiece = 64 << 10

// Write writes a part of the answer. Each piece has its time: whoever does not
// read it holds it no longer than that (T17), and who reads slowly gets all.
func (c *call) Write(p []byte) (n int, err error) {
	for piece := range slices.Chunk(p, writePiece) {
		c.limitWrite()
		m, err := c.ResponseWriter.Write(piece)
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// limitWrite is the time of one piece. net/http lifts it before the next request.
func (c *call) limitWrite() {
	_ = http.NewResponseController(c.ResponseWriter).SetWriteDeadline(time.Now().Add(c.patience)) // or the caller is gone
}

// Unwrap lets http.ResponseController find what is underneath.
func (c *call) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *call) observe() {
	if c.observed != "" {
		c.Observe(c.observed, c.status, time.Since(c.began))
	}
}

// carryOut begins the request, and ends it unless it waits for something.
func (c *call) carryOut(at *mounted, r *http.Request) {
	c.at, c.observed, c.address = at, at.observed, r.RemoteAddr
	c.begin(r)
	if c.giving == nil {
		c.answer(r)
		return
	}
	c.wake = schema.NewWaker()
	c.look()
}

// begin has the request carried out. A panic becomes an error, which is
// logged with its stack and answered like any other of the inside.
func (c *call) begin(r *http.Request) {
	defer caught(&c.err)
	if c.at.endpoint.stream {
		r.Body, c.patience = limitStall(c.ResponseWriter, r), importStall
	} else {
		r.Body = limitBody(c.ResponseWriter, r) // which closes the connection of who sends too much
	}
	if c.err = c.admit(r); c.err != nil {
		return
	}
	c.rep, c.err = c.at.endpoint.handle(c.who, r)
	if c.rep.who != nil {
		c.who = *c.rep.who
	}
	if g, ok := c.rep.data.(schema.Giving); ok && c.err == nil {
		c.giving = g
	}
}

// admit lets in who may ask for it.
func (c *call) admit(r *http.Request) error {
	if !c.at.access.keyed() {
		return nil
	}
	who, err := c.authenticate(r)
	if err != nil {
		return err
	}
	if c.leave, err = c.limits.enter(who.key, c.Now()); err != nil {
		return err
	}
	c.who = who
	c.used(who)
	if byCookie := who.session != ""; byCookie || c.AuthOff {
		if err = c.sameOrigin(r, byCookie); err != nil {
			return err
		}
	}
	return c.at.access.admits(who)
}

// look answers once that is over which is waited for.
func (c *call) look() {
	if c.over() {
		c.giving = nil
		c.answer(nil)
	}
}

func (c *call) over() (over bool) {
	defer caught(&c.err)
	over = true // also if it panics
	if !c.giving.Look(c.caller, c.wake) {
		return false
	}
	var record *schema.Order
	c.rep.data = nil
	if record, c.err = c.giving.Result(); c.err == nil {
		c.rep.data, c.rep.status = outcome(*record), outcome(*record).status()
	}
	return true
}

// answer ends the request.
func (c *call) answer(r *http.Request) {
	if c.leave != nil {
		if c.err == nil && c.at.endpoint.apart {
			c.leave()
		} else {
			defer c.leave() // an answer that is not taken counts as well
		}
	}
	if c.err != nil {
		failed := c.shown(c.at.name, c.err)
		c.audit(failed)
		c.refuse(c, c.at.name, failed)
		return
	}
	c.audit(nil)
	if own, ok := c.rep.data.(served); ok {
		own.serve(c, r)
		return
	}
	c.succeed(c.rep)
}
