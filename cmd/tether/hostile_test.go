package main

import (
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
)

// attack is something hostile that one connection does. It is begun anew as
// long as the test goes on.
type attack struct {
	name  string // begins with the fault or threat that it pins
	login bool   // done by a device that is logged in
	// do sends and says what must be seen. The connection may be in any state
	// afterwards.
	do func(c *bare)
	// within is how long the quickest of the rounds may take: the others had to
	// share the machine. 0 is no matter.
	within time.Duration
}

// attackTime is how long attacks go on: longer than the control device goes
// without a report, and than the longest deadline that they test.
func attackTime() time.Duration {
	if os.Getenv("TETHER_SOAK") != "" {
		return 5 * time.Minute
	}
	return schema.StatusInterval + 2*time.Second
}

// TestHostile makes all attacks at once, each again and again by a device of
// its own, against a whole service on a real socket. Each ends as the contract
// says, and a device beside them does not notice.
func TestHostile(t *testing.T) {
	besideControl(t, func(w *world) {
		attacks := slices.Concat(frameAttacks, messageAttacks, slowAttacks, orderAttacks)
		devices := make([]credentials, len(attacks))
		for i, a := range attacks {
			devices[i] = w.register(a.name)
		}
		until := time.Now().Add(attackTime())
		var all sync.WaitGroup
		for i, a := range attacks {
			all.Go(func() { t.Run(a.name, func(t *testing.T) { a.run(t, w, devices[i], until) }) })
		}
		all.Wait()
	})
}

// run makes the attack again and again, until the time is over.
func (a attack) run(t *testing.T, w *world, d credentials, until time.Time) {
	round := time.NewTicker(2 * time.Second)
	defer round.Stop()
	quickest := time.Duration(1<<63 - 1)
	for time.Now().Before(until) && !t.Failed() {
		quickest = min(quickest, a.once(t, w, d))
		<-round.C
	}
	if a.within > 0 && quickest > a.within {
		t.Errorf("it takes %v, not %v", quickest, a.within)
	}
}

// once makes the attack and returns how long it took.
func (a attack) once(t *testing.T, w *world, d credentials) time.Duration {
	c := w.upgraded(t)
	defer c.conn.Close()
	c.device = d
	if a.login {
		c.text(d.login())
		c.sees(`ok "login"`)
	}
	start := time.Now()
	a.do(c)
	if c.over.IsZero() {
		c.over = time.Now()
	}
	return c.over.Sub(start)
}

const (
	// soon is when an answer must be there that takes no time of its own, on a
	// machine that does much else.
	soon = 500 * time.Millisecond
	// blind is when a connection has ended on which the other side's close frame
	// is no longer to be told from the payload of a frame that never ends.
	blind = time.Second + soon
)
