package store

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
)

// BenchmarkOrdersBesideRetention is what 16 callers wait for the commits of an
// order, intent and outcome, while 200,000 old events are removed as the server
// removes them: a batch, and a pause as long as it took. Removing and not removing
// take turns, so that both see the same machine. Once (-benchtime 1x) is enough.
func BenchmarkOrdersBesideRetention(b *testing.B) {
	const callers, old = 16, 200_000
	eachBench(b, func(b *testing.B) {
		for range b.N {
			s := open(b, Options{MaxPending: 1 << 30})
			for i := range callers {
				addDevice(b, s, fmt.Sprint(i))
				claim(b, s, claimOf(fmt.Sprint(i), 1))
			}
			for n := range old { // of many devices, as in the field
				s.Record(note(fmt.Sprint(n%1000), n))
			}
			flushed(b, s)
			var turn atomic.Int64 // odd: events are being removed
			var all sync.WaitGroup
			waits := make([][2][]time.Duration, callers)
			for i := range callers {
				all.Go(func() { waits[i] = waitsOf(b, s, fmt.Sprint(i), &turn) })
			}
			took := removeInTurns(b, s, &turn, old)
			all.Wait()
			b.ReportMetric(old/took.Seconds(), "removed/s")
			var by [2][]time.Duration
			for _, w := range waits {
				by[0], by[1] = append(by[0], w[0]...), append(by[1], w[1]...)
			}
			for _, p := range []int{50, 99} {
				without, with := percentile(by[0], p), percentile(by[1], p)
				b.ReportMetric(float64(without.Microseconds())/1000, fmt.Sprintf("p%d-ms", p))
				b.ReportMetric(float64(with.Microseconds())/1000, fmt.Sprintf("p%d-ms-beside", p))
				b.ReportMetric(float64(with)/float64(without), fmt.Sprintf("p%d-ratio", p))
			}
		}
	})
}

// waitsOf carries out a device's orders until turn is negative, and says how
// long each took, by whether events were being removed all the time.
func waitsOf(b *testing.B, s *Store, id string, turn *atomic.Int64) (waits [2][]time.Duration) {
	for n := 0; ; n++ {
		was, began, orderID := turn.Load(), time.Now(), fmt.Sprint(id, " ", n)
		if was < 0 {
			return waits
		}
		if err := begin(s, intentOf(orderID, id, 1)); err != nil {
			b.Error(err)
		}
		if _, err := end(s, schema.Outcome{OrderID: orderID, DeviceID: id, State: schema.OrderSucceeded}); err != nil {
			b.Error(err)
		}
		if turn.Load() == was {
			waits[was%2] = append(waits[was%2], time.Since(began))
		}
	}
}

// removeInTurns removes the oldest events, in every second turn of half a second, and says how long that took.
func removeInTurns(b *testing.B, s *Store, turn *atomic.Int64, old int64) (took time.Duration) {
	const length = 500 * time.Millisecond
	for {
		time.Sleep(length)
		turn.Add(1)
		for turned := time.Now(); time.Since(turned) < length; {
			began := time.Now()
			n, err := s.RemoveEvents(b.Context(), start+3_600_000)
			must(b, err)
			if old -= n; old <= 0 {
				turn.Store(-1)
				return took
			}
			time.Sleep(max(10*time.Millisecond, time.Since(began)))
			took += time.Since(began)
		}
		turn.Add(1)
	}
}

func percentile(times []time.Duration, p int) time.Duration {
	slices.Sort(times)
	return times[len(times)*p/100]
}
