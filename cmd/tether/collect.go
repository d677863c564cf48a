package main

import (
	"os"
	"runtime/debug"
	measured "runtime/metrics"
	"sync"
	"time"
)

// The GOGC of a service whose environment has none. What devices hold is there to
// stay, and what their messages leave behind is little: to collect sooner costs a
// hundredth of the time, and saves a fifth of the memory; to collect sooner still, and
// each goroutine that allocates meanwhile has to help, which pings wait for. A fleet
// that returns is another matter, and so are devices that are thrown out by the thousand: while
// memory grows and shrinks as fast as that, it would cost a third.
const (
	gcCalm  = 40
	gcBusy  = 200
	gcAfter = 30 * time.Second // of calm, and of the start
	gcLook  = 5 * time.Second
	gcShare = 0.1 // of the processors' time: more than that is no calm
)

// ballast counts as memory in use, and is never touched, so that no page of it
// is there: with few devices a quarter of what they hold would be collected
// too often.
var ballast []byte

// paceCollection does so until stop is called.
func paceCollection() (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	ballast = make([]byte, 16<<20)
	p := newPace(time.Now())
	debug.SetGCPercent(gcBusy)
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(gcLook)
		defer tick.Stop()
		for {
			select {
			case now := <-tick.C:
				p.look(now, collecting())
			case <-end:
				return
			}
		}
	})
	return func() { close(end); wg.Wait() }
}

// pace is how often garbage is collected.
type pace struct {
	percent int
	spent   time.Duration // of the processors' time on collecting, in all
	at      time.Time     // when that was looked at
	busy    time.Time     // when it was last more than gcShare
}

func newPace(now time.Time) *pace { return &pace{percent: gcBusy, at: now, busy: now} }

// look changes the pace, if need be.
func (p *pace) look(now time.Time, spent time.Duration) {
	if was := p.percent; p.next(now, spent) == was {
		return
	}
	debug.SetGCPercent(p.percent)
	if p.percent == gcCalm {
		debug.FreeOSMemory()
	}
}

// next is the percentage from now on.
func (p *pace) next(now time.Time, spent time.Duration) int {
	all := now.Sub(p.at) * time.Duration(processors)
	if float64(spent-p.spent) > gcShare*float64(all) {
		p.busy, p.percent = now, gcBusy
	} else if now.Sub(p.busy) >= gcAfter {
		p.percent = gcCalm
	}
	p.spent, p.at = spent, now
	return p.percent
}

// collecting is the time that was spent on collecting, but for what was idle.
func collecting() time.Duration {
	samples := []measured.Sample{{Name: "/cpu/classes/gc/mark/assist:cpu-seconds"}, {Name: "/cpu/classes/gc/mark/dedicated:cpu-seconds"}}
	measured.Read(samples)
	return time.Duration((samples[0].Value.Float64() + samples[1].Value.Float64()) * float64(time.Second))
}
