package session

import (
	"context"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
)

// TestF20_Door: no more connections are taken at once than there are turns, and
// none while enough logins wait for the store; a hub that ends keeps nobody.
func TestF20_Door(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(2)
		var inside atomic.Int64
		come := func() (leave func()) {
			out := make(chan struct{})
			go func() {
				d.enter(t.Context())
				inside.Add(1)
				<-out
				d.leave()
			}()
			synctest.Wait() // who comes first is in first
			return func() { close(out) }
		}
		are := func(want int64) {
			t.Helper()
			if synctest.Wait(); inside.Load() != want {
				t.Errorf("%d have come in, want %d", inside.Load(), want)
			}
		}
		a, b, c := come(), come(), come()
		are(2)
		a()
		are(3)
		b()
		c()
		for range maxClaims - 1 {
			d.beginClaim()
		}
		come()()
		are(4)
		d.beginClaim()
		come()()
		come()()
		come()()
		are(4)
		d.endClaim()
		are(7)
		d.beginClaim()
		come()()
		are(7)
		d.close()
		are(8)
	})
}

// TestF21_Door: in a flood of failed logins connections are taken at a steady rate,
// and no more are to be accepted while many wait; without one all are let in.
func TestF21_Door(t *testing.T) {
	const processors = 2
	const come = 2 * schema.FloodRate * processors
	for failed, want := range map[int]time.Duration{schema.FloodFailing * processors: 0, schema.FloodFailing*processors + 1: floodLasts} {
		synctest.Test(t, func(t *testing.T) {
			d := newDoor(processors)
			for range failed {
				d.failed()
			}
			start := time.Now()
			var wg sync.WaitGroup
			for range come {
				wg.Go(func() {
					d.enter(t.Context())
					d.leave()
				})
			}
			synctest.Wait()
			if flood := want > 0; d.crowded() != flood {
				t.Errorf("%d have failed, and crowded is %v", failed, d.crowded())
			}
			wg.Wait()
			d.close()
			if d.crowded() || d.flooded() {
				t.Error("crowded though it is open to all")
			}
			if took := time.Since(start); took > want || took < want-10*time.Millisecond {
				t.Errorf("%d have failed, and %d were let in after %v", failed, come, took)
			}
		})
	}
}

// TestF21_LeftAtTheDoor: who leaves while he waits, for whatever, is not let in and
// has no turn.
func TestF21_LeftAtTheDoor(t *testing.T) {
	for name, keep := range map[string]func(*door){
		"for a turn": func(d *door) { d.turns <- struct{}{} },
		"in a flood": func(d *door) {
			for range schema.FloodFailing + 1 {
				d.failed()
			}
			d.slow.AllowN(time.Now(), 1)
		},
		"for the store": func(d *door) {
			for range maxClaims {
				d.beginClaim()
			}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := newDoor(1)
			keep(d)
			held := len(d.turns)
			ctx, leave := context.WithCancel(t.Context())
			in := make(chan bool, 1)
			go func() { in <- d.enter(ctx) }()
			synctest.Wait()
			leave()
			synctest.Wait()
			d.close() // the store takes no more
			if <-in || len(d.turns) != held || d.waiting.Load() != 0 {
				t.Errorf("%s: he is in; %d turns are taken", name, len(d.turns))
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		h, _ := bubble(t)
		ctx, leave := context.WithCancel(t.Context())
		leave()
		answer := httptest.NewRecorder()
		if h.ServeHTTP(answer, httptest.NewRequestWithContext(ctx, "GET", "/ws", nil)); answer.Body.Len() > 0 {
			t.Errorf("a request that was left is answered: %s", answer.Body)
		}
	})
}

// TestF21_GateTellsTheDoor: logins that fail, that are held back for it, and that
// find no room to be checked are a flood, and those of a fleet that returns none.
func TestF21_GateTellsTheDoor(t *testing.T) {
	for name, c := range map[string]struct {
		cheap    bool
		password string
		flood    bool
	}{
		"wrong secrets of ours": {true, "t-wrong", true},
		"guessed passwords":     {false, "guess", true},
		"right ones":            {true, "t-right", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, _ := bubble(t, func(cfg *Config) { cfg.Cheap = func(string) bool { return c.cheap } })
				var wg sync.WaitGroup
				for i := range 2 * schema.FloodFailing * runtime.GOMAXPROCS(0) {
					wg.Go(func() {
						source := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
						h.gate.check(t.Context(), schema.LoginParams{DeviceID: fmt.Sprint(i), Password: c.password}, source)
					})
				}
				synctest.Wait()
				if got := h.door.flooded(); got != c.flood {
					t.Errorf("flooded is %v", got)
				}
				wg.Wait()
			})
		})
	}
}
