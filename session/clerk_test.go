package session

import (
	"strings"
	"testing"

	"github.com/edgetether/tether/schema"
)

// TestF28_HandedInIsBounded: while the store is away, devices that hand in what
// never was take no more than their share, and nothing of what others get.
func TestF28_HandedInIsBounded(t *testing.T) {
	c := newClerk(&Config{})
	long := kept{schema.Outcome{Message: strings.Repeat("x", 60_000)}, true}
	for range 2 * maxHandedIn / long.share() {
		c.retry(long)
	}
	if n := len(c.pending); n != maxHandedIn/long.share() {
		t.Errorf("%d of them are kept", n)
	}
	c.retry(kept{Outcome: schema.Outcome{OrderID: "1"}})
	if all := c.take(); all[len(all)-1].OrderID != "1" {
		t.Error("the outcome of an order in flight is not kept")
	}
	short := kept{handedIn: true}
	for range maxRetries {
		c.retry(short)
	}
	if n := len(c.pending); n != maxHandedIn/keptLeast || n >= maxRetries {
		t.Errorf("%d short ones are kept", n)
	}
}
