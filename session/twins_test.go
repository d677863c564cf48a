package session

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
)

// TestT4_DuplicateIdentity: ten takeovers in a minute are a device's bad day, more
// are two devices, which its log says once a minute. Another device is not meant.
func TestT4_DuplicateIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := bubble(t)
		said := func(id string) (n int) {
			l.mu.Lock()
			defer l.mu.Unlock()
			for _, e := range l.events {
				if e.Kind == schema.EventDuplicateIdentity && e.DeviceID == id {
					n++
				}
			}
			return n
		}
		for range 1 + twinBurst {
			loggedIn(t, h, "1")
			loggedIn(t, h, "2")
		}
		if n := said("1"); n != 0 {
			t.Errorf("%d lines after ten takeovers", n)
		}
		for range 20 {
			loggedIn(t, h, "1")
		}
		if n := said("1"); n != 1 {
			t.Errorf("%d lines after thirty takeovers", n)
		}
		time.Sleep(noteEvery)
		for range 20 {
			loggedIn(t, h, "1")
		}
		if a, b := said("1"), said("2"); a != 2 || b != 0 {
			t.Errorf("%d lines after a minute, %d of another device", a, b)
		}
	})
}
