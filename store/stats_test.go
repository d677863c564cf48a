package store

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
)

// TestStats: what waits behind an outage, what is dropped, and what is told of commits.
func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		good, bad, largest := 0, 0, 0
		s, f := openFlaky(t, flakyPath(t), Options{MaxPending: 10, OnCommit: func(n int, _ time.Duration, err error) {
			mu.Lock()
			defer mu.Unlock()
			largest = max(largest, n)
			if err == nil {
				good++
			} else {
				bad++
			}
		}})
		addDevice(t, s, "1")
		fail(&f.begin, errDown)
		for i := range 14 {
			s.Record(note("1", i))
			synctest.Wait() // the writer knows of the outage
		}
		time.Sleep(2 * retryDelay)
		synctest.Wait()
		if st := s.Stats(); st.Waiting < 10 || st.Kept != 10 || st.Dropped != 4 || st.Callers != 0 || st.Down == nil {
			t.Errorf("in the outage %+v", st)
		}
		f.begin.Store(nil)
		time.Sleep(2 * retryDelay)
		synctest.Wait()
		if st := s.Stats(); st.Waiting != 0 || st.Kept != 0 || st.Dropped != 4 || st.Down != nil {
			t.Errorf("after it %+v", st)
		}
		must(t, s.Close())
		mu.Lock()
		defer mu.Unlock()
		if good == 0 || bad == 0 || largest < 10 {
			t.Errorf("%d commits, %d failed, the largest of %d", good, bad, largest)
		}
	})
}

// TestReady_WithoutTraffic: that a database takes no more writes shows in Ready
// though nobody writes; and asking often does not write often.
func TestReady_WithoutTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := openFlaky(t, flakyPath(t), Options{})
		must(t, s.Ready(t.Context()))
		before := f.begun.Load()
		time.Sleep(probeAfter)
		for range 10 {
			must(t, s.Ready(t.Context()))
		}
		if n := f.begun.Load() - before; n != 1 {
			t.Errorf("%d transactions to answer ten times", n)
		}
		fail(&f.begin, errDown)
		time.Sleep(probeAfter)
		wantKind(t, s.Ready(t.Context()), schema.StoreUnavailable, "")
		f.begin.Store(nil)
		time.Sleep(2 * retryDelay)
		must(t, s.Ready(t.Context()))
		must(t, s.Close())
	})
}

// TestCountWaiting counts what is queued, and nothing else.
func TestCountWaiting(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		for _, id := range []string{"11", "12"} {
			_, err := s.Enqueue(t.Context(), schema.Queued{
				Order:   schema.Order{OrderID: id, DeviceID: "1", Order: "blink", Params: []byte(`{}`), CreatedTime: start},
				Expires: start + 1000,
			})
			must(t, err)
		}
		_, err := s.CancelOrder(t.Context(), schema.Everything, "11", "key:test", start)
		must(t, err)
		n, err := s.CountWaiting(t.Context())
		must(t, err)
		equal(t, "waiting", n, int64(1))
	})
}
