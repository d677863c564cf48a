package session

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/edgetether/tether/schema"
)

const (
	// maxClaims is how many logins may wait for the store before no further
	// connection is taken: two of its batches. That keeps it busy, and more would but
	// take the processor from it: what has to be done for a fleet that returns is done
	// in the order in which it ends (reliability F19, F20).
	maxClaims  = 4096
	floodLasts = 2 * time.Second // after the last failure beyond the rate
	floodCrowd = 256             // connections at the door, from which on none should be accepted
)

// door is where connections come in: as many at a time as there are processors,
// so that what can run stays short, and whoever is inside is not kept waiting.
type door struct {
	turns   chan struct{} // a token for each connection that is being taken
	waiting atomic.Int64  // for a turn
	usual   *rate.Limiter // of failures
	slow    *rate.Limiter // of connections, in a flood
	closed  atomic.Bool   // nobody is kept any more
	flood   atomic.Int64  // until when there is one, in Unix milliseconds

	mu     sync.Mutex
	fewer  sync.Cond // claims are, or the door is open to all
	claims int
}

func newDoor(turns int) *door {
	d := &door{
		turns: make(chan struct{}, turns),
		usual: rate.NewLimiter(rate.Limit(turns*schema.FloodFailing), turns*schema.FloodFailing),
		slow:  rate.NewLimiter(rate.Limit(turns*schema.FloodRate), 1),
	}
	d.fewer.L = &d.mu
	return d
}

// enter waits for a turn, which leave ends. It is false, and no turn is
// held, if who comes has left meanwhile.
func (d *door) enter(ctx context.Context) bool {
	if !d.turn(ctx) {
		return false
	}
	if d.flooded() {
		_ = d.slow.Wait(ctx)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.claims >= maxClaims && !d.closed.Load() {
		d.fewer.Wait()
	}
	if ctx.Err() != nil {
		d.leave()
		return false
	}
	return true
}

func (d *door) turn(ctx context.Context) bool {
	d.waiting.Add(1)
	defer d.waiting.Add(-1)
	select {
	case d.turns <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (d *door) leave() { <-d.turns }

// failed notes a login that has, or was held back.
func (d *door) failed() {
	if !d.usual.Allow() {
		d.flood.Store(time.Now().Add(floodLasts).UnixMilli())
	}
}

func (d *door) flooded() bool { return time.Now().UnixMilli() < d.flood.Load() && !d.closed.Load() }

// crowded says whether those who come had better wait where it costs nothing.
func (d *door) crowded() bool { return d.flooded() && d.waiting.Load() >= floodCrowd }

// beginClaim and endClaim count those that wait for the store.
func (d *door) beginClaim() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.claims++
}

func (d *door) endClaim() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.claims--; d.claims == maxClaims-1 {
		d.fewer.Broadcast()
	}
}

// close lets all in that wait: the hub sends them away.
func (d *door) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed.Store(true)
	d.fewer.Broadcast()
}
