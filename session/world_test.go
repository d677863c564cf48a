package session

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// The model in this file is a world of one device with two connections: the
// two real cores, and the plainest possible hub, store and device around them.
// Nothing happens by itself: each thing that could come next is a move, so
// that a test may try them in every order. After each move the world checks
// what must never happen.

const testDevice = "1860"

var simSettings = Settings{}.withDefaults()

// world is cloned for every branch that is tried.
type world struct {
	now    time.Time
	conns  [2]conn
	orders map[string]schema.Order // the store's records
	said   map[string]string       // what the device replied, by order; "" is fail
	sends  map[string]int          // how often an order went to the device
	// tickets are callers that wait; settled how often they were told.
	tickets map[*ticket]string
	settled map[*ticket]int
	retries []schema.Outcome
	// queueing worlds have orders that wait: queue, the first of them first.
	queueing bool
	lasting  bool            // as long as it likes: no bound on orders
	pick     func(n int) int // chooses one of n; nil: the newest
	queue    []string
	claims   map[string]schema.Intent // of the orders that are sent
	owner    int                      // connection that the hub holds; -1 is none
	owns     int64                    // its epoch
	epochs   int64
	stored   int64 // the owner's epoch in the store
	online   bool  // in the store
	log      []schema.EventKind
	logged   int // lines of the log that were looked at
	orderN   int
	trouble  string
}

// conn is one connection, with all that is on its way to or from its core.
type conn struct {
	core     core
	loggedIn bool // a login was sent
	auth     bool // a check is owed
	looks    int  // at the queue, that are owed
	claim    int64
	taken    bool // a takeover is on its way to it
	gone     bool // the connection is closed
	dead     bool // it takes no calls any more
	intents  []schema.Intent
	outcomes []endOrder
	calls    []openCall
	answer   openCall // the last one that was answered
	hangUps  int
	offline  int // how often its device was given up
	claimed  bool
	silent   int // misses, as the contract counts them
	due      time.Time
	asked    int // requests that wait for an answer
	answered int
}

type openCall struct {
	number  uint64
	orderID string
	lost    bool // given up by the core
}

func newWorld() *world {
	w := &world{
		now: time.UnixMilli(1_800_000_000_000), owner: -1,
		orders: map[string]schema.Order{}, said: map[string]string{}, sends: map[string]int{},
		tickets: map[*ticket]string{}, settled: map[*ticket]int{}, claims: map[string]schema.Intent{},
	}
	for i := range w.conns {
		w.conns[i].core = newCore(&simSettings, 1, "10.0.0.7", w.now)
	}
	return w
}

func (w *world) clone() *world {
	c := *w
	c.orders, c.said, c.sends = maps.Clone(w.orders), maps.Clone(w.said), maps.Clone(w.sends)
	c.tickets, c.settled = maps.Clone(w.tickets), maps.Clone(w.settled)
	c.retries, c.log = slices.Clone(w.retries), slices.Clone(w.log)
	c.queue, c.claims = slices.Clone(w.queue), maps.Clone(w.claims)
	for i := range c.conns {
		n := &c.conns[i]
		n.core.effects = nil
		n.core.givenUp = maps.Clone(n.core.givenUp)
		if f := n.core.slot; f != nil {
			g := *f
			n.core.slot = &g
		}
		n.intents, n.outcomes, n.calls = slices.Clone(n.intents), slices.Clone(n.outcomes), slices.Clone(n.calls)
	}
	return &c
}

// move is one thing that can happen to connection who.
type move struct {
	what string
	who  int
}

func (m move) String() string { return fmt.Sprintf("%c:%s", 'A'+m.who, m.what) }

// The alphabet. enabled says which of its letters can come now.
const (
	mLogin         = "login"
	mPing          = "ping"
	mUpload        = "result handed in"
	mAuthOK        = "secret right"
	mAuthBad       = "secret wrong"
	mClaim         = "claim committed"
	mClaimFail     = "claim failed"
	mTakeover      = "takeover"
	mStop          = "stop"
	mDrain         = "drain"
	mOrder         = "order"
	mIntent        = "intent committed"
	mIntentFail    = "intent failed"
	mIntentUnknown = "intent committed, answer lost"
	mReplyOK       = "reply success"
	mReplyFail     = "reply fail"
	mReplyLast     = "reply success to the newest call"
	mReplyTwice    = "reply again"
	mOutcome       = "outcome committed"
	mOutcomeFail   = "outcome failed"
	mTick          = "timer"
	mEarlyTick     = "timer, early"
	mAtDeadline    = "reply at the deadline"
	mDead          = "calls fail"
	mClose         = "connection lost"
	mQueue         = "queued"
	mCancel        = "cancelled"
	mExpire        = "expired"
	mFound         = "found"
	mFoundFail     = "look failed"
)

var alphabet = []string{mLogin, mPing, mUpload, mAuthOK, mAuthBad, mClaim, mClaimFail, mTakeover, mStop, mDrain, mOrder,
	mIntent, mIntentFail, mIntentUnknown, mReplyOK, mReplyFail, mReplyLast, mReplyTwice, mOutcome, mOutcomeFail, mTick,
	mEarlyTick, mAtDeadline, mDead, mClose, mQueue, mCancel, mExpire, mFound, mFoundFail}

func (w *world) enabled(m move) bool {
	c := &w.conns[m.who]
	switch m.what {
	case mLogin, mUpload, mPing:
		return !c.gone && (m.what != mPing || c.loggedIn)
	case mAuthOK, mAuthBad:
		return c.auth
	case mClaim, mClaimFail:
		return c.claim != 0
	case mTakeover:
		return c.taken
	case mStop, mDrain:
		return c.core.phase != closing
	case mOrder:
		return w.owner == m.who
	case mIntent, mIntentFail, mIntentUnknown:
		return len(c.intents) > 0
	case mReplyOK, mReplyFail:
		return !c.gone && len(c.calls) > 0
	case mReplyLast:
		return !c.gone && len(c.calls) > 1
	case mReplyTwice:
		return !c.gone && c.answer.number != 0
	case mAtDeadline:
		f := c.core.slot
		return !c.gone && f != nil && f.stage == sent
	case mOutcome, mOutcomeFail:
		return len(c.outcomes) > 0
	case mTick, mEarlyTick:
		return !c.core.deadline().IsZero()
	case mDead:
		return !c.gone && !c.dead && c.core.slot != nil
	case mClose:
		return !c.gone
	case mQueue:
		return w.queueing && m.who == 0 && (w.orderN < maxOrders || w.lasting && len(w.queue) < schema.MaxQueued)
	case mCancel, mExpire:
		return m.who == 0 && w.first() != ""
	case mFound, mFoundFail:
		return c.looks > 0
	}
	return false
}

// maxOrders bounds what a sequence adds to the queue.
const maxOrders = 3

// play makes a move; trouble says what it showed to be wrong.
func (w *world) play(m move) {
	w.now = w.now.Add(time.Millisecond)
	c := &w.conns[m.who]
	defer w.check()
	defer w.sign(m, c.core.phase == open)
	switch m.what {
	case mLogin:
		c.loggedIn = true
		w.ask(m.who, loginRequest{to: noResponder{}, params: schema.LoginParams{DeviceID: testDevice, Password: "x", BootID: "b"}})
	case mPing:
		w.ask(m.who, pingRequest{new(rpc.Request)})
	case mUpload:
		w.handIn(m.who)
	case mAuthOK:
		c.auth = false
		w.step(m.who, authenticated{schema.Credential{DeviceID: testDevice, Enabled: true}})
	case mAuthBad:
		c.auth = false
		w.step(m.who, refused{err: schema.ErrLoginFailed})
		w.mustClose(m)
	case mClaim:
		w.commitClaim(m.who)
	case mClaimFail:
		c.claim = 0
		w.step(m.who, claimRefused{overloaded(time.Second)})
		w.mustClose(m)
	case mTakeover:
		c.taken = false
		w.step(m.who, stopRequest{code: schema.CloseTakeover, reason: "takeover"})
	case mStop:
		w.step(m.who, stopRequest{code: schema.CloseDeviceGone, reason: "disabled"})
	case mDrain:
		w.step(m.who, drainRequest{"retry_after_ms=1"})
	case mOrder:
		w.giveOrder(m.who)
	case mTick:
		w.now = later(w.now, c.core.deadline())
		w.step(m.who, tick{})
	case mEarlyTick:
		at := c.core.deadline()
		w.step(m.who, tick{})
		if w.now.Before(at) && len(c.core.effects) > 0 {
			w.fail("an early tick did something")
		}
	case mDead:
		c.dead = true
	case mClose:
		c.gone, c.calls = true, nil
		w.step(m.who, ended{"reset"})
	case mQueue:
		w.queueOrder()
	case mCancel:
		w.endWaiting(schema.OrderCancelled)
	case mExpire:
		w.endWaiting(schema.OrderExpired)
	default:
		w.playStore(m)
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (w *world) mustClose(m move) {
	if w.conns[m.who].core.phase != closing {
		w.fail("%s, and the session goes on", m)
	}
}

// playStore makes the moves of the store and of the device's replies.
func (w *world) playStore(m move) {
	c := &w.conns[m.who]
	switch m.what {
	case mFound:
		w.answerLook(m.who, nil)
	case mFoundFail:
		w.answerLook(m.who, schema.ErrStoreUnavailable)
	case mIntent:
		in := pop(&c.intents)
		w.step(m.who, intentDone{in.Order.OrderID, w.commitIntent(in)})
	case mIntentFail:
		in := pop(&c.intents)
		w.step(m.who, intentDone{in.Order.OrderID, schema.ErrStoreUnavailable})
	case mIntentUnknown:
		in := pop(&c.intents)
		_ = w.commitIntent(in)
		w.step(m.who, intentDone{in.Order.OrderID, schema.ErrStoreUnavailable})
	case mReplyOK:
		w.reply(m.who, 0, true)
	case mReplyFail:
		w.reply(m.who, 0, false)
	case mReplyLast:
		w.reply(m.who, len(c.calls)-1, true)
	case mReplyTwice: // of a call that is answered (reliability F43): nothing may come of it
		before := len(c.outcomes)
		w.step(m.who, replied{call: c.answer.number, resp: result(c.answer.orderID, w.said[c.answer.orderID] != "yes")})
		if len(c.outcomes) != before {
			w.fail("a second reply to %s counts", c.answer.orderID)
		}
	case mAtDeadline:
		w.now = later(w.now, c.core.slot.due)
		w.reply(m.who, len(c.calls)-1, true)
	case mOutcome:
		e := pop(&c.outcomes)
		rec, err := w.commitOutcome(e.out)
		w.step(m.who, outcomeDone{e.out, e.to, rec, err})
	case mOutcomeFail:
		e := pop(&c.outcomes)
		w.step(m.who, outcomeDone{e.out, e.to, schema.Order{}, schema.ErrStoreUnavailable})
	}
}

// answerLook answers a core that asked which orders wait longest.
func (w *world) answerLook(who int, err error) {
	w.conns[who].looks--
	if err != nil {
		w.step(who, found{err: err})
		return
	}
	var first []schema.Order
	for _, id := range w.queue[:min(2, len(w.queue))] {
		first = append(first, w.orders[id])
	}
	w.step(who, found{orders: first})
}

func pop[T any](s *[]T) T {
	v := (*s)[0]
	*s = (*s)[1:]
	return v
}

type noResponder struct{}

func (noResponder) Reply(any)  {}
func (noResponder) Fail(error) {}

// ask sends a request; it must be answered while the session is open to it.
func (w *world) ask(who int, ev event) {
	c := &w.conns[who]
	if c.core.phase != closing {
		c.asked++
	}
	w.step(who, ev)
}

// result is a reply that names the order that it answers.
func result(orderID string, ok bool) rpc.Response {
	status := schema.ResultFail
	if ok {
		status = schema.ResultSuccess
	}
	b, _ := json.Marshal(schema.OrderResult{Status: status, Message: orderID})
	return rpc.Response{Result: b}
}

func (w *world) reply(who, i int, ok bool) {
	c := &w.conns[who]
	k := c.calls[i]
	c.calls = slices.Delete(c.calls, i, i+1)
	w.say(k.orderID, ok)
	c.answer = k
	defer w.checkReply(who, k, c.core.slot)()
	w.step(who, replied{k.number, result(k.orderID, w.said[k.orderID] == "yes")})
}

// say remembers the device's first word on an order.
func (w *world) say(orderID string, ok bool) {
	if _, before := w.said[orderID]; !before {
		w.said[orderID] = map[bool]string{true: "yes", false: "no"}[ok]
	}
}

// handIn hands in an order's result; what the device has not been given it
// cannot hand in.
func (w *world) handIn(who int) {
	newest := w.orderN
	if w.pick != nil && newest > 0 {
		newest = 1 + w.pick(newest)
	}
	id, status := fmt.Sprint("o", newest), schema.ResultSuccess
	if w.sends[id] == 0 {
		id = "unknown"
	} else {
		w.say(id, true)
	}
	if w.said[id] == "no" {
		status = schema.ResultFail
	}
	w.ask(who, resultRequest{noResponder{}, schema.UploadResult{OrderID: id, Status: status, Message: id}})
}

func (w *world) giveOrder(who int) {
	w.orderN++
	o := schema.Order{OrderID: fmt.Sprint("o", w.orderN), DeviceID: testDevice, Order: "blink", State: schema.OrderQueued}
	t := newTicket(nil)
	w.tickets[t] = o.OrderID
	core := &w.conns[who].core
	free := core.phase == open && core.slot == nil && core.state == schema.Online && core.drain == nil && core.line.next == nil
	first := w.first()
	w.step(who, orderRequest{ticket: t, ask: schema.Ask{Order: o, IfOffline: w.queueing}})
	taken := w.settled[t] == 0
	if free != taken {
		w.fail("an order came to a device that is free: %v, and was taken: %v", free, taken)
	}
	if taken && first != "" {
		w.fail("%s overtook %s, which waits", o.OrderID, first)
	}
}

// checkReply holds what a core makes of a reply against the contract: before
// the deadline it is the outcome; at it and after, the outcome is unknown, and
// the reply a late result.
func (w *world) checkReply(who int, k openCall, f *flight) func() {
	c := &w.conns[who]
	if c.core.phase != open {
		return func() {}
	}
	inTime := f != nil && f.stage == sent && f.call == k.number && w.now.Before(f.due)
	return func() {
		if len(c.outcomes) == 0 {
			w.fail("the reply to %s came to nothing", k.orderID)
			return
		}
		out := c.outcomes[len(c.outcomes)-1].out
		if out.OrderID != k.orderID || out.Late == inTime || out.State == schema.OrderStateLost {
			w.fail("the reply to %s (in time: %v) became %s of %s (late: %v)", k.orderID, inTime, out.State, out.OrderID, out.Late)
		}
	}
}

// sign counts a move as a sign of life, or as the miss that it is.
func (w *world) sign(m move, wasOpen bool) {
	c := &w.conns[m.who]
	switch m.what {
	case mLogin, mPing, mUpload, mReplyOK, mReplyFail, mReplyLast, mReplyTwice, mAtDeadline:
		c.silent, c.due = 0, w.now.Add(7500*time.Millisecond)
	case mClaim:
		if !wasOpen {
			c.silent, c.due = 0, w.now.Add(7500*time.Millisecond)
		}
	case mTick, mEarlyTick:
		if wasOpen && !w.now.Before(c.due) {
			c.silent, c.due = c.silent+1, w.now.Add(5500*time.Millisecond)
		}
	}
}
