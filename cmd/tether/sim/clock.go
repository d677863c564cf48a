package sim

import (
	"container/heap"
	"sync"
	"time"
)

// clock wakes a whole fleet with one timer and one goroutine, run's. Who is woken
// is told so on that goroutine and must not wait.
type clock struct {
	start time.Time
	late  *Histogram // how much after its time one was woken: whether the rest can be believed

	mu     sync.Mutex // guards the heap; never held while anyone is woken
	alarms alarms
	sooner chan struct{} // capacity 1: the first alarm is another one
}

// alarm is one sleeper's place in the clock. The zero value is not set.
type alarm struct {
	at    moment
	index int // in the heap, from 1; 0: not set
	wake  func(now moment)
}

// moment is a time since the clock's start: 8 bytes in place of a time.Time's 24,
// of which each device keeps several. 0 is none.
type moment time.Duration

func newClock() *clock {
	return &clock{start: time.Now(), late: &Histogram{}, sooner: make(chan struct{}, 1)}
}

func (c *clock) now() moment { return moment(time.Since(c.start)) + 1 }

// in is the moment after d from now.
func (m moment) in(d time.Duration) moment { return m + moment(d) }

// since is how long ago an earlier moment was.
func (m moment) since(earlier moment) time.Duration { return time.Duration(m - earlier) }

// set has a sleeper woken at a moment, in place of the one that it was set to.
func (c *clock) set(a *alarm, at moment) {
	c.mu.Lock()
	a.at = at
	if a.index == 0 {
		heap.Push(&c.alarms, a)
	} else {
		heap.Fix(&c.alarms, a.index-1)
	}
	first := c.alarms[0] == a
	c.mu.Unlock()
	if first {
		select {
		case c.sooner <- struct{}{}:
		default:
		}
	}
}

// clear lets a sleeper sleep. It may be on its way to be woken all the same.
func (c *clock) clear(a *alarm) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.index > 0 {
		heap.Remove(&c.alarms, a.index-1)
	}
}

// run wakes whoever is due until stop is closed.
func (c *clock) run(stop <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(c.turn())
		select {
		case <-timer.C:
		case <-c.sooner:
		case <-stop:
			return
		}
	}
}

// turn wakes all that are due and says for how long nobody is.
func (c *clock) turn() time.Duration {
	for {
		c.mu.Lock()
		if len(c.alarms) == 0 {
			c.mu.Unlock()
			return time.Hour
		}
		now, first := c.now(), c.alarms[0]
		if wait := first.at.since(now); wait > 0 {
			c.mu.Unlock()
			return wait
		}
		heap.Pop(&c.alarms)
		late := now.since(first.at)
		c.mu.Unlock()
		c.late.Add(late)
		first.wake(now)
	}
}

// alarms are a heap, the first on top. An alarm knows its place.
type alarms []*alarm

// Len is heap's.
func (h alarms) Len() int { return len(h) }

// Less is heap's.
func (h alarms) Less(i, j int) bool { return h[i].at < h[j].at }

// Swap is heap's.
func (h alarms) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}

// Push is heap's.
func (h *alarms) Push(x any) {
	a := x.(*alarm)
	a.index = len(*h) + 1
	*h = append(*h, a)
}

// Pop is heap's.
func (h *alarms) Pop() any {
	old := *h
	a := old[len(old)-1]
	old[len(old)-1], a.index = nil, 0
	*h = old[:len(old)-1]
	return a
}
