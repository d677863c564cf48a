package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/edgetether/tether/device"
	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/session"
	"github.com/edgetether/tether/store"
)

// service is a whole service on a socket of loopback, over SQLite.
type service struct {
	*httptest.Server
	dir   string
	key   string // of an admin
	store *store.Store
	hub   *session.Hub
	waits session.Waits
	feed  *northapi.Feed
	wg    sync.WaitGroup
	stop  context.CancelFunc
}

// start starts a service in a folder.
func start(dir string) (s *service, err error) {
	ctx, stop := context.WithCancel(context.Background())
	s = &service{dir: dir, feed: northapi.NewFeed(), stop: stop}
	s.store, err = store.Open(ctx, "sqlite:"+filepath.Join(dir, "test.db"), store.Options{Migrate: true, OnEvents: func(e []schema.Event) {
		s.waits.Committed(e)
		s.feed.Publish(e)
	}})
	if err != nil {
		return s, err
	}
	node, err := s.store.ClaimNode(ctx, "test", 1)
	if err != nil {
		return s, err
	}
	secrets := store.Secrets{Cost: 4}
	s.hub = session.New(session.Config{
		Node: node, Logins: s.store, Orders: s.store, Queue: s.store, Waits: &s.waits, Journal: s.store, Settler: s.store, Jobs: s.store,
		Verify: secrets.Verify, Cheap: store.IsCheap, NewToken: secrets.NewToken, HashToken: secrets.HashToken,
		MessageRate: schema.MessageRate,
	})
	var ids atomic.Int64
	ids.Store(1000)
	s.Server = httptest.NewServer(northapi.New(northapi.Config{
		Devices: s.store, Groups: s.store, Relations: s.store, Records: s.store, Orders: s.store, Jobs: s.store, Keys: s.store, KeySessions: s.store, AuditLog: s.store,
		Sessions: s.hub, EventLog: s.store, Feed: s.feed, Files: files{dir}, Secrets: secrets, Southbound: s.hub,
		NewID: func() string { return fmt.Sprint(ids.Add(1)) }, Version: "v1",
	}))
	s.wg.Go(func() { s.hub.Run(ctx) })
	s.key = secrets.NewKey()
	return s, s.store.AddKey(ctx, schema.Key{KeyID: "1", Name: "test", Role: schema.Admin}, secrets.HashToken(s.key))
}

// close ends it.
func (s *service) close() error {
	s.CloseClientConnections()
	s.hub.Close()
	s.Server.Close()
	s.stop()
	s.wg.Wait()
	return s.store.Close()
}

// files opens logs by the order's id from a folder.
type files struct{ dir string }

func (f files) OpenLog(r schema.LogFile) (io.ReadSeekCloser, error) {
	file, err := os.Open(filepath.Join(f.dir, r.OrderID+".log"))
	if err != nil {
		return nil, fs.ErrNotExist
	}
	return file, nil
}

// newService is start for the length of a test, with its client.
func newService(t *testing.T) (*service, *client.Client) {
	t.Helper()
	s, err := start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	return s, newClient(t, client.Options{URL: s.URL, Key: s.key})
}

func newClient(t *testing.T, o client.Options) *client.Client {
	t.Helper()
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// run runs a registered device until ctx ends: it blinks n times, and fails if n is 0.
func (s *service) run(ctx context.Context, who client.Credential) error {
	d, err := device.New(device.Config{
		URL: "ws" + strings.TrimPrefix(s.URL, "http") + "/ws", DeviceID: who.DeviceID, Password: who.Password,
		StateDir: filepath.Join(s.dir, who.DeviceID),
	})
	if err != nil {
		return err
	}
	device.On(d, "blink", func(_ context.Context, p struct {
		N int `json:"n"`
	}) (any, error) {
		if p.N == 0 {
			return nil, errors.New("n is 0")
		}
		return map[string]int{"blinked": p.N}, nil
	})
	return d.Run(ctx)
}

// connected registers a device and has it run for the length of the test.
func (s *service) connected(t *testing.T, c *client.Client, name string) string {
	t.Helper()
	who, err := c.DeviceAdd(t.Context(), client.NewDevice{Name: name, Hardware: schema.Hardware{SN: name, Model: "M"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.run(ctx, who) })
	t.Cleanup(func() { stop(); wg.Wait() })
	for e, err := range c.Events(t.Context(), client.EventQuery{
		EventSelection: schema.EventSelection{DeviceID: who.DeviceID, Kinds: []schema.EventKind{schema.EventLogin}}, After: new(int64(0)),
	}) {
		if err != nil || e.Outcome != "success" {
			t.Fatal(e, err)
		}
		break
	}
	return who.DeviceID
}

// answering is a server that answers everything by handle.
func answering(t *testing.T, handle http.HandlerFunc) *client.Client {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return newClient(t, client.Options{URL: s.URL, Key: "tk_secret"})
}
