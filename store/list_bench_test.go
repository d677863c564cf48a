package store

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
	"modernc.org/sqlite"
)

// bigFleet is a store of 100,000 devices. Of each thousand, one is what a filter
// of the benchmarks asks for, and all such are in group "few"; every device is
// in group "all".
func bigFleet(b *testing.B) *Store {
	b.Helper()
	const devices, at = 100_000, 500
	s := open(b, Options{})
	addGroup(b, s, "all", "few", "more")
	for first := 0; first < devices; first += at {
		var some []schema.NewDevice
		for n := first; n < first+at; n++ {
			d := device(fmt.Sprintf("%06d", n))
			if d.Name = fmt.Sprintf("Press %d in hall %d", n, n/1000); n%1000 == 500 {
				d.Name, d.Type, d.Hardware.Model = fmt.Sprintf("Drill %d", n), "drill", "ModelC"
			}
			some = append(some, schema.NewDevice{Device: d, PasswordHash: "sha256:00"})
		}
		_, err := s.AddDevices(b.Context(), some, "key:test")
		must(b, err)
	}
	for _, text := range []string{
		"INSERT INTO relations (device_id, group_id, created_time) SELECT device_id, 'all', 0 FROM devices",
		"INSERT INTO relations (device_id, group_id, created_time) SELECT device_id, 'few', 0 FROM devices WHERE type = 'drill'",
		"INSERT INTO relations (device_id, group_id, created_time) SELECT device_id, 'more', 0 FROM devices WHERE device_id LIKE '%7'",
		"UPDATE devices SET state = 'Unknown' WHERE type = 'drill'",
	} {
		_, err := s.engine.steps.ExecContext(b.Context(), text)
		must(b, err)
	}
	if !s.engine.local { // as it does by itself, in time
		admin(b, "ANALYZE")
	}
	return s
}

// BenchmarkDeviceQueryAll is a page of 100 among 100,000 devices, for each
// filter, of which few or all devices are. What a page reads is told beside it:
// rows that PostgreSQL's plan went through, or pages of SQLite's cache.
func BenchmarkDeviceQueryAll(b *testing.B) {
	some := func(groups ...string) schema.Scope { return schema.Scope{Groups: groups} }
	eachBench(b, func(b *testing.B) {
		s := bigFleet(b)
		for _, c := range []struct {
			name   string
			scope  schema.Scope
			filter schema.DeviceFilter
		}{
			{"none", all, schema.DeviceFilter{}},
			{"state=rare", all, schema.DeviceFilter{State: schema.Unknown}},
			{"state=common", all, schema.DeviceFilter{State: schema.Offline}},
			{"type=rare", all, schema.DeviceFilter{Type: "drill"}},
			{"model=rare", all, schema.DeviceFilter{Model: "ModelC"}},
			{"sn", all, schema.DeviceFilter{SN: "SN099999"}},
			{"group=few", all, schema.DeviceFilter{GroupID: "few"}},
			{"group=all", all, schema.DeviceFilter{GroupID: "all"}},
			{"name=rare", all, schema.DeviceFilter{Name: "hall 99"}},
			{"name=none", all, schema.DeviceFilter{Name: "nowhere"}},
			{"name=common", all, schema.DeviceFilter{Name: "press"}},
			{"scope=few", some("few"), schema.DeviceFilter{}},
			{"scope=two", some("few", "more"), schema.DeviceFilter{}},
			{"scope=all,state=rare", some("all", "few"), schema.DeviceFilter{State: schema.Unknown}},
			{"scope=few,name=none", some("few"), schema.DeviceFilter{Name: "nowhere"}},
			{"scope=few,group=all", some("few", "all"), schema.DeviceFilter{GroupID: "all"}},
			{"state=common,name=none", all, schema.DeviceFilter{State: schema.Offline, Name: "nowhere"}},
			{"state=rare,name=common", all, schema.DeviceFilter{State: schema.Unknown, Name: "l"}},
			{"state=common,name=rare", all, schema.DeviceFilter{State: schema.Offline, Name: "hall 99"}},
			{"type=common,name=none", all, schema.DeviceFilter{Type: "press", Name: "nowhere"}},
			{"model=common,name=none", all, schema.DeviceFilter{Model: "ModelB", Name: "nowhere"}},
			{"group=all,name=none", all, schema.DeviceFilter{GroupID: "all", Name: "nowhere"}},
			{"group=all,name=rare", all, schema.DeviceFilter{GroupID: "all", Name: "hall 99"}},
			{"group=few,name=common", all, schema.DeviceFilter{GroupID: "few", Name: "l"}},
			{"scope=all,name=none", some("all"), schema.DeviceFilter{Name: "nowhere"}},
			{"scope=two,name=none", some("all", "few"), schema.DeviceFilter{Name: "nowhere"}},
			{"group=all,state=common,name=none", all, schema.DeviceFilter{GroupID: "all", State: schema.Offline, Name: "nowhere"}},
			{"group=all,state=rare", all, schema.DeviceFilter{GroupID: "all", State: schema.Unknown}},
			{"everything=rare", some("few", "all"), schema.DeviceFilter{State: schema.Unknown, Type: "drill", Model: "ModelC", GroupID: "all", Name: "drill"}},
		} {
			b.Run(c.name, func(b *testing.B) {
				shown, best := 0, time.Hour
				for range b.N {
					began := time.Now()
					l, err := s.ListDevices(b.Context(), c.scope, c.filter, schema.Page{Limit: 100})
					must(b, err)
					shown, best = len(l.Items), min(best, time.Since(began))
				}
				b.ReportMetric(float64(best.Microseconds())/1000, "best-ms") // of a busy machine's
				b.ReportMetric(float64(shown), "shown")
				at, err := placeOf(reader{b.Context(), s.engine}, c.filter.Name)
				must(b, err)
				q, id := listed(c.scope, c.filter, at, deviceColumns)
				must(b, order{kind: 'd', id: id}.after(q, ""))
				q.add(" LIMIT ?", 101)
				if s.engine.local {
					b.ReportMetric(float64(pagesRead(b, s, q)), "pages")
				} else {
					b.ReportMetric(float64(rowsRead(b, s, q)), "rows")
				}
			})
		}
	})
}

// pagesRead is how often a query asks SQLite for a page of 4 KiB.
func pagesRead(b *testing.B, s *Store, q *query) (pages int) {
	conn, err := s.engine.read.Conn(b.Context())
	must(b, err)
	defer func() { must(b, conn.Close()) }()
	count := func() (n int) {
		must(b, conn.Raw(func(c any) error {
			for _, op := range []sqlite.DBStatusOp{sqlite.DBStatusCacheHit, sqlite.DBStatusCacheMiss} {
				now, _, err := c.(sqlite.DBStatus).Status(op, false)
				if n += now; err != nil {
					return err
				}
			}
			return nil
		}))
		return n
	}
	before := count()
	rows, err := conn.QueryContext(b.Context(), q.text.String(), q.args...)
	_, err = collect(rows, err, plainDevice)
	must(b, err)
	return count() - before
}

var planned = regexp.MustCompile(`(?:actual.*rows=([0-9.]+) loops=([0-9]+)|Rows Removed by .*: ([0-9]+))`)

// rowsRead sums what the scans of PostgreSQL's plan found, and threw away.
func rowsRead(b *testing.B, s *Store, q *query) (sum float64) {
	lines := plan(b, s.engine.read, "EXPLAIN (ANALYZE, COSTS OFF) "+q.text.String(), q.args)
	loops := 1.0
	for _, line := range lines {
		found := planned.FindStringSubmatch(line)
		switch {
		case found == nil:
		case found[3] != "":
			n, _ := strconv.ParseFloat(found[3], 64)
			sum += n * loops
		default:
			n, _ := strconv.ParseFloat(found[1], 64)
			loops, _ = strconv.ParseFloat(found[2], 64)
			if isScan.MatchString(line) {
				sum += n * loops
			}
		}
	}
	return sum
}

var isScan = regexp.MustCompile(` Scan `)

func plan(b *testing.B, db *sql.DB, text string, args []any) []string {
	rows, err := db.QueryContext(context.Background(), text, args...)
	lines, err := collect(rows, err, func(r scanner) (line string, err error) { return line, r.Scan(&line) })
	must(b, err)
	return lines
}
