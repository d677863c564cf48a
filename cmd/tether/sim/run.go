package sim

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Run simulates a fleet until its time is over or ctx ends, and reports. The
// report is there whenever devices were connected, also with an error. When it
// returns, nothing of the run is left.
func Run(ctx context.Context, o Options) (*Report, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := checkFiles(&o); err != nil {
		return nil, err
	}
	kept, err := loadState(o.State, o.URL)
	if err != nil {
		return nil, err
	}
	r := registrar{&o, map[string]*Account{}}
	for _, a := range kept.Devices {
		r.known[a.SN] = a
	}
	accounts, err := r.accounts(ctx)
	if err != nil {
		return nil, fmt.Errorf("registering: %w", err)
	}
	// Others of the file stay in it: the next run may be larger.
	for _, a := range accounts {
		if r.known[a.SN] == nil {
			kept.Devices = append(kept.Devices, a)
		}
	}
	if err := kept.save(o.State); err != nil {
		return nil, err
	}
	groupID := ""
	if o.Group != "" {
		if groupID, err = r.gather(ctx, accounts); err != nil {
			return nil, fmt.Errorf("--group %s: %w", o.Group, err)
		}
	}
	report, err := simulate(ctx, &o, accounts, groupID)
	if o.Cleanup {
		return report, errors.Join(err, r.leaveNothing(accounts, &kept))
	}
	return report, errors.Join(err, kept.save(o.State))
}

// cleanUpTime is what deleting the devices may take: ctx may have ended.
const cleanUpTime = 5 * time.Minute

// leaveNothing deletes the devices, at the server and in the state file.
func (r *registrar) leaveNothing(accounts []*Account, kept *state) error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanUpTime)
	defer cancel()
	if err := r.cleanUp(ctx, accounts); err != nil {
		return fmt.Errorf("--cleanup: %w", err)
	}
	gone := map[*Account]bool{}
	for _, a := range accounts {
		gone[a] = true
	}
	var rest []*Account
	for _, a := range kept.Devices {
		if !gone[a] {
			rest = append(rest, a)
		}
	}
	kept.Devices = rest
	return kept.save(r.State)
}

// simulation is the part of a run in which devices are connected.
type simulation struct {
	*fleet
	report *Report
	faults *faults
	own    Meter
	began  time.Time
	loaded time.Duration // for how long there was a load
	tasks  sync.WaitGroup
	failed error              // of the tasks; guarded by their end
	abort  context.CancelFunc // ends the run before its time
}

func simulate(ctx context.Context, o *Options, accounts []*Account, groupID string) (*Report, error) {
	dials, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	f := newFleet(dials, o, accounts)
	s := &simulation{fleet: f, report: &Report{}, own: ProcessMeter("self"), began: time.Now()}
	s.faults = &faults{fleet: f, Faults: o.Faults}
	stopClock := make(chan struct{})
	var clock sync.WaitGroup
	clock.Go(func() { f.clock.run(stopClock) })
	defer clock.Wait()
	defer close(stopClock)

	if err := s.measure(ctx, func(u *Usage, now Sample) { u.Start = now }); err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	if o.For > 0 {
		running, stop = context.WithTimeout(ctx, o.For)
		defer stop()
	}
	s.abort = stop
	last := f.start()
	s.tasks.Go(func() { f.watch(running) })
	s.tasks.Go(func() { s.show(running) })
	s.tasks.Go(func() { s.load(running, last, groupID) })
	select {
	case <-running.Done():
	case <-f.stopped: // every device was told to stop
	}
	err := s.measure(context.WithoutCancel(ctx), func(u *Usage, now Sample) { u.End = now })
	stop()
	s.tasks.Wait()
	o.Say("Devices leave")
	cancel()
	s.finish()
	f.stop()
	return s.report, errors.Join(s.failed, err)
}

// patience is how long after the last first connect devices that have not come
// are waited for with the load.
const patience = 30 * time.Second

// load waits for the fleet and begins what it is to bear.
func (s *simulation) load(ctx context.Context, last time.Duration, groupID string) {
	timer := time.NewTimer(last + patience)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-s.arrived:
		s.options.Say("All %d devices are connected", len(s.members))
		if s.failed = s.measure(ctx, func(u *Usage, now Sample) { u.Steady = &now }); s.failed != nil {
			s.abort()
			return
		}
	case <-timer.C:
		s.options.Say("%d of %d devices are connected", s.stats.arrived.Load(), len(s.members))
	}
	var tasks sync.WaitGroup
	began := time.Now()
	s.faults.begin(ctx)
	tasks.Go(func() { s.giveOrders(ctx) })
	tasks.Go(func() { s.guessLogins(ctx) })
	if s.options.GroupOrder {
		g, err := s.giveGroupOrder(ctx, groupID)
		s.report.GroupOrder = g
		if err != nil {
			s.failed = errors.Join(s.failed, err)
			s.abort() // the rest was not what was asked for
		}
	}
	tasks.Wait()
	s.loaded = time.Since(began)
	s.faults.wait()
}

// measure reads the meters. Where there is no /proc, our own says nothing.
func (s *simulation) measure(ctx context.Context, into func(*Usage, Sample)) error {
	at := time.Since(s.began).Seconds()
	if own, err := s.own(ctx); err == nil {
		own.Seconds = at
		if s.report.Own == nil {
			s.report.Own = &Usage{}
		}
		into(s.report.Own, own)
	}
	if s.options.Meter == nil {
		return nil
	}
	server, err := s.options.Meter(ctx)
	if err != nil {
		return fmt.Errorf("measuring the server: %w", err)
	}
	server.Seconds = at
	if s.report.Server == nil {
		s.report.Server = &Usage{}
	}
	into(s.report.Server, server)
	return nil
}

// Progress is how a run stands.
type Progress struct {
	Elapsed, For          time.Duration
	Devices, Online       int64
	Logins, Pings, Orders float64 // a second, since the last time
	P99                   time.Duration
	Lost                  int64
	logins, pings, orders int64
}

// String is the line of a terminal.
func (p Progress) String() string {
	return fmt.Sprintf("%d/%d connected  %.0f logins/s  %.0f pings/s  p99 %s  %d drops  %.0f orders/s",
		p.Online, p.Devices, p.Logins, p.Pings, p.P99.Round(10*time.Microsecond), p.Lost, p.Orders)
}

// show tells how it stands until ctx ends.
func (s *simulation) show(ctx context.Context) {
	tick := time.NewTicker(s.options.ShowEvery)
	defer tick.Stop()
	p := Progress{For: s.options.For, Devices: int64(len(s.members))}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p = s.progress(p)
			s.options.Show(p)
		}
	}
}

func (s *simulation) progress(last Progress) Progress {
	st, p := &s.stats, last
	p.Elapsed = time.Since(s.began)
	p.Online, p.P99, p.Lost = st.online.Load(), st.ping.Quantile(0.99), st.lost.total()
	p.logins, p.pings, p.orders = st.login.Count(), st.ping.Count(), st.orders.total()
	passed := (p.Elapsed - last.Elapsed).Seconds()
	p.Logins = float64(p.logins-last.logins) / passed
	p.Pings = float64(p.pings-last.pings) / passed
	p.Orders = float64(p.orders-last.orders) / passed
	return p
}
