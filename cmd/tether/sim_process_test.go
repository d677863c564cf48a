package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgetether/tether/cmd/tether/sim"
	"github.com/edgetether/tether/schema"
)

// TestSimProcess runs the command against a service, each in a process, with
// faults and orders, and holds its report against what the service recorded.
func TestSimProcess(t *testing.T) {
	t.Parallel()
	s := serve(t)
	state := filepath.Join(t.TempDir(), "fleet.json")
	run := func(args ...string) (*process, sim.Report) {
		t.Helper()
		p := tether(t, []string{"TETHER_KEY=" + s.api.key}, append([]string{"sim", "--url", "http://" + s.address,
			"--state", state, "--server-pid", fmt.Sprint(s.cmd.Process.Pid), "--json", "-"}, args...)...)
		p.code()
		var r sim.Report
		if err := json.Unmarshal([]byte(p.out.String()), &r); err != nil {
			t.Fatal(err, &p.out, &p.err)
		}
		return p, r
	}
	p, r := run("--devices", "50", "--mode", "lean", "--for", "10s", "--orders", "20", "--order-failures", "0.2", "--max-p99", "1us",
		"--half-open", "2", "--slow", "2", "--churn", "2", "--wrong-logins", "5")
	if p.code() != 1 || !p.err.has("tether: the p99 of pings is ") && r.Pings.Count > 0 {
		t.Errorf("code %d, wrote\n%s", p.code(), &p.err)
	}
	if r.Arrived != 50 || sumOf(r.FalseDisconnects) != 0 || r.Reports.Count < 40 || sumOf(r.WrongLogins) == 0 || r.Orders["succeeded"] == 0 {
		t.Errorf("%s", &p.err)
	}
	if r.Server.End.RSS == 0 || r.Server.End.Threads == 0 || r.Server.Steady.Files < 50 || r.Own.End.CPU == 0 {
		t.Errorf("%+v, %+v", r.Server, r.Own)
	}
	if !p.err.has("false disconnects   0\n") {
		t.Errorf("the text is\n%s", &p.err)
	}
	s.checkSim(r)
	logins := sumOf(r.Logins)

	// The library's turn, on three devices of the same fleet, which it deletes.
	p, r = run("--devices", "3", "--for", "4s", "--cleanup")
	if p.code() != 0 || r.Mode != sim.Library || r.Connected != 3 || r.Logins["password"] != 3 {
		t.Errorf("code %d %s", p.code(), &p.err)
	}
	var left schema.List[schema.Device]
	if s.api.must("GET", "device_query_all", "", &left); len(left.Items) != 47 || logins < 50 {
		t.Errorf("%d devices are left", len(left.Items))
	}
	var kept struct{ Devices []any }
	text, err := os.ReadFile(state)
	if err != nil || json.Unmarshal(text, &kept) != nil || len(kept.Devices) != 47 {
		t.Errorf("%v, the file has %d devices", err, len(kept.Devices))
	}
}

// TestSimInterrupted: Ctrl-C ends a run in good order, with its report.
func TestSimInterrupted(t *testing.T) {
	t.Parallel()
	s := serve(t)
	p := tether(t, []string{"TETHER_KEY=" + s.api.key}, "sim", "--url", "http://"+s.address, "--devices", "3", "--mode", "lean", "--cleanup")
	await(t, "a fleet", func() bool { return p.err.has("All 3 devices are connected") })
	p.signal(os.Interrupt)
	if p.code() != 0 || !p.out.has("devices             3, lean; 3 connected") || !p.out.has("false disconnects   0") || !p.err.has("Deleting 3 devices") {
		t.Errorf("code %d, wrote\n%s\n%s", p.code(), &p.out, &p.err)
	}
	var left schema.List[schema.Device]
	if s.api.must("GET", "device_query_all", "", &left); len(left.Items) != 0 {
		t.Errorf("%d devices are left", len(left.Items))
	}
}

// checkSim holds a report against the service's records. What was under way at
// the end of the run is in the records alone: an order for each caller at most.
func (s *site) checkSim(r sim.Report) {
	s.t.Helper()
	var all schema.List[schema.Device]
	s.api.must("GET", "device_query_all", "", &all)
	orders, logins := map[schema.OrderState]int64{}, int64(0)
	for _, d := range all.Items {
		var given schema.List[schema.Order]
		s.api.must("GET", "device_orders_query/"+d.DeviceID, "", &given)
		for _, o := range given.Items {
			orders[o.State]++
		}
		logins += int64(len(s.told(d.DeviceID, schema.EventLogin, "form")))
	}
	const underWay = 16
	for state, counted := range map[schema.OrderState]int64{schema.OrderSucceeded: r.Orders["succeeded"], schema.OrderStateFail: r.Orders["order_failed"]} {
		if n := orders[state]; n < counted || n > counted+underWay {
			s.t.Errorf("%s: %d orders, reported are %v", state, n, r.Orders)
		}
	}
	if n := sumOf(r.Logins); logins < n || logins > n+underWay {
		s.t.Errorf("%d logins, reported are %v", logins, r.Logins)
	}
}

// TestSimCommand: what a wrong call is.
func TestSimCommand(t *testing.T) {
	for _, line := range []string{
		"--devices 0", "--url 127.0.0.1:9090", "--server-pid 1 --metrics http://x", "--bcrypt 101", "--sources 1 --devices 28001",
		"--flap 1.1", "--order-failures -1", "--half-open 60 --slow 41", "--group-order", "--churn -1", "--mode library --patient", "--mode fast",
	} {
		if code, _, errs := conformRun(t, append([]string{"sim"}, strings.Fields(line)...)...); code != 2 || errs == "" {
			t.Errorf("%s: %d %s", line, code, errs)
		}
	}
	for _, line := range []string{"--devices 2000000", "--devices 1 --url http://127.0.0.1:1", "--state /dev/null/x"} {
		if code, _, errs := conformRun(t, append([]string{"sim", "--sources", "0"}, strings.Fields(line)...)...); code != 1 || errs == "" {
			t.Errorf("%s: %d %s", line, code, errs)
		}
	}
	_, _, errs := conformRun(t, "sim", "--devices", "2000000", "--sources", "0")
	if !strings.Contains(errs, "ulimit -n") {
		t.Error(errs)
	}
}
