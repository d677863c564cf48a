package main

import (
	"runtime"
	"testing"
	"time"
)

// TestPace: garbage is collected soon in calm, and late at the start, in a storm,
// and for a while after it.
func TestPace(t *testing.T) {
	now, spent := time.Now(), time.Second
	p := newPace(now)
	p.spent = spent
	all := gcLook * time.Duration(processors)
	for i, c := range []struct {
		share float64
		looks int // of gcLook each
		want  int // at the last of them
	}{
		{0, 5, gcBusy}, {0, 1, gcCalm}, {gcShare * 0.9, 10, gcCalm},
		{gcShare * 1.1, 1, gcBusy}, {0, 5, gcBusy}, {gcShare * 1.1, 1, gcBusy}, {0, 5, gcBusy}, {0, 1, gcCalm},
	} {
		got := 0
		for range c.looks {
			now, spent = now.Add(gcLook), spent+time.Duration(c.share*float64(all))
			got = p.next(now, spent)
		}
		if got != c.want {
			t.Errorf("step %d: GOGC %d, want %d", i+1, got, c.want)
		}
	}
	before := collecting()
	for range 5 {
		runtime.GC()
	}
	if after := collecting(); after <= before {
		t.Errorf("the time spent on collecting was %v, and is %v after five times more", before, after)
	}
}
