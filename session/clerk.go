package session

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/edgetether/tether/schema"
)

// How the clerk works.
const (
	clerkEvery  = time.Second
	settleEvery = 5 // of the clerk's rounds
	// settleGrace is left to the session that owns an order, which settles it
	// at its exact time.
	settleGrace = 5 * time.Second
	// maxRetries bounds the outcomes kept for a store that is down. What is over
	// it is settled by the store's own record of what is overdue, and by the
	// device, which is asked at its next login.
	maxRetries = 100_000
	// maxHandedIn bounds in bytes those of them that devices have handed in: they
	// may be long, and of orders that there never were. keptLeast is what each of
	// them counts for at least.
	maxHandedIn = 32 << 20
	keptLeast   = 512
)

// kept is an outcome that could not be stored yet.
type kept struct {
	schema.Outcome
	handedIn bool
}

// share is what it takes of maxHandedIn.
func (k kept) share() int {
	if !k.handedIn {
		return 0
	}
	return keptLeast + len(k.Message) + len(k.Data)
}

// clerk settles what no session owns (architecture section 3).
type clerk struct {
	orders  Orders
	settler Settler
	window  time.Duration
	log     *slog.Logger
	sooner  chan struct{} // holds one token: next came nearer

	mu       sync.Mutex
	pending  []kept
	trying   int       // taken of it, and not answered yet
	handedIn int       // what of it devices have handed in takes of maxHandedIn
	next     time.Time // when the next order expires; zero: none does
}

func newClerk(cfg *Config) *clerk {
	return &clerk{
		orders: cfg.Orders, settler: cfg.Settler, window: cfg.RestartWindow, log: cfg.Log,
		sooner: make(chan struct{}, 1),
	}
}

// retry keeps an outcome to try again.
func (c *clerk) retry(k kept) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) < maxRetries && c.handedIn+k.share() <= maxHandedIn {
		c.pending = append(c.pending, k)
		c.handedIn += k.share()
	}
}

// waiting is how many outcomes the store has yet to take.
func (c *clerk) waiting() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return uint64(len(c.pending) + c.trying)
}

func (c *clerk) take() []kept {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.pending
	c.pending, c.handedIn, c.trying = nil, 0, c.trying+len(all)
	return all
}

func (c *clerk) tried() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trying--
}

// emptied waits until the store has taken all, or ctx ends.
func (c *clerk) emptied(ctx context.Context) {
	look := time.NewTicker(clerkEvery / 10)
	defer look.Stop()
	for c.waiting() > 0 {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// round submits once more what could not be stored. An order that waits again
// is told to its device's session by handOn.
func (c *clerk) round(handOn func(schema.Order)) {
	for _, k := range c.take() {
		c.orders.EndOrder(k.Outcome, func(o schema.Order, err error) {
			defer c.tried() // behind retry, or nothing would seem to be kept
			switch {
			case schema.KindOf(err) == schema.StoreUnavailable:
				c.retry(k)
			case err == nil && o.State == schema.OrderQueued:
				handOn(o)
			}
		})
	}
}

// expires hears of an order that has waited for too long at a time.
func (c *clerk) expires(at int64) {
	t := time.UnixMilli(at)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.next.IsZero() && !t.Before(c.next) {
		return
	}
	c.next = t
	select {
	case c.sooner <- struct{}{}:
	default:
	}
}

// untilExpiry is how long it takes until the next order expires. It is bounded:
// other nodes queue orders too, and clocks are set.
func (c *clerk) untilExpiry() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next.IsZero() {
		return settleEvery * clerkEvery
	}
	return max(time.Millisecond, min(time.Until(c.next), settleEvery*clerkEvery))
}

// Run is the hub's clerk, until ctx ends: it stores outcomes that the store
// refused, settles what is overdue, ends at its time what has waited too long,
// and hands over what waits though its device is there. Beside that it carries
// jobs out.
func (h *Hub) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { h.jobs.run(ctx) })
	h.clerk.expire(ctx, time.Now())
	every, expiry := time.NewTicker(clerkEvery), time.NewTimer(h.clerk.untilExpiry())
	defer every.Stop()
	defer expiry.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case now := <-every.C:
			h.clerk.round(h.handOn)
			if n%settleEvery == 0 {
				h.clerk.settle(ctx, now)
				h.handOver(ctx, now)
			}
			n++
		case now := <-expiry.C:
			h.clerk.expire(ctx, now)
			expiry.Reset(h.clerk.untilExpiry())
		case <-h.clerk.sooner:
			expiry.Reset(h.clerk.untilExpiry())
		}
	}
}

func (c *clerk) settle(ctx context.Context, now time.Time) {
	if err := c.settler.Settle(ctx, now.UnixMilli(), settleGrace, c.window); err != nil && ctx.Err() == nil {
		c.log.Warn("overdue orders not settled; trying again", "error", err)
	}
}

// expire ends what has waited for too long. What is queued while the store
// looks is not lost: expires may then set an earlier time.
func (c *clerk) expire(ctx context.Context, now time.Time) {
	c.mu.Lock()
	c.next = time.Time{}
	c.mu.Unlock()
	next, err := c.settler.ExpireOrders(ctx, now.UnixMilli())
	switch {
	case err != nil && ctx.Err() == nil:
		c.log.Warn("orders that wait not expired; trying again", "error", err)
		c.expires(time.Now().Add(clerkEvery).UnixMilli())
	case err == nil && next != 0:
		c.expires(next)
	}
}

// handOver tells sessions of orders that wait for them. They know of them
// already, unless something went wrong, or another node has queued them.
func (h *Hub) handOver(ctx context.Context, now time.Time) {
	orders, err := h.cfg.Settler.HandOver(ctx, h.cfg.Node.Number, now.UnixMilli())
	if err != nil && ctx.Err() == nil {
		h.log.Warn("orders that wait not handed over; trying again", "error", err)
	}
	for _, o := range orders {
		h.handOn(o)
	}
}
