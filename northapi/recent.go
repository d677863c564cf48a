package northapi

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxRecent bounds a generation of what is remembered.
const maxRecent = 4096

// recent remembers something of each of those who came lately, in bounded
// memory. There are two generations: a full one becomes the old one, and what
// was in the old one and was not asked for again is forgotten. The zero value is ready.
type recent[K comparable, V any] struct {
	young, old map[K]V
}

// of finds what is remembered of k, or remembers fresh.
func (r *recent[K, V]) of(k K, fresh func() V) V {
	if v, ok := r.young[k]; ok {
		return v
	}
	v, ok := r.old[k]
	if !ok {
		v = fresh()
	}
	if r.young == nil || len(r.young) >= maxRecent {
		r.young, r.old = map[K]V{}, r.young
	}
	r.young[k] = v
	return v
}

// limiter has a bucket for each of those who came lately.
type limiter[K comparable] struct {
	rate  rate.Limit // a second
	burst int

	mu      sync.Mutex
	buckets recent[K, *rate.Limiter]
}

// charge takes one from k's bucket. If there is none left it returns how long
// k should wait.
func (l *limiter[K]) charge(k K, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	bucket := l.buckets.of(k, func() *rate.Limiter { return rate.NewLimiter(l.rate, l.burst) })
	taken := bucket.ReserveN(now, 1)
	wait := taken.DelayFrom(now)
	if wait > 0 {
		taken.CancelAt(now)
	}
	return wait
}
