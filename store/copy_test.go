package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/store/pgtest"
)

// eachPair runs a test from every engine to every engine.
func eachPair(t *testing.T, test func(t *testing.T, from, to string)) {
	for _, from := range engines {
		for _, to := range engines {
			t.Run(from+" to "+to, func(t *testing.T) { test(t, databaseOf(t, from), databaseOf(t, to)) })
		}
	}
}

// databaseOf is the URL of an empty database of an engine.
func databaseOf(t testing.TB, engine string) string {
	t.Helper()
	if engine == "sqlite" {
		return sqliteURL(t)
	}
	url, err := postgres(t).Schema(t.Context())
	must(t, err)
	return url
}

// fill makes a database with something in every column, and closes it.
func fill(t testing.TB, url string) {
	t.Helper()
	s := openAt(t, seeded(t, url), Options{})
	_, err := s.ClaimNode(t.Context(), "tether-1", start)
	must(t, err)
	addDevice(t, s, "1", "2", "3")
	fleetOf(t, s, 1000, 1000+namesPage)
	addGroup(t, s, "g")
	must(t, s.AddRelation(t.Context(), all, "1", "g", start))
	must(t, s.AddKey(t.Context(), schema.Key{KeyID: "k", Name: "Schlüssel", Role: schema.Admin, CreatedTime: start}, "sha256:k"))
	claim(t, s, claimOf("1", 1))
	claim(t, s, claimOf("1", 2))
	must(t, begin(s, intentOf("o", "1", 2)))
	_, err = end(s, schema.Outcome{OrderID: "o", DeviceID: "1", Epoch: 2, State: schema.OrderSucceeded, Data: schema.RawObject(`{"é":"\u0000 🛰"}`), Now: start + 200})
	must(t, err)
	must(t, begin(s, intentOf("p", "1", 2)))
	addJob(t, s, jobOf("j", ofGroupG))
	must(t, s.AddKeySession(t.Context(), loginOf("k", "sha256:l", "", 0)))
	s.Audit(schema.Audit{AuditID: "a", Time: start, By: "key:Schlüssel", KeyID: "k", Address: "::1", Service: "group_add", Status: 201})
	s.Sample(sampled("1", 0, 0.1))
	s.Record(note("2", 1))
	flushed(t, s)
	odd(t, s)
	must(t, s.Close())
}

// odd writes values that engines are known to differ in, behind the store's back.
func odd(t testing.TB, s *Store) {
	t.Helper()
	exec := func(text string, args ...any) {
		_, err := s.engine.write.ExecContext(t.Context(), text, args...)
		must(t, err)
	}
	const text = "' \" \\ $1 \t\r\n e\u0301 é \ufeff 𝄞 \U0010ffff  "
	exec("INSERT INTO logfiles (order_id, device_id, bytes, sha256, created_time) VALUES ($1, $2, $3, $4, $5)",
		text, "", int64(math.MaxInt64), "", int64(math.MinInt64))
	for i, f := range []any{0.1, math.MaxFloat64, math.SmallestNonzeroFloat64, 1.0, float64(1<<53) + 2, math.Copysign(0, -1), nil} {
		exec("INSERT INTO status_history (device_id, at, status, cpu_user) VALUES ($1, $2, $3, $4)", "odd", int64(i), `{"a": 1.0,  "b":1e2}`, f)
	}
	for i, verified := range []any{true, false, nil} {
		exec(`INSERT INTO orders (order_id, device_id, name, is_inner, params, state, verified, actor, created_time, due_time)
			VALUES ($1, '1', 'x', $2, '', 'failed', $3, '', 0, 0)`, fmt.Sprint("odd", i), i == 0, verified)
	}
}

// copyOf is what became of a table.
func copyOf(t testing.TB, tables []TableCopy, name string) TableCopy {
	t.Helper()
	i := slices.IndexFunc(tables, func(c TableCopy) bool { return c.Table == name })
	if i < 0 {
		t.Fatalf("%s was not copied", name)
	}
	return tables[i]
}

// contents are all rows of a database, as Copy reads them, by table.
func contents(t testing.TB, url string) map[string][]string {
	t.Helper()
	db, err := openSource(url)
	must(t, err)
	defer func() { must(t, db.Close()) }()
	side, err := db.BeginTx(t.Context(), oneInstant)
	must(t, err)
	defer func() { must(t, side.Rollback()) }()
	found := map[string][]string{}
	for _, table := range copiedTables {
		rows, err := openStream(t.Context(), side, table, func(int64) {})
		must(t, err)
		for rows.Next() {
			found[table.name] = append(found[table.name], fmt.Sprintf("%#v", rows.row))
		}
		must(t, rows.close())
		slices.Sort(found[table.name])
	}
	return found
}

func sameContents(t testing.TB, from, to string) {
	t.Helper()
	a, b := contents(t, from), contents(t, to)
	for _, table := range copiedTables {
		if !slices.Equal(a[table.name], b[table.name]) {
			t.Errorf("%s:\n%q\nand:\n%q", table.name, a[table.name], b[table.name])
		}
	}
}

// Every value of every table is the same on the other side, and the store goes
// on there: numbers without gap, the same token, the same order under way.
func TestCopy_EveryValueSurvives(t *testing.T) {
	eachPair(t, func(t *testing.T, from, to string) {
		fill(t, from)
		var last CopyProgress
		tables, err := Copy(t.Context(), from, to, func(p CopyProgress) { last = p })
		must(t, err)
		equal(t, "progress", last, CopyProgress{Checking: true, Table: "job_devices", Done: last.Of, Of: last.Of})
		equal(t, "tables", len(tables), len(copiedTables))
		for _, c := range tables {
			if c.Source != c.Target || c.Source.Rows == 0 {
				t.Errorf("%+v", c)
			}
		}
		sameContents(t, from, to)
		s := openURL(t, to, Options{})
		claim(t, s, claimOf("1", 3))
		events := log(t, s, "1")
		for i, e := range events {
			equal(t, "seq", e.Seq, int64(i+1))
		}
		var highest int64
		must(t, s.engine.read.QueryRowContext(t.Context(), "SELECT MAX(pos) FROM events").Scan(&highest))
		equal(t, "pos", events[len(events)-1].Pos, highest)
	})
}

// The list of Copy has every table and column that the migrations make.
func TestCopy_ForgetsNothing(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		text := "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
		if engineOf(t) == "sqlite" {
			text = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
		}
		rows, err := s.engine.read.QueryContext(t.Context(), text)
		made, err := collect(rows, err, func(r scanner) (name string, err error) { return name, r.Scan(&name) })
		must(t, err)
		listed := []string{"goose_db_version"}
		for _, table := range copiedTables {
			listed = append(listed, table.name)
			got := table.names()
			want := columnsOf(t, s.engine.read, table.name)
			slices.Sort(got)
			slices.Sort(want)
			equal(t, table.name, strings.Join(got, " "), strings.Join(want, " "))
		}
		slices.Sort(made)
		slices.Sort(listed)
		equal(t, "tables", strings.Join(listed, " "), strings.Join(made, " "))
	})
}

func columnsOf(t testing.TB, db *sql.DB, table string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT * FROM "+table)
	must(t, err)
	defer func() { must(t, rows.Close()) }()
	names, err := rows.Columns()
	must(t, err)
	return names
}

// What a service that has never run would find is copied as well, and the copy
// is still a place for a service that has never run.
func TestCopy_EmptySource(t *testing.T) {
	eachPair(t, func(t *testing.T, from, to string) {
		must(t, openAt(t, seeded(t, from), Options{}).Close())
		for range 2 { // the target of the first is still empty
			tables, err := Copy(t.Context(), from, to, nil)
			must(t, err)
			for _, c := range tables {
				equal(t, c.Table, c.Target.Rows, map[string]int64{"counters": 4}[c.Table])
			}
		}
		addDevice(t, openURL(t, to, Options{}), "1")
	})
}

// Progress is told after every tellRows rows, and at the end: nothing is lost, or
// counted twice, on either side of that.
func TestCopy_Progress(t *testing.T) {
	each(t, func(t *testing.T) {
		from := newDatabase(t)
		s := openAt(t, from, Options{})
		addDevice(t, s, "1")
		for n := 2; n <= 2*tellRows; n++ { // event 1 is the device's first
			s.Record(note("1", n))
			if n < tellRows-1 || n > tellRows+1 && n < 2*tellRows {
				continue
			}
			flushed(t, s)
			to := newDatabase(t)
			var last CopyProgress
			tables, err := Copy(t.Context(), from, to, func(p CopyProgress) { last = p })
			must(t, err)
			equal(t, "progress", last.Done, last.Of)
			events := copyOf(t, tables, "events")
			equal(t, "events", events.Target, events.Source)
			equal(t, "rows", events.Source.Rows, int64(n))
		}
		must(t, s.Close())
	})
}

// A target with anything in it is left as it is.
func TestCopy_TargetNotEmpty(t *testing.T) {
	eachPair(t, func(t *testing.T, from, to string) {
		fill(t, from)
		s := openAt(t, to, Options{})
		must(t, s.AddKey(t.Context(), schema.Key{KeyID: "k", Role: schema.Admin}, "sha256:other"))
		must(t, s.Close())
		before := contents(t, to)
		_, err := Copy(t.Context(), from, to, nil)
		if !errors.Is(err, ErrNotEmpty) || !strings.Contains(err.Error(), "api_keys has rows") || !strings.Contains(err.Error(), "drop") {
			t.Error(err)
		}
		equal(t, "target", fmt.Sprint(contents(t, to)), fmt.Sprint(before))
	})
}

// A PostgreSQL that a server is using is not copied, until that one has ended.
func TestCopy_SourceInUse(t *testing.T) {
	from, _ := postgresURL(t)
	to := sqliteURL(t)
	s := claimName(t, from)
	if _, err := Copy(t.Context(), from, to, nil); err == nil || !strings.Contains(err.Error(), `in use by the server "n": stop that one first`) {
		t.Error(err)
	}
	must(t, s.Close())
	_, err := Copy(t.Context(), from, to, nil)
	must(t, err)
}

// A source that is no database of this program's form leaves the target alone.
func TestCopy_SourceThatIsNone(t *testing.T) {
	each(t, func(t *testing.T) {
		to := newDatabase(t)
		older := newDatabase(t)
		s := openAt(t, older, Options{})
		must(t, s.MigrateDown(t.Context()))
		must(t, s.Close())
		for from, want := range map[string]string{
			"sqlite:" + filepath.Join(t.TempDir(), "missing.db"): "no such file",
			"postgres:///x?host=" + t.TempDir():                  "failed to connect",
			"mysql://x":                                          errURL.Error(),
			newDatabase(t):                                       "",
			older:                                                "tether migrate",
			to:                                                   "are the same",
		} {
			if _, err := Copy(t.Context(), from, to, nil); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", from, err)
			}
		}
		if _, err := Copy(t.Context(), older, "mysql://x", nil); err == nil {
			t.Error("copied to nowhere")
		}
	})
}

// A copy that is cut off, wherever, leaves an empty target for the next one.
func TestCopy_CutOff(t *testing.T) {
	eachPair(t, func(t *testing.T, from, to string) {
		fill(t, from)
		for _, at := range []CopyProgress{{Table: "devices"}, {Table: "status_history"}, {Table: "events", Checking: true}} {
			ctx, cut := context.WithCancel(t.Context())
			_, err := Copy(ctx, from, to, func(p CopyProgress) {
				if p.Table == at.Table && p.Checking == at.Checking {
					cut()
				}
			})
			if cut(); err == nil {
				t.Errorf("%+v: copied", at)
			}
			equal(t, "devices", len(contents(t, to)["devices"]), 0)
		}
		_, err := Copy(t.Context(), from, to, nil)
		must(t, err)
		sameContents(t, from, to)
	})
}

// The same, of a server that is killed.
func TestCopy_TargetKilled(t *testing.T) {
	server, err := pgtest.Start("fsync=on")
	must(t, err)
	defer func() { must(t, server.Close()) }()
	from, to := sqliteURL(t), server.URL("")
	fill(t, from)
	_, err = Copy(t.Context(), from, to, func(p CopyProgress) {
		if p.Table == "events" && !p.Checking {
			must(t, server.Crash())
		}
	})
	must(t, server.Resume())
	if err != nil { // else the copy's own process outlived the postmaster, and has committed
		_, err = Copy(t.Context(), from, to, nil)
	}
	must(t, err)
	sameContents(t, from, to)
}

// A target that changes what it is given is found out, named and left empty.
func TestCopy_TellsWhatDiffers(t *testing.T) {
	each(t, func(t *testing.T) {
		from, to := newDatabase(t), newDatabase(t)
		fill(t, from)
		s := openAt(t, to, Options{})
		triggers := []string{"CREATE TRIGGER bend AFTER INSERT ON group_info BEGIN UPDATE group_info SET name = name || '!'; END"}
		if engineOf(t) == "postgres" {
			triggers = []string{
				"CREATE FUNCTION bend() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name = NEW.name || ''!''; RETURN NEW; END'",
				"CREATE TRIGGER bend BEFORE INSERT ON group_info FOR EACH ROW EXECUTE FUNCTION bend()",
			}
		}
		for _, text := range triggers {
			_, err := s.engine.write.ExecContext(t.Context(), text)
			must(t, err)
		}
		must(t, s.Close())
		tables, err := Copy(t.Context(), from, to, nil)
		if !errors.Is(err, ErrCopyDiffers) || !strings.Contains(err.Error(), "table group_info") {
			t.Fatal(err)
		}
		for _, c := range tables {
			equal(t, c.Table+" is the same", c.Source == c.Target, c.Table != "group_info")
			equal(t, c.Table, c.Source.Rows, c.Target.Rows)
		}
		equal(t, "devices", len(contents(t, to)["devices"]), 0)
	})
}

// What is written after the beginning is not in the copy, not even in part.
func TestCopy_OneInstant(t *testing.T) {
	each(t, func(t *testing.T) {
		from, to := newDatabase(t), newDatabase(t)
		fill(t, from)
		before := contents(t, from)
		s := openURL(t, from, Options{})
		n := 10
		_, err := Copy(t.Context(), from, to, func(p CopyProgress) {
			n++
			addDevice(t, s, fmt.Sprint(n))
		})
		must(t, err)
		equal(t, "target", fmt.Sprint(contents(t, to)), fmt.Sprint(before))
	})
}

func TestDigest(t *testing.T) {
	sum := func(rows ...[]any) (d Digest) {
		for _, row := range rows {
			d.add(appendRow(nil, row))
		}
		return d
	}
	a, b := []any{"a", int64(1)}, []any{"b", nil}
	equal(t, "order", sum(a, b), sum(b, a))
	seen := map[Digest]string{}
	for _, rows := range [][][]any{
		{}, {a}, {b}, {a, b}, {a, a}, {b, b}, {{"ab", "c"}}, {{"a", "bc"}}, {{"abc"}}, {{""}}, {{nil}}, {{int64(0)}}, {{0.0}}, {{false}},
		{{true}}, {{int64(1)}}, {{1.0}}, {{"1"}}, {{0.1}}, {{"", nil}}, {{nil, ""}},
	} {
		d := sum(rows...)
		if other, there := seen[d]; there {
			t.Errorf("%v is taken for %s", rows, other)
		}
		seen[d] = fmt.Sprint(rows)
	}
	equal(t, "text", sum().String(), strings.Repeat("0", 64))
}

// BenchmarkCopy copies a fleet with ten events a device from SQLite.
func BenchmarkCopy(b *testing.B) {
	const devices, events = 10_000, 100_000
	from := sqliteURL(b)
	s := openAt(b, from, Options{})
	for n := 0; n < devices; n += 1000 {
		added := make([]schema.NewDevice, 1000)
		for i := range added {
			added[i] = schema.NewDevice{Device: device(fmt.Sprint(n + i)), PasswordHash: "sha256:00"}
		}
		_, err := s.AddDevices(b.Context(), added, "key:test")
		must(b, err)
	}
	for n := range events - devices {
		if s.Record(note(fmt.Sprint(n%devices), n)); n%1000 == 0 {
			flushed(b, s)
		}
	}
	flushed(b, s)
	must(b, s.Close())
	eachBench(b, func(b *testing.B) {
		for b.Loop() {
			_, err := Copy(b.Context(), from, newDatabase(b), nil)
			must(b, err)
		}
		b.ReportMetric(float64(b.N)*(events+2*devices)/b.Elapsed().Seconds(), "rows/s")
	})
}
