package sim

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
)

// TestHeard: Unknown counts by whether a fault is the cause; other devices and
// other states do not.
func TestHeard(t *testing.T) {
	o, err := Options{Devices: 2, Mode: Lean}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	f := newFleet(t.Context(), &o, []*Account{{DeviceID: "1"}, {DeviceID: "2"}})
	f.byID["2"].hurtAt.Store(int64(f.clock.now()))
	for _, e := range []schema.Event{
		{DeviceID: "1", Outcome: "Unknown"}, {DeviceID: "1", Outcome: "online"}, {DeviceID: "2", Outcome: "Unknown"}, {DeviceID: "3", Outcome: "Unknown"},
	} {
		f.heard(e)
	}
	if got := f.stats.unknown.all(); len(got) != 2 || got["while the device behaved"] != 1 || got["by a fault on purpose"] != 1 {
		t.Error(got)
	}
}

// eventsAPI has events to give, or why not.
type eventsAPI struct {
	API
	asked int
	err   error
}

func (a *eventsAPI) Events(_ context.Context, q client.EventQuery) iter.Seq2[schema.Event, error] {
	a.asked++
	return func(yield func(schema.Event, error) bool) {
		if a.err == nil {
			q.OnLost(io.EOF, time.Second)
		}
		yield(schema.Event{Pos: 7, DeviceID: "1", Outcome: "Unknown"}, a.err)
	}
}

// TestWatch: a key that is refused ends the watch, and the report says so; what
// may pass is tried again, and a stream that was lost is no Unknown device.
func TestWatch(t *testing.T) {
	for _, c := range []struct {
		err   error
		asked int
		row   string
	}{
		{schema.Errorf(schema.Unauthenticated, "unauthenticated", "unknown key"), 1, "Unknown seen        not counted: unknown key\n"},
		{schema.Errorf(schema.Forbidden, "forbidden", "not this role"), 1, "Unknown seen        not counted: not this role\n"},
		{schema.ErrDraining, 3, "Unknown seen        0\n"},
		{nil, 3, "Unknown seen        3; the stream of events was lost 3 times\n                           3  while the device behaved\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &eventsAPI{err: c.err}
			o, err := Options{Devices: 1, Mode: Lean, API: a}.withDefaults()
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			s := &simulation{fleet: newFleet(ctx, &o, []*Account{{DeviceID: "1"}}), report: &Report{}, faults: &faults{}}
			s.watch(ctx)
			s.finish()
			var text strings.Builder
			if err := s.report.WriteText(&text); err != nil || a.asked != c.asked || !strings.Contains(text.String(), c.row) {
				t.Errorf("%v: asked %d times, wrote\n%s", c.err, a.asked, &text)
			}
		})
	}
}

// TestBehaves: a fault excuses the server for as long as it may look for the device.
func TestBehaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &unit{fleet: &fleet{clock: newClock()}}
		if !u.behaves() {
			t.Error("nothing happened to it")
		}
		u.hurtAt.Store(int64(u.fleet.clock.now()))
		time.Sleep(buriedFor)
		if u.behaves() {
			t.Error("it was hurt")
		}
		if time.Sleep(time.Nanosecond); !u.behaves() {
			t.Error("it was hurt long ago")
		}
	})
}

// TestEach: all, n at once, and the first error.
func TestEach(t *testing.T) {
	all := make([]int, 100)
	var done, now, most atomic.Int64
	err := each(t.Context(), 4, all, func(context.Context, int) error {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); {
			m = most.Load()
		}
		done.Add(1)
		now.Add(-1)
		return nil
	})
	if err != nil || done.Load() != 100 || most.Load() > 4 {
		t.Errorf("%v, %d, %d at once", err, done.Load(), most.Load())
	}
	broken := errors.New("broken")
	done.Store(0)
	err = each(t.Context(), 4, all, func(context.Context, int) error { done.Add(1); return broken })
	if !errors.Is(err, broken) || done.Load() > 10 {
		t.Errorf("%v after %d", err, done.Load())
	}
}

// TestEvery: so many a second, over any number of ticks.
func TestEvery(t *testing.T) {
	for _, rate := range []float64{0, 0.5, 3, 1000} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+time.Millisecond)
			defer cancel()
			n := 0
			every(ctx, rate, func() { n++ })
			if n != int(rate*10) {
				t.Errorf("%g a second: %d in 10 s", rate, n)
			}
		})
	}
}

// TestFailure: what makes a run fail, and what does not.
func TestFailure(t *testing.T) {
	good := func() *Report { return &Report{Devices: 2, Arrived: 2, Pings: Latency{Count: 9, P99: 5}} }
	if why := good().Failure(5 * time.Millisecond); why != "" {
		t.Error(why)
	}
	for want, change := range map[string]func(*Report){
		"3 false disconnects":        func(r *Report) { r.FalseDisconnects = map[string]int64{"a": 1, "b": 2} },
		"1 devices never logged in":  func(r *Report) { r.Arrived = 1 },
		"the p99 of pings is 5.1 ms": func(r *Report) { r.Pings.P99 = 5.1 },
		"no ping was timed":          func(r *Report) { r.Pings = Latency{} },
		"were accepted":              func(r *Report) { r.WrongLogins = map[string]int64{wrongAccepted: 1} },
	} {
		r := good()
		if change(r); !strings.Contains(r.Failure(5*time.Millisecond), want) {
			t.Errorf("%q, want %q", r.Failure(5*time.Millisecond), want)
		}
	}
}

// TestWrongPatience: those who guess leave so early that there is room for the next,
// and when nobody would wait any more.
func TestWrongPatience(t *testing.T) {
	for perSecond, want := range map[float64]time.Duration{0.1: 20 * time.Second, 20: 4050 * time.Millisecond, 5000: 1474560 * time.Microsecond} {
		if got := (Faults{WrongLogins: perSecond}).wrongPatience(); got != want {
			t.Errorf("at %v a second: %v", perSecond, got)
		}
	}
}

// TestReportText: a report with everything in it.
func TestReportText(t *testing.T) {
	r := &Report{
		Devices: 2, Mode: Lean, Stopped: 1, FalseDisconnects: map[string]int64{"4408 liveness": 1, "1011": 3},
		Herd: &Herd{Dropped: 2, Seconds: 11.5}, Orders: map[string]int64{"succeeded": 7}, WrongLogins: map[string]int64{"refused": 4},
		GroupOrder: &GroupOrder{JobID: "12", State: "done", Seconds: 1.5, Counts: map[string]int64{"total": 2}},
		Pings:      Latency{Count: 5, P50: 0.25, P99: 12.3456, P999: 12.3456, Max: 1234.5},
		Server:     &Usage{Cores: 0.5, PerDevice: 2048, End: Sample{RSS: 3 << 20, Threads: 7}},
	}
	var text strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"false disconnects   4\n                           3  1011\n                           1  4408 liveness\n",
		"pings               5: p50 250µs, p99 12ms, p99.9 12ms, max 1.23s\n", "1 were told by the server to stop",
		"2 dropped at once, all back after 11.5 s", "orders              7,", "done after 1.5 s, job 12", "wrong logins        4",
		"0.50 cores; memory 0 MiB at the start, 3 MiB at the end, 2.0 KiB a device",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}
	if err := r.WriteText(failing{}); err == nil {
		t.Error("a report that was not written is no error")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("full") }

// TestTally: names of the server's making do not grow without bound.
func TestTally(t *testing.T) {
	var c tally
	for i := range 2 * maxNames {
		c.add(strings.Repeat("x", i))
	}
	c.add("")
	if n := len(c.all()); n != maxNames+1 || c.total() != 2*maxNames+1 || c.all()[""] != 2 || c.all()["other"] != maxNames {
		t.Error(n, c.total(), c.all())
	}
}

// TestState: what is kept comes back; what cannot be meant is refused.
func TestState(t *testing.T) {
	name := filepath.Join(t.TempDir(), "state")
	s := state{Server: "ws://a/ws", Devices: []*Account{{SN: "1", DeviceID: "2", Password: "p", Token: "t", TokenExpires: 5}}}
	for range 2 { // it is replaced
		if err := s.save(name); err != nil {
			t.Fatal(err)
		}
	}
	got, err := loadState(name, "ws://a/ws")
	if err != nil || len(got.Devices) != 1 || got.Devices[0].Token != "t" || got.Devices[0].Model != Model {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := loadState(name, "ws://b/ws"); err == nil {
		t.Error("a file of another server is taken")
	}
	if err := os.WriteFile(name, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadState(name, "ws://a/ws"); err == nil {
		t.Error("half a file is taken")
	}
	left, err := os.ReadDir(filepath.Dir(name))
	if err != nil || len(left) != 1 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
}

// TestJournal: a bound on what is remembered, the newest of it.
func TestJournal(t *testing.T) {
	var j journal
	id := func(i int) string { return strings.Repeat("1", i+1) }
	for i := range maxJournal + 1 {
		j.begin(id(i))
	}
	if len(j.entries) != maxJournal || j.find(id(0)) != nil || j.find(id(1)) == nil {
		t.Errorf("%d entries", len(j.entries))
	}
	if r := j.find(id(1)).outcome(); r.Status != schema.ResultFail || r.Message != "interrupted" {
		t.Errorf("%+v", r)
	}
	j.end(id(1), *failed("expired"))
	if r := j.find(id(1)).outcome(); r.Message != "expired" {
		t.Errorf("%+v", r)
	}
}
