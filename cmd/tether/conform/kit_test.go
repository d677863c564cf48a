package conform

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/edgetether/tether/device"
)

func TestMain(m *testing.M) {
	if os.Getenv(clientEnv) != "" {
		os.Exit(beClient())
	}
	goleak.VerifyTestMain(m)
}

var pressSeven = Identity{ID: "1860117402213097472", SN: "SN-7", Model: "ModelB", Password: "conform-password"}

// memory is a listener in memory: its connections are pipes, which virtual
// time can see.
type memory struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemory() *memory {
	return &memory{conns: make(chan net.Conn), closed: make(chan struct{})}
}

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

func (l *memory) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
	case <-ctx.Done():
	}
	return nil, net.ErrClosed
}

// library is the Go device library as a client under test, in this process.
type library struct {
	dial   func(context.Context, string, string) (net.Conn, error)
	change func(*device.Config)
}

var errRestart = errors.New("restart")

func (l library) launch(ctx context.Context, env map[string]string) error {
	cfg := device.Config{
		URL: env["TETHER_URL"], DeviceID: env["TETHER_DEVICE_ID"], Password: env["TETHER_PASSWORD"],
		StateDir: env["TETHER_STATE_DIR"], NetDial: l.dial, Restart: func() error { return errRestart },
	}
	if cfg.DeviceID == "" {
		cfg.SN, cfg.Model = env["TETHER_DEVICE_SN"], env["TETHER_DEVICE_MODEL"]
	}
	if l.change != nil {
		l.change(&cfg)
	}
	d, err := device.New(cfg)
	if err != nil {
		return err
	}
	d.On("conform_echo", func(_ context.Context, params json.RawMessage) (any, error) { return params, nil })
	device.On(d, "conform_sleep", func(ctx context.Context, p struct {
		MS int64 `json:"ms"`
	}) (any, error) {
		select {
		case <-time.After(time.Duration(p.MS) * time.Millisecond):
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	return l.run(ctx, d, cfg.StateDir)
}

// run runs the device until ctx ends. A kill leaves what was on the disk at
// that instant.
func (l library) run(ctx context.Context, d *device.Device, dir string) error {
	inner, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(inner) }()
	defer cancel()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	var journal []byte
	killed := errors.Is(context.Cause(ctx), ErrKilled)
	if killed {
		var err error
		if journal, err = os.ReadFile(dir + "/journal"); err != nil {
			return err
		}
	}
	cancel()
	<-ended
	if killed {
		return os.WriteFile(dir+"/journal", journal, 0o600)
	}
	return nil
}

// inBubble runs the kit against a client in virtual time.
func inBubble(t *testing.T, change func(*Options, *memory)) (r *Report) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newMemory()
		o := Options{Listener: l, URL: "ws://conform/ws", Device: pressSeven, StateDir: t.TempDir(), Say: t.Logf}
		o.Launch = library{dial: l.dial}.launch
		if change != nil {
			change(&o, l)
		}
		var err error
		if r, err = Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	})
	return r
}

// TestLibraryConformsScaled: a tenth of every time, and as exactly.
func TestLibraryConformsScaled(t *testing.T) {
	r := inBubble(t, func(o *Options, l *memory) {
		o.TimeScale, o.HeartbeatScale = 0.1, 0.1
		o.Launch = library{dial: l.dial, change: func(c *device.Config) { c.TimeScale = 0.1 }}.launch
	})
	if !r.Passed(true) {
		t.Errorf("%s", textOf(t, r))
	}
}

// TestLibraryConforms: the Go library, in virtual time and therefore exactly.
func TestLibraryConforms(t *testing.T) {
	r := inBubble(t, nil)
	if !r.Passed(true) {
		t.Error("not everything passed")
	}
	t.Logf("%s", textOf(t, r))
}
