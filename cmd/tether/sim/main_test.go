package sim

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
	"go.uber.org/goleak"

	"github.com/edgetether/tether/cmd/tether/conform"
	"github.com/edgetether/tether/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a listener in memory: its connections are pipes, which virtual
// time can see.
type memory struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemory() *memory { return &memory{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (l *memory) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memory) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *memory) Addr() net.Addr { return &net.TCPAddr{} }

func (l *memory) dial(ctx context.Context, _, _ string, _ net.IP) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
	case <-ctx.Done():
	}
	return nil, net.ErrClosed
}

// conformHandler are the two orders that the kit gives.
func conformHandler(o schema.GiveOrder) (time.Duration, *schema.OrderResult) {
	done := &schema.OrderResult{Status: schema.ResultSuccess, Message: "done"}
	switch o.OrderType {
	case "conform_echo":
		done.Data = o.Params
		return 0, done
	case "conform_sleep":
		var p struct {
			MS int64 `json:"ms"`
		}
		if err := json.Unmarshal(o.Params, &p); err != nil {
			return 0, failed(err.Error())
		}
		return time.Duration(p.MS) * time.Millisecond, done
	}
	return 0, nil
}

// launcher runs a fleet of one lean device as a client under test. Its folders
// of state are accounts, which outlast it.
type launcher struct {
	listener *memory
	folders  map[string]*Account
}

func (l *launcher) launch(ctx context.Context, env map[string]string) error {
	a := l.folders[env["TETHER_STATE_DIR"]]
	if a == nil {
		a = &Account{DeviceID: env["TETHER_DEVICE_ID"], SN: env["TETHER_DEVICE_SN"], Model: env["TETHER_DEVICE_MODEL"]}
		l.folders[env["TETHER_STATE_DIR"]] = a
	}
	a.Password = env["TETHER_PASSWORD"]
	f := newFleet(context.WithoutCancel(ctx), &Options{
		URL: env["TETHER_URL"], Dial: l.listener.dial, Rate: 1, Handler: conformHandler, Mode: Lean,
	}, []*Account{a})
	stop := make(chan struct{})
	var clock sync.WaitGroup
	clock.Go(func() { f.clock.run(stop) })
	defer clock.Wait()
	defer close(stop)
	f.start()
	select {
	case <-f.stopped: // by the server
		f.tasks.Wait()
		return nil
	case <-ctx.Done():
	}
	if errors.Is(context.Cause(ctx), conform.ErrKilled) {
		l.kill(f, a)
	}
	f.stop()
	return nil
}

// kill leaves what was on the disk at that instant, and no close frame.
func (l *launcher) kill(f *fleet, a *Account) {
	d := f.members[0].(*lean)
	d.mu.Lock()
	defer d.mu.Unlock()
	left := *a
	left.journal.entries = slices.Clone(a.journal.entries)
	for dir, one := range l.folders {
		if one == a {
			l.folders[dir] = &left
		}
	}
	if line := d.line.Load(); line != nil {
		_ = line.Close() // a pipe's is nil
	}
}

// TestLeanConforms: a lean device keeps the whole contract, in virtual time and
// therefore exactly.
func TestLeanConforms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &launcher{newMemory(), map[string]*Account{}}
		r, err := conform.Run(t.Context(), conform.Options{
			Listener: l.listener, URL: "ws://conform/ws", StateDir: t.TempDir(), Say: t.Logf, Launch: l.launch,
			Device: conform.Identity{ID: "1860117402213097472", SN: "SN-7", Model: "ModelB", Password: "conform-password"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if r.Passed(true) {
			return
		}
		t.Error("not everything passed")
		if err := r.WriteText(t.Output(), false); err != nil {
			t.Error(err)
		}
	})
}
