package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/store/pgtest"
)

// postgresURL is an empty database of PostgreSQL: the URL, and the name of its
// schema, by which the server knows who works on it.
func postgresURL(t *testing.T) (database, name string) {
	t.Helper()
	database, err := postgres(t).Schema(t.Context())
	must(t, err)
	u, err := url.Parse(database)
	must(t, err)
	name = u.Query().Get("search_path")
	return database + "&application_name=" + name, name
}

// terminate ends all sessions of a name, as a fail-over does (57P01).
func terminate(t *testing.T, name string) {
	t.Helper()
	admin(t, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = $1", name)
}

// writerPID is the server's process that serves the writer.
func writerPID(t *testing.T, s *Store) int64 {
	t.Helper()
	pid, err := write(t.Context(), s, func(t *tx) (pid int64, err error) {
		return pid, t.row("SELECT pg_backend_pid()").Scan(&pid)
	})
	must(t, err)
	return pid
}

// In a fail-over every connection dies, and whoever calls next does not notice.
func TestF30_KilledConnectionsAreReplaced(t *testing.T) {
	db, name := postgresURL(t)
	s := openURL(t, db, Options{})
	addDevice(t, s, "1")
	var wg sync.WaitGroup
	for range 2 * readers { // all readers have a connection
		wg.Go(func() {
			if _, err := s.Device(t.Context(), all, "1"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for range 3 {
		before := writerPID(t, s)
		terminate(t, name)
		_, err := s.Device(t.Context(), all, "1")
		must(t, err)
		wantKind(t, begin(s, intentOf("none", "9", 1)), schema.DeviceNotFound, "")
		if after := writerPID(t, s); after == before {
			t.Fatal("the dead connection is still in use")
		}
	}
	addDevice(t, s, "2")
	equal(t, "log", kinds(log(t, s, "1")), "update ")
}

// A connection that is lost in the middle of a transaction holds nothing up,
// whatever the transaction does next.
func TestF30_LostMidway(t *testing.T) {
	url, _ := postgresURL(t)
	s := openURL(t, url, Options{})
	ctx, cancel := context.WithTimeout(t.Context(), patience/2) // sooner than the writer would give up by itself
	defer cancel()
	lost := false
	_, err := write(ctx, s, func(x *tx) (n int64, err error) {
		if !lost {
			lost = true
			if _, err := x.exec("SELECT pg_terminate_backend(pg_backend_pid())"); err == nil {
				t.Error("the connection lives")
			}
			_, err = x.exec("INSERT INTO counters (name, value) VALUES ('x', 1)")
			return 0, err
		}
		return x.exec("INSERT INTO counters (name, value) VALUES ('x', 2)")
	})
	must(t, err)
}

// A server that became a standby takes no writes: the connection is evicted,
// and what a new one takes is written, once.
func TestF30_ReadOnlyIsEvicted(t *testing.T) {
	db, _ := postgresURL(t)
	s := openURL(t, db, Options{})
	before := writerPID(t, s)
	_, err := write(t.Context(), s, func(t *tx) (int64, error) { return t.exec("SET default_transaction_read_only = on") })
	must(t, err)
	addDevice(t, s, "1")
	if after := writerPID(t, s); after == before {
		t.Fatal("the read-only connection is still in use")
	}
	equal(t, "log", kinds(log(t, s, "1")), "update ")
}

// While there is no primary at all, nothing is acknowledged, reads go on, and
// it cures itself.
func TestF30_ReadOnlyEverywhere(t *testing.T) {
	db, name := postgresURL(t)
	s := openURL(t, db, Options{})
	addDevice(t, s, "1")
	admin(t, "ALTER ROLE tether SET default_transaction_read_only = on")
	defer admin(t, "ALTER ROLE tether RESET default_transaction_read_only")
	terminate(t, name)
	wantKind(t, s.AddDevice(t.Context(), device("2"), "", ""), schema.StoreUnavailable, "store_unavailable")
	s.Record(note("1", 1))
	_, err := s.Device(t.Context(), all, "1")
	must(t, err)
	wantKind(t, s.Ready(t.Context()), schema.StoreUnavailable, "")
	admin(t, "ALTER ROLE tether RESET default_transaction_read_only")
	awaitReady(t, s)
	equal(t, "log", kinds(log(t, s, "1")), "update login_failed ")
	addDevice(t, s, "2")
}

// awaitReady fails unless the store works again within five seconds.
func awaitReady(t *testing.T, s *Store) {
	t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for until := time.Now().Add(5 * time.Second); s.Ready(t.Context()) != nil; <-look.C {
		if time.Now().After(until) {
			t.Fatal("not ready: ", s.Ready(t.Context()))
		}
	}
}

// awaitDown waits until a killed server's last processes have noticed it: they
// go on answering for a moment.
func awaitDown(t *testing.T, s *Store) {
	t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for until := time.Now().Add(5 * time.Second); ; <-look.C {
		_, err := s.Device(t.Context(), all, "1")
		if schema.KindOf(err) == schema.StoreUnavailable {
			return
		}
		if time.Now().After(until) {
			t.Fatal("still answering: ", err)
		}
	}
}

// raise fails in the way of an SQLSTATE for the first n times that it is run.
func raise(state string, n int) func(*tx) error {
	return func(t *tx) error {
		if n--; n < 0 {
			return nil
		}
		_, err := t.exec("DO 'BEGIN RAISE EXCEPTION ''injected'' USING ERRCODE = ''" + state + "''; END'")
		return err
	}
}

// What only needs another try gets it, with its neighbours, and nothing twice;
// what does not pass is told as an outage.
func TestF30_PassingFaultsAreTriedAgain(t *testing.T) {
	for _, state := range []string{"40P01", "40001", "0A000", "26000"} {
		for times, want := range map[int]bool{maxTries - 1: true, maxTries: false} {
			db, _ := postgresURL(t)
			s := openURL(t, db, Options{})
			release := blocked(s)
			answer := make(chan error, 1)
			s.Record(note("1", 1))
			s.writer.submit(&op{apply: raise(state, times), done: func(err error) { answer <- err }})
			s.Record(note("1", 2))
			release()
			err := <-answer
			equal(t, fmt.Sprint(state, " ", times), err == nil, want)
			if !want {
				wantKind(t, err, schema.StoreUnavailable, "")
				awaitReady(t, s)
			}
			equal(t, "log", kinds(log(t, s, "1")), "login_failed login_failed ")
		}
	}
}

// Two transactions that wait for each other: the server ends one of them, and
// ours is written in the end, whichever it was.
func TestF30_Deadlock(t *testing.T) {
	db, _ := postgresURL(t)
	s := openURL(t, db, Options{})
	addDevice(t, s, "1", "2")
	other, err := s.engine.write.BeginTx(t.Context(), nil)
	must(t, err)
	rename := func(id string) string { return "UPDATE devices SET description = 'x' WHERE device_id = '" + id + "'" }
	_, err = other.ExecContext(t.Context(), rename("2"))
	must(t, err)
	locked, answer := make(chan struct{}), make(chan error, 1)
	once := sync.OnceFunc(func() { close(locked) })
	s.writer.submit(&op{apply: func(t *tx) error {
		if _, err := t.exec(rename("1")); err != nil {
			return err
		}
		once()
		_, err := t.exec(rename("2"))
		return err
	}, done: func(err error) { answer <- err }})
	<-locked
	_, err = other.ExecContext(t.Context(), rename("1"))
	if err == nil {
		must(t, other.Commit())
	} else {
		_ = other.Rollback() // the server has done so
	}
	must(t, <-answer)
}

// A COMMIT that got no answer is looked up by the row that it wrote: what took
// effect is acknowledged, and what did not is written, once in both cases.
func TestF31_UnknownCommitIsReadBack(t *testing.T) {
	for name, what := range map[string]cut{"lost": cutBefore, "taken": cutAfter} {
		t.Run(name, func(t *testing.T) {
			var got seen
			direct, _ := postgresURL(t)
			p, db := newProxy(t, direct)
			s := openURL(t, db, Options{OnEvents: got.add})
			addDevice(t, s, "1")
			claim(t, s, claimOf("1", 1))
			for n := range 3 {
				p.what.Store(int32(what))
				s.Record(note("1", n))
				must(t, begin(s, intentOf(fmt.Sprint(n), "1", 1)))
				p.what.Store(int32(what))
				out := schema.Outcome{OrderID: fmt.Sprint(n), DeviceID: "1", State: schema.OrderSucceeded, Now: start}
				_, err := end(s, out)
				must(t, err)
			}
			equal(t, "cuts", p.cuts.Load() >= 6, true)
			want := "update connect login " + strings.Repeat("login_failed order order_result ", 3)
			equal(t, "log", kinds(log(t, s, "1")), want)
			got.mu.Lock()
			defer got.mu.Unlock()
			equal(t, "told", kinds(got.events), want)
		})
	}
}

// Where it cannot be looked up at once, the caller is told of an outage, not
// of a success; what nobody waits for is neither lost nor doubled.
func TestF31_UnknownForLonger(t *testing.T) {
	for name, what := range map[string]cut{"lost": cutBefore, "taken": cutAfter} {
		t.Run(name, func(t *testing.T) {
			var got seen
			direct, _ := postgresURL(t)
			p, db := newProxy(t, direct)
			s := openURL(t, db, Options{OnEvents: got.add})
			addDevice(t, s, "1")
			claim(t, s, claimOf("1", 1))
			release := blocked(s)
			answer := make(chan error, 1)
			arm := sync.OnceFunc(func() { p.away.Store(true); p.what.Store(int32(what)) })
			s.writer.submit(&op{apply: func(*tx) error { arm(); return nil }}) // it cuts the batch that it is in
			s.Record(note("1", 1))
			s.BeginOrder(intentOf("o", "1", 1), func(err error) { answer <- err })
			s.Record(note("1", 2))
			release()
			if err := <-answer; err != nil {
				wantKind(t, err, schema.StoreUnavailable, "")
			} else {
				t.Fatal("acknowledged, and nobody knows")
			}
			s.Record(note("1", 3))
			p.away.Store(false)
			awaitReady(t, s)
			must(t, begin(s, intentOf("o", "1", 1))) // the same again, as who does not know does
			want := map[cut]string{
				cutBefore: "update connect login login_failed login_failed login_failed order ",
				cutAfter:  "update connect login login_failed order login_failed login_failed ",
			}[what]
			equal(t, "log", kinds(log(t, s, "1")), want)
			got.mu.Lock()
			defer got.mu.Unlock()
			equal(t, "told", len(got.events), 7)
		})
	}
}

// TestF31_ClaimUnheard: a claim that was committed, though its caller was told of
// an outage, leaves no device online that has no session. The word of the session
// before it, if it was not committed, holds.
func TestF31_ClaimUnheard(t *testing.T) {
	for name, what := range map[string]cut{"lost": cutBefore, "taken": cutAfter} {
		t.Run(name, func(t *testing.T) {
			direct, _ := postgresURL(t)
			p, db := newProxy(t, direct)
			s := openURL(t, db, Options{})
			addDevice(t, s, "1")
			claim(t, s, claimOf("1", 1))
			release := blocked(s)
			answer := make(chan error, 1)
			go func() {
				_, err := s.Claim(t.Context(), claimOf("1", 2))
				answer <- err
			}()
			for s.Stats().Callers == 0 {
				time.Sleep(time.Millisecond)
			}
			arm := sync.OnceFunc(func() { p.away.Store(true); p.what.Store(int32(what)) })
			s.writer.submit(&op{apply: func(*tx) error { arm(); return nil }})
			s.Presence(schema.Presence{DeviceID: "1", Epoch: 1, State: schema.Unknown, Reason: "liveness"})
			release()
			wantKind(t, <-answer, schema.StoreUnavailable, "")
			p.away.Store(false)
			awaitReady(t, s)
			flushed(t, s)
			d, err := s.Device(t.Context(), all, "1")
			must(t, err)
			want := map[cut]string{cutBefore: "Unknown liveness", cutAfter: "offline login_refused"}[what]
			equal(t, "state", string(d.State)+" "+d.StateReason, want)
			want = map[cut]string{
				cutBefore: "update connect login state ",
				cutAfter:  "update connect login disconnect connect login disconnect ",
			}[what]
			equal(t, "log", kinds(log(t, s, "1")), want)
		})
	}
}

// A server whose every commit takes its time: nobody is told early, and nobody
// who submits waits.
func TestF29_SlowCommits(t *testing.T) {
	const delay = 500 * time.Millisecond
	db, name := postgresURL(t)
	s := openURL(t, db, Options{})
	addDevice(t, s, "1")
	claim(t, s, claimOf("1", 1))
	admin(t, "CREATE FUNCTION "+name+".slow() RETURNS trigger LANGUAGE plpgsql AS "+
		"'BEGIN PERFORM pg_sleep("+fmt.Sprint(delay.Seconds())+"); RETURN NULL; END'")
	admin(t, "CREATE CONSTRAINT TRIGGER slow AFTER INSERT OR UPDATE ON "+name+".counters DEFERRABLE INITIALLY DEFERRED "+
		"FOR EACH ROW WHEN (NEW.name LIKE 'commit %') EXECUTE FUNCTION "+name+".slow()")
	began := time.Now()
	answer := make(chan error, 1)
	s.BeginOrder(intentOf("o", "1", 1), func(err error) { answer <- err })
	for n := range 1000 {
		s.Record(note("1", n))
	}
	if busy := time.Since(began); busy > delay {
		t.Fatalf("submitting took %v", busy)
	}
	must(t, <-answer)
	if took := time.Since(began); took < delay {
		t.Fatalf("acknowledged after %v", took)
	}
	equal(t, "events", len(log(t, s, "1")), 1004)
}

// The server stops, or is killed, and returns: no false OK, nothing lost that
// nobody waited for, and it works within five seconds.
func TestF28_ServerStopsAndReturns(t *testing.T) {
	server, err := pgtest.Start()
	must(t, err)
	defer func() { must(t, server.Close()) }()
	db, err := server.Schema(t.Context())
	must(t, err)
	s := openURL(t, db, Options{})
	addDevice(t, s, "1")
	for i, away := range []func() error{server.Stop, server.Crash} {
		must(t, away())
		awaitDown(t, s)
		wantKind(t, s.AddDevice(t.Context(), device(fmt.Sprint(2+i)), "", ""), schema.StoreUnavailable, "store_unavailable")
		wantKind(t, s.Ready(t.Context()), schema.StoreUnavailable, "")
		for n := range 10 {
			s.Record(note("1", n))
		}
		must(t, server.Resume())
		awaitReady(t, s)
		equal(t, "events", len(log(t, s, "1")), 1+10*(i+1))
	}
}

// Servers that start at once on an empty database make it once.
func TestMigrate_ManyAtOnce(t *testing.T) {
	db, _ := postgresURL(t)
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() {
			s, err := Open(t.Context(), db, Options{Migrate: true})
			if err == nil {
				err = errors.Join(s.AddDevice(t.Context(), device(fmt.Sprint(i)), "", ""), s.Close())
			}
			errs[i] = err
		})
	}
	wg.Wait()
	must(t, errors.Join(errs...))
}

// A URL says what it likes of a session, but not that values become text, and
// no error shows its password.
func TestT37_PostgresURL(t *testing.T) {
	for _, bad := range []string{
		"postgres:///x?default_query_exec_mode=simple_protocol", "postgres://u:se%cret@h/x", "postgres://u:secret@h:port/x",
		"postgres://u:secret@127.0.0.1:1/x", "postgres:///x?host=/nowhere&sslmode=sometimes",
	} {
		s, err := Open(t.Context(), bad, Options{})
		if err == nil {
			t.Fatalf("%s: opened %v", bad, s)
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("it tells the password: %v", err)
		}
	}
	db, _ := postgresURL(t)
	s := openURL(t, db+"&statement_timeout=7s", Options{})
	for setting, want := range map[string]string{
		"statement_timeout": "7s", "lock_timeout": "2s", "synchronous_commit": "on", "default_transaction_read_only": "on",
		"jit": "off", "max_parallel_workers_per_gather": "0",
	} {
		var got string
		must(t, s.engine.read.QueryRowContext(t.Context(), "SELECT current_setting($1)", setting).Scan(&got))
		equal(t, setting, got, want)
	}
}

// A role that does not flush its commits is not believed.
func TestPostgres_CommitsAreSynchronous(t *testing.T) {
	db, _ := postgresURL(t)
	s := openURL(t, db+"&synchronous_commit=off", Options{})
	var got string
	must(t, s.engine.write.QueryRowContext(t.Context(), "SHOW synchronous_commit").Scan(&got))
	equal(t, "synchronous_commit", got, "on")
}

func TestFaultOfState(t *testing.T) {
	for state, want := range map[string]fault{
		"57P01": passing, "57P02": passing, "57P03": outage, "25006": passing, "40001": passing, "40P01": passing,
		"53300": outage, "53100": outage, "53200": outage, "08006": passing, "28P01": outage, "3D000": outage, "55P03": outage,
		"57014": outage, "58030": outage, "42501": outage, "XX001": broken, "XX002": broken,
		"23505": badRow, "23502": badRow, "22021": badRow, "25P02": badRow, "42P01": badRow, "42601": badRow, "": badRow, "08": badRow,
	} {
		equal(t, state, faultOfState(state), want)
	}
}
