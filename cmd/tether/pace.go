package main

import (
	"os"
	"runtime"
	"runtime/debug"
	measured "runtime/metrics"
	"strings"
	"sync"
	"time"
)

// The GOGC of a service whose environment has none. What devices hold is there to
// stay, and what their messages leave behind is little: to collect soon costs a
// hundredth of the time, and saves a quarter of the memory. While it lasts each
// goroutine that allocates has to help, and one ping in a thousand waits for that. A
// fleet that returns is another matter, and so are devices that are thrown out by the
// thousand, and strangers who come by the thousand: while memory grows and shrinks as fast as that, it would cost a third. More
// than this would not make logins quicker, and what they leave between that which
// stays is not given back to the system: of each device two KiB.
const (
	gcCalm  = 20
	gcBusy  = 120
	gcAfter = 30 * time.Second // of calm, and of the start
	gcLook  = 5 * time.Second
	gcShare = 0.05 // of the processors' time: more than that, at gcCalm, is no calm
)

// ballastSize counts as memory in use, and is never touched, so that no page of it
// is there: with few devices a fifth of what they hold would be collected too often.
const ballastSize = 16 << 20

// keepPace does so until stop is called, and adds a processor while a fleet returns.
func keepPace(database string) (stop func()) {
	p := newPace(time.Now(), database)
	var ballast []byte
	if p.collects {
		ballast = make([]byte, ballastSize)
	}
	p.apply()
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(gcLook)
		defer tick.Stop()
		for {
			select {
			case now := <-tick.C:
				if was := p.calm; p.look(now, collecting()) != was {
					p.apply()
				}
			case <-end:
				return
			}
		}
	})
	return func() {
		close(end)
		wg.Wait()
		runtime.KeepAlive(ballast)
	}
}

// pace is what the runtime is told of calm and of storms.
type pace struct {
	collects bool // it is told how often to collect garbage; else the environment says so
	adds     bool // likewise for a processor more

	calm  bool
	spent time.Duration // of the processors' time on collecting, in all
	at    time.Time     // when that was looked at
	busy  time.Time     // when it was last no calm
}

// newPace is busy: a service that starts has a fleet that returns.
func newPace(now time.Time, database string) *pace {
	return &pace{
		collects: os.Getenv("GOGC") == "",
		adds:     os.Getenv("GOMAXPROCS") == "" && strings.HasPrefix(database, "sqlite:"),
		at:       now, busy: now,
	}
}

// look says whether it is calm now; spent is the time that collecting has taken.
func (p *pace) look(now time.Time, spent time.Duration) (calm bool) {
	all := now.Sub(p.at) * time.Duration(processors)
	most := gcShare
	if p.collects && !p.calm { // at gcCalm it would be as much more
		most *= float64(gcCalm) / gcBusy
	}
	if float64(spent-p.spent) > most*float64(all) {
		p.busy, p.calm = now, false
	} else if now.Sub(p.busy) >= gcAfter {
		p.calm = true
	}
	p.spent, p.at = spent, now
	return p.calm
}

// apply tells the runtime what holds now. The processor more is for SQLite, which is ours to compute:
// with a fleet that returns, a commit takes a tenth of a second and more. The runtime
// would give it its turn behind all others; the kernel shares processors in finer pieces.
func (p *pace) apply() {
	switch {
	case !p.adds:
	case p.calm:
		runtime.SetDefaultGOMAXPROCS()
	default:
		runtime.GOMAXPROCS(processors + 1)
	}
	switch {
	case !p.collects:
	case p.calm:
		debug.SetGCPercent(gcCalm)
		debug.FreeOSMemory()
	default:
		debug.SetGCPercent(gcBusy)
	}
}

// processors is how many the machine, or its container, has for us: so much is
// done at once.
var processors = runtime.GOMAXPROCS(0)

// collecting is the time that was spent on collecting, but for what was idle.
func collecting() time.Duration {
	samples := []measured.Sample{{Name: "/cpu/classes/gc/mark/assist:cpu-seconds"}, {Name: "/cpu/classes/gc/mark/dedicated:cpu-seconds"}}
	measured.Read(samples)
	return time.Duration((samples[0].Value.Float64() + samples[1].Value.Float64()) * float64(time.Second))
}
