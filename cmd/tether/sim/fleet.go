package sim

import (
	"context"
	crand "crypto/rand"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgetether/tether/schema"
)

// fleet are the devices of a run, and what they share.
type fleet struct {
	options *Options
	url     string
	run     string // tells the boots of one run from those of the next
	ctx     context.Context
	clock   *clock
	network *network
	stats   stats
	tasks   sync.WaitGroup // goroutines of the members
	members []member
	byID    map[string]*unit

	arrived chan struct{} // closed when every member has logged in once
	stopped chan struct{} // closed when every member has stopped for good
	live    atomic.Int64
}

func clientOf(name string) schema.ClientInfo { return schema.ClientInfo{Name: name} }

// clientInfo is what lean devices say of themselves.
var clientInfo = clientOf("tether-sim")

// newFleet makes the fleet. ctx ends attempts to connect, and nothing else:
// stop ends the fleet in good order.
func newFleet(ctx context.Context, o *Options, accounts []*Account) *fleet {
	f := &fleet{
		options: o, url: o.URL, run: crand.Text(), ctx: ctx, clock: newClock(),
		network: &network{dial: o.Dial, sources: sourceAddresses(o.Sources)}, byID: map[string]*unit{},
		arrived: make(chan struct{}), stopped: make(chan struct{}),
	}
	f.live.Store(int64(len(accounts)))
	for i, a := range accounts {
		var m member
		slow := i >= o.Faults.HalfOpen && i < o.Faults.HalfOpen+o.Faults.Slow
		if o.Mode == Library && !slow {
			m = newWhole(f, a, i)
		} else {
			m = newLean(f, a, i, slow)
		}
		f.members = append(f.members, m)
		f.byID[a.DeviceID] = m.common()
	}
	return f
}

// start connects the members, one after the other or at random within the
// spread, and returns when the last will.
func (f *fleet) start() (last time.Duration) {
	now := f.clock.now()
	for i, m := range f.members {
		after := time.Duration(float64(i) / f.options.Rate * float64(time.Second))
		if f.options.Spread > 0 {
			after = rand.N(f.options.Spread)
		}
		last = max(last, after)
		m.start(now.in(after))
	}
	return last
}

// stop has every member leave in good order, and waits for it.
func (f *fleet) stop() {
	for _, m := range f.members {
		m.stop()
	}
	f.tasks.Wait()
	f.network.end()
}

// arrive counts a member's first login.
func (f *fleet) arrive() {
	if f.stats.arrived.Add(1) == int64(len(f.members)) {
		close(f.arrived)
	}
}

// halted counts a member that has stopped for good.
func (f *fleet) halted() {
	if f.live.Add(-1) == 0 {
		close(f.stopped)
	}
}

// handle is what a lean device does with an order.
func (f *fleet) handle(o schema.GiveOrder) (time.Duration, *schema.OrderResult) {
	switch o.OrderType {
	case schema.OrderRestart:
		return 0, &schema.OrderResult{Status: schema.ResultSuccess, Message: schema.RestartWait}
	case schema.OrderUploadLog:
		return 0, failed("not simulated")
	}
	return f.options.Handler(o)
}
