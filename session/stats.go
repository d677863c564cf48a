package session

import (
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// Stats are what a hub holds now and what it has counted since it was made.
// The words of each map are fixed and all of them are there: no number of
// devices adds one (reliability T45).
type Stats struct {
	Sessions       map[string]uint64 // connections now, by state: waiting, checking, claiming, online, Unknown, closing
	OrdersInFlight uint64            // now, from the intent to the durable outcome
	LoginsQueued   uint64            // now, for a check of a password that a person chose
	LoginChecks    uint64            // such checks that run now
	LoginsChecked  uint64            // and those that have ended
	RetriesPending uint64            // outcomes of orders that the store has yet to take
	Draining       bool

	Logins       map[string]map[string]uint64 // by form, then outcome
	GateRefusals map[string]uint64            // by reason
	Takeovers    uint64                       // sessions that a newer login replaced
	Refusals     map[string]uint64            // of orders, by code
	MailboxFull  uint64                       // orders refused because the session was behind; among Refusals too
	LateResults  uint64                       // outcomes that came after their order was given up
	Uploads      map[string]uint64            // device logs, by outcome
	Closes       map[string]uint64            // connections that ended, by close code
	RateLimited  uint64                       // of them, for more messages than MessageRate

	Messages                 map[string]uint64 // received, by method
	Malformed, Unasked       uint64            // as rpc.Stats has them
	BytesReceived, BytesSent uint64
	BytesWaiting             uint64 // now, for connections that take no more
}

// Observe is told how long things took. Its functions are called from many
// goroutines at once and must not block; nil ones are not called.
type Observe struct {
	// Login is told of logins that succeeded, from the request to the answer.
	Login func(took time.Duration)
	// Order is told of each order that took its device's slot, from there to the
	// durable outcome: succeeded, failed, timeout, disconnected, not_sent, or
	// not_stored, of which the store has yet to hear. inner: an order of the framework.
	Order func(inner bool, outcome string, took time.Duration)
	// Call is told of calls that a device answered in time.
	Call func(method string, took time.Duration)
	// Late is told how late a session's timer fired.
	Late func(late time.Duration)
}

func (o Observe) withDefaults() Observe {
	if o.Login == nil {
		o.Login = func(time.Duration) {}
	}
	if o.Order == nil {
		o.Order = func(bool, string, time.Duration) {}
	}
	if o.Call == nil {
		o.Call = func(string, time.Duration) {}
	}
	if o.Late == nil {
		o.Late = func(time.Duration) {}
	}
	return o
}

// meter is where a hub and its sessions count. There is no lock in it.
type meter struct {
	sessions [stateCount]atomic.Int64
	inFlight atomic.Int64

	logins    []tally // by form
	refusals  tally
	uploads   tally
	closes    tally
	mailbox   atomic.Uint64
	takeovers atomic.Uint64
	late      atomic.Uint64
	flooded   atomic.Uint64

	cells [cellCount]cell
	next  atomic.Uint32 // the cell of the next session
}

// cellCount is in how many places the counters of messages are kept: sessions
// take them in turn, so that processors seldom write to the same one.
const cellCount = 16

// cell is one of them, with room to the next so that no cache line has two.
type cell struct {
	rpc.Totals
	messages [methodCount]atomic.Uint64
	_        [64]byte
}

func newMeter() *meter {
	m := &meter{
		refusals: newTally("device_offline", "device_unknown", "device_busy", "queue_full", "draining", "store_unavailable", "other"),
		uploads:  newTally("stored", "rejected", "not_checked"),
		closes:   newTally(append(slices.Clone(closeWords), "none", "other")...),
	}
	for range loginForms {
		m.logins = append(m.logins, newTally(loginOutcomes...))
	}
	return m
}

func (m *meter) cell() *cell { return &m.cells[m.next.Add(1)%cellCount] }

// tally counts by word. Its words are fixed: any other is counted as the last.
type tally struct {
	words []string
	n     []atomic.Uint64
}

func newTally(words ...string) tally { return tally{words, make([]atomic.Uint64, len(words))} }

func (t *tally) add(word string) {
	i := slices.Index(t.words, word)
	if i < 0 {
		i = len(t.words) - 1
	}
	t.n[i].Add(1)
}

func (t *tally) read() map[string]uint64 {
	counts := make(map[string]uint64, len(t.words))
	for i, w := range t.words {
		counts[w] = t.n[i].Load()
	}
	return counts
}

// closeWords are the codes that the contract knows (southbound section 5).
var closeWords = func() (words []string) {
	for _, c := range []schema.CloseCode{
		schema.CloseDone, schema.CloseProtocol, schema.CloseBinary, schema.CloseUTF8, schema.ClosePolicy, schema.CloseTooBig,
		schema.CloseInternal, schema.CloseRestart, schema.CloseNoLogin, schema.CloseLoginFailed, schema.CloseLiveness,
		schema.CloseTakeover, schema.CloseDeviceGone, schema.CloseLoginLimited,
	} {
		words = append(words, strconv.Itoa(int(c)))
	}
	return words
}()

// closed counts how a connection ended.
func (m *meter) closed(e rpc.End) {
	word := "none"
	if e.Code != 0 {
		word = strconv.Itoa(int(e.Code))
	}
	m.closes.add(word)
	if e.Reason == rpc.ReasonFlood || e.Reason == rpc.ReasonClosed && e.Text == rpc.ReasonFlood {
		m.flooded.Add(1)
	}
}

// refused counts an order of which no record came to be; nil is none.
func (m *meter) refused(o *schema.Order, err error) {
	if o == nil && err != nil {
		m.refusals.add(schema.Public(err).Code)
	}
}

// uploaded counts what the receiver says of a file.
func (m *meter) uploaded(err error) {
	switch {
	case err == nil:
		m.uploads.add("stored")
	case isVerdict(err):
		m.uploads.add("rejected")
	default:
		m.uploads.add("not_checked")
	}
}

// Stats reads the counters. It costs the sessions nothing.
func (h *Hub) Stats() Stats {
	m := h.meter
	s := Stats{
		Sessions: make(map[string]uint64, stateCount), Messages: make(map[string]uint64, methodCount),
		OrdersInFlight: positive(m.inFlight.Load()), RetriesPending: h.clerk.waiting(), Draining: h.isDraining(),
		LoginsQueued: positive(h.gate.queued.Load()), LoginChecks: uint64(len(h.gate.checks)), LoginsChecked: h.gate.checked.Load(), GateRefusals: h.gate.refusals.read(),
		Logins: make(map[string]map[string]uint64, len(loginForms)), Takeovers: m.takeovers.Load(),
		Refusals: m.refusals.read(), MailboxFull: m.mailbox.Load(), LateResults: m.late.Load(),
		BytesWaiting: positive(h.room.Taken()), Uploads: m.uploads.read(), Closes: m.closes.read(), RateLimited: m.flooded.Load(),
	}
	for state, word := range stateWords {
		s.Sessions[word] = positive(m.sessions[state].Load())
	}
	for form, word := range loginForms {
		s.Logins[word] = m.logins[form].read()
	}
	for i := range m.cells {
		s.add(&m.cells[i])
	}
	return s
}

func (s *Stats) add(c *cell) {
	for i, word := range methodWords {
		s.Messages[word] += c.messages[i].Load()
	}
	s.Malformed += c.Malformed.Load()
	s.Unasked += c.Unasked.Load()
	s.BytesReceived += c.BytesReceived.Load()
	s.BytesSent += c.BytesSent.Load()
}

// positive is a gauge of which one reader may see the subtraction before the addition.
func positive(n int64) uint64 { return uint64(max(n, 0)) }
