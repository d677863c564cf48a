package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
)

// BenchmarkEvents is events through the group commit; BenchmarkBareBatch is
// the same rows through database/sql in transactions of a full batch, without
// counters: what the engine gives at most. Compare the events/s.
func BenchmarkEvents(b *testing.B) {
	eachBench(b, func(b *testing.B) {
		done := make(chan struct{})
		s := open(b, Options{MaxPending: 1 << 30, OnCommit: closeAfter(b.N, done)})
		b.ResetTimer()
		for n := range b.N {
			s.Record(note(fmt.Sprint(n%100), n))
		}
		<-done
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
}

// BenchmarkSamples is reports for the history, each with its event.
func BenchmarkSamples(b *testing.B) {
	eachBench(b, func(b *testing.B) {
		done := make(chan struct{})
		s := open(b, Options{MaxPending: 1 << 30, OnCommit: closeAfter(b.N, done)})
		text := `{"CPU_info":{"user":1.5,"system":0.5,"idle":97.9,"iowait":0.1},"Memory_info":{"total":4096,"free":1024.5,"buff_cache":512},` +
			`"Disk_info":{"root_total":32768,"root_used":8192,"root_percent":25},"dev_state":"running"}`
		var report schema.StatusInfo
		must(b, json.Unmarshal([]byte(text), &report))
		b.ReportAllocs()
		b.ResetTimer()
		for n := range b.N {
			s.Sample(schema.Sample{DeviceID: fmt.Sprint(n % 10_000), Time: int64(n), Status: report})
		}
		<-done
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "samples/s")
	})
}

// closeAfter closes done when n changes are committed.
func closeAfter(n int, done chan<- struct{}) func(int, time.Duration, error) {
	left := n
	return func(batch int, _ time.Duration, err error) {
		if was := left; err == nil {
			if left -= batch; was > 0 && left <= 0 {
				close(done)
			}
		}
	}
}

func BenchmarkBareBatch(b *testing.B) {
	eachBench(b, func(b *testing.B) {
		s := open(b, Options{})
		row := func(n int) []any {
			e := note(fmt.Sprint(n%100), n)
			return []any{e.DeviceID, n, n, e.Time, string(e.Kind), e.Outcome, e.By, string(e.Detail)}
		}
		b.ResetTimer()
		n := 0
		for n < b.N {
			sqlTx, err := s.engine.write.BeginTx(b.Context(), nil)
			must(b, err)
			for range maxBatch / maxRows {
				var rows [][]any
				for range maxRows {
					rows = append(rows, row(n))
					n++
				}
				text, args := values("INSERT INTO events (device_id, seq, pos, at, kind, outcome, actor, detail) VALUES ", "", rows)
				_, err := sqlTx.ExecContext(b.Context(), text, args...)
				must(b, err)
			}
			must(b, sqlTx.Commit())
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	})
}

// BenchmarkBareInserts is what an engine gives to callers each of whom commits
// a row by itself, as pgbench does: the floor of BenchmarkOrders, which commits
// two times and writes four rows.
func BenchmarkBareInserts(b *testing.B) {
	eachBench(b, func(b *testing.B) {
		s := open(b, Options{})
		const callers = 64
		db := s.engine.write
		if !s.engine.local {
			connectAll(b, keep(db, callers), callers)
		}
		var next atomic.Int64
		done := make(chan error)
		b.ResetTimer()
		for range callers {
			go func() {
				for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
					_, err := db.ExecContext(b.Context(), "INSERT INTO event_seq (device_id, seq) VALUES ($1, $2)", fmt.Sprint(n), n)
					if err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
		}
		for range callers {
			must(b, <-done)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "inserts/s")
	})
}

// connectAll opens n connections, so that a benchmark does not wait for them.
func connectAll(b *testing.B, db *sql.DB, n int) {
	b.Helper()
	for range n {
		conn, err := db.Conn(b.Context())
		must(b, err)
		defer func() { must(b, conn.Close()) }()
	}
}

// BenchmarkOrders is intent and outcome, each durable, of 64 callers at once.
func BenchmarkOrders(b *testing.B) {
	eachBench(b, func(b *testing.B) {
		s := open(b, Options{})
		const callers = 64
		for i := range callers {
			addDevice(b, s, fmt.Sprint(i))
			claim(b, s, claimOf(fmt.Sprint(i), 1))
		}
		var next atomic.Int64
		done := make(chan error)
		b.ResetTimer()
		for i := range callers {
			go func() {
				id := fmt.Sprint(i)
				for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
					orderID := fmt.Sprint(n)
					if err := begin(s, intentOf(orderID, id, 1)); err != nil {
						done <- err
						return
					}
					if _, err := end(s, schema.Outcome{OrderID: orderID, DeviceID: id, State: schema.OrderSucceeded}); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
		}
		for range callers {
			must(b, <-done)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
	})
}

// BenchmarkClaims is logins of 64 devices at once, as after a restart.
func BenchmarkClaims(b *testing.B) {
	eachBench(b, func(b *testing.B) {
		s := open(b, Options{})
		const callers = 64
		for i := range callers {
			addDevice(b, s, fmt.Sprint(i))
		}
		var next atomic.Int64
		done := make(chan error)
		b.ResetTimer()
		for i := range callers {
			go func() {
				for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
					if _, err := s.Claim(b.Context(), claimOf(fmt.Sprint(i), n)); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
		}
		for range callers {
			must(b, <-done)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "claims/s")
	})
}
