package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/edgetether/tether/schema"
)

// besideControl runs f against a whole service on a real socket, with the
// limits that it has in the field, beside a device that pings and reports as
// the contract says. That device must notice nothing: no answer of its comes
// late, no ping is missed, its connection is the one that it began with. And
// nothing of what f did may stay behind: goroutines, descriptors and the sizes
// of maps are what they were.
func besideControl(t *testing.T, f func(w *world)) {
	t.Helper()
	w := socketWorld(t, func(c *serviceConfig) {
		c.messageRate = schema.MessageRate
		c.database = "sqlite:" + filepath.Join(memoryDir(t), databaseName)
	})
	c := startControl(w)
	before := w.lowest()
	f(w)
	c.stop(t)
	c.unnoticed(t, w.logged(c.device.id))
	w.mustComeDownTo(t, before)
	c.leave(t)
}

const databaseName = "tether.db"

// memoryDir is a folder in memory, where there is one: what the machine's disk
// is busy with is not the matter of these tests.
func memoryDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "tether-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// control is a device that behaves.
type control struct {
	*bare
	log      []string // what it saw and should not have
	slowest  time.Duration
	said     int
	quit     chan struct{}
	finished sync.WaitGroup
}

func startControl(w *world) *control {
	c := &control{bare: w.loggedIn(w.t, w.register("control")), quit: make(chan struct{})}
	_ = c.conn.SetDeadline(time.Time{})
	c.exchange(reportMessage)
	c.finished.Go(c.run)
	return c
}

// run says something every 5 s: a report every 15 s, and pings in between.
func (c *control) run() {
	beat := time.NewTicker(schema.PingInterval)
	defer beat.Stop()
	for n := 1; ; n++ {
		select {
		case <-c.quit:
			return
		case <-beat.C:
		}
		if n%int(schema.StatusInterval/schema.PingInterval) == 0 {
			c.exchange(reportMessage)
		} else {
			c.exchange(pingMessage)
		}
	}
}

// exchange sends a message and awaits its answer for as long as a device does.
func (c *control) exchange(message string) {
	start := time.Now()
	_ = c.conn.SetReadDeadline(start.Add(schema.ReplyTimeout))
	c.text(message)
	if got := c.see(); !strings.HasPrefix(got, "ok ") {
		c.log = append(c.log, fmt.Sprintf("%s for %s", got, message))
	}
	c.said++
	c.slowest = max(c.slowest, time.Since(start))
}

// stop ends its routine, and tells what it has noticed.
func (c *control) stop(t *testing.T) {
	t.Helper()
	close(c.quit)
	c.finished.Wait()
	c.exchange(pingMessage)
	for _, trouble := range c.log {
		t.Errorf("the control device saw %s", trouble)
	}
	t.Logf("the control device had %d answers, the slowest after %v", c.said, c.slowest)
}

// unnoticed sees that the service has not noticed anything of it either: it
// has connected once, and nothing else.
func (c *control) unnoticed(t *testing.T, log []schema.Event) {
	t.Helper()
	var said []string
	for _, e := range log {
		if e.Kind == schema.EventState || e.Kind == schema.EventConnect || e.Kind == schema.EventDisconnect {
			said = append(said, string(e.Kind)+" "+string(e.Detail))
		}
	}
	if len(said) != 1 {
		t.Errorf("the service says of the control device: %q", said)
	}
}

// leave closes its connection, after what was left behind has been counted.
func (c *control) leave(t *testing.T) {
	t.Helper()
	c.bare.t = t
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	c.bare.leave()
}

// logged lists the events of a device that are committed.
func (w *world) logged(deviceID string) (events []schema.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.DeviceID == deviceID {
			events = append(events, e)
		}
	}
	return events
}

// ended lists why a device's connections have ended, as its log has it.
func (w *world) ended(deviceID string) (reasons []string) {
	for _, e := range w.logged(deviceID) {
		if e.Kind != schema.EventDisconnect {
			continue
		}
		var d struct{ Reason string }
		_ = json.Unmarshal(e.Detail, &d)
		reasons = append(reasons, d.Reason)
	}
	return reasons
}

// holdings is what a process has that it must give back.
type holdings struct {
	goroutines, descriptors int
	connections             int // sessions of the hub, owners and claims
	owed                    int // calls and requests of the control device
}

func (h holdings) within(before holdings) bool {
	return h.goroutines <= before.goroutines && h.descriptors <= before.descriptors &&
		h.connections <= before.connections && h.owed <= before.owed
}

// holdings counts what this process has. Requests of the API are over by then,
// and their connections with them.
func (w *world) holdings() holdings {
	w.http.CloseIdleConnections()
	h := holdings{goroutines: runtime.NumGoroutine(), descriptors: descriptors(w.t, "self")}
	hub := reflect.ValueOf(w.svc.hub).Elem()
	holding(hub, func() {
		for _, name := range []string{"sessions", "owners", "claims"} {
			h.connections += hub.FieldByName(name).Len()
		}
		for _, s := range hub.FieldByName("sessions").MapKeys() {
			h.owed += owed(s.Elem().FieldByName("peer").Elem())
		}
	})
	return h
}

// owed counts what a connection still waits for or owes.
func owed(peer reflect.Value) (n int) {
	calls := peer.FieldByName("calls")
	holding(calls, func() { n = calls.FieldByName("waiting").Len() + calls.FieldByName("forgotten").Len() })
	holding(peer, func() { n += peer.FieldByName("inFlight").Len() })
	return n
}

// holding holds the mutex of what another package keeps to itself, while f looks
// at the sizes that no method tells.
func holding(v reflect.Value, f func()) {
	mu := (*sync.Mutex)(unsafe.Pointer(v.FieldByName("mu").UnsafeAddr()))
	mu.Lock()
	defer mu.Unlock()
	f()
}

// descriptors counts the open files of a process, but for the database's, of
// which a pool keeps some open.
func descriptors(t testing.TB, process string) (n int) {
	files, err := filepath.Glob("/proc/" + process + "/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if to, err := os.Readlink(f); err == nil && !strings.Contains(to, databaseName) {
			n++
		}
	}
	return n
}

// lowest is the least that the process has had over half a second: what is on
// its way out is not counted.
func (w *world) lowest() holdings {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	least := w.holdings()
	for range 25 {
		<-look.C
		h := w.holdings()
		least = holdings{min(h.goroutines, least.goroutines), min(h.descriptors, least.descriptors),
			min(h.connections, least.connections), min(h.owed, least.owed)}
	}
	return least
}

func (w *world) mustComeDownTo(t *testing.T, before holdings) {
	t.Helper()
	var now holdings
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for until := time.Now().Add(patience / 2); ; <-look.C {
		if now = w.holdings(); now.within(before) {
			t.Logf("before %+v, after %+v", before, now)
			return
		}
		if time.Now().After(until) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("before %+v, after %+v\n%s", before, now, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
