package session

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
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
				d.enter()
				inside.Add(1)
				<-out
				d.leave()
			}()
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
