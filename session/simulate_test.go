package session

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
)

// The moves that random lives have beyond those of the sequences.
const (
	mConnect  = "connects again"
	mRetry    = "clerk tries again"
	mSweep    = "clerk settles what is overdue"
	mHandOver = "clerk hands over"
	mCrash    = "server dies and starts again"
)

// weights say how often a move is made, beside 10 of those that are not named:
// what ends a session is rare, or little would happen in between.
var weights = map[string]int{
	mAuthBad: 1, mClaimFail: 1, mStop: 1, mDrain: 1, mIntentFail: 2, mIntentUnknown: 2, mOutcomeFail: 2, mFoundFail: 2,
	mClose: 2, mDead: 1, mTick: 3, mEarlyTick: 1, mCancel: 1, mExpire: 1, mCrash: 1, mSweep: 2, mPing: 20, mOrder: 20,
	mIntent: 20, mOutcome: 20, mFound: 20, mLogin: 20, mAuthOK: 20, mClaim: 20,
}

var lifeAlphabet = append(append([]string(nil), alphabet...), mConnect, mRetry, mSweep, mHandOver, mCrash)

// Flags of the simulation: how many orders, and the one life to be replayed.
var (
	simOrders = flag.Int64("orders", 0, "orders of the simulation; 0: as many as there is time for")
	simSeed   = flag.Uint64("seed", 0, "replay the life of this seed, move by move")
)

// life is one random run of a world: connections come and go, the server dies,
// the store fails, and orders are given all the while.
type life struct {
	*world
	random *rand.Rand
	told   func(move) // hears of each move
}

func newLife(seed uint64, told func(move)) *life {
	l := &life{world: newWorld(), random: rand.New(rand.NewPCG(seed, seed)), told: told}
	l.queueing, l.lasting, l.pick = true, true, l.random.IntN
	return l
}

// run makes some hundred moves, lets everything come to rest, and says what
// was wrong.
func (l *life) run() string {
	moves := 100 + l.random.IntN(400)
	for n := 0; n < moves && l.trouble == ""; n++ {
		m, ok := l.choose()
		if !ok {
			break
		}
		l.told(m)
		l.make(m)
	}
	if l.trouble == "" {
		l.finish()
	}
	return l.trouble
}

// choose picks one of the moves that can come.
func (l *life) choose() (move, bool) {
	var can [2 * 64]move
	var upTo [2 * 64]int
	n, sum := 0, 0
	for who := range l.conns {
		for _, what := range lifeAlphabet {
			m := move{what, who}
			if !l.can(m) {
				continue
			}
			w, named := weights[what]
			if !named {
				w = 10
			}
			sum += w
			can[n], upTo[n] = m, sum
			n++
		}
	}
	if sum == 0 {
		return move{}, false
	}
	at := l.random.IntN(sum)
	for i := range n {
		if at < upTo[i] {
			return can[i], true
		}
	}
	return move{}, false
}

func (l *life) can(m move) bool {
	c := &l.conns[m.who]
	switch m.what {
	case mConnect:
		return c.core.finished() && !c.taken
	case mRetry:
		return m.who == 0 && len(l.retries) > 0
	case mSweep, mCrash:
		return m.who == 0
	case mHandOver:
		return m.who == 0 && l.owner >= 0 && l.first() != ""
	}
	return l.enabled(m)
}

func (l *life) make(m move) {
	switch m.what {
	case mConnect:
		l.checkEnded(m.who)
		l.conns[m.who] = conn{core: newCore(&simSettings, 1, "10.0.0.7", l.now)}
	case mRetry:
		out := pop(&l.retries)
		if o, err := l.commitOutcome(out); err == nil && o.State == schema.OrderQueued {
			l.tellOwner(o)
		}
	case mSweep:
		l.sweep()
	case mHandOver:
		l.tellOwner(l.orders[l.first()])
	case mCrash:
		l.crash()
	default:
		l.play(m)
		return
	}
	l.check()
}

// sweep lets time pass, as in a process that was stopped, and ends what is
// overdue, before the session that owns it has looked at its timer.
func (l *life) sweep() {
	l.now = l.now.Add(time.Duration(l.random.Int64N(int64(25 * time.Second))))
	before := l.now.Add(-settleGrace).UnixMilli()
	for id, o := range l.orders {
		if o.State == schema.OrderSent && l.claims[id].Due < before {
			l.lose(o)
		}
	}
}

func (l *life) lose(o schema.Order) {
	o.State = schema.OrderStateLost
	l.orders[o.OrderID] = o
}

// crash takes with it all that was in memory: sessions, what the store was
// about to commit, which it may have done or not, what the clerk had to try
// again, and the callers. Then the server starts again.
func (l *life) crash() {
	for i := range l.conns {
		c := &l.conns[i]
		for _, in := range c.intents {
			if l.random.IntN(2) == 0 {
				_ = l.commitIntent(in)
			}
		}
		for _, e := range c.outcomes {
			if l.random.IntN(2) == 0 {
				_, _ = l.commitOutcome(e.out)
			}
		}
		l.conns[i] = conn{core: newCore(&simSettings, 1, "10.0.0.7", l.now)}
	}
	l.retries, l.owner = nil, -1
	clear(l.tickets)
	clear(l.settled)
	for _, o := range l.orders {
		if o.State == schema.OrderSent {
			l.lose(o)
		}
	}
	if l.online {
		l.online = false
		l.log = append(l.log, schema.EventDisconnect)
	}
}

// simulate runs lives from a first seed on until they have had so many orders.
// It stops at the first trouble.
func simulate(t *testing.T, first uint64, orders int64) (lives, given, kept int64) {
	var seed atomic.Uint64
	var all, stored, runs atomic.Int64
	var failed atomic.Bool
	seed.Store(first)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for stored.Load() < orders && !failed.Load() {
				s := seed.Add(1)
				l := newLife(s, func(move) {})
				trouble := l.run()
				runs.Add(1)
				all.Add(int64(l.orderN))
				stored.Add(int64(len(l.orders)))
				if trouble != "" && failed.CompareAndSwap(false, true) {
					t.Errorf("%s\nreplay it: go test ./session -run SimulatedOrders -seed %d -v", trouble, s)
				}
			}
		})
	}
	wg.Wait()
	return runs.Load(), all.Load(), stored.Load()
}

// TestSimulatedOrders carries a great many orders through the core and a model
// of the store, with random losses, late replies, takeovers, failed commits,
// crashes and restarts. None is left without an outcome, none has two, none
// has another's, none is sent twice, and none overtakes.
func TestSimulatedOrders(t *testing.T) {
	if *simSeed != 0 {
		l := newLife(*simSeed, func(m move) { t.Log(m) })
		if trouble := l.run(); trouble != "" {
			t.Error(trouble)
		}
		return
	}
	orders := *simOrders
	switch {
	case orders != 0:
	case os.Getenv("TETHER_SOAK") != "":
		orders = soakOrders
	default:
		orders = someOrders
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	start := time.Now()
	lives, given, kept := simulate(t, rand.Uint64()>>32, orders)
	t.Logf("%d orders given, %d of them stored, in %d lives, %v", given, kept, lives, time.Since(start).Round(time.Millisecond))
}

// TestSimulation_Replays: one seed is one life.
func TestSimulation_Replays(t *testing.T) {
	tell := func() string {
		var moves strings.Builder
		l := newLife(7, func(m move) { moves.WriteString(m.String() + "\n") })
		trouble := l.run()
		return fmt.Sprint(moves.String(), trouble, l.orderN)
	}
	if a, b := tell(), tell(); a != b || strings.Count(a, "\n") < 100 {
		t.Errorf("the same seed lived\n%s\nand\n%s", a, b)
	}
}
