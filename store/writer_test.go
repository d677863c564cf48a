package store

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
)

// errDown is what a database that went away looks like.
var errDown = driver.ErrBadConn

func note(id string, n int) schema.Event {
	return schema.Event{DeviceID: id, Time: start + int64(n), Kind: schema.EventLoginFailed, Detail: schema.Detail("n", n)}
}

// blocked holds the writer inside a transaction until release is called, so
// that what a test submits meanwhile becomes one batch.
func blocked(s *Store) (release func()) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s.writer.submit(&op{apply: func(*tx) error { close(entered); <-leave; return nil }, done: func(error) {}})
	<-entered
	return sync.OnceFunc(func() { close(leave) })
}

// Every log counts 1, 2, 3…, pos rises in the order of commits without a gap,
// and OnEvents gets what was stored.
func TestWriter_SeqAndPos(t *testing.T) {
	each(t, func(t *testing.T) {
		var got seen
		s := open(t, Options{OnEvents: got.add})
		const devices, each = 7, 300
		var wg sync.WaitGroup
		for d := range devices {
			wg.Go(func() {
				for n := range each {
					s.Record(note(fmt.Sprint(d), n))
				}
			})
		}
		wg.Wait()
		for d := range devices {
			events := log(t, s, fmt.Sprint(d))
			equal(t, "events", len(events), each)
			for n, e := range events {
				equal(t, "order", string(e.Detail), fmt.Sprintf(`{"n":%d}`, n))
			}
		}
		got.mu.Lock()
		defer got.mu.Unlock()
		equal(t, "told", len(got.events), devices*each)
		for i, e := range got.events {
			equal(t, "pos", e.Pos, int64(i+1))
		}
	})
}

// What queues up while a commit runs shares the next one.
func TestWriter_CommitsInGroups(t *testing.T) {
	s, f := openFlaky(t, flakyPath(t), Options{})
	defer func() { must(t, s.Close()) }()
	release := blocked(s)
	before := f.begun.Load()
	for n := range maxBatch - 1 {
		s.Record(note("1", n))
	}
	release()
	flushed(t, s)
	if n := f.begun.Load() - before; n > 2 { // the batch, and flushed's own
		t.Fatalf("%d transactions", n)
	}
}

// One bad row is repeated alone and spoils only itself; a refusal spoils nothing.
func TestWriter_OneBadRowOfABatch(t *testing.T) {
	each(t, func(t *testing.T) {
		var told []string
		s := open(t, Options{Log: func(msg string, err error) { told = append(told, fmt.Sprint(msg, err)) }})
		addDevice(t, s, "1")
		release := blocked(s)
		answers := make(chan error, 3)
		submit := func(apply func(*tx) error) {
			s.writer.submit(&op{apply: apply, done: func(err error) { answers <- err }})
		}
		s.Record(note("1", 1))
		submit(func(t *tx) error { _, err := t.exec("UPDATE devices SET name = 'good'"); return err })
		submit(func(t *tx) error { _, err := t.exec("UPDATE devices SET name = NULL"); return err })
		submit(func(*tx) error { return schema.ErrFenced })
		s.Record(note("1", 2))
		release()
		must(t, <-answers)
		bad := <-answers
		equal(t, "kind", schema.KindOf(bad), schema.Internal)
		equal(t, "public", schema.Public(bad).Message, "internal error")
		wantKind(t, <-answers, schema.Fenced, "")
		equal(t, "log", kinds(log(t, s, "1")), "update login_failed login_failed ")
		d, err := s.Device(t.Context(), all, "1")
		must(t, err)
		equal(t, "name", d.Name, "good")
		equal(t, "told", len(told), 1)
	})
}

// A change that refuses after it wrote leaves nothing behind, its events neither.
func TestWriter_SavepointUndoes(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		_, err := change(t.Context(), s, func(t *tx) (int64, error) {
			n, err := t.exec("UPDATE devices SET name = 'half'")
			t.event(note("1", 1))
			return n, errors.Join(err, schema.ErrGroupNotFound)
		})
		wantKind(t, err, schema.GroupNotFound, "")
		equal(t, "log", kinds(log(t, s, "1")), "update ")
		d, err := s.Device(t.Context(), all, "1")
		must(t, err)
		equal(t, "name", d.Name, "press-1")
	})
}

// A session's word that still waits is replaced by its next; the last word
// is not, and neither is a newer session's.
func TestWriter_PresenceIsASet(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		claim(t, s, claimOf("1", 2))
		release := blocked(s)
		say := func(epoch int64, state schema.DevState, reason string) {
			s.Presence(schema.Presence{DeviceID: "1", Epoch: epoch, State: state, Reason: reason, Now: start})
		}
		for range 1000 {
			say(2, schema.Unknown, "liveness")
			say(2, schema.Online, "message")
		}
		say(2, schema.Offline, "reset")
		say(2, schema.Online, "message")
		say(1, schema.Unknown, "liveness")
		s.writer.mu.Lock()
		waiting := len(s.writer.queue)
		s.writer.mu.Unlock()
		equal(t, "waiting", waiting, 1)
		release()
		equal(t, "log", kinds(log(t, s, "1")), "update connect login disconnect ")
	})
}

// TestWriter_Lingers: soon after a commit what nobody waits for is put off until
// more of it has come, but never behind who waits; Close puts nothing off.
func TestWriter_Lingers(t *testing.T) {
	path := flakyPath(t)
	synctest.Test(t, func(t *testing.T) {
		const linger = 50 * time.Millisecond
		var sizes []int
		s, f := openFlaky(t, path, Options{Linger: linger, OnCommit: func(n int, _ time.Duration, _ error) { sizes = append(sizes, n) }})
		addDevice(t, s, "1")
		time.Sleep(linger)
		before := f.begun.Load()
		commits := func() int64 { synctest.Wait(); return f.begun.Load() - before }
		s.Record(note("1", 0))
		equal(t, "commits after a rest", commits(), 1)
		s.Record(note("1", 1))
		time.Sleep(linger - time.Millisecond)
		s.Record(note("1", 2))
		equal(t, "commits before the time", commits(), 1)
		time.Sleep(time.Millisecond)
		equal(t, "commits at the time", commits(), 2)
		s.Record(note("1", 3))
		equal(t, "commits that nobody waits for", commits(), 2)
		asked := time.Now()
		addDevice(t, s, "2")
		equal(t, "wait of somebody", time.Since(asked), 0)
		equal(t, "commits that somebody waits for", commits(), 3)
		s.Record(note("1", 4))
		must(t, s.Close())
		equal(t, "commits at the end", commits(), 4)
		equal(t, "the last four", fmt.Sprint(sizes[len(sizes)-4:]), "[1 2 2 1]")
	})
}

// A writer that nobody asks for anything tries again all the same, and rests
// while all is well.
func TestWriter_ProbesInAnOutageOnly(t *testing.T) {
	path := flakyPath(t)
	synctest.Test(t, func(t *testing.T) {
		s, f := openFlaky(t, path, Options{})
		defer func() { must(t, s.Close()) }()
		addDevice(t, s, "1")
		before := f.begun.Load()
		time.Sleep(time.Hour)
		equal(t, "transactions at rest", f.begun.Load(), before)
		fail(&f.begin, errDown)
		wantKind(t, s.AddDevice(t.Context(), device("2"), "", ""), schema.StoreUnavailable, "")
		f.begin.Store(nil)
		time.Sleep(2 * retryDelay)
		must(t, s.Ready(t.Context()))
	})
}

// A commit that failed was no commit: nothing is acknowledged, OnEvents hears
// nothing, and the events come with the next one, once.
func TestF31_CommitFails(t *testing.T) {
	var got seen
	path := flakyPath(t)
	synctest.Test(t, func(t *testing.T) {
		s, f := openFlaky(t, path, Options{OnEvents: got.add})
		defer func() { must(t, s.Close()) }()
		fail(&f.commit, errDown)
		wantKind(t, s.AddDevice(t.Context(), device("1"), "", ""), schema.StoreUnavailable, "")
		s.Record(note("1", 1))
		time.Sleep(time.Minute)
		equal(t, "told", len(got.events), 0)
		f.commit.Store(nil)
		time.Sleep(2 * retryDelay)
		equal(t, "log", kinds(log(t, s, "1")), "login_failed ")
		equal(t, "told", len(got.events), 1)
	})
}

// Close does not hang on a database that is gone, and says what it lost.
func TestClose_InAnOutage(t *testing.T) {
	var told []string
	s, f := openFlaky(t, flakyPath(t), Options{Log: func(msg string, _ error) { told = append(told, msg) }})
	fail(&f.begin, errDown)
	for n := range 3 {
		s.Record(note("1", n))
	}
	must(t, s.Close())
	equal(t, "told", told[len(told)-1], "3 changes were lost at the end")
}

// A slow database makes acknowledgements late, not early, and blocks nobody
// who submits.
func TestF29_EveryCommitIsSlow(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		claim(t, s, claimOf("1", 1))
		release := blocked(s)
		defer release()
		answered := make(chan error, 1)
		s.BeginOrder(intentOf("o", "1", 1), func(err error) { answered <- err })
		for n := range 1000 {
			s.Record(note("1", n))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		wantKind(t, s.AddDevice(ctx, device("2"), "", ""), schema.StoreUnavailable, "")
		select {
		case err := <-answered:
			t.Fatalf("acknowledged early: %v", err)
		default:
		}
		release()
		must(t, <-answered)
		_, err := s.Device(t.Context(), all, "2")
		wantKind(t, err, schema.DeviceNotFound, "") // its caller had left
	})
}

// A full disk takes nothing and says so; reads go on; space cures it.
func TestF32_DiskFull(t *testing.T) {
	s := openURL(t, sqliteURL(t), Options{})
	addDevice(t, s, "1")
	// The limit is the connection's, and the writer gives up a connection that failed.
	_, err := write(t.Context(), s, func(t *tx) (int64, error) { return t.exec("PRAGMA max_page_count = 1") })
	must(t, err)
	big := device("2")
	big.Description = string(bytes.Repeat([]byte("x"), 1<<20))
	wantKind(t, s.AddDevice(t.Context(), big, "", ""), schema.StoreUnavailable, "")
	_, err = s.Device(t.Context(), all, "1")
	must(t, err)
	s.engine.write.SetMaxIdleConns(0) // space returns
	must(t, s.AddDevice(t.Context(), big, "", ""))
	must(t, s.Ready(t.Context()))
}

// After a failure that leaves the file in doubt nothing is acknowledged, even
// though the next commit would succeed.
func TestF33_BrokenIsForEver(t *testing.T) {
	garbage := flakyPath(t)
	must(t, os.WriteFile(garbage, bytes.Repeat([]byte("garbage "), 1024), 0o600))
	_, notADatabase := Open(t.Context(), "sqlite:"+garbage, Options{})
	wantKind(t, notADatabase, schema.StoreUnavailable, "")
	path := flakyPath(t)
	synctest.Test(t, func(t *testing.T) {
		s, f := openFlaky(t, path, Options{})
		defer func() { must(t, s.Close()) }()
		addDevice(t, s, "1")
		fail(&f.commit, notADatabase)
		wantKind(t, s.AddDevice(t.Context(), device("2"), "", ""), schema.StoreUnavailable, "")
		f.commit.Store(nil)
		time.Sleep(time.Hour)
		wantKind(t, s.AddDevice(t.Context(), device("3"), "", ""), schema.StoreUnavailable, "")
		wantKind(t, s.Ready(t.Context()), schema.StoreUnavailable, "")
		_, err := s.Device(t.Context(), all, "1")
		must(t, err)
	})
}

// Another process that holds the lock is waited for, and then it is an outage.
func TestF37_Busy(t *testing.T) {
	s := openURL(t, sqliteURL(t), Options{})
	addDevice(t, s, "1")
	other, err := s.engine.write.BeginTx(t.Context(), nil)
	must(t, err)
	wantKind(t, s.AddDevice(t.Context(), device("2"), "", ""), schema.StoreUnavailable, "")
	must(t, other.Rollback())
	must(t, s.AddDevice(t.Context(), device("2"), "", ""))
}

func TestFaultOfCode(t *testing.T) {
	for code, want := range map[int]fault{
		5: outage, 517: outage, 6: outage, 7: outage, 8: outage, 9: outage, 10: outage, 778: outage, 13: outage, 14: outage,
		1034: broken, 1290: broken, 11: broken, 267: broken, 26: broken,
		1: badRow, 18: badRow, 19: badRow, 1299: badRow, 2067: badRow, 20: badRow, 21: badRow,
	} {
		equal(t, fmt.Sprint(code), faultOfCode(code), want)
	}
}

// Nothing of the inside is told: no SQL, no path.
func TestOutward_TellsNothingOfTheInside(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		_, err := write(t.Context(), s, func(t *tx) (int64, error) { return t.exec("SELECT secret FROM nowhere") })
		equal(t, "public", schema.Public(err).Error(), "internal: internal error")
		equal(t, "outage", schema.Public(outward(unavailable(errors.New("/var/db")))).Error(), schema.ErrStoreUnavailable.Error())
		equal(t, "nothing", outward(nil), nil)
	})
}

// A caller that leaves while its claim is committed waits for the answer: nobody else
// would make the device offline again. One that left before its turn changes nothing.
func TestClaim_CallerLeft(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		release := blocked(s)
		claimed := make(chan error, 1)
		go func() {
			_, err := s.Claim(ctx, claimOf("1", 1))
			claimed <- err
		}()
		for s.Stats().Callers == 0 {
			time.Sleep(time.Millisecond)
		}
		s.writer.submit(&op{apply: func(*tx) error { // after the claim, in the same transaction
			leave()
			select {
			case err := <-claimed:
				t.Error("it was not waited for: ", err)
				claimed <- nil
			case <-time.After(20 * time.Millisecond):
			}
			return nil
		}})
		release()
		must(t, <-claimed)
		_, err := s.Claim(ctx, claimOf("1", 2))
		wantKind(t, err, schema.Overloaded, "abandoned")
		d, err := s.Device(t.Context(), all, "1")
		must(t, err)
		equal(t, "state", string(d.State)+" "+d.StateReason, "online login")
	})
}
