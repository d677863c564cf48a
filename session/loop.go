package session

import (
	"context"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// Sizes of a session's channels. At 100,000 devices a slot is memory.
const (
	mailboxSize    = 8 // messages of the device, orders, updates
	completionSize = 4 // answers that are owed
	stopSize       = 2 // a drain and one reason to end at once
)

// Session is the actor of one connection: it owns a core, and its loop is the
// only goroutine that touches it.
type Session struct {
	hub    *Hub
	peer   *rpc.Peer
	source netip.Addr
	admit  func() bool // one message more; nil: no limit
	core   core
	cell   *cell // where the reader counts messages

	mailbox     chan event
	completions chan event
	stops       chan event
	done        chan struct{} // closed when the loop has ended

	// For readers in other goroutines.
	live     atomic.Pointer[schema.Live] // nil: not open
	lastSeen atomic.Int64

	// Of the loop alone.
	login  int64             // the epoch of the login that is under way
	rest   []effect          // of the present step, the one under way first
	failed []uint64          // calls that could not be sent, for the next step
	calls  map[uint64]uint64 // of calls in flight, the core's number: the peer's id
	lost   map[uint64]uint64 // of those given up, the peer's id: the core's number
	armed  time.Time         // when the timer fires; zero: it is stopped
	gauge  gauge
	behind chan struct{} // of the message that the reader waits for

	unanswered []*ticket // a panic came over them
}

// late is a response to a call that was given up; the loop makes it a replied.
type late struct {
	id   uint64
	resp rpc.Response
}

func (late) isEvent() {}

// awaited is a message that the reader waits for; the loop takes the event out, and
// closes handled when its answer is in the outbox.
type awaited struct {
	event
	handled chan struct{}
}

func newSession(h *Hub, p *rpc.Peer, source netip.Addr, admit func() bool, cell *cell, now time.Time) *Session {
	return &Session{
		hub: h, peer: p, source: source, admit: admit, cell: cell,
		core:        newCore(&h.cfg.Settings, h.cfg.Node.Number, source.String(), now),
		mailbox:     make(chan event, mailboxSize),
		completions: make(chan event, completionSize),
		stops:       make(chan event, stopSize),
		done:        make(chan struct{}),
	}
}

// addressOf is the address of "address:port"; the zero one where there is none.
func addressOf(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// read is the reader: it ends with the connection.
func (s *Session) read() {
	end := s.peer.Serve(s)
	s.hub.meter.closed(end)
	reason := end.Reason
	if reason == rpc.ReasonClosedByPeer {
		reason = "closed_by_device"
	}
	s.post(ended{reason})
}

// Request implements rpc.Handler. Behind a login the reader waits for its end,
// so that what follows it is neither served nor measured too early, and behind
// rpc.discover for its answer.
func (s *Session) Request(r *rpc.Request) {
	defer s.recoverReader()
	s.cell.messages[gotMethod(r.Method)].Add(1)
	if r.InBatch() && s.admit != nil && !s.admit() { // each member counts, as a message would
		s.peer.Close(schema.ClosePolicy, rpc.ReasonFlood)
		s.post(ended{rpc.ReasonFlood})
		return
	}
	switch r.Method {
	case schema.MethodLogin:
		s.requestLogin(r)
	case schema.MethodDiscover:
		s.requestDiscover(r)
	default:
		s.post(decode(r))
	}
}

// requestLogin has the login decoded and posted on a goroutine of its own: both
// are so deep that they would double the reader's stack, for the one message of
// its kind, until the connection ends.
func (s *Session) requestLogin(r *rpc.Request) {
	m := awaited{handled: make(chan struct{})}
	told := make(chan struct{})
	go func() {
		defer close(told)
		defer s.recoverReader()
		m.event = decode(r)
		s.post(m)
	}()
	<-told
	s.await(m)
}

// requestDiscover lets the reader wait until the answer is in the outbox. It is the
// one long answer: who does not take it is not to have more of them made meanwhile
// (reliability F03).
func (s *Session) requestDiscover(r *rpc.Request) {
	m := awaited{decode(r), make(chan struct{})}
	s.post(m)
	s.await(m)
}

func (s *Session) await(m awaited) {
	select {
	case <-m.handled:
	case <-s.done:
	}
}

// recoverReader ends the session, and it alone, when a decoder panics
// (reliability F54).
func (s *Session) recoverReader() {
	if r := recover(); r != nil {
		s.hub.log.Error("decoder panicked", "panic", r, "stack", string(debug.Stack()))
		s.peer.Close(schema.CloseInternal, "internal error")
		s.post(ended{"internal"})
	}
}

// Late implements rpc.Handler.
func (s *Session) Late(id uint64, resp rpc.Response) { s.post(late{id, resp}) }

// post puts a message of the device into the mailbox; a full one holds the
// device back.
func (s *Session) post(ev event) {
	select {
	case s.mailbox <- ev:
	case <-s.done:
	}
}

// complete brings an answer that was owed. The loop always comes round to take it.
func (s *Session) complete(ev event) {
	select {
	case s.completions <- ev:
	case <-s.done:
	}
}

// stop brings a reason to end. If there is no room, one is waiting already.
func (s *Session) stop(ev event) {
	select {
	case s.stops <- ev:
	default:
	}
}

// run is the loop.
func (s *Session) run() {
	defer s.wakeRest()
	defer close(s.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for !s.core.finished() {
		s.arm(timer)
		select {
		case ev := <-s.mailbox:
			s.handle(ev)
		case ev := <-s.completions:
			s.handle(ev)
		case ev := <-s.stops:
			s.handle(ev)
		case <-timer.C:
			s.hub.cfg.Observe.Late(time.Since(s.armed))
			s.armed = time.Time{}
			s.handle(tick{})
		}
	}
}

// arm sets the timer for the core's deadline. One that is armed for an earlier
// time is left alone: it finds nothing due and is armed again, which is cheaper
// than moving it with every message.
func (s *Session) arm(timer *time.Timer) {
	at := s.core.deadline()
	if at.IsZero() || !s.armed.IsZero() && !at.Before(s.armed) {
		return
	}
	s.armed = at
	timer.Reset(time.Until(at))
}

// handle lets the core decide and does what it wants. A panic ends this session alone.
func (s *Session) handle(ev event) {
	defer func() {
		if r := recover(); r != nil {
			if o, ok := ev.(orderRequest); ok {
				s.unanswered = append(s.unanswered, o.ticket)
			}
			s.crash(r)
		}
	}()
	switch m := ev.(type) {
	case awaited:
		s.behind, ev = m.handled, m.event
	case replied:
		delete(s.calls, m.call)
	case late:
		ev = replied{s.numberOf(m.id), m.resp}
	}
	s.apply(ev)
	if s.behind != nil && (s.core.login == nil || s.core.phase >= open) { // else the login goes on
		close(s.behind)
		s.behind = nil
	}
}

func (s *Session) apply(ev event) {
	was := s.core.phase
	s.observe(ev)
	wanted := s.core.step(ev, time.Now())
	s.rest = wanted
	s.lastSeen.Store(s.core.lastSeen.UnixMilli())
	s.count(ev)
	for ; len(s.rest) > 0; s.rest = s.rest[1:] {
		s.do(s.rest[0])
	}
	clear(wanted) // or a quiet device's last message would live on in them
	if s.core.phase != was && s.core.phase == open {
		s.peer.SetMaxMessage(s.hub.cfg.MaxMessage)
	}
	for len(s.failed) > 0 {
		number := s.failed[0]
		s.failed = s.failed[1:]
		s.apply(callFailed{number})
	}
}

// wakeRest tells who waits for an order that the loop has not looked at, or that a
// panic came over. Who posts one later sees that the session is done.
func (s *Session) wakeRest() {
	if f := s.core.slot; f != nil && f.ticket != nil {
		f.ticket.news.Wake()
	}
	for _, t := range s.unanswered {
		t.news.Wake()
	}
	for {
		select {
		case ev := <-s.mailbox:
			if o, ok := ev.(orderRequest); ok {
				o.ticket.news.Wake()
			}
		default:
			return
		}
	}
}

// crash ends the session after a panic: the device is closed with 1011, an
// order in flight becomes unknown. Of the step that panicked nothing more is
// done, and no answer awaited, but who waits for an order is told. A second
// panic leaves it at that.
func (s *Session) crash(reason any) {
	s.hub.log.Error("session panicked", "device_id", s.core.deviceID, "panic", reason, "stack", string(debug.Stack()))
	s.peer.Close(schema.CloseInternal, "internal error")
	rest := append([]effect(nil), s.rest...)
	s.rest = nil
	for _, e := range rest {
		switch e := e.(type) {
		case settle:
			s.do(e)
		case authenticate, claimDevice, findWaiting, beginOrder, endOrder, checkUpload:
			s.core.owed--
		}
	}
	defer func() {
		if recover() != nil {
			s.core.phase, s.core.owed = closing, 0
			s.hub.release(s.core.deviceID, s.core.epoch)
		}
	}()
	s.hub.release(s.core.deviceID, s.core.epoch)
	s.apply(ended{"internal"})
}

// do carries out one effect. None of them waits. Those of pings and reports are
// here, and the frames of their functions small.
func (s *Session) do(e effect) {
	switch e := e.(type) {
	case pingRequest:
		e.to.ReplyLast("pong")
	case reply:
		e.to.Reply(e.result)
	case fail:
		e.to.Fail(e.err)
	case publish:
		s.live.Store(e.live)
	case sample:
		s.hub.cfg.Journal.Sample(e.s)
	default:
		s.doHere(e)
	}
}

// doHere carries out what remains toward the device, the hub and business.
func (s *Session) doHere(e effect) {
	switch e := e.(type) {
	case call:
		s.call(e)
	case callOrder:
		s.callOrder(e)
	case forget:
		s.forget(e.call)
	case confirm:
		s.notify(schema.MethodRestartConfirm, schema.RestartConfirm{OrderID: e.orderID})
	case hangUp:
		s.peer.Close(e.code, e.text)
	case release:
		s.live.Store(nil)
		s.hub.release(e.deviceID, e.epoch)
	case accept:
		e.ticket.accept(e.order)
	case settle:
		e.ticket.settle(settlement{e.order, e.err})
	default:
		s.doElsewhere(e)
	}
}

// doElsewhere carries out the effects that the store, a login's goroutine or
// the receiver of uploads sees to.
func (s *Session) doElsewhere(e effect) {
	cfg := &s.hub.cfg
	switch e := e.(type) {
	case authenticate:
		s.login = s.hub.nextEpoch()
		s.gauge.began, s.gauge.form = s.hub.age(), formIndex(e.params)
		s.spawn(func(ctx context.Context) event { return s.hub.gate.check(ctx, e.params, s.source) },
			refused{err: errInternal})
	case claimDevice:
		o := owner{s, s.login}
		s.spawn(func(ctx context.Context) event { return s.hub.claim(ctx, o, e) }, claimRefused{errInternal})
	case findWaiting:
		s.spawn(func(ctx context.Context) event { return s.hub.findWaiting(ctx, e.deviceID) }, found{err: errInternal})
	case beginOrder:
		s.gauge.began = s.hub.age()
		cfg.Orders.BeginOrder(e.in, func(err error) { s.complete(intentDone{e.in.Order.OrderID, err}) })
	case endOrder:
		cfg.Orders.EndOrder(e.out, func(o schema.Order, err error) { s.complete(outcomeDone{e.out, e.to, o, err}) })
	case retryOutcome:
		s.hub.clerk.retry(kept{e.out, e.handedIn})
	case handOn:
		s.hub.handOn(e.order)
	case checkUpload:
		s.spawn(func(ctx context.Context) event { return s.hub.checkUpload(ctx, e) },
			uploadChecked{e.out, e.to, errInternal})
	case record:
		cfg.Journal.Record(e.event)
	case presence:
		cfg.Journal.Presence(e.p)
	case told:
		cfg.Journal.Told(e.deviceID, e.version)
	}
}

var errInternal = schema.Errorf(schema.Internal, "internal", "internal error")

// spawn runs work that waits, in a goroutine of the hub's, and brings its
// answer back; panicked is the answer of one that panics.
func (s *Session) spawn(work func(context.Context) event, panicked event) {
	s.hub.wg.Go(func() {
		answer := panicked
		defer func() {
			if r := recover(); r != nil {
				s.hub.log.Error("login or upload panicked", "panic", r, "stack", string(debug.Stack()))
			}
			s.complete(answer)
		}()
		answer = work(s.hub.ctx)
	})
}

// callOrder sends an order. The credential for its upload is made now, when
// nothing but the sending is left to do.
func (s *Session) callOrder(e callOrder) {
	if e.upload {
		target, err := s.hub.cfg.Uploads.Issue(e.order.OrderID, e.order.DeviceID, time.Now())
		if err != nil {
			s.callFailed(e.number, schema.MethodGiveOrder, err)
			return
		}
		e.order.SFTP = &target
	}
	s.call(call{e.number, schema.MethodGiveOrder, e.order})
}

func (s *Session) callFailed(number uint64, method string, err error) {
	s.hub.log.Warn("call not sent", "device_id", s.core.deviceID, "method", method, "error", err)
	s.failed = append(s.failed, number)
}

// call sends a request of the core's.
func (s *Session) call(e call) {
	id, err := s.peer.Call(e.method, e.params, func(resp rpc.Response) { s.post(replied{e.number, resp}) })
	if err != nil {
		s.callFailed(e.number, e.method, err)
		return
	}
	if s.calls == nil {
		s.calls, s.lost = make(map[uint64]uint64), make(map[uint64]uint64)
	}
	s.calls[e.number] = id
}

func (s *Session) forget(number uint64) {
	id, ok := s.calls[number]
	if !ok {
		return
	}
	if len(s.lost) >= maxGivenUp {
		clear(s.lost)
	}
	s.lost[id] = number
	delete(s.calls, number)
	s.peer.Forget(id)
}

// numberOf is the core's number of a call that was given up; 0 if it is forgotten.
func (s *Session) numberOf(id uint64) uint64 {
	n := s.lost[id]
	delete(s.lost, id)
	return n
}

func (s *Session) notify(method string, params any) {
	if err := s.peer.Notify(method, params); err != nil {
		s.hub.log.Debug("notification not sent", "method", method, "error", err)
	}
}
