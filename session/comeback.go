package session

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/edgetether/tether/schema"
)

// longestLine is the latest that one behind a full queue is told to come back.
const longestLine = time.Minute

// comeback makes a line of a herd: who finds the queue full is told to come back
// when his turn will be, as far as that can be known, one after the other. Those
// for whom the line is too long come back some time in its second half, at random.
type comeback struct {
	mu   sync.Mutex
	last time.Time     // the turn of the last in the line
	pace time.Duration // between two turns: what one has taken of late
}

// took notes how long one turn was, of as many as are taken side by side. The pace
// never becomes one at which nobody is taken any more: it would stay so.
func (l *comeback) took(d time.Duration, sideBySide int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pace += (d/time.Duration(sideBySide) - l.pace) / 8
	l.pace = min(l.pace, schema.CheckWait)
}

// turns is how long n turns take.
func (l *comeback) turns(n int64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Duration(n) * l.pace
}

// after is how long one more has to wait.
func (l *comeback) after(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	turn := l.last.Add(l.pace)
	if first := now.Add(schema.ReconnectDelay); turn.Before(first) {
		turn = first
	}
	if wait := turn.Sub(now); wait <= longestLine {
		l.last = turn
		return wait
	}
	return longestLine/2 + rand.N(longestLine/2)
}
