package session

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
)

// oneDevice is a Logins that knows one device, whose password is "right…".
type oneDevice struct{ down atomic.Bool }

func (o *oneDevice) Credential(_ context.Context, p schema.LoginParams, _ int64) (schema.Credential, error) {
	switch {
	case o.down.Load():
		return schema.Credential{}, schema.ErrStoreUnavailable
	case p.DeviceID == testDevice || p.SN == "SN" && p.Model == "M":
		return schema.Credential{DeviceID: testDevice, Enabled: true}, nil
	}
	return schema.Credential{}, schema.ErrDeviceNotFound
}

func (o *oneDevice) Claim(context.Context, schema.Claim) (schema.Claimed, error) {
	return schema.Claimed{}, nil
}

// bench is a gate with a check that costs a quarter of a second of virtual
// time and counts how often it runs, and how many run at once.
type gateBench struct {
	*gate
	store        oneDevice
	checks, most atomic.Int64
	running      atomic.Int64
}

func newGateBench() *gateBench {
	b := &gateBench{}
	cfg := Config{Logins: &b.store, Verify: b.verify, Cheap: func(s string) bool { return strings.HasPrefix(s, "t") }}.withDefaults()
	b.gate = newGate(&cfg)
	return b
}

func (b *gateBench) verify(c schema.Credential, p schema.LoginParams) bool {
	secret := p.Token + p.Password
	if !b.cheap(secret) {
		b.checks.Add(1)
		n := b.running.Add(1)
		defer b.running.Add(-1)
		b.most.Store(max(b.most.Load(), n))
		time.Sleep(250 * time.Millisecond)
	}
	return c.DeviceID != "" && strings.HasSuffix(secret, "right")
}

func (b *gateBench) try(secret, source string) event {
	p := schema.LoginParams{DeviceID: testDevice, Password: secret}
	return b.check(context.Background(), p, netip.MustParseAddr(source))
}

func good(ev event) bool { _, ok := ev.(authenticated); return ok }

func kind(ev event) schema.Kind {
	if r, ok := ev.(refused); ok {
		return schema.KindOf(r.err)
	}
	return schema.Internal
}

// TestT6_Guessing: 10,000 guesses at one device from a handful of addresses
// run at most 30 checks, and the genuine device logs in within 2 s.
func TestT6_Guessing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newGateBench()
		var guessers sync.WaitGroup
		for i := range 10_000 {
			guessers.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				b.try(fmt.Sprint("guess-", i), fmt.Sprint("10.9.0.", i%5))
			})
		}
		time.Sleep(5 * time.Second)
		start := time.Now()
		if ev := b.try("pass-right", "10.0.0.7"); !good(ev) {
			t.Errorf("the genuine device: %v", ev)
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("the genuine device waited %v", d)
		}
		guessers.Wait()
		if n := b.checks.Load() - 1; n > 30 {
			t.Errorf("%d checks for 10,000 guesses", n)
		}
	})
}

// TestT6_ManySources: guesses from a thousand addresses share what is new to
// the device; an address that has logged in before is not held up.
func TestT6_ManySources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newGateBench()
		if !good(b.try("pass-right", "10.0.0.7")) {
			t.Fatal("the genuine device does not get in")
		}
		for i := range 10_000 {
			b.try("guess", fmt.Sprintf("10.%d.%d.9", i/250, i%250))
		}
		if n := b.checks.Load() - 1; n > 30 {
			t.Errorf("%d checks for 10,000 guesses", n)
		}
		if !good(b.try("pass-right", "10.0.0.7")) {
			t.Error("the genuine device is held up")
		}
	})
}

// TestT15_GateMemory: what strangers make up costs a fixed size.
func TestT15_GateMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newGateBench()
		long := strings.Repeat("x", 4000)
		if k := b.deviceKey(schema.LoginParams{SN: "ab", Model: "c" + long}); k == b.deviceKey(schema.LoginParams{SN: "a", Model: "bc" + long}) {
			t.Error("two machines are one")
		}
	})
}

// TestT6_Limits tries both sides: five failures of a device at once, one more
// each 30 s; 20 of a source, one more each second.
func TestT6_Limits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newGateBench()
		for i := range 5 {
			if k := kind(b.try("guess", "10.0.0.8")); k != schema.LoginFailed {
				t.Fatalf("failure %d: %v", i+1, k)
			}
		}
		ev, ok := b.try("guess", "10.0.0.8").(refused)
		if !ok || schema.KindOf(ev.err) != schema.Overloaded {
			t.Fatalf("the sixth: %v", ev)
		}
		wait := schema.Public(ev.err).RetryAfter
		time.Sleep(wait - time.Millisecond)
		if k := kind(b.try("guess", "10.0.0.8")); k != schema.Overloaded {
			t.Errorf("just before retry_after: %v", k)
		}
		time.Sleep(time.Millisecond)
		if k := kind(b.try("guess", "10.0.0.8")); k != schema.LoginFailed {
			t.Errorf("at retry_after: %v", k)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := newGateBench()
		var all sync.WaitGroup
		var failed atomic.Int64
		for i := range 40 { // at 40 devices that do not exist
			all.Go(func() {
				p := schema.LoginParams{DeviceID: fmt.Sprint(i), Token: "t-wrong"}
				if kind(b.check(context.Background(), p, netip.MustParseAddr("10.0.0.8"))) == schema.LoginFailed {
					failed.Add(1)
				}
			})
			time.Sleep(time.Millisecond)
		}
		all.Wait()
		if n := failed.Load(); n != 20 {
			t.Errorf("%d failures of one source went through at once, not 20", n)
		}
	})
}

// TestT7_ChecksAreBounded: 2,000 passwords at once never run more checks than
// there are places, the queue is bounded, and who is refused is told at once.
func TestT7_ChecksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newGateBench()
		start := time.Now()
		var all sync.WaitGroup
		var ok, later atomic.Int64
		var retries sync.Map
		for i := range 2000 {
			all.Go(func() {
				began := time.Now()
				ev := b.try("pass-right", fmt.Sprintf("10.1.%d.%d", i/250, i%250))
				switch {
				case good(ev):
					ok.Add(1)
				case kind(ev) == schema.Overloaded && time.Since(began) == 0:
					later.Add(1)
					retries.Store(schema.Public(ev.(refused).err).RetryAfter, true)
				default:
					t.Errorf("%v after %v", ev, time.Since(began))
				}
			})
		}
		all.Wait()
		times := 0
		for range retries.Range {
			times++
		}
		if times < int(later.Load())*9/10 {
			t.Errorf("%d were told to come back, at %d different times", later.Load(), times)
		}
		if m := b.most.Load(); int(m) > cap(b.gate.checks) {
			t.Errorf("%d checks at once, and %d places", m, cap(b.gate.checks))
		}
		if n := ok.Load(); n < schema.MaxChecks || n > schema.MaxChecks+int64(cap(b.gate.checks)) {
			t.Errorf("%d logged in from the queue, %d were told to come back, in %v", n, later.Load(), time.Since(start))
		}
	})
}

// TestT7_QueueIsBoundedInTime: where checks are slow fewer wait for one, so that nobody
// is answered when the device does not wait any more (southbound section 4: 10 s).
func TestT7_QueueIsBoundedInTime(t *testing.T) {
	for pace, want := range map[time.Duration]int64{usualCheck: schema.MaxChecks, 2 * usualCheck: schema.MaxChecks / 2, schema.CheckWait + 1: 0} {
		synctest.Test(t, func(t *testing.T) {
			b := newGateBench()
			b.gate.line.pace = pace
			for range cap(b.gate.checks) {
				b.gate.checks <- struct{}{} // none is free
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			for range 2 * schema.MaxChecks {
				go b.gate.queue(ctx)
			}
			if synctest.Wait(); b.queued.Load() != want {
				t.Errorf("%d wait for checks that take %v, want %d", b.queued.Load(), pace, want)
			}
		})
	}
}

// TestF28_ChecksRecover: however long a check took while the store was away, one is
// let in afterwards, and with each the pace becomes what it was.
func TestF28_ChecksRecover(t *testing.T) {
	b := newGateBench()
	for range 100 {
		b.gate.line.took(10*time.Minute, 1)
	}
	for range 50 {
		release, err := b.gate.queue(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		release()
	}
	if b.gate.line.pace > usualCheck {
		t.Errorf("the pace is %v", b.gate.line.pace)
	}
}

// TestComeback: a herd that finds the queue full becomes a line at the pace of
// the checks, and what is beyond its end is spread.
func TestComeback(t *testing.T) {
	l := comeback{pace: usualCheck}
	now := time.Now()
	for range 100 {
		l.took(500*time.Millisecond, 2)
	}
	last := l.after(now)
	if last != schema.ReconnectDelay {
		t.Errorf("the first waits %v", last)
	}
	for range int((longestLine - schema.ReconnectDelay) / (250 * time.Millisecond)) {
		next := l.after(now)
		if next-last != 250*time.Millisecond {
			t.Fatalf("%v comes after %v", next, last)
		}
		last = next
	}
	if last != longestLine {
		t.Errorf("the last of the line waits %v", last)
	}
	seen := map[time.Duration]bool{}
	for range 100 {
		wait := l.after(now)
		seen[wait] = true
		if wait < longestLine/2 || wait > longestLine {
			t.Errorf("beyond the line one waits %v", wait)
		}
	}
	if len(seen) < 90 {
		t.Errorf("100 beyond the line have %d times", len(seen))
	}
	if wait := l.after(now.Add(time.Hour)); wait != schema.ReconnectDelay {
		t.Errorf("an hour later one waits %v", wait)
	}
}

// TestT7_CheapSecretsDoNotWait behind a full queue of checks, and a right one
// is not held up by failures of its source.
func TestT7_CheapSecretsDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newGateBench()
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() { b.try("pass", fmt.Sprintf("10.1.0.%d", i)) })
		}
		for range 30 {
			all.Go(func() { b.try("t-wrong", "10.0.0.7") })
		}
		time.Sleep(time.Millisecond)
		start := time.Now()
		if ev := b.try("t-right", "10.0.0.7"); !good(ev) || time.Since(start) != 0 {
			t.Errorf("%v after %v", ev, time.Since(start))
		}
		all.Wait()
	})
}

// TestT10_OneRefusal: unknown, disabled and wrong are refused with the same
// words after the same time.
func TestT10_OneRefusal(t *testing.T) {
	for _, p := range []schema.LoginParams{
		{DeviceID: testDevice, Password: "wrong"},
		{DeviceID: "404", Password: "wrong"},
		{SN: "SN", Model: "other", Password: "wrong"},
		{DeviceID: testDevice, Token: "t-wrong"},
		{DeviceID: "404", Token: "t-wrong"},
		{DeviceID: testDevice, Password: ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newGateBench()
			start := time.Now()
			ev, ok := b.check(context.Background(), p, netip.MustParseAddr("10.0.0.7")).(refused)
			if !ok || ev.err != schema.ErrLoginFailed || time.Since(start) != time.Second {
				t.Errorf("%+v: %v after %v", p, ev.err, time.Since(start))
			}
		})
	}
}

// TestF28_LoginWithoutStore is put off, and costs the device nothing.
func TestF28_LoginWithoutStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newGateBench()
		b.store.down.Store(true)
		for range 50 {
			ev, ok := b.try("t-right", "10.0.0.7").(refused)
			if e := schema.Public(ev.err); !ok || e.Kind != schema.Overloaded || e.RetryAfter != retryAfterStore {
				t.Fatalf("%v", ev)
			}
		}
		b.store.down.Store(false)
		if ev := b.try("t-right", "10.0.0.7"); !good(ev) {
			t.Errorf("%v", ev)
		}
	})
}

// TestRefusalsAreNoted: each failure, and one refusal a minute.
func TestRefusalsAreNoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newGateBench()
		notes := 0
		for range 60 {
			if ev, ok := b.try("guess", "10.0.0.8").(refused); ok && ev.note {
				notes++
			}
		}
		if notes != 6 {
			t.Errorf("%d lines for five failures and a flood of refusals", notes)
		}
	})
}

func TestPrefixOf(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.7":         "10.0.0.7/32",
		"::ffff:10.0.0.7":  "10.0.0.7/32",
		"2001:db8:1:2::99": "2001:db8:1:2::/64",
	} {
		if got := prefixOf(netip.MustParseAddr(in)).String(); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	if prefixOf(netip.Addr{}).IsValid() {
		t.Error("no address has a prefix")
	}
}

func TestCacheIsBounded(t *testing.T) {
	var c cache[int, int]
	for i := range 5 * gateCapacity {
		c.put(i, i)
		if _, ok := c.get(0); !ok {
			t.Fatalf("a key in use was forgotten after %d others", i)
		}
	}
	if n := len(c.young) + len(c.old); n > 2*gateCapacity {
		t.Errorf("%d keys are remembered", n)
	}
	if _, ok := c.get(1); ok {
		t.Error("a key that nobody used is remembered for ever")
	}
}
