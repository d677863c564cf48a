package device

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
)

const never = time.Duration(-1)

// play runs a cadence against a server that answers the nth message after the
// delay that answer says, and returns what was done when.
func play(h schema.Heartbeat, until time.Duration, answer func(n int, sent action) time.Duration) []string {
	var done []string
	start := time.Unix(1_795_000_000, 0)
	now, end := start, start.Add(until)
	c := newCadence(h, now)
	replies := map[event]time.Time{}
	e := tick
	for n := 0; ; {
		do, wake := c.next(now, e)
		e = tick
		at := now.Sub(start)
		switch do {
		case sendPing, sendReport:
			kind, name := pingReply, "ping"
			if do == sendReport {
				kind, name = reportReply, "report"
			}
			done = append(done, fmt.Sprintf("%v %s", at, name))
			delete(replies, kind)
			if delay := answer(n, do); delay != never {
				replies[kind] = now.Add(delay)
			}
			n++
			continue
		case leave:
			return append(done, fmt.Sprintf("%v leave", at))
		case wait:
		}
		next := wake
		for kind, at := range replies {
			if !at.After(next) {
				next, e = at, kind
			}
		}
		delete(replies, e)
		if next.After(end) {
			return done
		}
		now = next
	}
}

// missed drops replies that come after the wait is over, as the loop does.
func missed(delay time.Duration) time.Duration {
	if delay > schema.ReplyTimeout {
		return never
	}
	return delay
}

func TestCadence(t *testing.T) {
	tests := []struct {
		name   string
		h      schema.Heartbeat
		until  time.Duration
		delays map[int]time.Duration // of the nth message's answer; at once by default
		want   string
	}{
		{name: "the report replaces the ping", until: 31 * time.Second,
			want: "0s report, 5s ping, 10s ping, 15s report, 20s ping, 25s ping, 30s report"},
		{name: "no answers", until: time.Minute,
			delays: map[int]time.Duration{0: never, 1: never, 2: never},
			want:   "0s report, 3s report, 6s report, 9s leave"},
		{name: "three missed pings", until: time.Minute,
			delays: map[int]time.Duration{1: never, 2: never, 3: never},
			want:   "0s report, 5s ping, 8s ping, 11s ping, 14s leave"},
		{name: "a missed ping goes out again at once, a reply resets", until: 22 * time.Second,
			delays: map[int]time.Duration{1: never, 2: never},
			want:   "0s report, 5s ping, 8s ping, 11s ping, 15s report, 20s ping"},
		{name: "a missed report goes out again at once, the next 15 s after", until: 34 * time.Second,
			delays: map[int]time.Duration{3: never},
			want:   "0s report, 5s ping, 10s ping, 15s report, 18s report, 23s ping, 28s ping, 33s report"},
		{name: "at 3 s exactly the reply counts", until: 11 * time.Second,
			delays: map[int]time.Duration{1: 3 * time.Second},
			want:   "0s report, 5s ping, 10s ping"},
		{name: "just before", until: 11 * time.Second,
			delays: map[int]time.Duration{1: 3*time.Second - 1},
			want:   "0s report, 5s ping, 10s ping"},
		{name: "just after", until: 9 * time.Second,
			delays: map[int]time.Duration{1: 3*time.Second + 1},
			want:   "0s report, 5s ping, 8s ping"},
		{name: "ping and report are awaited together", until: 20 * time.Second,
			// ping 8 (again), 13, report 15, ping 13 missed at 16, report 15 missed at 18
			delays: map[int]time.Duration{1: never, 3: never, 4: never},
			want:   "0s report, 5s ping, 8s ping, 13s ping, 15s report, 16s ping, 18s report"},
		{name: "the server's own intervals", until: 9 * time.Second,
			h:    schema.Heartbeat{PingIntervalMS: 2000, StatusIntervalMS: 5000, ReplyTimeoutMS: 1000, MaxFailures: 1},
			want: "0s report, 2s ping, 4s ping, 5s report, 7s ping, 9s ping"},
		{name: "and its failures", until: 9 * time.Second, delays: map[int]time.Duration{1: never},
			h:    schema.Heartbeat{PingIntervalMS: 2000, StatusIntervalMS: 5000, ReplyTimeoutMS: 1000, MaxFailures: 1},
			want: "0s report, 2s ping, 3s leave"},
		{name: "nothing is sent twice while it is awaited", until: 9 * time.Second,
			delays: map[int]time.Duration{1: 2500 * time.Millisecond},
			h:      schema.Heartbeat{PingIntervalMS: 2000, StatusIntervalMS: 60000},
			want:   "0s report, 2s ping, 4.5s ping, 6.5s ping, 8.5s ping"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := strings.Join(play(test.h, test.until, func(n int, _ action) time.Duration {
				return missed(test.delays[n])
			}), ", ")
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// Every way in which a server can answer, late or never, the first nine messages.
func TestCadenceEveryPattern(t *testing.T) {
	delays := []time.Duration{0, 2900 * time.Millisecond, never}
	const messages = 9
	for pattern := range 19683 { // 3^9
		row := make([]time.Duration, messages)
		for i, p := 0, pattern; i < messages; i, p = i+1, p/3 {
			row[i] = delays[p%3]
		}
		done := play(schema.Heartbeat{}, time.Minute, func(n int, _ action) time.Duration {
			if n < messages {
				return row[n]
			}
			return 0
		})
		checkSilence(t, row, done)
		checkLeave(t, row, done)
	}
}

// checkLeave: a device leaves when three messages in a row were missed with no
// reply between, and then at once; otherwise never.
func checkLeave(t *testing.T, row []time.Duration, done []string) {
	t.Helper()
	type outcome struct {
		at     time.Duration
		missed bool
	}
	var outcomes []outcome
	end, left := time.Minute, false
	for n, line := range done {
		stamp, what, _ := strings.Cut(line, " ")
		at, err := time.ParseDuration(stamp)
		must(t, err)
		switch {
		case what == "leave":
			end, left = at, true
		case n < len(row) && row[n] == never:
			outcomes = append(outcomes, outcome{at + schema.ReplyTimeout, true})
		case n < len(row):
			outcomes = append(outcomes, outcome{at + row[n], false})
		default:
			outcomes = append(outcomes, outcome{at, false})
		}
	}
	// What is sent because of a miss, and answered at once, comes after it.
	slices.SortStableFunc(outcomes, func(a, b outcome) int {
		if a.at == b.at && a.missed != b.missed {
			return map[bool]int{true: -1, false: 1}[a.missed]
		}
		return int(a.at - b.at)
	})
	failures := 0
	for _, o := range outcomes {
		if o.at > end {
			break
		}
		if failures++; !o.missed {
			failures = 0
		}
		if failures == schema.MaxFailures && (!left || o.at != end) {
			t.Fatalf("%v: stayed after the miss at %v: %v", row, o.at, done)
		}
	}
	if left && failures != schema.MaxFailures {
		t.Fatalf("%v: left after %d misses: %v", row, failures, done)
	}
}

// checkSilence: while a device lives, a server never waits more than 5 s for a
// sign of it, nor more than 15 s for a report.
func checkSilence(t *testing.T, row []time.Duration, done []string) {
	t.Helper()
	var last, lastReport time.Duration
	for _, line := range done {
		stamp, what, _ := strings.Cut(line, " ")
		at, err := time.ParseDuration(stamp)
		if err != nil {
			t.Fatal(err)
		}
		if at-last > schema.PingInterval || at-lastReport > schema.StatusInterval {
			t.Fatalf("%v: silent before %s: %v", row, line, done)
		}
		if last = at; what == "report" {
			lastReport = at
		}
	}
}

func TestHeartbeatBounds(t *testing.T) {
	for ms, want := range map[int64]time.Duration{
		-1: schema.PingInterval, 0: schema.PingInterval, 1: minInterval, 99: minInterval, 100: minInterval,
		101: 101 * time.Millisecond, 3_600_000: time.Hour, 3_600_001: time.Hour, 1 << 62: time.Hour,
	} {
		if got := interval(ms, schema.PingInterval); got != want {
			t.Errorf("interval(%d) = %v, want %v", ms, got, want)
		}
	}
}
