package sim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// Report is what a run has seen. Counts by name are empty where there is nothing.
type Report struct {
	Devices   int     `json:"devices"`
	Mode      Mode    `json:"mode"`
	Seconds   float64 `json:"seconds"`
	Connected int64   `json:"connected"` // at the end
	Arrived   int64   `json:"arrived"`   // logged in at least once
	Stopped   int64   `json:"stopped"`   // by the server, for good

	Logins       map[string]int64 `json:"logins"` // by form: password, bcrypt, token
	ArrivalTime  float64          `json:"arrival_s"`
	LoginsPerSec float64          `json:"arrivals_per_s"`
	LoginTime    Latency          `json:"login"` // from the dial to the reply
	Failures     map[string]int64 `json:"attempts_failed"`

	// FalseDisconnects ended while the device behaved, by close code and reason.
	FalseDisconnects map[string]int64 `json:"false_disconnects"`
	ByFault          int64            `json:"disconnects_by_fault"`
	Reconnects       Latency          `json:"reconnects"` // from the loss to the login, with the wait between
	Missed           int64            `json:"missed_replies"`
	Garbled          int64            `json:"garbled_messages"`
	Unknown          map[string]int64 `json:"unknown"`
	Unwatched        string           `json:"unwatched,omitzero"` // why Unknown was not counted
	StreamsLost      int64            `json:"event_streams_lost"` // each was resumed where it was

	Pings   Latency `json:"pings"` // of lean devices; the library does not tell
	Reports Latency `json:"reports"`

	Orders       map[string]int64 `json:"orders"` // by outcome
	OrdersPerSec float64          `json:"orders_per_s"`
	OrderTime    Latency          `json:"order"`       // from when it was due
	CarriedOut   int64            `json:"carried_out"` // by the devices
	GroupOrder   *GroupOrder      `json:"group_order,omitzero"`

	Herd        *Herd            `json:"herd,omitzero"`
	WrongLogins map[string]int64 `json:"wrong_logins"`

	Server *Usage `json:"server,omitzero"`
	Own    *Usage `json:"simulator,omitzero"`
	// Late is by how much the simulator was late with what it had to do: if it is
	// long, so are all latencies here, and the server is not the cause.
	Late Latency `json:"simulator_late"`
}

// finish fills the report in, while the devices are still connected.
func (s *simulation) finish() {
	r, st := s.report, &s.stats
	r.Devices, r.Mode = len(s.members), s.options.Mode
	r.Seconds = time.Since(s.began).Seconds()
	r.Connected, r.Arrived, r.Stopped = st.online.Load(), st.arrived.Load(), int64(r.Devices)-s.live.Load()
	r.Logins, r.LoginTime, r.Failures = st.logins.all(), st.login.Latency(), st.failures.all()
	if last := st.last.Load(); last > 0 {
		r.ArrivalTime = moment(last).since(moment(st.first.Load())).Seconds()
		r.LoginsPerSec = float64(r.Arrived) / max(r.ArrivalTime, 0.001)
	}
	r.FalseDisconnects, r.ByFault, r.Reconnects = st.lost.all(), st.hurt.Load(), st.back.Latency()
	r.Missed, r.Garbled, r.Unknown = st.missed.Load(), st.garbled.Load(), st.unknown.all()
	r.StreamsLost = st.streams.Load()
	if why := st.unwatched.Load(); why != nil {
		r.Unwatched = *why
	}
	r.Pings, r.Reports = st.ping.Latency(), st.report.Latency()
	r.Orders, r.OrderTime, r.CarriedOut = st.orders.all(), st.order.Latency(), st.given.Load()
	r.Herd, r.WrongLogins, r.Late = s.faults.herd, st.wrong.all(), s.clock.late.Latency()
	if s.loaded > 0 {
		r.OrdersPerSec = float64(sum(r.Orders)) / s.loaded.Seconds()
	}
	for _, u := range []*Usage{r.Server, r.Own} {
		if u != nil {
			u.sum(r.Devices)
		}
	}
}

// Failure is why a run does not pass, and empty if it does: a connection was lost
// though its device behaved, a device never logged in, a wrong secret was
// taken, or a ping's p99 was over the most that was allowed (0: any).
func (r *Report) Failure(maxP99 time.Duration) string {
	lost := sum(r.FalseDisconnects)
	switch {
	case r.WrongLogins[wrongAccepted] > 0:
		return fmt.Sprintf("%d logins with a wrong secret were accepted", r.WrongLogins[wrongAccepted])
	case lost > 0:
		return fmt.Sprintf("%d false disconnects", lost)
	case r.Arrived < int64(r.Devices):
		return fmt.Sprintf("%d devices never logged in", int64(r.Devices)-r.Arrived)
	case maxP99 > 0 && r.Pings.Count == 0:
		return "--max-p99: no ping was timed; the library's are not: --mode lean"
	case maxP99 > 0 && r.Pings.P99 > millis(maxP99):
		return fmt.Sprintf("the p99 of pings is %.1f ms, over %v", r.Pings.P99, maxP99)
	}
	return ""
}

func sum(counts map[string]int64) (n int64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// WriteJSON writes the report for programs.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	t := &table{w: w}
	t.row("devices", "%d, %s; %d connected after %.1f s", r.Devices, r.Mode, r.Connected, r.Seconds)
	if r.Stopped > 0 {
		t.row("", "%d were told by the server to stop", r.Stopped)
	}
	t.row("logins", "%s", r.LoginTime)
	t.row("", "the first of each in %.1f s, %.0f a second", r.ArrivalTime, r.LoginsPerSec)
	t.counts(r.Logins)
	t.row("attempts failed", "%d", sum(r.Failures))
	t.counts(r.Failures)
	t.row("false disconnects", "%d", sum(r.FalseDisconnects))
	t.counts(r.FalseDisconnects)
	t.row("ended by faults", "%d", r.ByFault)
	t.row("reconnects", "%s", r.Reconnects)
	if r.Herd != nil {
		t.row("herd", "%s", r.Herd)
	}
	t.row("missed replies", "%d; garbled messages %d", r.Missed, r.Garbled)
	t.unknown(r)
	if r.Mode == Lean {
		t.row("pings", "%s", r.Pings)
		t.row("reports", "%s", r.Reports)
	}
	if len(r.Orders) > 0 {
		t.row("orders", "%d, %.1f a second; carried out %s", sum(r.Orders), r.OrdersPerSec, r.OrderTime)
		t.counts(r.Orders)
	}
	if g := r.GroupOrder; g != nil {
		t.row("order to the group", "%s after %.1f s, job %s", g.State, g.Seconds, g.JobID)
		t.counts(g.Counts)
	}
	if len(r.WrongLogins) > 0 {
		t.row("wrong logins", "%d", sum(r.WrongLogins))
		t.counts(r.WrongLogins)
	}
	t.usage("server", r.Server)
	t.usage("simulator", r.Own)
	if r.Mode == Lean {
		t.row("", "late by: %s", r.Late)
	}
	return t.err
}

// String says when all were back.
func (h *Herd) String() string {
	if h.Seconds == 0 {
		return fmt.Sprintf("%d dropped at once, not all back at the end", h.Dropped)
	}
	return fmt.Sprintf("%d dropped at once, all back after %.1f s", h.Dropped, h.Seconds)
}

// String is a latency in words, after how many there were.
func (l Latency) String() string {
	if l.Count == 0 {
		return "0"
	}
	return fmt.Sprintf("%d: p50 %s, p99 %s, p99.9 %s, max %s", l.Count, duration(l.P50), duration(l.P99), duration(l.P999), duration(l.Max))
}

// duration of milliseconds, with what digits tell something.
func duration(ms float64) string {
	d := time.Duration(ms * float64(time.Millisecond))
	switch {
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// table writes rows until one fails.
type table struct {
	w   io.Writer
	err error
}

func (t *table) row(name, format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, "%-20s%s\n", name, fmt.Sprintf(format, args...))
	}
}

// counts are one below the other, the most frequent first.
func (t *table) counts(counts map[string]int64) {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	for _, name := range names {
		t.row("", "%8d  %s", counts[name], name)
	}
}

func (t *table) unknown(r *Report) {
	switch {
	case r.Unwatched != "":
		t.row("Unknown seen", "not counted: %s", r.Unwatched)
	case r.StreamsLost > 0:
		t.row("Unknown seen", "%d; the stream of events was lost %d times", sum(r.Unknown), r.StreamsLost)
	default:
		t.row("Unknown seen", "%d", sum(r.Unknown))
	}
	t.counts(r.Unknown)
}

func (t *table) usage(who string, u *Usage) {
	if u == nil {
		return
	}
	t.row(who, "%.2f cores; memory %s at the start, %s at the end, %.1f KiB a device", u.Cores, mib(u.Start.RSS), mib(u.End.RSS), float64(u.PerDevice)/1024)
	if u.End.Threads > 0 {
		t.row("", "peak %s, %d threads, %d open files", mib(u.End.Peak), u.End.Threads, u.End.Files)
	}
}

func mib(bytes int64) string { return fmt.Sprintf("%d MiB", bytes>>20) }
