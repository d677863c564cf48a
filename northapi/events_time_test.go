package northapi_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
)

// drip is a caller who takes an answer as slowly as he likes, in virtual
// time. It keeps deadlines as a connection does.
type drip struct {
	header http.Header
	began  time.Time

	mu       sync.Mutex
	takes    time.Duration // for each piece
	deadline time.Time
	pieces   []string // "seconds since the beginning: text"
	pending  []string
}

func (d *drip) Header() http.Header { return d.header }
func (d *drip) WriteHeader(int)     {}

func (d *drip) SetWriteDeadline(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deadline = t
	return nil
}

func (d *drip) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	end := time.Now().Add(d.takes)
	if !d.deadline.IsZero() && end.After(d.deadline) {
		end = d.deadline
	}
	d.mu.Unlock()
	time.Sleep(time.Until(end))
	d.mu.Lock()
	if d.takes > 0 && end.Equal(d.deadline) {
		return 0, os.ErrDeadlineExceeded
	}
	d.pending = append(d.pending, string(p))
	return len(p), nil
}

func (d *drip) FlushError() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, text := range d.pending {
		d.pieces = append(d.pieces, fmt.Sprintf("%.1f: %s", time.Since(d.began).Seconds(), strings.ReplaceAll(strings.TrimSpace(text), "\n", "|")))
	}
	d.pending = nil
	return nil
}

// taken are the pieces so far.
func (d *drip) taken() []string {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.pieces)
}

// drips opens a stream in a bubble. Done is closed with its end.
func (w *world) drips(kind, query string, takes time.Duration) (d *drip, done chan struct{}) {
	d = &drip{header: http.Header{}, began: time.Now(), takes: takes}
	done = make(chan struct{})
	ctx, leave := context.WithCancel(w.t.Context())
	go func() {
		defer close(done)
		w.handler.ServeHTTP(d, w.request(kind, get, "/events"+query, "").WithContext(ctx))
	}()
	w.t.Cleanup(func() { leave(); <-done })
	synctest.Wait()
	return d, done
}

// wantLast asserts the last piece that was taken.
func (d *drip) wantLast(t *testing.T, want string) {
	t.Helper()
	taken := d.taken()
	if got := taken[len(taken)-1]; got != want {
		t.Errorf("the last piece is %q, want %q", got, want)
	}
}

// TestEvents_Heartbeat: a comment after each 15 s of silence, with the
// position that a filtered stream has come to.
func TestEvents_Heartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		at := w.last()
		d, _ := w.drips("viewer", "?kind=login_failed", 0)
		time.Sleep(20 * time.Second)
		w.happens(ownLogin)
		time.Sleep(time.Second)
		w.happens(ownState, ownState)
		time.Sleep(30 * time.Second)
		taken := d.taken()
		want := []string{
			fmt.Sprintf("0.0: retry: 2000|id: %d", at),
			fmt.Sprintf("15.0: :|id: %d", at),
			fmt.Sprintf("20.0: id: %d|event: login_failed|", at+1),
			fmt.Sprintf("35.0: :|id: %d", at+3),
			fmt.Sprintf("50.0: :|id: %d", at+3),
		}
		for i := range min(len(want), len(taken)) {
			if !strings.HasPrefix(taken[i], want[i]) {
				t.Errorf("%q, want %q", taken[i], want[i])
			}
		}
		if len(taken) != len(want) {
			t.Errorf("taken %q", taken)
		}
	})
}

// TestEvents_UntoldAreFound: what was committed without the feed's knowledge,
// by another process say, comes after a silence.
func TestEvents_UntoldAreFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *northapi.Config) { c.Feed = northapi.NewFeed() })
		d, _ := w.drips("viewer", "", 0)
		w.happens(ownLogin)
		time.Sleep(16 * time.Second)
		if taken := d.taken(); len(taken) != 2 || !strings.HasPrefix(taken[1], "15.0: id: ") || !strings.Contains(taken[1], "login_failed") {
			t.Errorf("taken %q", taken)
		}
	})
}

// TestT12_EventsRevoked: the stream of a key that is revoked ends within a
// second, of a limited one too, and shows nothing of what comes after it.
func TestT12_EventsRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		list, err := w.store.ListKeys(t.Context(), schema.Page{})
		w.must(err)
		for _, kind := range []string{"viewer", "scoped viewer"} {
			d, done := w.drips(kind, "", 0)
			time.Sleep(7*time.Second + 300*time.Millisecond)
			id := list.Items[slices.IndexFunc(list.Items, func(k schema.Key) bool {
				return k.Role == schema.Viewer && (len(k.GroupIDs) > 0) == (kind != "viewer")
			})].KeyID
			w.do("admin", post, "key_revoke", fmt.Sprintf(`{"key_id":%q}`, id)).want(t, 200, "")
			for range 20 { // others of the same address: what is answered is another refusal
				w.do("nobody", get, "device_query/201", "")
			}
			revoked := time.Now()
			<-done
			if after := time.Since(revoked); after > time.Second {
				t.Errorf("%s: ended after %s", kind, after)
			}
			d.wantLast(t, fmt.Sprintf(`7.5: id: %d|event: dropped|data: {"reason":"key_revoked","resume_after":%d}`, w.last(), w.last()))
		}
	})
}

// TestEvents_EndsWithWhatItIsAbout: the group or device of its filter.
func TestEvents_EndsWithWhatItIsAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		group, groupDone := w.drips("viewer", "?group_id="+ownGroup, 0)
		device, deviceDone := w.drips("scoped viewer", "?device_id="+ownDevice, 0)
		whole, _ := w.drips("viewer", "?device_id="+ownDevice, 0)
		w.must(w.store.DeleteGroup(t.Context(), schema.Everything, ownGroup))
		<-groupDone
		<-deviceDone
		group.wantLast(t, fmt.Sprintf(`15.0: id: %d|event: dropped|data: {"reason":"group_not_found","resume_after":%d}`, w.last(), w.last()))
		device.wantLast(t, fmt.Sprintf(`15.0: id: %d|event: dropped|data: {"reason":"device_not_found","resume_after":%d}`, w.last(), w.last()))
		w.must(w.store.DeleteDevice(t.Context(), schema.Everything, ownDevice, "key:x", present))
		time.Sleep(time.Second)
		taken := strings.Join(whole.taken(), "\n")
		if deleted, cancelled, _ := strings.Cut(taken, `"change":"delete"`); deleted == taken || !strings.Contains(cancelled, `"reason":"deleted"`) {
			t.Errorf("of the deletion: %q", taken)
		}
		w.do("viewer", get, "/events?device_id="+ownDevice, "").want(t, 200, "") // it is remembered
	})
}

// TestEvents_Draining: a server that stops says where to go on, and opens no
// more streams.
func TestEvents_Draining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var draining atomic.Bool
		w := newWorld(t, func(c *northapi.Config) { c.Draining = draining.Load })
		d, done := w.drips("viewer", "", 0)
		w.happens(ownLogin)
		time.Sleep(2100 * time.Millisecond)
		draining.Store(true)
		<-done
		d.wantLast(t, fmt.Sprintf(`2.5: id: %d|event: dropped|data: {"reason":"draining","resume_after":%d}`, w.last(), w.last()))
		w.do("viewer", get, "/events", "").want(t, 503, "draining")
	})
}

// TestT17_EventsDeadReader: who takes nothing is cut off after 10 s, and holds
// nobody up meanwhile.
func TestT17_EventsDeadReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		dead, done := w.drips("viewer", "", time.Hour)
		good, _ := w.drips("operator", "", 0)
		w.happens(ownLogin)
		time.Sleep(time.Second)
		if n := len(good.taken()); n != 2 {
			t.Errorf("the good one has %d pieces", n)
		}
		<-done
		if after := time.Since(dead.began); after != schema.WriteTimeout || len(dead.taken()) != 0 {
			t.Errorf("cut off after %s, %q", after, dead.taken())
		}
	})
}

// TestEvents_SlowReader: who takes, but less than there comes, is told so
// when he lags a minute, and where to go on. Coming back he gets the rest at his pace.
func TestEvents_SlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		at := w.last()
		slow, done := w.drips("viewer", "", time.Second)
		time.Sleep(5 * time.Second)
		for range 200 {
			w.happens(ownState, foreignState)
			time.Sleep(time.Second)
		}
		<-done
		taken := slow.taken()
		last := taken[len(taken)-1]
		resume := at + int64(len(taken)-2)
		if want := fmt.Sprintf(`: id: %d|event: dropped|data: {"reason":"too_slow","resume_after":%d}`, resume, resume); !strings.HasSuffix(last, want) {
			t.Fatalf("%q, want %q", last, want)
		}
		var after float64
		if _, err := fmt.Sscanf(last, "%f:", &after); err != nil || after < 65 || after > 205 {
			t.Errorf("%s", last)
		}
		again, _ := w.drips("viewer", fmt.Sprint("?after=", resume), time.Second)
		time.Sleep(10 * time.Minute)
		if got, rest := len(again.taken()), int(w.last()-resume); got < rest+1 {
			t.Errorf("%d pieces of %d", got, rest)
		}
		for i, piece := range again.taken()[1:] {
			if want := fmt.Sprintf(": id: %d|event: state|", min(resume+1+int64(i), w.last())); !strings.Contains(piece, want) && !strings.Contains(piece, ": :|") {
				t.Fatalf("piece %d: %s", i, piece)
			}
		}
	})
}

// TestEvents_StoreAway: while the store cannot be read a stream stays, and
// goes on when it can.
func TestEvents_StoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log flakyLog
		w := newWorld(t, func(c *northapi.Config) {
			log.EventLog, c.EventLog, c.Feed = c.EventLog, &log, nil
		})
		at := w.last()
		d, _ := w.drips("viewer", "", 0)
		log.fail(schema.ErrStoreUnavailable)
		w.happens(ownLogin)
		time.Sleep(40 * time.Second)
		d.wantLast(t, fmt.Sprintf("30.0: :|id: %d", at))
		log.fail(nil)
		time.Sleep(10 * time.Second)
		if taken := d.taken(); !strings.Contains(taken[len(taken)-1], "45.0: id: ") {
			t.Errorf("taken %q", taken)
		}
	})
}

// TestF54_EventsInside: a fault of the inside ends that stream alone, and
// nothing of it is told.
func TestF54_EventsInside(t *testing.T) {
	for _, how := range []error{fmt.Errorf("broken: %s", inside), nil} {
		synctest.Test(t, func(t *testing.T) {
			var log flakyLog
			w := newWorld(t, func(c *northapi.Config) { log.EventLog, c.EventLog = c.EventLog, &log })
			d, done := w.drips("viewer", "?group_id="+ownGroup, 0)
			log.fail(how)
			log.panic.Store(how == nil)
			w.happens(ownLogin)
			<-done
			if taken := d.taken(); !strings.Contains(taken[len(taken)-1], `"reason":"internal"`) || strings.Contains(fmt.Sprint(taken), inside) {
				t.Errorf("taken %q", taken)
			}
			if text := w.logged.String(); !strings.Contains(text, "GET /events") || !strings.Contains(text, inside) {
				t.Errorf("logged %q", text)
			}
			log.fail(nil)
			log.panic.Store(false)
			w.do("viewer", get, "/events", "").want(t, 200, "")
		})
	}
}

// flakyLog is an EventLog that fails when it is told to.
type flakyLog struct {
	northapi.EventLog
	err   atomic.Pointer[error]
	panic atomic.Bool
}

func (f *flakyLog) fail(err error) { f.err.Store(&err) }

func (f *flakyLog) EventsAfter(ctx context.Context, sc schema.Scope, sel schema.EventSelection, after int64, limit int) (schema.EventRange, error) {
	if f.panic.Load() {
		panic(inside)
	}
	if err := f.err.Load(); err != nil && *err != nil {
		return schema.EventRange{}, *err
	}
	return f.EventLog.EventsAfter(ctx, sc, sel, after, limit)
}
