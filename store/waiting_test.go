package store

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
)

// TestF28_WaitingBehindKeptChanges: in an outage who waits is answered with the
// next try, however many changes are kept for the database's return.
func TestF28_WaitingBehindKeptChanges(t *testing.T) {
	for _, kept := range []int{0, maxBatch - 1, maxBatch, 3 * maxBatch} {
		synctest.Test(t, func(t *testing.T) {
			s, f := openFlaky(t, flakyPath(t), Options{})
			addDevice(t, s, "1")
			fail(&f.begin, errDown)
			for i := range kept {
				s.Record(note("1", i))
			}
			time.Sleep(2 * time.Second)
			before := f.begun.Load()
			answered := make(chan error, 1)
			s.BeginOrder(schema.Intent{Order: schema.Order{OrderID: "9", DeviceID: "1", Order: "blink"}}, func(err error) { answered <- err })
			if err := <-answered; schema.KindOf(err) != schema.StoreUnavailable {
				t.Errorf("%d kept: %v", kept, err)
			}
			if n := f.begun.Load() - before; n > 2*maxTries {
				t.Errorf("%d kept: answered after %d tries", kept, n)
			}
			f.begin.Store(nil)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
