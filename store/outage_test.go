//go:build !race

package store

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
)

// A database that is down ten minutes: who waits is told at once, never OK;
// events wait in a bounded buffer; what it drops is one event a device, with
// the count; and then all goes on, by itself.
func TestF28_DownTenMinutes(t *testing.T) {
	path := flakyPath(t)
	synctest.Test(t, func(t *testing.T) {
		s, f := openFlaky(t, path, Options{MaxPending: 10})
		defer func() { must(t, s.Close()) }()
		addDevice(t, s, "1", "2")
		claim(t, s, claimOf("1", 1))
		must(t, begin(s, intentOf("o", "1", 1)))
		fail(&f.begin, errDown)
		wantKind(t, s.AddDevice(t.Context(), device("3"), "", ""), schema.StoreUnavailable, "store_unavailable")
		_, err := s.Claim(t.Context(), claimOf("1", 2))
		wantKind(t, err, schema.StoreUnavailable, "")
		_, err = end(s, outcomeOf(schema.OrderSucceeded, start))
		wantKind(t, err, schema.StoreUnavailable, "")
		wantKind(t, s.Ready(t.Context()), schema.StoreUnavailable, "")
		for n := range 12 {
			s.Record(note("1", n))
		}
		for n := range 5 {
			s.Record(note("2", n))
		}
		s.Presence(schema.Presence{DeviceID: "1", Epoch: 1, State: schema.Unknown, Reason: "liveness"})
		time.Sleep(10*time.Minute + retryDelay/2) // between two tries
		synctest.Wait()
		s.Presence(schema.Presence{DeviceID: "1", Epoch: 1, State: schema.Offline, Reason: "liveness"})
		_, err = s.Device(t.Context(), all, "1")
		must(t, err) // reads go on
		f.begin.Store(nil)
		time.Sleep(2 * retryDelay)
		must(t, s.Ready(t.Context()))
		one, two := log(t, s, "1"), log(t, s, "2")
		equal(t, "log of 1", kinds(one[4:14]), "login_failed login_failed login_failed login_failed login_failed "+
			"login_failed login_failed login_failed login_failed login_failed ")
		equal(t, "rest of 1", kinds(one[14:]), "events_lost disconnect ")
		equal(t, "lost of 1", string(one[14].Detail), `{"count":2}`)
		equal(t, "at", one[14].Time, start+11)
		equal(t, "log of 2", kinds(two), "update events_lost ")
		equal(t, "lost of 2", string(two[1].Detail), `{"count":5}`)
	})
}
