package session

import (
	"sync"
	"time"
)

// cache remembers at least the gateCapacity keys used last, and at most twice
// as many: when the young generation is full it becomes the old one, and what
// was not used for a whole generation is forgotten. Its zero value is ready.
type cache[K comparable, V any] struct {
	mu         sync.Mutex
	young, old map[K]V
}

func (c *cache[K, V]) get(k K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.find(k)
}

// getOr returns k's value, made by fresh if it is not remembered.
func (c *cache[K, V]) getOr(k K, fresh func() V) V {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.find(k); ok {
		return v
	}
	v := fresh()
	c.keep(k, v)
	return v
}

func (c *cache[K, V]) put(k K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(k, v)
}

func (c *cache[K, V]) find(k K) (V, bool) {
	v, ok := c.young[k]
	if !ok {
		if v, ok = c.old[k]; ok {
			c.keep(k, v)
		}
	}
	return v, ok
}

func (c *cache[K, V]) keep(k K, v V) {
	if len(c.young) >= gateCapacity {
		c.old, c.young = c.young, nil
	}
	if c.young == nil {
		c.young = make(map[K]V)
	}
	c.young[k] = v
}

// notes are when each key's log last got a line: one a minute at most. The zero
// value is ready.
type notes[K comparable] struct{ cache[K, time.Time] }

// due says whether k's log gets a line at now, and takes it that it does.
func (n *notes[K]) due(k K, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if last, ok := n.find(k); ok && now.Sub(last) < noteEvery {
		return false
	}
	n.keep(k, now)
	return true
}
