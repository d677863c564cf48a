//go:build !race

package main

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"
)

// TestT17_EventReaders: beside 500 readers who read nothing, or a little at a
// time, a good one has every event in order, and soon; they cost a bounded
// piece of memory; the dead ones are cut off, and can go on where they were.
func TestT17_EventReaders(t *testing.T) {
	const bad = 500
	events := int64(4_000)
	if os.Getenv("TETHER_SOAK") != "" {
		events = 12_000
	}
	s := serveLong(t, t.TempDir())
	s.register(t, "before", 100)
	began := s.lastEvent(t)
	before, _ := s.memory(t)
	keys := make([]string, 10)
	for i := range keys {
		keys[i] = s.addKey(t, fmt.Sprint("reader ", i))
	}
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	for i := range bad {
		conn := s.askForEvents(t, keys[i%len(keys)], began)
		if i%2 == 0 {
			go sip(ctx, conn)
		}
	}
	good := new(follower)
	s.follow(t, ctx, s.api.key, began, good)
	start := time.Now()
	s.register(t, "load", int(events))
	wrote := time.Since(start)
	await(t, "every event with the good reader", func() bool { return good.count.Load() >= events })
	had := time.Since(start)
	_, most := s.memory(t)
	t.Logf("%d events written in %s, with the good reader after %s; memory %d MiB before, %d MiB at most", events, wrote.Round(time.Millisecond), had.Round(time.Millisecond), before, most)
	if had > wrote+10*time.Second || good.last.Load() != began+events {
		t.Errorf("the good reader stands at %d of %d", good.last.Load()-began, events)
	}
	if most > 100+4*before { // the race detector multiplies both
		t.Errorf("memory %d MiB before, %d MiB at most", before, most)
	}
	await(t, "the end of the dead", func() bool { return s.streams(t, keys[1]) >= 64 })
	again := new(follower)
	s.follow(t, ctx, keys[3], began+1000, again)
	await(t, "the rest with one who comes back", func() bool { return again.count.Load() >= events-1000 })
	leave()
	<-good.done
	<-again.done
}
