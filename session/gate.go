package session

import (
	"context"
	"errors"
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/edgetether/tether/schema"
)

// How failures are slowed (southbound section 2, Secrets; reliability T6).
const (
	deviceBurst  = 5
	deviceEvery  = 30 * time.Second
	firstBurst   = 20 // failures at a device of sources that are new to it
	sourceBurst  = 20
	sourceEvery  = time.Second
	noteEvery    = time.Minute
	usualCheck   = 250 * time.Millisecond // until it is known what one takes
	gateCapacity = 1 << 16                // sources and devices remembered, in each of two generations
)

// gate decides who may try a secret, and tries it. A password that a person
// chose costs a quarter of a second of processor time, so that those checks
// are bounded and queue; a secret that the server made costs microseconds and
// never waits behind them.
type gate struct {
	logins Logins
	verify func(schema.Credential, schema.LoginParams) bool
	failed func() // is told of each login that failed or was held back
	cheap  func(secret string) bool
	delay  time.Duration // from a login's receipt to its refusal, the same for all (T10)

	checks   chan struct{} // holds a token for each check that may run at once
	queued   atomic.Int64
	line     comeback
	checked  atomic.Uint64
	refusals tally
	seed     maphash.Seed
	devices  cache[uint64, *rate.Limiter] // failures, by what the login named
	firsts   cache[uint64, *rate.Limiter] // likewise, of sources that were new to it
	sources  cache[netip.Prefix, *rate.Limiter]
	known    cache[pair, bool] // whether a source's last login at a device was right
	noted    notes[uint64]     // of refusals, by what the login named
}

// pair is a device, as a login named it, and a source.
type pair struct {
	device uint64
	source netip.Prefix
}

func newGate(cfg *Config) *gate {
	checks := max(1, cfg.Processors-1)
	return &gate{
		logins: cfg.Logins, verify: cfg.Verify, cheap: cfg.Cheap, delay: cfg.RefusalDelay,
		failed: func() {}, checks: make(chan struct{}, checks), line: comeback{pace: usualCheck / time.Duration(checks)}, seed: maphash.MakeSeed(),
		refusals: newTally("queue_full", "source", "device", "store_unavailable", "stopping"),
	}
}

// check answers authenticated or refused. It returns within the time that a
// bounded queue of checks takes, or when ctx ends.
func (g *gate) check(ctx context.Context, p schema.LoginParams, source netip.Addr) event {
	start := time.Now()
	a := attempt{params: p, device: g.deviceKey(p), source: prefixOf(source), start: start}
	cred, err := g.try(ctx, &a)
	if err == nil {
		g.known.put(pair{a.device, a.source}, true)
		return authenticated{cred}
	}
	if schema.KindOf(err) == schema.LoginFailed {
		g.countFailure(&a)
		g.failed()
		sleep(ctx, g.delay-time.Since(start))
	}
	note := g.note(ctx, &a, err)
	return refused{deviceID: a.deviceID, err: err, note: note}
}

// attempt is one login on its way through the gate.
type attempt struct {
	params   schema.LoginParams
	device   uint64 // what it names, known or not
	deviceID string // if there is such a device
	source   netip.Prefix
	start    time.Time
}

func (a *attempt) secret() string { return a.params.Token + a.params.Password }

func (g *gate) try(ctx context.Context, a *attempt) (schema.Credential, error) {
	cheap := g.cheap(a.secret())
	if !cheap {
		if err := g.admit(a); err != nil {
			return schema.Credential{}, err
		}
		release, err := g.queue(ctx)
		if err != nil {
			return schema.Credential{}, err
		}
		defer release()
		// Those who failed while this one waited count too.
		if err := g.admit(a); err != nil {
			return schema.Credential{}, err
		}
	}
	cred, err := g.credential(ctx, a)
	if err != nil {
		g.refusals.add("store_unavailable")
		return cred, err
	}
	if g.verify(cred, a.params) && cred.Enabled {
		return cred, nil
	}
	if cheap { // a right one was not held up; a wrong one is slowed like any other
		if err := g.admit(a); err != nil {
			return schema.Credential{}, err
		}
	}
	return schema.Credential{}, schema.ErrLoginFailed
}

// credential finds the record; for an unknown device it is the zero one, which
// costs as much to check as any (T10).
func (g *gate) credential(ctx context.Context, a *attempt) (schema.Credential, error) {
	cred, err := g.logins.Credential(ctx, a.params, a.start.UnixMilli())
	switch {
	case err == nil:
		a.deviceID = cred.DeviceID
	case errors.Is(err, schema.ErrDeviceNotFound):
		return schema.Credential{}, nil
	default:
		return cred, overloaded(retryAfterStore)
	}
	return cred, nil
}

// admit holds a source or a device back that has failed too often. Guesses
// from elsewhere do not lock the genuine device out: a source that has logged
// in is let through, and one that is new to the device has a share of its own.
func (g *gate) admit(a *attempt) error {
	now := time.Now()
	if wait := g.sourceLimit(a.source).wait(now); wait > 0 {
		return g.heldBack("source", wait)
	}
	if right, _ := g.known.get(pair{a.device, a.source}); right {
		return nil
	}
	if wait := g.share(a).wait(now); wait > 0 {
		return g.heldBack("device", wait)
	}
	return nil
}

// heldBack refuses an attempt for now: others have failed, or there is no room.
func (g *gate) heldBack(reason string, wait time.Duration) error {
	g.refusals.add(reason)
	g.failed()
	return overloaded(wait)
}

// share is the limit that an attempt at its device is admitted by.
func (g *gate) share(a *attempt) limit {
	if _, before := g.known.get(pair{a.device, a.source}); before {
		return g.deviceLimit(a.device)
	}
	return g.firstLimit(a.device)
}

func (g *gate) countFailure(a *attempt) {
	g.sourceLimit(a.source).Allow()
	g.deviceLimit(a.device).Allow()
	who := pair{a.device, a.source}
	if _, before := g.known.get(who); !before {
		g.firstLimit(a.device).Allow()
	}
	g.known.put(who, false)
}

// queue waits for one of the bounded checks; a full queue, or one that is too
// slow, refuses at once, and names the time when there will be room.
func (g *gate) queue(ctx context.Context) (release func(), err error) {
	if n := g.queued.Add(1); n > schema.MaxChecks || g.line.turns(n) > schema.CheckWait {
		g.queued.Add(-1)
		return nil, g.heldBack("queue_full", g.line.after(time.Now()))
	}
	defer g.queued.Add(-1)
	select {
	case g.checks <- struct{}{}:
		begun := time.Now()
		return func() {
			g.line.took(time.Since(begun), cap(g.checks))
			g.checked.Add(1)
			<-g.checks
		}, nil
	case <-ctx.Done():
		g.refusals.add("stopping")
		return nil, overloaded(schema.ReconnectDelay)
	}
}

// note says whether the device's log gets a line: for every failed check, and
// for one refusal a minute, so that a flood of them writes little.
func (g *gate) note(ctx context.Context, a *attempt, err error) bool {
	if schema.KindOf(err) == schema.LoginFailed {
		return a.deviceID != ""
	}
	if !g.noted.due(a.device, a.start) {
		return false
	}
	if a.deviceID == "" { // refused before its record was looked for
		_, err := g.credential(ctx, a)
		return err == nil && a.deviceID != ""
	}
	return true
}

type limit struct{ *rate.Limiter }

// wait is how long it takes until there is a token; 0 is now. None is taken.
func (l limit) wait(now time.Time) time.Duration {
	missing := 1 - l.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	return time.Duration(missing / float64(l.Limit()) * float64(time.Second))
}

func (g *gate) sourceLimit(p netip.Prefix) limit {
	return limit{g.sources.getOr(p, func() *rate.Limiter { return rate.NewLimiter(rate.Every(sourceEvery), sourceBurst) })}
}

func (g *gate) deviceLimit(device uint64) limit {
	return limit{g.devices.getOr(device, func() *rate.Limiter { return rate.NewLimiter(rate.Every(deviceEvery), deviceBurst) })}
}

func (g *gate) firstLimit(device uint64) limit {
	return limit{g.firsts.getOr(device, func() *rate.Limiter { return rate.NewLimiter(rate.Every(deviceEvery), firstBurst) })}
}

// deviceKey stands for what a login names. It has a fixed size: names that
// strangers make up cost no more than others.
func (g *gate) deviceKey(p schema.LoginParams) uint64 {
	return maphash.Comparable(g.seed, [3]string{p.DeviceID, p.SN, p.Model})
}

// prefixOf is what counts as one source: an IPv4 address, an IPv6 /64.
func prefixOf(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, err := a.Prefix(bits)
	if err != nil { // no address: all of those are one source
		return netip.Prefix{}
	}
	return p
}

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
