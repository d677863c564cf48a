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
)

// clerk settles what no session owns (architecture section 3).
type clerk struct {
	orders  Orders
	settler Settler
	window  time.Duration
	log     *slog.Logger

	mu      sync.Mutex
	pending []schema.Outcome // could not be stored yet
}

func newClerk(cfg *Config) *clerk {
	return &clerk{orders: cfg.Orders, settler: cfg.Settler, window: cfg.RestartWindow, log: cfg.Log}
}

// retry keeps an outcome to try again.
func (c *clerk) retry(out schema.Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) < maxRetries {
		c.pending = append(c.pending, out)
	}
}

func (c *clerk) take() []schema.Outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.pending
	c.pending = nil
	return out
}

// round submits once more what could not be stored.
func (c *clerk) round() {
	for _, out := range c.take() {
		c.orders.EndOrder(out, func(_ schema.Order, err error) {
			if schema.KindOf(err) == schema.StoreUnavailable {
				c.retry(out)
			}
		})
	}
}

// Run is the hub's clerk, until ctx ends: it stores outcomes that the store
// refused, and settles what is overdue.
func (h *Hub) Run(ctx context.Context) {
	every := time.NewTicker(clerkEvery)
	defer every.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case now := <-every.C:
			h.clerk.round()
			if n%settleEvery == 0 {
				h.clerk.settle(ctx, now)
			}
		}
	}
}

func (c *clerk) settle(ctx context.Context, now time.Time) {
	if err := c.settler.Settle(ctx, now.UnixMilli(), settleGrace, c.window); err != nil && ctx.Err() == nil {
		c.log.Warn("overdue orders not settled; trying again", "error", err)
	}
}
