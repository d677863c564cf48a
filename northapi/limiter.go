package northapi

import (
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/edgetether/tether/schema"
	"golang.org/x/time/rate"
)

// How failed authentications are slowed: as failed logins are, 20 at once and
// then one a second for a source.
const (
	failureBurst = 20
	failureRate  = rate.Limit(1)
)

func newFailureLimiter() *limiter[netip.Prefix] {
	return &limiter[netip.Prefix]{rate: failureRate, burst: failureBurst}
}

// waitingRetry is what a key is told that has too many requests waiting: one of
// them may end at any time.
const waitingRetry = time.Second

// keyLimits hold a key to its share: requests a second, and requests that wait at
// once for their answer, or for it to be taken. Zero is no limit.
type keyLimits struct {
	rate *limiter[string] // nil: none
	most int

	mu      sync.Mutex
	waiting map[string]int             // by key; those that have none are not in it
	noted   recent[string, *time.Time] // when the store was told last that a key, or a log-in, was used
}

func newKeyLimits(perSecond float64, most int) *keyLimits {
	l := &keyLimits{most: most, waiting: map[string]int{}}
	if perSecond > 0 {
		l.rate = &limiter[string]{rate: rate.Limit(perSecond), burst: int(math.Ceil(2 * perSecond))}
	}
	return l
}

// enter admits a request of a key, which must call leave at its end.
func (l *keyLimits) enter(key string, now time.Time) (leave func(), err error) {
	if l.rate != nil {
		if wait := l.rate.charge(key, now); wait > 0 {
			limited := schema.Errorf(schema.Overloaded, "too_many_requests", "Authorization: the key has too many requests a second")
			limited.RetryAfter = wait
			return nil, limited
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.most > 0 && l.waiting[key] >= l.most {
		limited := schema.Errorf(schema.Overloaded, "too_many_waiting", "Authorization: %d requests of the key wait for their answer, or for it to be taken", l.most)
		limited.RetryAfter = waitingRetry
		return nil, limited
	}
	l.waiting[key]++
	return func() { l.leave(key) }, nil
}

func (l *keyLimits) leave(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting[key]--; l.waiting[key] == 0 {
		delete(l.waiting, key)
	}
}

// due says whether it is time to note that a key or a log-in was used, and
// takes it that this is done.
func (l *keyLimits) due(who string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.noted.of(who, func() *time.Time { return new(time.Time) })
	if now.Sub(*last) < schema.UsedEvery {
		return false
	}
	*last = now
	return true
}
