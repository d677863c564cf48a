package session

import (
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/edgetether/tether/schema"
)

func (w *world) fail(format string, args ...any) {
	if w.trouble == "" {
		w.trouble = fmt.Sprintf(format, args...)
	}
}

// check is what must hold after every move.
func (w *world) check() {
	acting := 0
	for i := range w.conns {
		c := &w.conns[i]
		w.checkConn(i, c)
		if c.core.phase == open && !c.taken {
			acting++
		}
		if c.core.phase == open && c.core.epoch == w.owns && w.owner != i {
			w.fail("%c is open at the hub's epoch, and the hub does not hold it", 'A'+i)
		}
	}
	if acting > 1 {
		w.fail("two sessions own the device")
	}
	sent := 0
	for _, o := range w.orders {
		if o.State == schema.OrderSent {
			sent++
		}
	}
	if sent > 1 {
		w.fail("two orders are in flight")
	}
	w.checkLog()
}

func (w *world) checkConn(i int, c *conn) {
	switch {
	case c.offline > 1:
		w.fail("%c gave its device up twice", 'A'+i)
	case c.core.phase == closing && c.core.owed == 0 && c.claimed && c.offline != 1:
		w.fail("%c ended and did not give its device up", 'A'+i)
	case c.hangUps > 1:
		w.fail("%c hung up twice", 'A'+i)
	case c.core.finished() && (c.auth || c.claim != 0 || len(c.intents)+len(c.outcomes)+c.looks > 0):
		w.fail("%c has finished, and is owed answers", 'A'+i)
	case c.core.owed < 0:
		w.fail("%c takes answers that nobody owes", 'A'+i)
	case c.core.slot != nil && c.core.slot.stage != sent && c.core.owed == 0:
		w.fail("%c keeps its slot for nothing", 'A'+i)
	case c.core.phase == open && c.core.deadline().IsZero():
		w.fail("%c is open without a timer", 'A'+i)
	case c.core.phase != open && c.core.slot != nil && c.core.slot.stage == sent:
		w.fail("%c keeps an order in flight on a connection that is gone", 'A'+i)
	case c.core.phase == open && c.core.failures >= schema.MaxFailures:
		w.fail("%c is open with %d failures", 'A'+i, c.core.failures)
	case c.core.phase == closing && !c.gone:
		w.fail("%c is closing and its connection is not", 'A'+i)
	case w.owner == i && c.core.mayTake() && (c.core.line.hold.IsZero() || c.core.deadline().After(c.core.line.hold)):
		w.fail("%c is free, and leaves the queue alone", 'A'+i)
	case w.owner == i && w.first() != "" && c.core.slot == nil && c.core.line.next == nil && len(w.retries) == 0:
		w.fail("%c is free, and does not know of the queue", 'A'+i)
	}
	if c.core.phase == open && (c.core.failures != c.silent || !c.core.due.Equal(c.due)) {
		w.fail("%c has %d failures and is due at %v, not %d and %v", 'A'+i, c.core.failures, c.core.due, c.silent, c.due)
	}
	if c.core.phase == open && (c.core.state == schema.Online) != (c.silent == 0) {
		w.fail("%c is %s after %d misses", 'A'+i, c.core.state, c.silent)
	}
	for _, k := range c.calls {
		if f := c.core.slot; !k.lost && (f == nil || f.call != k.number) && k.orderID != "" {
			w.fail("%c has forgotten the call of %s", 'A'+i, k.orderID)
		}
	}
}

// checkLog: connect and disconnect alternate.
func (w *world) checkLog() {
	for ; w.logged < len(w.log); w.logged++ {
		want := []schema.EventKind{schema.EventConnect, schema.EventDisconnect}[w.logged%2]
		if k := w.log[w.logged]; k != want {
			w.fail("line %d of the log is %s", w.logged+1, k)
		}
	}
}

// finish lets everything come to rest: the store answers, takeovers arrive,
// the connections end. Then nobody may be left waiting.
func (w *world) finish() {
	for _, what := range []string{mAuthBad, mClaim, mTakeover, mFound, mIntent, mOutcome, mClose, mTakeover, mFound, mIntent, mOutcome, mOutcome, mExpire} {
		for who := range w.conns {
			for n := 0; w.trouble == "" && w.enabled(move{what, who}); n++ {
				w.play(move{what, who})
				if n > 1000 {
					w.fail("%s never ends", what)
				}
			}
		}
	}
	for _, out := range w.retries {
		_, _ = w.commitOutcome(out)
	}
	for w.trouble == "" && w.first() != "" { // taken back last
		w.endWaiting(schema.OrderExpired)
	}
	w.checkRest()
}

func (w *world) checkRest() {
	for t, id := range w.tickets {
		if w.settled[t] != 1 {
			w.fail("the caller of %s was told %d times", id, w.settled[t])
		}
	}
	for id, o := range w.orders {
		if !o.State.Ended() {
			w.fail("%s has no outcome", id)
		}
		if o.State == schema.OrderSucceeded && w.said[id] != "yes" || o.State == schema.OrderStateFail && w.said[id] != "no" {
			w.fail("%s is %s, and the device said %q", id, o.State, w.said[id])
		}
	}
	for i := range w.conns {
		w.checkEnded(i)
	}
	if w.online || w.owner >= 0 {
		w.fail("all connections ended, and the device is held by %d, online %v", w.owner, w.online)
	}
}

// checkEnded is what must hold of a connection that is over.
func (w *world) checkEnded(i int) {
	c := &w.conns[i]
	if !c.core.finished() {
		w.fail("%c does not end: phase %d owed %d", 'A'+i, c.core.phase, c.core.owed)
	}
	if c.answered > c.asked {
		w.fail("%c answered %d of %d requests", 'A'+i, c.answered, c.asked)
	}
}

// depth is how many moves a sequence has. The race detector makes a step ten
// times dearer and finds nothing in a core that has no goroutine: under it the
// sequences are short, and the tests are run once more without it.
var depth = flag.Int("depth", fullDepth, "moves in a sequence")

// starts are where the sequences begin: each by the moves that lead there.
var starts = map[string]string{
	"two fresh connections":                 "",
	"both checked at the same moment":       "A:login B:login A:secret right B:secret right",
	"A online":                              logA,
	"A online, B checked":                   logA + " B:login B:secret right",
	"A asked to carry out an order":         logA + " A:order",
	"A carries out an order":                orderA,
	"A carries out an order, B logs in":     orderA + " B:login B:secret right",
	"A's order timed out":                   orderA + " A:timer A:timer",
	"A's order timed out, another is out":   orderA + " A:timer A:ping A:timer A:ping A:outcome committed A:order A:intent committed",
	"A's outcome is being committed":        orderA + " A:reply success",
	"B took over from A's order":            orderA + " B:login B:secret right B:claim committed",
	"orders wait for a device that is away": "A:queued A:queued A:login A:secret right",
	"A looks at the queue":                  logA + " A:queued A:queued",
	"A claims an order that waited":         logA + " A:queued A:found",
	"A carries out one, another waits":      orderA + " A:queued",
	"A carries out one that waited":         logA + " A:queued A:found A:intent committed A:queued",
	"B took over from A's claim":            logA + " A:queued A:found B:login B:secret right B:claim committed",
	"A's claim is taken back after B came":  logA + " A:queued A:found B:login B:secret right A:connection lost A:intent committed B:claim committed",
}

const (
	logA   = "A:login A:secret right A:claim committed"
	orderA = logA + " A:order A:intent committed"
)

// lead plays the moves that are written out in a start.
func lead(t *testing.T, path string) *world {
	t.Helper()
	w := newWorld()
	w.queueing = strings.Contains(path, mQueue)
	for path != "" {
		m, rest := nextMove(path)
		if !w.enabled(m) {
			t.Fatalf("%s cannot come in %q", m, path)
		}
		w.play(m)
		path = rest
	}
	if w.trouble != "" {
		t.Fatal(w.trouble)
	}
	return w
}

func nextMove(path string) (move, string) {
	who, text := int(path[0]-'A'), path[2:]
	for i := range text {
		if rest := text[i:]; strings.HasPrefix(rest, " A:") || strings.HasPrefix(rest, " B:") {
			return move{text[:i], who}, rest[1:]
		}
	}
	return move{text, who}, ""
}

// TestF38toF43_AllSequences tries every sequence of up to five moves from
// every start, over two connections of one device, and of up to four where
// orders wait: never two epochs acting, never an order with two outcomes or
// none, never an outcome from the wrong response, never one that overtakes.
func TestF38toF43_AllSequences(t *testing.T) {
	// The worlds are small and many: collected by the heap's growth, the
	// collector would do most of the work.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(256 << 20))
	var tried atomic.Int64
	for name, path := range starts {
		t.Run(name, func(t *testing.T) {
			root := lead(t, path)
			firsts := root.moves()
			long := *depth
			if root.queueing { // more can happen in these, and one move less shows as much
				long--
			}
			var wg sync.WaitGroup
			slots := make(chan struct{}, runtime.GOMAXPROCS(0))
			for _, m := range firsts {
				wg.Go(func() {
					slots <- struct{}{}
					defer func() { <-slots }()
					s := search{t: t}
					s.try(root, m, long)
					tried.Add(s.tried)
				})
			}
			wg.Wait()
		})
	}
	t.Logf("%d sequences of up to %d moves from %d starts", tried.Load(), *depth, len(starts))
}

func (w *world) moves() []move {
	var ms []move
	for who := range w.conns {
		for _, what := range alphabet {
			if m := (move{what, who}); w.enabled(m) {
				ms = append(ms, m)
			}
		}
	}
	return ms
}

type search struct {
	t     *testing.T
	tried int64
	path  []move
}

// try plays m on a copy of w, lets one more copy come to rest, and goes deeper.
func (s *search) try(w *world, m move, depth int) {
	if s.t.Failed() {
		return
	}
	s.path = append(s.path, m)
	defer func() { s.path = s.path[:len(s.path)-1] }()
	s.tried++
	w = w.clone()
	w.play(m)
	end := w.clone()
	end.finish()
	for _, x := range []*world{w, end} {
		if x.trouble != "" {
			s.t.Errorf("%s\nafter %v", x.trouble, s.path)
			return
		}
	}
	if depth == 1 {
		return
	}
	for _, next := range w.moves() {
		s.try(w, next, depth-1)
	}
}
