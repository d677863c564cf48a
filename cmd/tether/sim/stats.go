package sim

import (
	"maps"
	"regexp"
	"sync"
	"sync/atomic"
)

// stats are the figures of a run, counted by everything that takes part.
type stats struct {
	arrived  atomic.Int64 // devices that have logged in at least once
	online   atomic.Int64
	attempts atomic.Int64 // connections that were tried
	pings    atomic.Int64
	reports  atomic.Int64
	missed   atomic.Int64 // replies that did not come in time, of sound lines
	garbled  atomic.Int64 // messages that were none
	hurt     atomic.Int64 // connections that a fault on purpose ended
	given    atomic.Int64 // orders that devices carried out
	streams  atomic.Int64 // of events, that were lost

	unwatched atomic.Pointer[string] // why the events are not read; nil: they are

	first, last atomic.Int64 // moments: of the first attempt, and of the last first login

	ping, report, login, back, order Histogram

	logins   tally // by form
	lost     tally // false disconnects: by close code and reason
	failures tally // attempts that did not end in a login, by cause
	unknown  tally // devices that the server called Unknown, by whether a fault was the cause
	orders   tally // orders given by REST: by outcome
	wrong    tally // logins with a wrong secret: by answer
}

// tally counts by name.
type tally struct {
	mu     sync.Mutex
	counts map[string]int64
}

func (t *tally) add(name string) { t.addN(name, 1) }

func (t *tally) addN(name string, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[string]int64{}
	}
	if _, known := t.counts[name]; !known && len(t.counts) >= maxNames {
		name = "other"
	}
	t.counts[name] += n
}

// maxNames of a tally: what the server says is among them.
const maxNames = 100

// all is a copy; it is never nil.
func (t *tally) all() map[string]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := map[string]int64{}
	maps.Copy(counts, t.counts)
	return counts
}

func (t *tally) total() (sum int64) {
	for _, n := range t.all() {
		sum += n
	}
	return sum
}

var figure = regexp.MustCompile(`\d+(\.\d+)*(:\d+)?`)

// cause is a text with no number in it that could be another each time.
func cause(text string) string {
	if len(text) > 120 {
		text = text[:120]
	}
	return figure.ReplaceAllString(text, "N")
}
