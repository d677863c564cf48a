package device

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/edgetether/tether/schema"
)

// Device is the device's side of one connection to its server, kept up.
type Device struct {
	cfg Config

	mu      sync.Mutex // guards what follows; never held across a wait
	custom  map[string]handler
	misuse  error // of On: Run's error
	running bool
	epoch   time.Time // the server's time at an instant
	read    time.Time // that instant, by our own clock
}

// New checks the configuration and makes StateDir. The error names the wrong
// member. Register orders with On, then Run.
func New(cfg Config) (*Device, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Device{cfg: cfg, custom: map[string]handler{}}, nil
}

// Run connects, logs in, reports, carries out orders, and connects again, until
// there is a reason to stop. It returns nil when ctx ends or the server closes
// with 1000; ErrGone when the device is deleted or disabled; ErrTries after
// Config.MaxTries tries in a row without a login; and after a restart order
// what Config.Restart returns. It waits for an order that is being carried out,
// whose context it cancels.
func (d *Device) Run(ctx context.Context) error {
	if err := d.claim(); err != nil {
		return err
	}
	defer d.release()
	log, err := openLog(d.cfg.StateDir, d.cfg.LogKeep, d.cfg.Logf)
	if err != nil {
		return fmt.Errorf("device: operation log: %w", err)
	}
	defer log.close()
	journal, err := openJournal(filepath.Join(d.cfg.StateDir, "journal"))
	if journal == nil {
		return fmt.Errorf("device: journal: %w", err)
	}
	if err != nil {
		log.add("journal", "unwritten", "cause", err)
	}
	restart, err := d.run(ctx, log, journal)
	_ = journal.close() // each of its lines was synced when it was written
	if restart {
		return d.cfg.Restart()
	}
	return err
}

// run has the goroutines that live longer than a connection: the order's worker
// and the one that tells OnUpdate. They are gone when it returns.
func (d *Device) run(ctx context.Context, log *oplog, j *journal) (restart bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	r := &runner{
		d: d, log: log, orders: d.newOrders(j, log),
		updates: newUpdates(d.cfg.OnUpdate), collector: newCollector(&d.cfg),
		token: loadToken(&d.cfg),
		retry: retry{maxTries: d.cfg.MaxTries, rand: d.cfg.Rand, scaled: d.cfg.scaled},
	}
	var workers sync.WaitGroup
	workers.Go(func() { r.orders.work(ctx) })
	workers.Go(func() { r.updates.work(ctx) })
	defer workers.Wait()
	defer cancel()
	return r.stayConnected(ctx)
}

func (d *Device) newOrders(j *journal, log *oplog) *orders {
	w := newOrders(j, log)
	w.find, w.clock, w.timeout = d.handler(uploader{cfg: &d.cfg, log: log}), d.serverTime, d.cfg.OrderTimeout
	w.grace = d.cfg.scaled(schema.RestartGrace)
	return w
}

// handler finds who carries an order out: for the framework's own orders the
// library, for all others what On registered.
func (d *Device) handler(u uploader) func(schema.GiveOrder) handler {
	inner := map[string]handler{
		schema.OrderRestart: acceptRestart,
		schema.OrderUploadLog: func(ctx context.Context, o schema.GiveOrder) schema.OrderResult {
			return resultOf(u.run(ctx, o))
		},
	}
	return func(o schema.GiveOrder) handler {
		if o.IsInner {
			return inner[o.OrderType]
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.custom[o.OrderType]
	}
}

// claim makes sure that one Run uses the state at a time.
func (d *Device) claim() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.misuse != nil {
		return d.misuse
	}
	if d.running {
		return errors.New("device: Run is running already")
	}
	d.running = true
	return nil
}

func (d *Device) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running = false
}

// setServerTime is told the server's time at each login.
func (d *Device) setServerTime(ms int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.epoch, d.read = time.UnixMilli(ms), time.Now()
}

// serverTime goes on from the last login by the monotonic clock: steps of this
// host's clock do not move it. Before the first login it is this host's time.
func (d *Device) serverTime() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.read.IsZero() {
		return time.Now()
	}
	return d.epoch.Add(time.Since(d.read))
}
