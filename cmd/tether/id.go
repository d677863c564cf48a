package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/bwmarrin/snowflake"

	"github.com/edgetether/tether/store"
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

// maxSetBack is how far behind its store a clock may be for the start to wait.
const maxSetBack = 10 * time.Second

// snowflakes makes identifiers for a node of a store. A clock that was set back
// would make some a second time: a little is waited for, more is an error.
func snowflakes(ctx context.Context, st *store.Store, node int64) (func() string, error) {
	newest, err := st.Newest(ctx)
	if err != nil {
		return nil, err
	}
	behind := time.Until(time.UnixMilli(newest + 1))
	if behind > maxSetBack {
		return nil, fmt.Errorf("the clock shows %v less than the newest record: set it right, or wait; identifiers are made of it",
			behind.Round(time.Second))
	}
	select {
	case <-time.After(behind):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	made, err := newIDs(node)
	if err != nil {
		return nil, err
	}
	return made.next, nil
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
