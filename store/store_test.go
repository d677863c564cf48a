package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
	"go.uber.org/goleak"
)

// TestMain is also the crash test's child (crash_test.go).
func TestMain(m *testing.M) {
	if path := os.Getenv(crashChild); path != "" {
		os.Exit(runCrashChild(path))
	}
	goleak.VerifyTestMain(suite{m})
}

// start is the instant of the tests' first change; the store has no clock.
const start = int64(1_795_305_600_000)

var all = schema.Everything

// seen collects what OnEvents gets.
type seen struct {
	mu     sync.Mutex
	events []schema.Event
}

func (s *seen) add(es []schema.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, es...)
}

// open opens a new database of the test's engine, which is closed with the test.
func open(t testing.TB, o Options) *Store {
	t.Helper()
	return openURL(t, seeded(t, newDatabase(t)), o)
}

// openURL is openAt for as long as the test.
func openURL(t testing.TB, url string, o Options) *Store {
	t.Helper()
	s := openAt(t, url, o)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func openAt(t testing.TB, url string, o Options) *Store {
	t.Helper()
	o.Migrate = true
	s, err := Open(t.Context(), url, o)
	must(t, err)
	return s
}

// device is a valid device whose hardware follows from its id.
func device(id string) schema.Device {
	return schema.Device{
		DeviceID: id, Name: "press-" + id, Type: "press",
		Hardware: schema.Hardware{SN: "SN" + id, Model: "ModelB"}, NIC: []schema.NIC{}, Enabled: true,
		State: schema.Offline, CreatedTime: start, UpdatedTime: start,
	}
}

func addDevice(t testing.TB, s *Store, ids ...string) {
	t.Helper()
	for _, id := range ids {
		must(t, s.AddDevice(t.Context(), device(id), "sha256:00", "key:test"))
	}
}

func addGroup(t testing.TB, s *Store, ids ...string) {
	t.Helper()
	for _, id := range ids {
		must(t, s.AddGroup(t.Context(), schema.Group{GroupID: id, Name: "group " + id, CreatedTime: start, UpdatedTime: start}))
	}
}

// claimOf is a claim of a device whose credential never changed.
func claimOf(id string, epoch int64) schema.Claim {
	return schema.Claim{RestartWindow: schema.RestartWindow,
		DeviceID: id, Epoch: epoch, Node: 7, Version: 1, TokenHash: fmt.Sprintf("sha256:token%d", epoch),
		TokenExpires: start + schema.TokenLifetime.Milliseconds(), BootID: "boot-1",
		Client: schema.ClientInfo{Name: "agent", Version: "1"}, Form: "id_password", Address: "10.0.0.7", Now: start + epoch,
	}
}

func claim(t testing.TB, s *Store, c schema.Claim) schema.Claimed {
	t.Helper()
	a, err := s.Claim(t.Context(), c)
	must(t, err)
	return a
}

// intentOf is an order about to be sent, of a device claimed by claimOf.
func intentOf(orderID, deviceID string, epoch int64) schema.Intent {
	sent := start + 100
	return schema.Intent{
		Order: schema.Order{
			OrderID: orderID, DeviceID: deviceID, Order: "blink", Params: schema.RawObject(`{"n":3}`),
			State: schema.OrderSent, By: "key:test", CreatedTime: start + 90, SentTime: &sent,
		},
		Epoch: epoch, Node: 7, BootID: "boot-1", Due: sent + schema.OrderTimeout.Milliseconds(),
	}
}

func begin(s *Store, in schema.Intent) error {
	done := make(chan error, 1)
	s.BeginOrder(in, func(err error) { done <- err })
	return <-done
}

func end(s *Store, out schema.Outcome) (schema.Order, error) {
	type result struct {
		order schema.Order
		err   error
	}
	done := make(chan result, 1)
	s.EndOrder(out, func(o schema.Order, err error) { done <- result{o, err} })
	r := <-done
	return r.order, r.err
}

// flushed returns when all that was submitted before is committed.
func flushed(t testing.TB, s *Store) {
	t.Helper()
	for left := maxBatch; left >= maxBatch; { // lines of a log, which the write may overtake
		s.writer.mu.Lock()
		left = len(s.writer.again) + len(s.writer.queue)
		s.writer.mu.Unlock()
		_, err := write(t.Context(), s, func(*tx) (struct{}, error) { return struct{}{}, nil })
		must(t, err)
	}
}

// log is a device's whole log, oldest first. It fails unless seq has no gap.
func log(t testing.TB, s *Store, id string) []schema.Event {
	t.Helper()
	flushed(t, s)
	var events []schema.Event
	p := schema.Page{Limit: 1000}
	for {
		l, err := s.ListEvents(t.Context(), all, schema.EventFilter{DeviceID: id}, p)
		must(t, err)
		events = append(events, l.Items...)
		if p.Cursor = l.NextCursor; p.Cursor == "" {
			break
		}
	}
	slices.Reverse(events)
	for i, e := range events {
		if e.Seq != int64(i+1) {
			t.Fatalf("event %d of device %s has seq %d", i, id, e.Seq)
		}
	}
	return events
}

// kinds tells of a log what happened, and why.
func kinds(events []schema.Event) string {
	text := ""
	for _, e := range events {
		text += string(e.Kind) + " "
	}
	return text
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantKind fails unless err is of the kind and, where code is given, has it.
func wantKind(t testing.TB, err error, kind schema.Kind, code string) {
	t.Helper()
	if !errors.Is(err, &schema.Error{Kind: kind, Code: code}) {
		t.Fatalf("error %v, want kind %d %s", err, kind, code)
	}
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

func TestOpen_RefusesOtherURLs(t *testing.T) {
	for _, url := range []string{"", "sqlite:", "sqlite::memory:", "mysql://x", "/tmp/x"} {
		if s, err := Open(t.Context(), url, Options{}); err == nil {
			t.Errorf("%q: opened %v", url, s)
		}
	}
}

func TestOpen_UnwritablePlace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if _, err := Open(t.Context(), "sqlite:"+file+"/db", Options{}); err == nil {
		t.Fatal("opened below a file")
	}
}

// A stolen backup aside, nobody else on the machine reads the database (T39).
func TestT39_FilesAreForTheirUserOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data ? 100%")
	path := filepath.Join(dir, "te#ther.db")
	s := openAt(t, "sqlite:"+path, Options{})
	addDevice(t, s, "1")
	for name, want := range map[string]os.FileMode{dir: 0o700, path: 0o600, path + "-wal": 0o600} {
		info, err := os.Stat(name)
		must(t, err)
		equal(t, name, info.Mode().Perm(), want)
	}
	must(t, s.Close())
}

func TestOpen_KeepsWhatWasStored(t *testing.T) {
	each(t, func(t *testing.T) {
		url := newDatabase(t)
		s := openAt(t, url, Options{})
		addDevice(t, s, "1")
		must(t, s.Close())
		s = openAt(t, url, Options{})
		d, err := s.Device(t.Context(), all, "1")
		must(t, err)
		equal(t, "name", d.Name, "press-1")
		must(t, s.Close())
	})
}

func TestClose_LaterCallsFail(t *testing.T) {
	each(t, func(t *testing.T) {
		s := openAt(t, newDatabase(t), Options{})
		addDevice(t, s, "1")
		must(t, s.Close())
		wantKind(t, s.AddDevice(t.Context(), device("2"), "", ""), schema.StoreUnavailable, "")
		wantKind(t, begin(s, intentOf("o", "1", 1)), schema.StoreUnavailable, "")
		wantKind(t, s.Ready(t.Context()), schema.StoreUnavailable, "")
		s.Record(schema.Event{DeviceID: "1"}) // goes nowhere, harms nothing
		if _, err := s.Device(t.Context(), all, "1"); err == nil {
			t.Fatal("read from a closed database")
		}
	})
}

func TestClose_CommitsWhatIsQueued(t *testing.T) {
	each(t, func(t *testing.T) {
		url := newDatabase(t)
		s := openAt(t, url, Options{})
		addDevice(t, s, "1")
		for range 3 * maxBatch {
			s.Record(schema.Event{DeviceID: "1", Kind: schema.EventLoginFailed})
		}
		must(t, s.Close())
		s = openAt(t, url, Options{})
		equal(t, "events", len(log(t, s, "1")), 1+3*maxBatch)
		must(t, s.Close())
	})
}

func TestMigrations_DownAndUp(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		must(t, s.Ready(t.Context()))
		addDevice(t, s, "1")
		files, err := filepath.Glob("migrations/*.sql")
		must(t, err)
		for range len(files) - 1 {
			must(t, s.MigrateDown(t.Context()))
		}
		must(t, s.Ready(t.Context())) // the first step's tables are enough for that
		must(t, s.MigrateDown(t.Context()))
		if s.Ready(t.Context()) == nil {
			t.Fatal("ready without tables")
		}
		steps, err := s.MigrationStatus(t.Context())
		must(t, err)
		equal(t, "steps", len(steps), len(files))
		equal(t, "first", steps[0], Migration{Version: 1, File: "00001_begin.sql"})
		must(t, s.Migrate(t.Context()))
		steps, err = s.MigrationStatus(t.Context())
		must(t, err)
		equal(t, "applied", steps[0].Applied, true)
		addDevice(t, s, "1")
		must(t, s.Ready(t.Context()))
	})
}

// The whole service is tested in bubbles; the store must live in one.
func TestSynctest_OpensWorksAndCloses(t *testing.T) {
	url := sqliteURL(t)
	synctest.Test(t, func(t *testing.T) {
		s := openAt(t, url, Options{})
		addDevice(t, s, "1")
		claim(t, s, claimOf("1", 1))
		must(t, begin(s, intentOf("o1", "1", 1)))
		time.Sleep(time.Hour)
		synctest.Wait()
		_, err := end(s, schema.Outcome{OrderID: "o1", DeviceID: "1", Epoch: 1, State: schema.OrderSucceeded, Now: start})
		must(t, err)
		must(t, s.Ready(t.Context()))
		must(t, s.Close())
	})
}

func TestContext_EndedIsNeverOK(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wantKind(t, s.AddDevice(ctx, device("1"), "", ""), schema.StoreUnavailable, "")
		_, err := s.Device(ctx, all, "1")
		wantKind(t, err, schema.StoreUnavailable, "")
	})
}
