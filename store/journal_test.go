package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
)

func history(t *testing.T, s *Store) int {
	t.Helper()
	var n int
	must(t, s.engine.read.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM status_history").Scan(&n))
	return n
}

// A report that is kept is a row of the history and an event of the log.
func TestSample_HistoryAndLog(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		total := 1673.0
		m := schema.Sample{DeviceID: "1", Time: start + 7, Status: schema.StatusInfo{
			CPU: &schema.CPUInfo{}, Memory: &schema.MemoryInfo{Total: &total}, Disk: &schema.DiskInfo{},
			Custom: schema.RawObject(`{"uses":12}`),
		}}
		s.Sample(m)
		events := log(t, s, "1")
		equal(t, "log", kinds(events), "update status ")
		equal(t, "time", events[1].Time, start+7)
		equal(t, "detail", string(events[1].Detail),
			`{"CPU_info":{},"Memory_info":{"total_memory_mb":1673},"Disk_info":{},"custom":{"uses":12}}`)
		equal(t, "rows", history(t, s), 1)
		s.Sample(m) // of the same instant: one row
		equal(t, "log", kinds(log(t, s, "1")), "update status status ")
		equal(t, "rows", history(t, s), 1)
	})
}

// A report whose own object is no JSON is one bad row.
func TestSample_BadObject(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		release := blocked(s)
		s.Record(note("1", 1))
		s.Sample(schema.Sample{DeviceID: "1", Status: schema.StatusInfo{Custom: schema.RawObject(`{`)}})
		s.Record(note("1", 2))
		release()
		equal(t, "log", kinds(log(t, s, "1")), "login_failed login_failed ")
		equal(t, "rows", history(t, s), 0)
	})
}

func TestRecord_NoDetailIsAnEmptyObject(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		s.Record(schema.Event{DeviceID: "1", Kind: schema.EventUpload, By: byServer, Outcome: "failed"})
		equal(t, "detail", string(log(t, s, "1")[0].Detail), "{}")
	})
}

// The buffer of an outage is bounded on both sides of its limit.
func TestMaxPending_Bound(t *testing.T) {
	each(t, func(t *testing.T) {
		const limit = 5
		for _, n := range []int{limit, limit + 1} {
			s := open(t, Options{MaxPending: limit})
			release := blocked(s)
			for i := range n {
				s.Record(note("1", i))
			}
			release()
			events := log(t, s, "1")
			lost := 0
			for _, e := range events {
				if e.Kind == schema.EventLost {
					lost++
				}
			}
			equal(t, "events_lost", lost, n-limit)
			equal(t, "events", len(events), n)
		}
	})
}

// Damage is found and told as such: never a wrong answer, never an OK.
func TestF36_DamagedPages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tether.db")
	s := openAt(t, "sqlite:"+path, Options{})
	addDevice(t, s, "1")
	must(t, s.Close())
	whole, err := os.ReadFile(path)
	must(t, err)
	damaged := bytes.Clone(whole)
	for i := 4096 * 3; i < len(damaged); i++ {
		damaged[i] = 0xa5
	}
	must(t, os.WriteFile(path, damaged, 0o600))
	s, err = Open(t.Context(), "sqlite:"+path, Options{})
	if err != nil {
		return // found at once
	}
	if d, err := s.Device(t.Context(), all, "1"); err == nil {
		t.Errorf("read %+v", d)
	}
	wantKind(t, s.AddDevice(t.Context(), device("2"), "", ""), schema.StoreUnavailable, "")
	must(t, os.WriteFile(path, whole, 0o600))
	wantKind(t, s.AddDevice(t.Context(), device("2"), "", ""), schema.StoreUnavailable, "") // until it is opened anew
	must(t, s.Close())
}

// The write-ahead log is cut while readers come and go.
func TestF37_WriteAheadLogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tether.db")
	s := openAt(t, "sqlite:"+path, Options{})
	addDevice(t, s, "1")
	big, empty := string(bytes.Repeat([]byte("x"), 400_000)), ""
	for range 400 { // 160 MB in all
		for _, text := range []*string{&big, &empty} {
			_, _, err := s.UpdateDevice(t.Context(), all, "1", schema.DevicePatch{Description: text}, "", start)
			must(t, err)
		}
	}
	info, err := os.Stat(path + "-wal")
	must(t, err)
	if info.Size() > 135<<20 { // of pages before it is cut, and of one transaction
		t.Fatalf("%d MiB", info.Size()>>20)
	}
	must(t, s.Close())
}

// A reader that is forgotten keeps the write-ahead log from being begun anew
// until its time is over, and no longer.
func TestF37_ForgottenReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tether.db")
	synctest.Test(t, func(t *testing.T) {
		s := openAt(t, "sqlite:"+path, Options{})
		defer func() { must(t, s.Close()) }()
		addDevice(t, s, "1", "2")
		ended := make(chan error)
		began := time.Now()
		go func() {
			_, err := read(t.Context(), s, func(q querier) (int, error) {
				rows, err := q.rows("SELECT device_id FROM devices")
				if err != nil {
					return 0, err
				}
				rows.Next()
				<-q.(reader).ctx.Done()
				synctest.Wait() // until it is ended for it
				return 0, errors.Join(rows.Err(), rows.Close())
			})
			ended <- err
		}()
		synctest.Wait()
		grow(t, s, 140)
		held := logSize(t, path)
		if held < 130<<20 {
			t.Errorf("the log has %d bytes: the reader held nothing", held)
		}
		wantKind(t, <-ended, schema.StoreUnavailable, "")
		equal(t, "time", time.Since(began), readTimeout)
		grow(t, s, 140)
		if size := logSize(t, path); size > held+3<<20 { // what was written before it was noticed
			t.Errorf("%d bytes, %d while it was held", size, held)
		}
	})
}

// grow has a megabyte written so many times.
func grow(t *testing.T, s *Store, times int) {
	t.Helper()
	for n := range times {
		big := string(bytes.Repeat([]byte{byte('a' + n%2)}, 1<<20))
		_, _, err := s.UpdateDevice(t.Context(), all, "1", schema.DevicePatch{Description: &big}, "", start)
		must(t, err)
	}
}

func logSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path + "-wal")
	must(t, err)
	return info.Size()
}
