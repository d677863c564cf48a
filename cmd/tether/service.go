package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/session"
	"github.com/edgetether/tether/store"
	"github.com/edgetether/tether/store/logdrop"
)

// Times and sizes of the HTTP server (T16).
const (
	headerTimeout = 5 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 8 << 10
	// drainTime is left to orders in flight and to devices that are sent away: an order takes
	// 15 s at most, with its two commits a little more.
	drainTime = 30 * time.Second
	// answerTime is left after that to requests that are being answered.
	answerTime = 5 * time.Second
	// damageTime is what the start spends on looking for damage in the database:
	// enough for half a gigabyte, and a small part of the five seconds that a
	// restart may take.
	damageTime = 2 * time.Second
)

// serviceConfig says what a service is made of.
type serviceConfig struct {
	database     string // URL
	node         string // name of this server
	authOff      bool
	messageRate  float64
	bcryptCost   int
	statusSample time.Duration
	linger       time.Duration // see store.Options
	// restartWindow is how long a new boot may take to prove a restart; 0 is the contract's.
	restartWindow time.Duration
	keep          ages
	access        accessConfig
	origins       []string
	logs          logsConfig
	newID         func() string                       // nil: snowflakes
	logins        func(session.Logins) session.Logins // what logins ask in place of the store; nil: the store itself
	onEvents      func([]schema.Event)
	metrics       *metrics        // nil: nobody reads them
	hurry         context.Context // ends when nobody wants to wait for the drain any more; nil: never
	log           *slog.Logger
}

// accessConfig holds keys and log-ins to their limits; see northapi.Config.
type accessConfig struct {
	keyRate                      float64
	keyWaiting                   int
	sessionIdle, sessionLifetime time.Duration
	proxies                      []netip.Prefix
}

// logsConfig says where the receiver of device logs listens; an empty listen is nowhere.
type logsConfig struct {
	listen, public, dir string
}

// service is the rooms tied together.
type service struct {
	log      *slog.Logger
	metrics  *metrics
	hurry    context.Context
	lock     *lock // of the database, against a second server
	store    *store.Store
	secrets  store.Secrets
	newID    func() string
	hub      *session.Hub
	waits    session.Waits
	feed     *northapi.Feed
	handler  http.Handler
	receiver *logdrop.Receiver // nil: no logs are received
	taken    chan error        // told that another server has taken this one's place

	ctx    context.Context // of the clerk and of retention
	cancel context.CancelFunc
	wg     sync.WaitGroup
	state  struct {
		sync.Mutex
		draining bool
	}
}

// newService opens the store, takes this node's place in it, settles what its
// earlier process left behind, and makes the hub and the API.
func newService(ctx context.Context, c serviceConfig) (s *service, err error) {
	s = &service{log: c.log, secrets: store.Secrets{Cost: c.bcryptCost}, feed: northapi.NewFeed(), taken: make(chan error, 1), metrics: c.metrics, hurry: c.hurry}
	if s.metrics == nil {
		s.metrics = newMetrics()
	}
	if s.hurry == nil {
		s.hurry = context.Background()
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.lock, err = lockDatabase(c.database); err != nil {
		return s, err
	}
	s.store, err = store.Open(ctx, c.database, store.Options{
		Migrate: true, Check: damageTime, OnEvents: s.committed(c.onEvents), OnTaken: func(err error) { s.taken <- err },
		OnCommit: s.metrics.committed, Log: s.logStore, Linger: c.linger,
	})
	if errors.Is(err, store.ErrDamaged) {
		return s, fmt.Errorf("%w\nNothing was started. \"tether db check --database %s\" tells all that is wrong; "+
			"\"tether db backup --help\" how to go back to a backup", err, c.database)
	}
	if err != nil {
		return s, err
	}
	node, err := s.takePlace(ctx, c)
	if err != nil {
		return s, err
	}
	if err := s.openReceiver(c.logs); err != nil {
		return s, err
	}
	s.hub = session.New(s.hubConfig(c, node))
	s.handler = northapi.New(s.apiConfig(c))
	s.wg.Go(func() { s.hub.Run(s.ctx) })
	s.wg.Go(func() { newRetention(c.keep, s.store, s.log).run(s.ctx) })
	return s, nil
}

// committed tells of events those who wait for orders, the streams of events, and more.
func (s *service) committed(more func([]schema.Event)) func([]schema.Event) {
	return func(events []schema.Event) {
		s.waits.Committed(events)
		s.feed.Publish(events)
		if more != nil {
			more(events)
		}
	}
}

func (s *service) logStore(msg string, err error) { s.log.Warn(msg, "error", err) }

// takePlace claims the node's row, and settles what its earlier process left behind.
func (s *service) takePlace(ctx context.Context, c serviceConfig) (schema.Node, error) {
	node, err := s.store.ClaimNode(ctx, c.node, time.Now().UnixMilli())
	if errors.Is(err, store.ErrNodeTaken) {
		return node, fmt.Errorf("%w\nNothing was started. Stop that server, or give --database another database", err)
	}
	if err != nil {
		return node, err
	}
	if s.newID = c.newID; s.newID == nil {
		if s.newID, err = snowflakes(ctx, s.store, node.Number); err != nil {
			return node, err
		}
	}
	return node, s.store.ResetNode(ctx, node, time.Now().UnixMilli())
}

func (s *service) openReceiver(c logsConfig) (err error) {
	if c.listen == "" {
		return nil
	}
	if err := store.MakeFolder(c.dir); err != nil {
		return err
	}
	s.receiver, err = logdrop.Open(logdrop.Options{
		Dir: c.dir, HostKeyFile: filepath.Join(c.dir, ".host_ed25519"), PublicAddress: c.public, Rows: s.store,
		Log: func(msg string, kv ...any) { s.log.Info(msg, kv...) },
	})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", c.listen)
	if err != nil {
		return err
	}
	s.wg.Go(func() {
		if err := s.receiver.Serve(l); err != nil {
			s.log.Error("the receiver of logs has stopped", "error", err)
		}
	})
	return nil
}

func (s *service) hubConfig(c serviceConfig, node schema.Node) session.Config {
	h := session.Config{
		Settings: session.Settings{StatusSample: c.statusSample, Discover: schema.OpenRPCDevice},
		Node:     node, Processors: processors,
		Logins: s.store, Orders: s.store, Queue: s.store, Waits: &s.waits, Journal: s.store, Settler: s.store, Jobs: s.store,
		Verify: s.secrets.Verify, Cheap: store.IsCheap, NewToken: s.secrets.NewToken, HashToken: s.secrets.HashToken,
		MessageRate: c.messageRate, RestartWindow: c.restartWindow, Origins: c.origins,
		Observe: s.metrics.observe(), Log: s.log,
	}
	if c.logins != nil {
		h.Logins = c.logins(s.store)
	}
	if s.receiver != nil {
		h.Uploads = s.receiver
	}
	return h
}

func (s *service) apiConfig(c serviceConfig) northapi.Config {
	a := northapi.Config{
		Devices: s.store, Groups: s.store, Relations: s.store, Records: s.store, Orders: s.store, Jobs: s.store, Keys: s.store,
		KeySessions: s.store, AuditLog: s.store,
		KeyRate: c.access.keyRate, KeyWaiting: c.access.keyWaiting, SessionIdle: c.access.sessionIdle, SessionLifetime: c.access.sessionLifetime,
		Proxies:  c.access.proxies,
		Sessions: s.hub, EventLog: s.store, Feed: s.feed, Secrets: s.secrets, NewID: s.newID, Ready: s.store.Ready, Draining: s.draining,
		AuthOff: c.authOff, Southbound: s.hub, Observe: s.metrics.answered, Version: version(),
		Log: func(route string, err error) { s.log.Error("request failed", "route", route, "error", err) },
	}
	if s.receiver != nil {
		a.Files = s.receiver
	}
	return a
}

func (s *service) draining() bool {
	s.state.Lock()
	defer s.state.Unlock()
	return s.state.draining
}

// protocols are HTTP/1.1, which devices need for their WebSocket, and HTTP/2 for
// business: thousands of calls that wait take few connections, and half of the
// memory. Without TLS a client has to know that it is spoken.
func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// http2Limits bound what a connection holds before anything is known of it: a
// frame is held whole, and so is what has come of bodies and is not read.
func http2Limits() *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxConcurrentStreams: 250, MaxReadFrameSize: 16 << 10,
		MaxReceiveBufferPerStream: 64 << 10, MaxReceiveBufferPerConnection: 256 << 10,
	}
}

// serve answers on l until ctx ends; then it drains (stop.go). If another server has taken its place, whose devices and orders they
// now are, it ends at once.
func (s *service) serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ConnContext: northapi.ConnContext, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), Protocols: protocols(), HTTP2: http2Limits(),
	}
	failed := make(chan error, 1)
	s.wg.Go(func() { failed <- server.Serve(&acceptor{Listener: l, s: s, crowded: s.hub.Crowded}) })
	select {
	case err := <-failed:
		return fmt.Errorf("listening on %s: %w", l.Addr(), err)
	case err := <-s.taken:
		return errors.Join(err, server.Close())
	case <-ctx.Done():
	}
	return s.drain(server)
}

// close stops what newService started, in the opposite order. The store is
// the last: what the sessions still owe is committed.
func (s *service) close() error {
	s.cancel()
	if s.hub != nil {
		s.hub.Close()
	}
	var err error
	if s.receiver != nil {
		err = s.receiver.Close()
	}
	s.wg.Wait()
	if s.store != nil {
		err = errors.Join(err, s.store.Close())
	}
	return errors.Join(err, s.lock.release())
}

// renew takes up a certificate that is renewed, until the service is closed.
func (s *service) renew(cert *certificate) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGHUP)
	s.wg.Go(func() {
		defer signal.Stop(asked)
		cert.watch(s.ctx, asked)
	})
}

// addKey makes an API key and returns it; it is not to be had again.
func (s *service) addKey(ctx context.Context, name string, role schema.Role) (string, error) {
	return addKey(ctx, s.store, s.newID, schema.Key{Name: name, Role: role}, "server")
}
