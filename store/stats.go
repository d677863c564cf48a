package store

import (
	"context"
	"time"
)

// Stats are what the store's writer holds and has counted.
type Stats struct {
	Waiting int    // changes that are queued for the next commits
	Callers int    // of them, those that somebody waits for
	Kept    int    // of them, events and samples, which Options.MaxPending bounds
	Dropped uint64 // events and samples that were over that bound
	Down    error  // why the last commit failed; nil: it did not
}

// Stats reads the counters.
func (s *Store) Stats() Stats {
	w := s.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	return Stats{Waiting: len(w.again) + len(w.queue), Callers: w.waiters, Kept: w.counted, Dropped: w.dropped, Down: w.down}
}

// probeAfter is how old the last commit may be to show that the store can be
// written.
const probeAfter = 5 * time.Second

// probe has the writer commit something, if it has not lately: a disk that can
// no longer be written shows only when it is.
func (s *Store) probe(ctx context.Context) error {
	s.writer.mu.Lock()
	idle := time.Since(s.writer.written)
	s.writer.mu.Unlock()
	if idle < probeAfter {
		return nil
	}
	_, err := write(ctx, s, func(*tx) (struct{}, error) { return struct{}{}, nil }) // the writer's mark is what is written
	return err
}

// CountWaiting counts the orders that wait for their devices.
func (s *Store) CountWaiting(ctx context.Context) (int64, error) {
	return read(ctx, s, func(q querier) (n int64, err error) {
		return n, q.row("SELECT COUNT(*) FROM orders WHERE state = 'queued'").Scan(&n)
	})
}
