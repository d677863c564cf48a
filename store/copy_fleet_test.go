package store

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/store/pgtest"
)

// fleet is what the devices of a database know: their passwords and tokens.
type fleet struct{ passwords, tokens []string }

// newFleet fills a database with devices that have logged in, and with events.
func newFleet(t testing.TB, url string, devices, events int) (f fleet) {
	t.Helper()
	var secrets Secrets
	s := openAt(t, url, Options{MaxPending: events})
	for n := 0; n < devices; n += 1000 {
		var added []schema.NewDevice
		for i := n; i < min(n+1000, devices); i++ {
			f.passwords, f.tokens = append(f.passwords, secrets.NewPassword()), append(f.tokens, secrets.NewToken())
			added = append(added, schema.NewDevice{Device: device(fmt.Sprint(i)), PasswordHash: secrets.HashToken(f.passwords[i])})
		}
		answers, err := s.AddDevices(t.Context(), added, "key:test")
		must(t, errors.Join(append(answers, err)...))
	}
	s.loginAll(t, f)
	for n := range events - 3*devices { // each has three of its own
		s.Record(note(fmt.Sprint(n%devices), n))
	}
	flushed(t, s)
	must(t, s.Close())
	return f
}

// loginAll logs every device in, many at once, and has each get its token.
func (s *Store) loginAll(t testing.TB, f fleet) {
	t.Helper()
	var secrets Secrets
	var wg sync.WaitGroup
	const callers = 256
	for c := range callers {
		wg.Go(func() {
			for i := c; i < len(f.tokens); i += callers {
				claim := claimOf(fmt.Sprint(i), 1)
				claim.TokenHash = secrets.HashToken(f.tokens[i])
				if _, err := s.Claim(t.Context(), claim); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// checkLogins fails unless every device may log in, by its token and by its
// password, and by nobody else's.
func (f fleet) checkLogins(t testing.TB, url string) {
	t.Helper()
	var secrets Secrets
	s := openAt(t, url, Options{})
	for i := range f.tokens {
		token := schema.LoginParams{DeviceID: fmt.Sprint(i), Token: f.tokens[i]}
		c, err := s.Credential(t.Context(), token, start)
		must(t, err)
		password := schema.LoginParams{DeviceID: token.DeviceID, Password: f.passwords[i]}
		stolen := schema.LoginParams{DeviceID: token.DeviceID, Token: f.tokens[(i+1)%len(f.tokens)]}
		if !secrets.Verify(c, token) || !secrets.Verify(c, password) || secrets.Verify(c, stolen) {
			t.Fatalf("device %d: the copy does not know it by what it has", i)
		}
	}
	must(t, s.Close())
}

// A fleet moves from SQLite to PostgreSQL and back, row for row, and every
// device may log in on the copy: with TETHER_SOAK 100,000 of them and a
// million events, within three minutes to PostgreSQL.
func TestCopy_WholeFleet(t *testing.T) {
	devices, events, limit := 200, 2_000, time.Minute
	if os.Getenv("TETHER_SOAK") != "" {
		devices, events, limit = 100_000, 1_000_000, 3*time.Minute
	}
	server, err := pgtest.Start("fsync=on", "full_page_writes=on") // as in the field
	must(t, err)
	defer func() { must(t, server.Close()) }()
	urls := []string{sqliteURL(t), server.URL(""), sqliteURL(t)}
	f := newFleet(t, urls[0], devices, events)
	t.Log("the fleet is there")
	for i, to := range urls[1:] {
		began := time.Now()
		tables, err := Copy(t.Context(), urls[i], to, nil)
		must(t, err)
		took := time.Since(began)
		var rows int64
		for _, c := range tables {
			equal(t, c.Table, c.Target, c.Source)
			rows += c.Source.Rows
		}
		equal(t, "events", copyOf(t, tables, "events").Source.Rows, int64(events))
		t.Logf("copy %d: %d rows in %.1f s, %.0f rows/s", i+1, rows, took.Seconds(), float64(rows)/took.Seconds())
		if took > limit {
			t.Errorf("copy %d took %v", i+1, took)
		}
		f.checkLogins(t, to)
		began = time.Now()
		equal(t, "findings", findingsOf(t, to), "")
		t.Logf("checked in %.1f s", time.Since(began).Seconds())
	}
}
