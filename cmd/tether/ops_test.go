package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/alecthomas/kong"

	"github.com/edgetether/tether/schema"
)

// look asks the operations address.
func look(t *testing.T, address, path string) (status int, text string) {
	t.Helper()
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// TestT45_OperationsAreElsewhere: metrics, profiles and the state are on an
// address of their own, and on no other; what is public is not there.
func TestT45_OperationsAreElsewhere(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, path := range []string{
		"/metrics", "/state", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/profile?seconds=1", "/debug/pprof/heap",
		"/debug/pprof/symbol", "/debug/pprof/trace?seconds=0.01", "/debug/vars",
	} {
		if status, _ := look(t, s.address, path); status != http.StatusNotFound {
			t.Errorf("%s on the public address: %d", path, status)
		}
		want := http.StatusOK
		if path == "/debug/vars" || path == "/debug/pprof/cmdline" { // the latter may hold a password
			want = http.StatusNotFound
		}
		if status, _ := look(t, s.ops, path); status != want {
			t.Errorf("%s: %d", path, status)
		}
	}
	for _, path := range []string{"/ws", "/service/devices_manage/device_query_all", "/events", "/"} {
		if status, _ := look(t, s.ops, path); status != http.StatusNotFound {
			t.Errorf("%s on the address of operations: %d", path, status)
		}
	}
	if status, text := look(t, s.ops, "/readyz"); status != 200 || text != "ready\n" {
		t.Errorf("readyz: %d %q", status, text)
	}
}

// TestT45_OperationsAreNoPages: no page of a browser reads them, nor has a profile
// begun, by a link or by a host name that was turned to this machine.
func TestT45_OperationsAreNoPages(t *testing.T) {
	t.Parallel()
	s := serve(t)
	open := serve(t, "--ops-listen", "0.0.0.0:0", "--ops-insecure-plaintext")
	_, port, _ := net.SplitHostPort(open.ops)
	for _, c := range []struct {
		host, site    string
		ours, another int // status on loopback, and beyond
	}{
		{"127.0.0.1", "", 200, 200}, {"localhost:9091", "none", 200, 200}, {"[::1]:9091", "same-origin", 200, 200},
		{"x.evil:9091", "same-origin", 403, 200}, {"", "", 403, 200},
		{"127.0.0.1", "cross-site", 403, 403}, {"localhost", "same-site", 403, 403},
	} {
		for address, want := range map[string]int{s.ops: c.ours, "127.0.0.1:" + port: c.another} {
			if got := headStatus(t, address, "GET /state HTTP/1.0\r\nHost: "+c.host+"\r\nSec-Fetch-Site: "+c.site+"\r\n\r\n"); got != want {
				t.Errorf("%s of %q, %q: %d, want %d", address, c.host, c.site, got, want)
			}
		}
	}
}

// headStatus is the status of the answer to a request as it is on the wire.
func headStatus(t *testing.T, address, request string) int {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// TestT45_OperationsStayOnLoopback: another address has to be asked for by name.
func TestT45_OperationsStayOnLoopback(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	args := []string{"serve", "--listen", "127.0.0.1:0", "--database", "sqlite:" + filepath.Join(dir, "tether.db"), "--ops-listen"}
	for _, address := range []string{":0", "0.0.0.0:0", "192.0.2.1:9091", "example.com:9091"} {
		if _, err := call(t, 1, nil, append(slices.Clip(args), address)...); !err.has("--ops-insecure-plaintext") {
			t.Errorf("%s: it said %q", address, err)
		}
	}
	if names, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(names) != 0 {
		t.Errorf("%v, %v made all the same", names, err)
	}
	s := serve(t, "--ops-listen", "0.0.0.0:0", "--ops-insecure-plaintext")
	if !strings.HasPrefix(s.ops, "[::]:") && !strings.HasPrefix(s.ops, "0.0.0.0:") {
		t.Errorf("it listens on %s", s.ops)
	}
	if s = serve(t, "--ops-listen", ""); s.ops != "" {
		t.Errorf("switched off, it listens on %s", s.ops)
	}
	if _, err := call(t, 1, nil, append(slices.Clip(args), s.address)...); !err.has("--ops-listen") || !err.has("address already in use") {
		t.Errorf("an address that is taken: %q", err)
	}
}

// series lists the metrics of a service, each with its labels, without values.
func series(t *testing.T, m *metrics) (all []string) {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "tether_") {
			continue
		}
		for _, m := range f.GetMetric() {
			all = append(all, fmt.Sprint(f.GetName(), m.GetLabel()))
		}
	}
	slices.Sort(all)
	return all
}

// TestT45_SeriesDoNotGrow: a service has the same series with one device and
// with 300, whatever they and the callers have done.
func TestT45_SeriesDoNotGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *serviceConfig) { c.metrics = newMetrics() })
		w.svc.metrics.watch(w.svc)
		begin := func(n int) {
			id, password := w.addDevice(fmt.Sprint("d", n))
			c := w.connect(fmt.Sprintf("10.0.%d.%d", n/200+1, n%200+1))
			c.login(id, password, "boot")
			c.call("ping", "{}")
			c.call(fmt.Sprint("made-up-", n), "{}")
			w.ask("GET", fmt.Sprint("made-up-", n), "")
			w.ask("GET", "device_query/"+id, "")
		}
		begin(0)
		before := series(t, w.svc.metrics)
		for n := range 299 {
			begin(n + 1)
		}
		w.ask("POST", "give_order", `{"device_id":"1","order":"blink","params":{}}`)
		after := series(t, w.svc.metrics)
		if !slices.Equal(before, after) {
			t.Errorf("%d series with 1 device, %d with 300", len(before), len(after))
		}
		if got := w.svc.snapshot().hub; got.Sessions["online"] != 300 || got.Messages["ping"] != 300 || got.Messages["other"] != 300 {
			t.Errorf("counted %+v", got)
		}
		t.Logf("%d series", len(after))
	})
}

// TestState: what is going on, over HTTP and by signal, without a secret.
func TestState(t *testing.T) {
	t.Parallel()
	s := serve(t)
	id, password := s.api.addDevice("a")
	c := s.dialWire(t)
	c.login(id, password, "boot-1")
	order := s.api.giveOrder(id, "slow", `,"params":{}`)
	m := c.next()
	_, text := look(t, s.ops, "/state")
	var st statement
	if err := json.Unmarshal([]byte(text), &st); err != nil {
		t.Fatal(err, text)
	}
	if st.Phase != "serving" || st.Ready != "yes" || st.PID != s.cmd.Process.Pid || st.Set["node"] != "tether-1" {
		t.Errorf("state %s", text)
	}
	if got := st.Service; got == nil || got.Sessions["online"] != 1 || got.Orders.InFlight != 1 || got.Orders.Waiting == nil || *got.Orders.Waiting != 0 {
		t.Errorf("state %s", text)
	}
	s.signal(syscall.SIGUSR1)
	await(t, "the state on standard error", func() bool { return s.err.has(`"phase": "serving"`) && s.err.has(`"settings": {`) })
	c.answer(m.ID, `{"status":"success","message":""}`)
	if a := <-order; a.HTTP != 200 {
		t.Errorf("the order: %d %s", a.HTTP, a.Code)
	}
	if status := s.ready(); status != 200 {
		t.Errorf("after the signal: readyz %d", status)
	}
	if _, text := look(t, s.ops, "/metrics"); !strings.Contains(text, `tether_order_duration_seconds_count{kind="own",outcome="succeeded"} 1`) ||
		!strings.Contains(text, `tether_sessions{state="online"} 1`) {
		t.Errorf("metrics do not tell of the order:\n%s", text)
	}
}

// TestSettingsTellNoSecret: flags are shown by their names, and the password of
// a database is not.
func TestSettingsTellNoSecret(t *testing.T) {
	t.Parallel()
	for url, shown := range map[string]string{
		"sqlite:data/tether.db":                               "sqlite:data/tether.db",
		"postgres://tether:hush@db/t?password=hush&sslmode=x": "postgres://tether@db/t",
		"postgres:///t?user=tether&password=hush":             "postgres:///t",
		"postgres://%zz:hush@db":                              "(unreadable)",
	} {
		if got := withoutSecrets(url); got != shown {
			t.Errorf("%s is shown as %s", url, got)
		}
	}
	var flags cli
	parser, err := kong.New(&flags, kong.Vars{"version": "", "database": ""})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, command := range parser.Model.Leaves(false) {
		for _, f := range command.Flags {
			want[f.Name] = want[f.Name] || command.Name == "serve"
		}
	}
	got := (&serveCmd{}).settings()
	for name, ofServe := range want {
		if _, told := got[name]; ofServe && !told {
			t.Errorf("--%s is not among the settings", name)
		}
	}
	for name := range got {
		if !want[name] {
			t.Errorf("%s is no flag", name)
		}
	}
}

// TestStarting: before the service is made, its operations say so.
func TestStarting(t *testing.T) {
	t.Parallel()
	o, err := startOperations("127.0.0.1:0", nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if status, text := look(t, o.address(), "/readyz"); status != 503 || text != "starting\n" {
		t.Errorf("readyz: %d %q", status, text)
	}
	if status, _ := look(t, o.address(), "/healthz"); status != 200 {
		t.Errorf("healthz: %d", status)
	}
	if status, text := look(t, o.address(), "/metrics"); status != 200 || !strings.Contains(text, "tether_build_info") {
		t.Errorf("metrics: %d %q", status, text)
	}
	if _, text := look(t, o.address(), "/state"); !strings.Contains(text, `"phase": "starting"`) {
		t.Errorf("state: %s", text)
	}
	if err := o.close(); err != nil {
		t.Error(err)
	}
}

// TestObservers: every word that the rooms may say is known to the metrics.
func TestObservers(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	o := m.observe()
	for _, outcome := range orderOutcomes {
		o.Order(true, outcome, 1)
		o.Order(false, outcome, 1)
	}
	o.Call(schema.MethodGiveOrder, 1)
	o.Call(schema.MethodDeviceUpdate, 1)
	m.answered("GET /readyz", 101, 1) // a switch of protocols is no class of an answer
	m.committed(3, 1, os.ErrClosed)
	if n := len(series(t, m)); n == 0 {
		t.Error("no series")
	}
}
