package sim

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// ticking runs a clock until the test ends.
func ticking(t *testing.T) *clock {
	c := newClock()
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { c.run(stop) })
	t.Cleanup(func() { close(stop); running.Wait() })
	return c
}

// TestClock: everyone is woken at the instant that was set last, and no one who
// was cleared.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ticking(t)
		const sleepers = 200
		var woken [sleepers][]moment
		alarms := make([]alarm, sleepers)
		want := make([]moment, sleepers)
		for i := range alarms {
			alarms[i].wake = func(now moment) { woken[i] = append(woken[i], now) }
			for range 3 {
				want[i] = c.now().in(rand.N(time.Minute) + 1)
				c.set(&alarms[i], want[i])
			}
			if i%5 == 0 {
				c.clear(&alarms[i])
				c.clear(&alarms[i]) // nothing is there
				want[i] = 0
			}
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		for i, got := range woken {
			if want[i] == 0 && len(got) > 0 || want[i] != 0 && (len(got) != 1 || got[0] != want[i]) {
				t.Errorf("%d: set to %v, woken at %v", i, want[i], got)
			}
		}
		if c.late.Max() != 0 {
			t.Errorf("late by %v", c.late.Max())
		}
	})
}

// TestClockSets: one that is woken may set itself again, and be sooner than all.
func TestClockSets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ticking(t)
		var far, near alarm
		var order []string
		far.wake = func(moment) { order = append(order, "far") }
		near.wake = func(now moment) {
			if order = append(order, "near"); len(order) < 3 {
				c.set(&near, now.in(time.Second))
			}
		}
		c.set(&far, c.now().in(time.Minute))
		c.set(&near, c.now().in(time.Second))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if len(order) != 4 || order[3] != "far" {
			t.Error(order)
		}
	})
}
