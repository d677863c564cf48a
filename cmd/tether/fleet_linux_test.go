//go:build fleet

package main

import (
	"cmp"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgetether/tether/cmd/tether/sim"
	"github.com/edgetether/tether/schema"
)

// What one small machine promises of a large fleet, by real sockets, server and
// fleet in a process each, the program as it is shipped. "make fleet" runs all
// of it in three quarters of an hour; FLEET=Killed, say, one part.

const (
	fleetSize = 18_000
	// backOffLeast is how long after a loss the first devices try again.
	backOffLeast = 8 * time.Second
)

// TestFleet has a part for each promise. Each part has a copy of one database, in
// which all devices have logged in before, and the fleet's file of their tokens.
func TestFleet(t *testing.T) {
	d := newDepot(t)
	for _, part := range []struct {
		name string
		run  func(*testing.T, *depot)
	}{
		{"Killed", fleetKilled}, {"Passwords", fleetPasswords}, {"Flood", fleetFlood},
		{"Stopped", fleetStopped}, {"StoppedPatient", fleetStoppedPatient}, {"Faults", fleetFaults}, {"Slow", fleetSlow},
		{"GroupOrder", fleetGroupOrder}, {"Drained", fleetDrained}, {"Cadence", fleetCadence}, {"Bcrypt", fleetBcrypt},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, d) })
	}
}

// depot is the program, and the database that each part has a copy of.
type depot struct{ program, dir, key, address string }

func newDepot(t *testing.T) *depot {
	d := &depot{program: filepath.Join(t.TempDir(), "tether"), dir: t.TempDir()}
	build := exec.Command("go", "build", "-o", d.program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s := d.serve(t, d.dir)
	d.key = s.firstKey(t)
	if r := seen(t, d.sim(t, s, "--devices", fmt.Sprint(fleetSize), "--rate", "1500", "--for", "30s")); r.Connected != fleetSize {
		t.Fatal(r.Connected, " devices are in the fleet")
	}
	s.end(t)
	return d
}

// open begins a service on a copy of the database.
func (d *depot) open(t *testing.T) *site {
	dir := t.TempDir()
	for _, name := range []string{"tether.db", "fleet.json"} {
		text, err := os.ReadFile(filepath.Join(d.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return d.serve(t, dir)
}

func (d *depot) serve(t *testing.T, dir string, args ...string) *site {
	s := &site{api: &world{t: t}, dir: dir, address: cmp.Or(d.address, "127.0.0.1:0"), args: args}
	d.begin(t, s)
	d.address = s.address // the fleet's file is for it alone
	return s
}

// begin starts the process; again, at the address that it had.
func (d *depot) begin(t *testing.T, s *site) {
	args := append([]string{"--log-json", "serve", "--listen", s.address, "--database", s.database()}, s.args...)
	s.process = launch(t, nil, d.program, args...)
	s.awaitAddress(t)
}

// firstKey is the key that a service on an empty database tells.
func (s *site) firstKey(t *testing.T) string {
	t.Helper()
	await(t, "a first key", func() bool { return firstTold.MatchString(s.out.String()) })
	return firstTold.FindStringSubmatch(s.out.String())[1]
}

// sim starts the simulator on a service.
func (d *depot) sim(t *testing.T, s *site, args ...string) *process {
	args = append([]string{"sim", "--mode", "lean", "--url", "http://" + s.address, "--state", filepath.Join(s.dir, "fleet.json"), "--json", "-"}, args...)
	return launch(t, []string{"TETHER_KEY=" + d.key}, d.program, args...)
}

// fleet starts the whole fleet and waits until it is connected, and a while more.
func (d *depot) fleet(t *testing.T, s *site, args ...string) *process {
	p := d.sim(t, s, append([]string{"--devices", fmt.Sprint(fleetSize)}, args...)...)
	awaitLong(t, "a fleet", func() bool {
		p.mustRun()
		return p.err.has("devices are connected")
	})
	time.Sleep(20 * time.Second)
	return p
}

// awaitLong is await for what takes minutes.
func awaitLong(t *testing.T, what string, so func() bool) {
	t.Helper()
	for until := time.Now().Add(30 * time.Minute); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("in vain: ", what)
		}
	}
}

// seen waits for the end of a simulator, and tells what it saw.
func seen(t *testing.T, p *process) (r sim.Report) {
	t.Helper()
	<-p.ended
	if err := json.Unmarshal([]byte(p.out.String()), &r); err != nil {
		t.Fatal(err, &p.out, &p.err)
	}
	_, table, _ := strings.Cut(p.err.String(), "Devices leave\n")
	t.Logf("\n%s", table)
	return r
}

// passed is seen of a run in which nothing may go wrong.
func passed(t *testing.T, p *process) sim.Report {
	t.Helper()
	r := seen(t, p)
	if code := p.code(); code != 0 {
		t.Errorf("the simulator ended with %d", code)
	}
	most(t, "false disconnects", float64(sumOf(r.FalseDisconnects)), 0)
	return r
}

// pinged fails the test if a fleet's pings took longer, or there were none.
func pinged(t *testing.T, r sim.Report, limit float64) {
	t.Helper()
	if r.Pings.Count == 0 {
		t.Error("no ping was answered")
	}
	most(t, "p99 of a ping, ms", r.Pings.P99, limit)
}

// least fails the test if a figure is under its limit.
func least(t *testing.T, what string, is, limit float64) {
	t.Helper()
	t.Logf("%s: %.5g (at least %.5g)", what, is, limit)
	if is < limit {
		t.Errorf("%s is under its limit", what)
	}
}

// most fails the test if a figure is over its limit.
func most(t *testing.T, what string, is, limit float64) {
	t.Helper()
	t.Logf("%s: %.5g (at most %.5g)", what, is, limit)
	if is > limit {
		t.Errorf("%s is over its limit", what)
	}
}

// end stops the service in good order.
func (s *site) end(t *testing.T) {
	t.Helper()
	s.signal(syscall.SIGTERM)
	if code := s.code(); code != 0 {
		t.Error("the service ended with ", code)
	}
}

// number reads one from the database of a service that has ended.
func (s *site) number(t *testing.T, query string, args ...any) (n int64) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(s.dir, "tether.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow(query, args...).Scan(&n); err != nil {
		t.Fatal(query, err)
	}
	return n
}

// fleetCadence: nobody is dropped in ten minutes of the contract's cadence.
func fleetCadence(t *testing.T, d *depot) {
	s := d.open(t)
	r := passed(t, d.fleet(t, s, "--for", "10m", "--server-pid", fmt.Sprint(s.cmd.Process.Pid)))
	pinged(t, r, 25)
	most(t, "processor cores", r.Server.Cores, 0.35)
}

// fleetKilled: a fleet returns after SIGKILL with its tokens (reliability F20).
func fleetKilled(t *testing.T, d *depot) {
	s := d.open(t)
	p := d.fleet(t, s, "--for", "100s")
	s.kill()
	d.begin(t, s)
	r := seen(t, p)
	most(t, "not back", float64(fleetSize-r.Connected), 0)
	most(t, "bcrypt checks", float64(r.Logins["bcrypt"]), 0)
	most(t, "last login after the first attempt, s", r.Reconnects.Max/1000-backOffLeast.Seconds(), 7)
}

// fleetPasswords: the same where all log in by the passwords that the server made.
func fleetPasswords(t *testing.T, d *depot) {
	s := d.open(t)
	s.forget(t)
	r := passed(t, d.sim(t, s, "--devices", fmt.Sprint(fleetSize), "--spread", "4s", "--for", "40s"))
	most(t, "not in", float64(fleetSize-r.Logins["password"]), 0)
	most(t, "last login after the first attempt, s", r.ArrivalTime, 7)
}

// forget takes the tokens out of the fleet's file.
func (s *site) forget(t *testing.T) {
	t.Helper()
	path := filepath.Join(s.dir, "fleet.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`"token": ?"[^"]*"`).ReplaceAll(text, []byte(`"token":""`))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// fleetBcrypt: 2,000 passwords that people chose hold nobody else up. That many
// are checked as the bound on checks allows (reliability T7).
func fleetBcrypt(t *testing.T, d *depot) {
	dir := t.TempDir()
	s := d.serve(t, dir)
	own := &depot{program: d.program, dir: dir, key: s.firstKey(t)}
	const slow = 2000
	r := seen(t, own.sim(t, s, "--devices", fmt.Sprint(fleetSize), "--bcrypt", fmt.Sprint(slow), "--spread", "4s", "--for", "8m"))
	most(t, "false disconnects", float64(sumOf(r.FalseDisconnects)), 0)
	most(t, "made passwords not in", float64(fleetSize-slow-r.Logins["password"]), 0)
	least(t, "logged in by bcrypt", float64(r.Logins["bcrypt"]), 900) // 8 min, one check at a time, half a second each
}

// fleetFlood: 5,000 wrong logins a second beside 5,000 devices (reliability F21, T7).
func fleetFlood(t *testing.T, d *depot) {
	s := d.open(t)
	r := passed(t, d.sim(t, s, "--devices", "5000", "--wrong-logins", "5000", "--for", "80s"))
	least(t, "wrong logins", float64(sumOf(r.WrongLogins)), 300_000)
	pinged(t, r, 250)
}

// pause stops the server for 30 s, and says when it went on.
func (s *site) pause(t *testing.T) time.Time {
	t.Helper()
	s.signal(syscall.SIGSTOP)
	time.Sleep(30 * time.Second)
	s.signal(syscall.SIGCONT)
	return time.Now()
}

// fleetStopped: contract devices hang up on a server that is paused, and come back (reliability F23).
func fleetStopped(t *testing.T, d *depot) {
	s := d.open(t)
	p := d.fleet(t, s, "--for", "140s")
	cont := s.pause(t)
	r := seen(t, p)
	s.end(t)
	most(t, "not back", float64(fleetSize-r.Connected), 0)
	last := s.number(t, "SELECT MAX(at) FROM events WHERE kind = ?", schema.EventLogin)
	most(t, "last login after SIGCONT, s", time.UnixMilli(last).Sub(cont).Seconds(), 20)
}

// fleetStoppedPatient: devices that do not hang up are missed once at most, and none is closed (reliability F23).
func fleetStoppedPatient(t *testing.T, d *depot) {
	began := time.Now().UnixMilli()
	s := d.open(t)
	p := d.fleet(t, s, "--patient", "--for", "140s")
	s.pause(t)
	r := passed(t, p)
	s.end(t)
	most(t, "logins", float64(sumOf(r.Logins)), fleetSize)
	most(t, "misses of a session", float64(s.number(t, `SELECT MAX(n) FROM (SELECT COUNT(*) AS n FROM events
		WHERE at >= ? AND kind = ? AND outcome = ? GROUP BY device_id UNION ALL SELECT 0)`, began, schema.EventState, schema.Unknown)), 1)
}

// fleetFaults: a herd, half-open peers and slow readers among devices that behave (reliability F01, F03, F19).
func fleetFaults(t *testing.T, d *depot) {
	s := d.open(t)
	r := passed(t, d.sim(t, s, "--devices", "5000", "--slow", "3000", "--half-open", "500", "--herd", "40s", "--for", "2m"))
	if r.Herd == nil || r.Herd.Seconds == 0 {
		t.Errorf("the herd is not back: %v", r.Herd)
	}
}

// fleetSlow: 10,000 devices that do not read cost 2,000 others nothing (reliability F03).
func fleetSlow(t *testing.T, d *depot) {
	s := d.open(t)
	passed(t, d.sim(t, s, "--devices", "12000", "--slow", "10000", "--for", "90s"))
}

// fleetGroupOrder: an order to all of them has all its outcomes, durable.
func fleetGroupOrder(t *testing.T, d *depot) {
	s := d.open(t)
	r := passed(t, d.sim(t, s, "--devices", fmt.Sprint(fleetSize), "--rate", "1500", "--group", "all", "--group-order",
		"--max-parallel", "1000", "--for", "60s"))
	s.end(t)
	if r.GroupOrder == nil {
		t.Fatal("no group order")
	}
	most(t, "devices without success", float64(fleetSize-r.GroupOrder.Counts["succeeded"]), 0)
	most(t, "not stored", float64(fleetSize-s.number(t, "SELECT COUNT(*) FROM orders WHERE state = 'succeeded'")), 0)
	t.Logf("all outcomes after %.1f s", r.GroupOrder.Seconds)
}

// fleetDrained: SIGTERM with a thousand orders in flight (reliability F52).
func fleetDrained(t *testing.T, d *depot) {
	s := d.open(t)
	d.fleet(t, s, "--orders", "800", "--order-delay", "1400ms", "--callers", "1500", "--for", "5m")
	flight := 0
	await(t, "orders in flight", func() bool {
		_, text := look(t, s.ops, "/metrics")
		_, after, _ := strings.Cut(text, "\ntether_orders_in_flight ")
		_, _ = fmt.Sscan(after, &flight)
		return flight >= 1000
	})
	began := time.Now()
	s.end(t)
	took := time.Since(began)
	t.Logf("%d in flight; ended after %v; %d orders succeeded, %d were cancelled", flight, took,
		s.number(t, "SELECT COUNT(*) FROM orders WHERE state = 'succeeded'"), s.number(t, "SELECT COUNT(*) FROM orders WHERE state = 'cancelled'"))
	most(t, "seconds", took.Seconds(), 45)
	most(t, "orders without outcome", float64(s.number(t, "SELECT COUNT(*) FROM orders WHERE state IN ('sent', 'queued')")), 0)
}
