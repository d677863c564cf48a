package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/edgetether/tether/cmd/tether/conform"
	"github.com/edgetether/tether/schema"
)

// The clients in other languages, as real processes: Debian's Python with
// Debian's python3-websockets, and Node with what npm installs.
const (
	python       = "/usr/bin/python3"
	pythonFolder = "../../device/python"
	nodeFolder   = "../../device/javascript"
)

// foreign is a client in another language.
type foreign struct {
	blink     []string // the example of its README
	env       []string
	restarted int // the exit code by which it restarts; -1: it executes itself anew
}

func pythonClient(t *testing.T) foreign {
	t.Helper()
	folder, err := filepath.Abs(pythonFolder)
	if err != nil {
		t.Fatal(err)
	}
	return foreign{
		blink: []string{python, filepath.Join(folder, "examples", "blink.py")},
		env:   []string{"PYTHONPATH=" + folder, "PYTHONDONTWRITEBYTECODE=1"}, restarted: -1,
	}
}

func nodeClient(t *testing.T) foreign {
	t.Helper()
	return foreign{blink: []string{"node", filepath.Join(nodePackage(t), "examples", "blink.js")}, restarted: 75}
}

// installed is the JavaScript client with its dependencies, in a folder that
// lasts as long as tests use it.
var installed struct {
	sync.Mutex
	users  int
	folder string
}

// nodePackage copies the client and has npm install exactly what its lockfile
// says. Tests ask before they become parallel, so that all have the same one.
func nodePackage(t *testing.T) string {
	t.Helper()
	installed.Lock()
	defer installed.Unlock()
	if installed.users == 0 {
		installed.folder = installNode(t)
	}
	installed.users++
	t.Cleanup(func() {
		installed.Lock()
		defer installed.Unlock()
		if installed.users--; installed.users == 0 {
			_ = os.RemoveAll(installed.folder) // a temporary folder
		}
	})
	return installed.folder
}

func installNode(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "tether-test-")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"package.json", "package-lock.json", "index.js", "lib", "bin", "examples", "test"} {
		copyTree(t, filepath.Join(nodeFolder, part), filepath.Join(folder, part))
	}
	install := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	install.Dir = folder
	if out, err := install.CombinedOutput(); err != nil {
		_ = os.RemoveAll(folder)
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	return folder
}

// copyTree copies a file, or a folder with all that is in it.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	info, err := os.Stat(from)
	if err == nil && info.IsDir() {
		err = os.CopyFS(to, os.DirFS(from))
	} else if err == nil {
		var data []byte
		if data, err = os.ReadFile(from); err == nil {
			err = os.WriteFile(to, data, 0o600)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// foreign registers a device and runs a client as that.
func (s *site) foreign(c foreign, name string) *agent {
	s.t.Helper()
	id, password := s.api.addDevice(name)
	a := &agent{id: id, state: s.t.TempDir()}
	s.launchForeign(a, c, password)
	return a
}

func (s *site) deviceURL() string {
	if s.secure {
		return "wss://" + s.address + "/ws"
	}
	return "ws://" + s.address + "/ws"
}

// launchForeign starts the client, also once more in the same state folder.
func (s *site) launchForeign(a *agent, c foreign, password string) {
	s.t.Helper()
	env := append([]string{
		"TETHER_URL=" + s.deviceURL(), "TETHER_DEVICE_ID=" + a.id, "TETHER_PASSWORD=" + password,
		"TETHER_STATE_DIR=" + a.state, "TETHER_LOG_FILE=" + filepath.Join(a.state, "device.log"),
	}, c.env...)
	a.process = launch(s.t, env, c.blink[0], c.blink[1:]...)
}

func TestPythonDevice(t *testing.T)     { liveAsDevice(t, pythonClient(t)) }
func TestJavaScriptDevice(t *testing.T) { liveAsDevice(t, nodeClient(t)) }

// liveAsDevice is a device's life with a real service: orders, its log, a
// restart, a server that is killed, and the end.
func liveAsDevice(t *testing.T, c foreign) {
	t.Parallel()
	dir := t.TempDir()
	s := serveIn(t, dir, "--sftp-listen", "127.0.0.1:0")
	a := s.foreign(c, "a")
	s.awaitState(a.id, schema.Online)
	o := s.give(a.id, "blink", `{"times":2}`).check(t, 200, "", "succeeded", "")
	if string(o.Data) != `{"blinked":2}` {
		t.Errorf("data %s", o.Data)
	}
	if o := s.give(a.id, "jump", `{}`).check(t, 502, "order_failed", "failed", ""); o.Message != "order not in config" {
		t.Errorf("an order that it does not know: %s", o.Message)
	}
	sendsItsLog(t, s, a)
	restarts(t, s, a, c)

	s.kill()
	s.begin(t)
	s.awaitState(a.id, schema.Online)
	s.give(a.id, "blink", `{"times":1}`).check(t, 200, "", "succeeded", "")
	if got := strings.Join(s.told(a.id, schema.EventLogin, "form"), " "); got != "id_password token token" {
		t.Errorf("logins by %s", got)
	}
	endsWell(t, s, a)
}

// TestShellDevice: the example in bash is a device, until it is deleted.
func TestShellDevice(t *testing.T) {
	script, err := filepath.Abs("../../device/examples/device.sh")
	if err != nil {
		t.Fatal(err)
	}
	t.Parallel()
	s := serve(t)
	host, port, err := net.SplitHostPort(s.address)
	if err != nil {
		t.Fatal(err)
	}
	a := s.foreign(foreign{blink: []string{"bash", script}, env: []string{"TETHER_HOST=" + host, "TETHER_PORT=" + port}}, "a")
	s.awaitState(a.id, schema.Online)
	s.give(a.id, "blink", `{}`).check(t, 200, "", "succeeded", "")
	if o := s.give(a.id, "jump", `{}`).check(t, 502, "order_failed", "failed", ""); o.Message != "order not in config" {
		t.Errorf("an order that it does not know: %s", o.Message)
	}
	await(t, "a report", func() bool { return len(s.told(a.id, schema.EventStatus, "Memory_info")) > 0 })
	s.api.must("DELETE", "device_delete", `{"device_id":"`+a.id+`"}`, nil)
	if code := a.code(); code != 0 || !a.out.has("closed: ") {
		t.Errorf("exit code %d", code)
	}
}

// TestClientsOverTLS: they come in over TLS, and do not show their password to
// a server whose issuer they do not trust.
func TestClientsOverTLS(t *testing.T) {
	clients := map[string]foreign{"SSL_CERT_FILE": pythonClient(t), "NODE_EXTRA_CA_CERTS": nodeClient(t)}
	t.Parallel()
	cert, key, roots := selfSigned(t)
	s := serve(t, "--tls-cert", cert, "--tls-key", key)
	s.api.http.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		d := tls.Dialer{Config: &tls.Config{RootCAs: roots}}
		return d.DialContext(ctx, "tcp", s.address)
	}
	for trust, c := range clients {
		wary := s.foreign(c, "wary "+trust)
		c.env = append(slices.Clone(c.env), trust+"="+cert)
		trusting := s.foreign(c, "trusting "+trust)
		s.awaitState(trusting.id, schema.Online)
		await(t, "a refusal", func() bool {
			said := strings.ToLower(wary.err.String())
			return strings.Contains(said, "connect: ") && strings.Contains(said, "certificate")
		})
		if got := s.log(wary.id); len(got) != 1 || got[0].Kind != schema.EventUpdate {
			t.Errorf("the server heard of it: %+v", got)
		}
	}
}

func sendsItsLog(t *testing.T, s *site, a *agent) {
	t.Helper()
	o, data := sent(t, s.give(a.id, schema.OrderUploadLog, ""))
	arrived, err := s.logFile(t, o.OrderID)
	if err != nil {
		t.Fatal(err)
	}
	checkArrived(t, a, data, arrived)
}

// restarts gives a restart order, which a new boot has to prove.
func restarts(t *testing.T, s *site, a *agent, c foreign) {
	t.Helper()
	o := s.give(a.id, schema.OrderRestart, "").check(t, 200, "", "succeeded", "")
	if c.restarted >= 0 {
		if code := a.code(); code != c.restarted {
			t.Fatalf("exit code %d", code)
		}
		s.launchForeign(a, c, "a password that the token makes needless")
	}
	await(t, "a restart that is verified", func() bool {
		o = s.api.order(o.OrderID)
		return o.Verified != nil
	})
	if !*o.Verified {
		t.Error("the restart is not verified")
	}
	s.awaitState(a.id, schema.Online)
}

// endsWell stops it by a signal, and looks at what it leaves.
func endsWell(t *testing.T, s *site, a *agent) {
	t.Helper()
	a.signal(syscall.SIGTERM)
	if code := a.code(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	await(t, "the line of the end", func() bool {
		ends := s.told(a.id, schema.EventDisconnect, "reason")
		return len(ends) > 0 && ends[len(ends)-1] == "closed_by_device"
	})
	for _, file := range []string{"token.json", "journal"} {
		info, err := os.Stat(filepath.Join(a.state, file))
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
}

// conformance runs the kit against a command line, in real time and part of it.
func conformance(t *testing.T, line, state string, scale float64, slack time.Duration, only ...string) (*conform.Report, string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Error(err)
		return &conform.Report{}, ""
	}
	r, err := conform.Run(t.Context(), conform.Options{
		Listener: l, Device: conform.Identity{ID: "1860117402213097472", SN: "SN-7", Model: "ModelB", Password: "conform-password"},
		TimeScale: scale, HeartbeatScale: scale, Slack: conform.Slack{Part: 0.25, Fixed: slack},
		StateDir: state, Launch: conform.Exec(line, t.Output()), Only: only,
	})
	if err != nil {
		t.Error(err)
		return &conform.Report{}, ""
	}
	var text strings.Builder
	if err := r.WriteText(&text, false); err != nil {
		t.Error(err)
	}
	return r, text.String()
}

// unpassed are the scenarios in which not everything passed.
func unpassed(r *conform.Report) (names []string) {
	for _, s := range r.Results {
		if slices.ContainsFunc(s.Checks, func(c conform.Check) bool { return c.Outcome != conform.Passed }) {
			names = append(names, s.Name)
		}
	}
	return names
}

// names says whether a rule is among those that were broken.
func names(r *conform.Report, rule, text string) bool {
	for _, s := range r.Results {
		for _, c := range s.Checks {
			if c.Outcome == conform.Failed && c.Rule == rule && strings.HasPrefix(c.Text, text) {
				return true
			}
		}
	}
	return false
}
