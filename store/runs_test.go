package store

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
)

// Changes are cut apart only where their order matters: "a1 a2 b1" are three
// changes, the first two of which share an "a"; "!" is one by itself.
func TestRuns_CutWhereOrderMatters(t *testing.T) {
	for batch, want := range map[string]string{
		"":                            "",
		"a b c":                       "a b c",
		"a b a c b a":                 "a b c|a b|a",
		"a ax x b":                    "a b|ax|x",
		"ax bx":                       "ax|bx",
		"a ! a b":                     "a|!|a b",
		"! ! a":                       "!|!|a",
		"a a a b b ! b":               "a b|a b|a|!|b",
		"_ a _ a _ ! _":               "_ a _ _|a|!|_",
		strings.Repeat("a b c d ", 2): "a b c d|a b c d",
	} {
		var pieces []string // what joined each run
		of := map[*run]int{}
		var ops []*op
		for _, name := range strings.Fields(batch) {
			o := &op{apply: func(*tx) error { return nil }}
			if name != "!" {
				o = &op{touches: strings.Split(strings.Trim(name, "_"), ""), join: func(r *run, _ *result) {
					if _, seen := of[r]; !seen {
						of[r] = len(of)
					}
					r.told = append(r.told, []any{name})
				}}
			}
			ops = append(ops, o)
		}
		all, _ := runs(ops)
		for _, r := range all {
			var names []string
			if r.alone != nil {
				names = append(names, "!")
			}
			for _, row := range r.told {
				names = append(names, row[0].(string))
			}
			pieces = append(pieces, strings.Join(names, " "))
		}
		equal(t, batch, strings.Join(pieces, "|"), want)
	}
}

// step is a change as a test submits it; told gets its answer, if it has one.
type step func(s *Store, told func(any, error))

// together submits steps while the writer is held up, so that they are one
// batch; apart has each wait for the commit of the one before. Both return what
// each was told.
func together(t *testing.T, s *Store, steps []step) []string {
	t.Helper()
	release := blocked(s)
	defer release()
	answers := make([]string, len(steps))
	for i, submit := range steps {
		submit(s, answerInto(&answers[i]))
	}
	release()
	flushed(t, s)
	return answers
}

func apart(t *testing.T, s *Store, steps []step) []string {
	t.Helper()
	answers := make([]string, len(steps))
	for i, submit := range steps {
		submit(s, answerInto(&answers[i]))
		flushed(t, s)
	}
	return answers
}

// sameRows compares everyRow of two stores.
func sameRows(t *testing.T, what string, s, model *Store) {
	t.Helper()
	got, want := everyRow(t, s), everyRow(t, model)
	for i := range min(len(got), len(want)) {
		equal(t, what, got[i], want[i])
	}
	equal(t, what, len(got), len(want))
}

// answerInto keeps all that an answer says.
func answerInto(text *string) func(any, error) {
	return func(v any, err error) {
		value, bad := jsonText(v)
		public, worse := jsonText(schema.Public(err))
		*text = fmt.Sprint(value, " ", err, " ", public, bad, worse)
	}
}

func beginStep(in schema.Intent) step {
	return func(s *Store, told func(any, error)) { s.BeginOrder(in, func(err error) { told(nil, err) }) }
}

func endStep(out schema.Outcome) step {
	return func(s *Store, told func(any, error)) {
		s.EndOrder(out, func(o schema.Order, err error) { told(o, err) })
	}
}

func claimStep(c schema.Claim) step {
	return func(s *Store, told func(any, error)) {
		claimed := new(schema.Claimed)
		o := claimOp(context.Background(), c, claimed)
		o.done = func(err error) { told(claimed, err) }
		s.writer.submit(o)
	}
}

func recordStep(e schema.Event) step   { return func(s *Store, _ func(any, error)) { s.Record(e) } }
func sampleStep(m schema.Sample) step  { return func(s *Store, _ func(any, error)) { s.Sample(m) } }
func toldStep(id string, v int64) step { return func(s *Store, _ func(any, error)) { s.Told(id, v) } }

// presenceStep goes past the set of what sessions say, which keeps the last word alone.
func presenceStep(p schema.Presence) step {
	return func(s *Store, _ func(any, error)) { s.writer.submit(presenceOp(&p)) }
}

// rareStep is a change by itself.
func rareStep(fn func(*tx) (any, error)) step {
	return func(s *Store, told func(any, error)) {
		var value any
		s.writer.submit(&op{
			apply: func(t *tx) error {
				return t.isolated(func() (err error) { value, err = fn(t); return err })
			},
			done: func(err error) { told(value, err) },
		})
	}
}

// everyRow is each row that changes may leave, as text.
func everyRow(t *testing.T, s *Store) (all []string) {
	t.Helper()
	for _, table := range []string{"devices", "orders", "events", "event_seq", "status_history"} {
		columns := columnsOf(t, s.engine.read, table)
		rows, err := s.engine.read.QueryContext(t.Context(), "SELECT * FROM "+table+" ORDER BY 1, 2")
		lines, err := collect(rows, err, func(r scanner) (string, error) {
			row, dest := make([]any, len(columns)), make([]any, len(columns))
			for i := range row {
				dest[i] = &row[i]
			}
			err := r.Scan(dest...)
			return fmt.Sprintf("%s %v", table, row), err
		})
		must(t, err)
		all = append(all, lines...)
	}
	return all
}

// chance makes changes that meet each other often.
type chance struct {
	*rand.Rand
	now    int64
	epochs map[string]int64
	orders []schema.Order
}

func (c *chance) step() step {
	c.now++
	id := fmt.Sprint(c.IntN(20))
	switch c.IntN(14) {
	case 0, 1, 2:
		return beginStep(c.intent(id))
	case 3, 4, 5:
		return endStep(c.outcome())
	case 6, 7:
		return presenceStep(schema.Presence{
			DeviceID: id, Epoch: c.epoch(id), State: oneOf(c, schema.Online, schema.Unknown, schema.Offline),
			Reason: oneOf(c, "liveness", "message"), LastSeen: c.now, Now: c.now,
		})
	case 8, 9:
		return claimStep(c.claim(id))
	case 10:
		return recordStep(note(id, int(c.now-start)))
	case 11:
		user := c.Float64()
		return sampleStep(schema.Sample{DeviceID: id, Time: start + c.Int64N(5), Status: schema.StatusInfo{CPU: &schema.CPUInfo{User: &user}}})
	case 12:
		return toldStep(id, c.Int64N(4))
	}
	return c.rare(id)
}

func (c *chance) intent(id string) schema.Intent {
	in := intentOf(fmt.Sprint("o", len(c.orders)), id, c.epoch(id))
	in.Order.CreatedTime, in.Due, in.BootID = c.now, c.now+50, oneOf(c, "boot-1", "boot-2")
	if c.IntN(3) == 0 {
		in.Order.Order = schema.OrderRestart
	}
	if c.IntN(5) == 0 && len(c.orders) > 0 {
		in.Order.OrderID = c.orders[c.IntN(len(c.orders))].OrderID
	}
	c.orders = append(c.orders, in.Order)
	return in
}

func (c *chance) outcome() schema.Outcome {
	out := schema.Outcome{
		OrderID: "none", DeviceID: "0", Now: c.now, Late: c.IntN(2) == 0, Message: oneOf(c, "", "done"), Reason: oneOf(c, "", "why"),
		State: oneOf(c, schema.OrderSucceeded, schema.OrderStateFail, schema.OrderStateLost, schema.OrderCancelled),
	}
	if n := len(c.orders); n > 0 {
		o := c.orders[max(0, n-1-c.IntN(10))]
		out.OrderID = o.OrderID
		if c.IntN(10) > 0 {
			out.DeviceID = o.DeviceID
		}
	}
	if c.IntN(2) == 0 {
		out.Data = schema.RawObject(`{"a":1}`)
	}
	return out
}

func (c *chance) claim(id string) schema.Claim {
	if c.IntN(4) > 0 {
		c.epochs[id]++
	}
	claim := claimOf(id, c.epochs[id])
	claim.Now, claim.BootID = c.now, oneOf(c, "boot-1", "boot-2", "")
	return claim
}

func (c *chance) rare(id string) step {
	now, name := c.now, fmt.Sprint("n", c.IntN(3))
	switch c.IntN(6) {
	case 0:
		return rareStep(func(t *tx) (any, error) { return nil, t.deleteDevice(all, id, "key:x", now) })
	case 1, 2:
		return rareStep(func(t *tx) (any, error) {
			return t.addDevices([]schema.NewDevice{{Device: device(id), PasswordHash: "h"}}, "key:x")
		})
	case 3:
		return rareStep(func(t *tx) (any, error) {
			return nil, t.settle(overdueSent, schema.OrderStateLost, schema.ReasonTimeout, now, now)
		})
	}
	return rareStep(func(t *tx) (any, error) {
		a, err := t.updateDevice(all, id, schema.DevicePatch{Name: &name}, "key:x", now)
		return a.device, err
	})
}

// epoch mostly is the one that owns the device.
func (c *chance) epoch(id string) int64 {
	if c.IntN(8) == 0 {
		return c.Int64N(3)
	}
	return c.epochs[id]
}

func oneOf[T any](c *chance, values ...T) T { return values[c.IntN(len(values))] }

// Whatever comes together: each change is told what it would have been told by
// itself, and leaves the rows that it would have left, in every log at the same place.
func TestRuns_AsIfOneByOne(t *testing.T) {
	each(t, func(t *testing.T) {
		seed := rand.Uint64()
		c := &chance{Rand: rand.New(rand.NewPCG(seed, 0)), now: start, epochs: map[string]int64{}}
		batched, single := open(t, Options{}), open(t, Options{})
		for id := range 15 { // of 20 that are spoken of
			addDevice(t, batched, fmt.Sprint(id))
			addDevice(t, single, fmt.Sprint(id))
		}
		for _, size := range []int{3, 30, 100, 10, 300} {
			steps := make([]step, size)
			for i := range steps {
				steps[i] = c.step()
			}
			got, want := together(t, batched, steps), apart(t, single, steps)
			for i := range steps {
				equal(t, fmt.Sprintf("seed %d: answer %d of %d", seed, i, size), got[i], want[i])
			}
			sameRows(t, fmt.Sprintf("seed %d: rows after %d", seed, size), batched, single)
		}
	})
}

// What a session and its neighbours do in one commit: an order ends and the
// next begins, and of two at once the second is told of the first.
func TestRuns_OneDeviceInOneBatch(t *testing.T) {
	each(t, func(t *testing.T) {
		s := ready(t)
		addDevice(t, s, "2")
		claim(t, s, claimOf("2", 1))
		outcome := func(id string) step {
			return endStep(schema.Outcome{OrderID: id, DeviceID: "1", State: schema.OrderSucceeded})
		}
		answers := together(t, s, []step{
			beginStep(intentOf("a", "1", 1)), outcome("a"),
			beginStep(intentOf("b", "1", 1)), beginStep(intentOf("c", "1", 1)), beginStep(intentOf("d", "2", 1)),
			outcome("c"), outcome("b"),
		})
		for i, want := range []string{"null <nil>", `"state":"succeeded"`, "null <nil>", `device_busy`, "null <nil>", "order_not_found", `"state":"succeeded"`} {
			if !strings.Contains(answers[i], want) {
				t.Errorf("answer %d: %s, want %s", i, answers[i], want)
			}
		}
		equal(t, "log", kinds(log(t, s, "1")), "update connect login order order_result order order_result ")
		equal(t, "log of 2", kinds(log(t, s, "2")), "update connect login order ")
	})
}

// A row that the database does not take spoils only itself, of whatever kind.
// Here that is the least of all numbers, of which an index wants the absolute,
// or a number that another device has.
func TestRuns_OneBadRowOfEachKind(t *testing.T) {
	each(t, func(t *testing.T) {
		given := 0
		s, model := open(t, Options{Log: func(string, error) { given++ }}), open(t, Options{})
		for _, c := range badOfEachKind {
			first, second, third := c.name+" 1", c.name+" 2", c.name+" 3"
			for _, s := range []*Store{s, model} {
				for _, id := range []string{first, second, third} {
					addDevice(t, s, id)
					claim(t, s, claimOf(id, 1))
					if c.name == "outcome" {
						must(t, begin(s, intentOf("old "+id, id, 1)))
					}
				}
				administer(t, s, "CREATE "+c.index)
			}
			good := []step{c.step(first, 1), c.step(third, 3)}
			answers := together(t, s, []step{good[0], c.step(second, c.bad), good[1]})
			want := apart(t, model, good)
			equal(t, c.name+": first", answers[0], want[0])
			equal(t, c.name+": last", answers[2], want[1])
			if answers[1] != "" && !strings.Contains(answers[1], `"internal error"`) {
				t.Errorf("%s: the bad one was told %s", c.name, answers[1])
			}
			sameRows(t, c.name, s, model)
			equal(t, c.name+": given up", given, 1)
			given = 0
			administer(t, s, "DROP INDEX bad")
			administer(t, model, "DROP INDEX bad")
		}
	})
}

func administer(t *testing.T, s *Store, text string) {
	t.Helper()
	_, err := write(t.Context(), s, func(t *tx) (int64, error) { return t.exec(text) })
	must(t, err)
}

var badOfEachKind = []struct {
	name, index string
	bad         int64
	step        func(id string, n int64) step
}{
	{"intent", "INDEX bad ON orders (abs(due_time))", math.MinInt64, func(id string, n int64) step {
		in := intentOf("new "+id, id, 1)
		in.Due = n
		return beginStep(in)
	}},
	{"outcome", "INDEX bad ON orders (abs(ended_time))", math.MinInt64, func(id string, n int64) step {
		return endStep(schema.Outcome{OrderID: "old " + id, DeviceID: id, State: schema.OrderSucceeded, Now: n})
	}},
	{"claim", "INDEX bad ON devices (abs(token_expires))", math.MinInt64, func(id string, n int64) step {
		c := claimOf(id, 2)
		c.TokenExpires = n
		return claimStep(c)
	}},
	{"presence", "INDEX bad ON devices (abs(last_seen_time))", math.MinInt64, func(id string, n int64) step {
		return presenceStep(schema.Presence{DeviceID: id, Epoch: 1, State: schema.Unknown, LastSeen: n})
	}},
	{"last seen", "INDEX bad ON devices (abs(last_seen_time))", math.MinInt64, func(id string, n int64) step {
		return presenceStep(schema.Presence{DeviceID: id, Epoch: 1, State: schema.Online, Reason: "login", LastSeen: n})
	}},
	{"told", "UNIQUE INDEX bad ON devices (told_version) WHERE told_version = 1", 1, func(id string, n int64) step {
		return toldStep(id, n)
	}},
	{"sample", "INDEX bad ON status_history (abs(at))", math.MinInt64, func(id string, n int64) step {
		return sampleStep(schema.Sample{DeviceID: id, Time: n})
	}},
	{"event", "INDEX bad ON events (abs(at))", math.MinInt64, func(id string, n int64) step {
		return recordStep(schema.Event{DeviceID: id, Kind: schema.EventLoginFailed, Time: n})
	}},
}

// A statement looks up each of its rows: none goes through a table.
func TestRuns_EachRowIsLookedUp(t *testing.T) {
	s := openURL(t, sqliteURL(t), Options{})
	c := &chance{Rand: rand.New(rand.NewPCG(1, 1)), now: start, epochs: map[string]int64{}}
	steps := make([]step, 300)
	for i := range steps {
		steps[i] = c.step()
	}
	together(t, s, steps)
	seen := 0
	for text := range s.writer.link.byText {
		if !strings.HasPrefix(text, "WITH given") {
			continue
		}
		seen++
		plan := planOf(t, s, text)
		for _, line := range plan {
			if strings.HasPrefix(line, "SCAN ") && !strings.Contains(line, "given") && !strings.Contains(line, "CONSTANT ROW") && !strings.Contains(line, "column") {
				t.Errorf("%s\n%s", text, strings.Join(plan, "\n"))
			}
		}
	}
	if seen < 6 {
		t.Fatalf("found %d statements only", seen)
	}
}

// planOf is how SQLite carries a statement out.
func planOf(t *testing.T, s *Store, text string) []string {
	t.Helper()
	rows, err := s.engine.read.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+unnamed(text), make([]any, strings.Count(text, "$"))...)
	plan, err := collect(rows, err, func(r scanner) (line string, err error) {
		var unused int
		return line, r.Scan(&unused, &unused, &unused, &line)
	})
	must(t, err)
	return plan
}

// What is swept often, or while all wait, reads an index of what it looks for,
// and not all that has ended or all devices.
func TestSweeps_Plans(t *testing.T) {
	s := openURL(t, sqliteURL(t), Options{})
	must(t, s.Settle(t.Context(), start, time.Second, schema.RestartWindow))
	must(t, s.ResetNode(t.Context(), schema.Node{}, start))
	plans := map[string]string{deletedReporters: strings.Join(planOf(t, s, deletedReporters), "\n")}
	for text := range s.writer.link.byText {
		plans[text] = strings.Join(planOf(t, s, text), "\n")
	}
	for of, index := range map[string]string{
		"verified IS NULL":            "SCAN orders USING INDEX orders_unverified",
		"owner_node = $1":             "SEARCH devices USING INDEX devices_state",
		"FROM reporter ":              "SEARCH h USING COVERING INDEX",
		"state = 'sent' AND due_time": "SEARCH orders USING INDEX orders_sent_due",
	} {
		found := false
		for text, plan := range plans {
			found = found || strings.Contains(text, of) && strings.Contains(plan, index)
		}
		if !found {
			t.Errorf("%s: not by %s", of, index)
		}
	}
}
