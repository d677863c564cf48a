package session

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
)

// suspicions is how often a device's log says that it is two.
func (l *ledger) suspicions(deviceID string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.Kind == schema.EventDuplicateIdentity && e.DeviceID == deviceID {
			n++
		}
	}
	return n
}

// TestT4_DuplicateIdentity: some takeovers are a device's bad day, more are two
// devices, which its log says once a minute. Another device is not meant.
func TestT4_DuplicateIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := bubble(t)
		for range 1 + twinBurst {
			loggedIn(t, h, "1")
			loggedIn(t, h, "2")
		}
		if n := l.suspicions("1"); n != 0 {
			t.Errorf("%d lines after %d takeovers", n, twinBurst)
		}
		for range 20 {
			loggedIn(t, h, "1")
		}
		if n := l.suspicions("1"); n != 1 {
			t.Errorf("%d lines at once", n)
		}
		time.Sleep(noteEvery)
		e := loggedIn(t, h, "1") // from one that is Unknown
		for range 20 {
			e = loggedIn(t, h, "1")
		}
		if a, b := l.suspicions("1"), l.suspicions("2"); a != 2 || b != 0 {
			t.Errorf("%d lines after a minute, %d of another device", a, b)
		}
		e.call(schema.MethodPing, nil)
	})
}

// TestT4_TwinsThatBackOff: two that keep to the contract, and so take over from each
// other once a minute, are found out within ten minutes; one device that returns
// as often, from a connection that it has lost, never is.
func TestT4_TwinsThatBackOff(t *testing.T) {
	for silent, want := range map[time.Duration]bool{0: true, 20 * time.Second: false, 9 * time.Second: false} {
		synctest.Test(t, func(t *testing.T) {
			h, l := bubble(t)
			for range 11 {
				e := loggedIn(t, h, "1")
				for range (time.Minute - silent) / schema.PingInterval {
					time.Sleep(schema.PingInterval)
					e.call(schema.MethodPing, nil)
				}
				time.Sleep(silent)
			}
			if n := l.suspicions("1"); n > 0 != want {
				t.Errorf("silent for %v: %d lines", silent, n)
			}
		})
	}
}

// TestNotes: a log gets a line a minute, however often there is reason for one.
func TestNotes(t *testing.T) {
	var n notes[string]
	start, told := time.Now(), ""
	for at := time.Duration(0); at <= 2*noteEvery; at += noteEvery / 3 {
		if n.due("a", start.Add(at)) {
			told += at.String() + " "
		}
	}
	if told != "0s 1m0s 2m0s " || !n.due("b", start) {
		t.Errorf("told at %s", told)
	}
}
