package northapi

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How failed authentications are slowed: as failed logins are, 20 at once and
// then one a second for a source.
const (
	failureBurst = 20
	failureRate  = rate.Limit(1)
	// maxSources bounds a generation: more sources than that within the time
	// that a bucket needs to fill, and the oldest are forgiven.
	maxSources = 4096
)

// failureLimiter has a bucket for each source that failed lately. There are
// two generations of them: a full one becomes the old one, and what was in
// the old one and was not asked for again is forgotten.
type failureLimiter struct {
	mu         sync.Mutex
	young, old map[netip.Prefix]*rate.Limiter
}

func newFailureLimiter() *failureLimiter {
	return &failureLimiter{young: map[netip.Prefix]*rate.Limiter{}}
}

// charge takes one failure from the source's bucket. If there is none left it
// returns how long the source should wait.
func (l *failureLimiter) charge(source netip.Prefix, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.bucket(source).ReserveN(now, 1)
	wait := taken.DelayFrom(now)
	if wait > 0 {
		taken.CancelAt(now)
	}
	return wait
}

// bucket finds or makes the source's bucket. It is called with mu held.
func (l *failureLimiter) bucket(source netip.Prefix) *rate.Limiter {
	if b := l.young[source]; b != nil {
		return b
	}
	b := l.old[source]
	if b == nil {
		b = rate.NewLimiter(failureRate, failureBurst)
	}
	if len(l.young) >= maxSources {
		l.young, l.old = map[netip.Prefix]*rate.Limiter{}, l.young
	}
	l.young[source] = b
	return b
}
