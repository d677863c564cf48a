package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgetether/tether/device"
	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/store/pgtest"
)

// startPostgres is a PostgreSQL for one test.
func startPostgres(t *testing.T) *pgtest.Server {
	t.Helper()
	s, err := pgtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestPostgresServes: every command takes the URL of a PostgreSQL, and a
// service on it that is killed goes on where it was: its devices come back by
// their tokens, and their logs have no gap.
func TestPostgresServes(t *testing.T) {
	program := agentProgram(t)
	url := startPostgres(t).URL("")
	s := serveOn(t, url)
	a := s.agent(program, "a", "orders: {echo: {command: [/bin/echo, on]}}\n")
	s.awaitState(a.id, schema.Online)
	first := s.give(a.id, "echo", "{}").check(t, 200, "", "succeeded", "")

	key := tether(t, []string{"TETHER_DATABASE=" + url}, "key", "add", "line-2")
	if key.code() != 0 || !strings.HasPrefix(key.out.String(), schema.KeyPrefix) {
		t.Errorf("key add: %s%s", &key.out, &key.err)
	}
	for line, args := range map[string][]string{
		"line-2": {"key", "list", "--database", url}, "applied": {"migrate", "--status", "--database", url},
	} {
		if p := tether(t, nil, args...); p.code() != 0 || !p.out.has(line) {
			t.Errorf("%v: %s%s", args, &p.out, &p.err)
		}
	}

	s.kill()
	s.begin(t)
	await(t, "the device's return", func() bool {
		return strings.Join(s.told(a.id, schema.EventLogin, "form"), " ") == "id_password token"
	})
	s.give(a.id, "echo", "{}").check(t, 200, "", "succeeded", "")
	if o := s.api.order(first.OrderID); o.State != schema.OrderSucceeded {
		t.Errorf("the first order is %s", o.State)
	}
}

// loadedFleet are devices of the library on a service in this process, and callers
// that give them orders without end.
type loadedFleet struct {
	*world
	ids     []string
	left    atomic.Int64 // connections that devices lost
	refused atomic.Int64 // answers 503
	mu      sync.Mutex
	done    []string // orders that were answered with 200
	halt    func()   // ends the callers
	halted  chan struct{}
	callers sync.WaitGroup
}

func newLoadedFleet(t *testing.T, database string, devices int) *loadedFleet {
	t.Helper()
	f := &loadedFleet{halted: make(chan struct{})}
	f.world = socketWorld(t, func(c *serviceConfig) { c.database = database })
	f.halt = sync.OnceFunc(func() { close(f.halted); f.callers.Wait() })
	t.Cleanup(f.halt)
	for i := range devices {
		id, password := f.addDevice(fmt.Sprint("d", i))
		f.run(device.Config{
			DeviceID: id, Password: password,
			NetDial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", f.address)
			},
			OnState: func(state schema.DevState, _ string) {
				if state != schema.Online {
					f.left.Add(1)
				}
			},
		}, map[string]func(context.Context, json.RawMessage) (any, error){
			"blink": func(context.Context, json.RawMessage) (any, error) { return nil, nil },
		})
		await(t, "a device online", func() bool { return f.device(id).State == schema.Online })
		f.ids = append(f.ids, id)
		f.callers.Go(func() { f.load(id) })
	}
	return f
}

// load gives one device an order after the other. Until halt, all it may be
// told is the outcome, that the store does not answer, or that the order
// before still has the device.
func (f *loadedFleet) load(id string) {
	for {
		select {
		case <-f.halted:
			return
		default:
		}
		a := f.ask("POST", "give_order", fmt.Sprintf(`{"device_id":%q,"order":"blink","params":{}}`, id))
		switch {
		case a.HTTP == 200:
			var o schema.Order
			if err := json.Unmarshal(a.Data, &o); err != nil {
				f.t.Error(err)
			}
			f.mu.Lock()
			f.done = append(f.done, o.OrderID)
			f.mu.Unlock()
		case a.HTTP == 503 && a.Code == "store_unavailable":
			f.refused.Add(1)
		case a.HTTP != 409 || a.Code != "device_busy":
			f.t.Errorf("an order was answered %d %s: %s", a.HTTP, a.Code, a.Message)
			return
		}
		if a.HTTP != 200 {
			// Each refusal leaves an event; more than an outage may hold are lost, and said to be.
			<-time.After(20 * time.Millisecond)
		}
	}
}

// normal waits until a device can be added and devices carry out orders. That it
// takes five seconds at most is for a machine that does nothing else (TETHER_SOAK).
func (f *loadedFleet) normal(name string) {
	f.t.Helper()
	began := time.Now()
	for n := 0; ; n++ {
		body := fmt.Sprintf(`{"device_name":"new","hardware":{"sn":"%s-%d","model":"M"}}`, name, n)
		if f.ask("POST", "device_add", body).HTTP == 201 {
			break
		}
		if time.Since(began) > patience {
			f.t.Fatal(name, ": no write")
		}
	}
	f.mu.Lock()
	before := len(f.done)
	f.mu.Unlock()
	await(f.t, "orders that succeed", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.done) >= before+10*len(f.ids)
	})
	took := time.Since(began)
	f.t.Logf("%s: normal after %v", name, took)
	if took > 5*time.Second && os.Getenv("TETHER_SOAK") != "" {
		f.t.Error("that is more than five seconds")
	}
}

// check stops the callers and checks that no OK was a lie, and that no device
// was let down.
func (f *loadedFleet) check() {
	f.t.Helper()
	f.halt()
	for _, id := range f.done {
		if o := f.order(id); o.State != schema.OrderSucceeded {
			f.t.Errorf("order %s was answered with success, and is %s", id, o.State)
		}
	}
	if n := f.left.Load(); n > 0 {
		f.t.Errorf("%d connections were lost", n)
	}
	f.world.mu.Lock()
	defer f.world.mu.Unlock()
	last := map[string]int64{}
	for _, e := range f.events {
		if e.Kind == schema.EventDisconnect || e.Kind == schema.EventState || e.Kind == schema.EventLost {
			f.t.Errorf("device %s: %s %s", e.DeviceID, e.Kind, e.Detail)
		}
		if e.Seq != last[e.DeviceID]+1 {
			f.t.Errorf("device %s: seq %d after %d", e.DeviceID, e.Seq, last[e.DeviceID])
		}
		last[e.DeviceID] = e.Seq
	}
}

// Through whatever PostgreSQL does under load, no device loses its connection,
// writes are answered 503 and never with a false OK, and all is normal within
// five seconds of its return (reliability F28, F29, F30).
func TestF28_F29_F30_PostgresUnderLoad(t *testing.T) {
	server := startPostgres(t)
	f := newLoadedFleet(t, server.URL(""), 5)
	f.normal("before")
	sql := func(texts ...string) func() error { // each committed before the next
		return func() (err error) {
			for _, text := range texts {
				err = errors.Join(err, server.Exec(context.Background(), text))
			}
			return err
		}
	}
	for _, fault := range []struct {
		name      string
		do, undo  func() error
		refusesIt bool
	}{
		{"stopped", server.Stop, server.Resume, true},
		{"killed", server.Crash, server.Resume, true},
		{"read-only", sql("ALTER ROLE tether SET default_transaction_read_only = on", killOthers),
			sql("ALTER ROLE tether RESET default_transaction_read_only"), true},
		{"slow", sql(slowCommits), sql("DROP TRIGGER slow ON counters; DROP FUNCTION slow"), false},
	} {
		refused := f.refused.Load()
		if err := fault.do(); err != nil {
			t.Fatal(fault.name, err)
		}
		<-time.After(faultTime())
		if n := f.refused.Load() - refused; fault.refusesIt && n == 0 {
			t.Errorf("%s: nothing was refused", fault.name)
		}
		if err := fault.undo(); err != nil {
			t.Fatal(fault.name, err)
		}
		f.normal(fault.name)
	}
	f.check()
	t.Logf("%d orders succeeded, %d were refused", len(f.done), f.refused.Load())
}

const (
	killOthers = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tether'"
	// slowCommits makes a commit take two seconds.
	slowCommits = `CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(2); RETURN NULL; END';
		CREATE CONSTRAINT TRIGGER slow AFTER INSERT OR UPDATE ON counters DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW WHEN (NEW.name LIKE 'commit %') EXECUTE FUNCTION slow()`
)

// faultTime is how long a fault lasts: longer where there is time for it.
func faultTime() time.Duration {
	if os.Getenv("TETHER_SOAK") != "" {
		return time.Minute
	}
	return 4 * time.Second
}

// The folder of the logs is never named after a URL, which may hold a password.
func TestLogsBeside(t *testing.T) {
	for database, want := range map[string]string{
		"sqlite:/var/lib/tether/tether.db": "/var/lib/tether/logs", "sqlite:tether.db": "logs", "sqlite:data/tether.db": "data/logs",
		"postgres://u:secret@h/x": "data/logs", "postgresql:///x": "data/logs",
	} {
		if got := logsBeside(database); got != want {
			t.Errorf("%s: %s", database, got)
		}
	}
}
