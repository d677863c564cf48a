package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

// TestPace: garbage is collected soon in calm, and late at the start, in a storm,
// and for a while after it: while to collect soon would take as long as in the storm.
func TestPace(t *testing.T) {
	now, spent := time.Now(), time.Second
	p := newPace(now, "sqlite:x.db")
	p.spent = spent
	all := gcLook * time.Duration(processors)
	const late = gcShare * gcCalm / gcBusy // what is as much where garbage is collected late
	for i, c := range []struct {
		share float64
		looks int  // of gcLook each
		want  bool // calm, at the last of them
	}{
		{0, 5, false}, {0, 1, true}, {gcShare * 0.9, 10, true},
		{gcShare * 1.1, 1, false}, {0, 5, false}, {gcShare * 1.1, 1, false}, {0, 5, false}, {0, 1, true},
		{gcShare * 1.1, 1, false}, {late * 1.1, 10, false}, {late * 0.9, 5, false}, {late * 0.9, 1, true},
	} {
		got := false
		for range c.looks {
			now, spent = now.Add(gcLook), spent+time.Duration(c.share*float64(all))
			got = p.look(now, spent)
		}
		if got != c.want {
			t.Errorf("step %d: calm is %v", i+1, got)
		}
	}
	given := pace{busy: now, at: now, spent: spent} // the environment says how often
	for range gcAfter / gcLook {
		now, spent = now.Add(gcLook), spent+time.Duration(gcShare*0.9*float64(all))
		given.look(now, spent)
	}
	if !given.calm {
		t.Error("no calm where GOGC is given")
	}
	before := collecting()
	for range 5 {
		runtime.GC()
	}
	if after := collecting(); after <= before {
		t.Errorf("the time spent on collecting was %v, and is %v after five times more", before, after)
	}
}

// TestPace_Apply: what the environment says is left alone, and a processor is added
// for SQLite alone.
func TestPace_Apply(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, c := range []struct {
		gogc, procs, database string
		busy, calm            [2]int // GOGC and GOMAXPROCS
	}{
		{"", "", "sqlite:x.db", [2]int{gcBusy, processors + 1}, [2]int{gcCalm, available(t)}},
		{"", "", "postgres://x", [2]int{gcBusy, 7}, [2]int{gcCalm, 7}},
		{"100", "", "sqlite:x.db", [2]int{100, processors + 1}, [2]int{100, available(t)}},
		{"", "7", "sqlite:x.db", [2]int{gcBusy, 7}, [2]int{gcCalm, 7}},
	} {
		t.Setenv("GOGC", c.gogc)
		t.Setenv("GOMAXPROCS", c.procs)
		debug.SetGCPercent(100)
		runtime.GOMAXPROCS(7)
		p := newPace(time.Now(), c.database)
		for calm, want := range map[bool][2]int{false: c.busy, true: c.calm} {
			p.calm = calm
			p.apply()
			if got := [2]int{debug.SetGCPercent(100), runtime.GOMAXPROCS(0)}; got != want {
				t.Errorf("%+v, calm %v: GOGC and GOMAXPROCS are %v", c, calm, got)
			}
		}
	}
}

// available is how many processors there are, whatever the environment of the test says.
func available(t *testing.T) int {
	t.Helper()
	was := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(was)
	runtime.SetDefaultGOMAXPROCS()
	return runtime.GOMAXPROCS(0)
}

// TestPace_Serve: a service that starts is told so, unless its environment says other.
func TestPace_Serve(t *testing.T) {
	for _, c := range []struct {
		env  string
		want []string
	}{
		{"", []string{fmt.Sprint("go_gc_gogc_percent ", gcBusy), fmt.Sprint("go_sched_gomaxprocs_threads ", available(t)+1)}},
		{"7", []string{"go_gc_gogc_percent 7", "go_sched_gomaxprocs_threads 7"}},
	} {
		t.Setenv("GOGC", c.env)
		t.Setenv("GOMAXPROCS", c.env)
		s := serve(t)
		_, text := look(t, s.ops, "/metrics")
		for _, line := range c.want {
			if !strings.Contains(text, "\n"+line+"\n") {
				t.Errorf("environment %q: not %q", c.env, line)
			}
		}
	}
}
