package sim

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Times of the faults.
const (
	flapMean  = 30 * time.Second // between two drops of a flapping device
	faultLook = time.Second      // how often devices are looked at that are to be silent or deaf
	settled   = 2 * time.Second  // how long such a device is left alone after its login
)

// Herd is what came of dropping all connections at once.
type Herd struct {
	Dropped int     `json:"dropped"`
	Seconds float64 `json:"seconds"` // until all were back; 0: they were not at the end
}

// faults are the goroutines that do damage on purpose.
type faults struct {
	*fleet
	Faults
	tasks sync.WaitGroup
	herd  *Herd
}

// begin starts what was asked for; it lasts until ctx ends. wait waits for it.
func (f *faults) begin(ctx context.Context) {
	n := len(f.members)
	flapping := int(f.Flap * float64(n))
	f.tasks.Go(func() {
		every(ctx, float64(flapping)/flapMean.Seconds(), func() { f.members[n-1-rand.N(flapping)].common().hurt(dropped) })
	})
	f.tasks.Go(func() { every(ctx, f.Churn, func() { f.members[rand.N(n)].restart() }) })
	f.tasks.Go(func() { f.disturb(ctx) })
	f.tasks.Go(func() { f.stampede(ctx) })
}

func (f *faults) wait() { f.tasks.Wait() }

// disturb silences and deafens, again and again, the first devices of the fleet.
func (f *faults) disturb(ctx context.Context) {
	some := f.members[:f.HalfOpen+f.Slow]
	if len(some) == 0 {
		return
	}
	tick := time.NewTicker(faultLook)
	defer tick.Stop()
	for {
		for i, m := range some {
			u := m.common()
			if !u.onlineFor(settled) {
				continue
			}
			if i < f.HalfOpen {
				u.hurt(silenced)
			} else {
				u.hurt(deafened)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// stampede drops all connections at once, and times their return.
func (f *faults) stampede(ctx context.Context) {
	if f.Faults.Herd == 0 {
		return
	}
	timer := time.NewTimer(f.Faults.Herd)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-timer.C:
	}
	began, before := time.Now(), f.stats.back.Count()
	f.herd = &Herd{}
	for _, m := range f.members {
		if m.common().hurt(dropped) {
			f.herd.Dropped++
		}
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for f.stats.back.Count()-before < int64(f.herd.Dropped) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	f.herd.Seconds = time.Since(began).Seconds()
}
