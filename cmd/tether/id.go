package main

import (
	"sync"
	"time"

	"github.com/bwmarrin/snowflake"
)

// perInstant is how many snowflakes of a node there are in one millisecond.
const perInstant = 1 << 12

// ids makes snowflakes. The library spins when a millisecond's ids are used
// up; this waits.
type ids struct {
	mu      sync.Mutex
	node    *snowflake.Node
	instant time.Time
	used    int
}

func newIDs(node int64) (*ids, error) {
	n, err := snowflake.NewNode(node)
	return &ids{node: n}, err
}

// next makes an id that no other node and no other call makes.
func (i *ids) next() string {
	for {
		if id, ok := i.try(); ok {
			return id
		}
		time.Sleep(time.Millisecond)
	}
}

func (i *ids) try() (string, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if now := time.Now(); now.Sub(i.instant) >= 2*time.Millisecond {
		i.instant, i.used = now, 0
	}
	if i.used++; i.used >= perInstant {
		return "", false
	}
	return i.node.Generate().String(), true
}
