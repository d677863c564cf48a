package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
)

// The tests of processes run the programs as they are run in the field: tether
// is this test binary (see runAsProgram), so that it has the race detector if
// the tests have it; tether-agent is built, as it is shipped.

// patience is how long a test waits for what must happen. It only ever passes
// in full where something is broken.
const patience = time.Minute

// await waits until something is so.
func await(t testing.TB, what string, so func() bool) {
	t.Helper()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for until := time.Now().Add(patience); !so(); <-look.C {
		if time.Now().After(until) {
			t.Fatal("in vain: ", what)
		}
	}
}

// output is what a process has written to one of its streams.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) has(text string) bool { return strings.Contains(o.String(), text) }

// process is a program that the test has started, and that ends with it.
type process struct {
	t        testing.TB
	cmd      *exec.Cmd
	out, err output
	ended    chan struct{}
}

// launch starts a program in a folder of its own, with an environment in which
// TETHER_ is what env says.
func launch(t testing.TB, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(name, args...), ended: make(chan struct{})}
	p.cmd.Dir = t.TempDir()
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	clean := slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, "TETHER_") })
	p.cmd.Env = slices.Concat(clean, []string{"TETHER_OPS_LISTEN=127.0.0.1:0"}, env) // one of its own for each
	p.cmd.WaitDelay = 5 * time.Second                                                // for what a killed program's children still hold
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(p.ended); _ = p.cmd.Wait() }() // how it ended is in ProcessState
	t.Cleanup(p.cleanUp)
	return p
}

func (p *process) cleanUp() {
	p.kill()
	if p.err.has("DATA RACE") {
		p.t.Error("a race in ", p.cmd.Args)
	}
	if p.t.Failed() {
		p.t.Logf("%s wrote:\n%s\n%s", p.cmd.Args, &p.out, &p.err)
	}
}

// kill kills it, if it has not ended, and reaps it.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // or it has ended
	<-p.ended
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(s, err)
	}
}

// mustRun fails the test if the process has ended.
func (p *process) mustRun() {
	p.t.Helper()
	select {
	case <-p.ended:
		p.t.Fatal(p.cmd.Args, " ended: ", p.cmd.ProcessState)
	default:
	}
}

// code waits for the end, and is the exit code.
func (p *process) code() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatal(p.cmd.Args, " does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// tether starts the program itself.
func tether(t testing.TB, env []string, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return launch(t, append([]string{programEnv + "=tether"}, env...), self, args...)
}

// agents is the built tether-agent, and how many tests still need it.
var agents struct {
	sync.Mutex
	users int
	path  string
}

// agentProgram builds tether-agent for the first test that asks and removes it
// after the last. Tests ask before they become parallel, so that all of them
// have the same one.
func agentProgram(t testing.TB) string {
	t.Helper()
	agents.Lock()
	defer agents.Unlock()
	if agents.users == 0 {
		agents.path = buildAgent(t)
	}
	agents.users++
	t.Cleanup(func() {
		agents.Lock()
		defer agents.Unlock()
		if agents.users--; agents.users == 0 {
			_ = os.RemoveAll(filepath.Dir(agents.path)) // a temporary folder
		}
	})
	return agents.path
}

func buildAgent(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tether-test-")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "tether-agent")
	build := exec.Command("go", "build", "-o", path, "../tether-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		_ = os.RemoveAll(dir)
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// site is a service in a process of its own, on a port of loopback.
type site struct {
	*process
	api     *world // for its requests alone
	dir     string
	url     string // of its database; "" is SQLite in dir
	address string
	ops     string // address of its operations
	secure  bool
	args    []string
}

var (
	servingAt = regexp.MustCompile(`"url":"http(s?)://([^"]+)"`)
	opsAt     = regexp.MustCompile(`"ops":"([^"]+)"`)
	firstTold = regexp.MustCompile(`(?m)^ *(` + schema.KeyPrefix + `\S+)\n`)
)

// serve starts a service on SQLite and keeps its first key.
func serve(t testing.TB, args ...string) *site {
	t.Helper()
	return serveWith(t, t.TempDir(), "", args...)
}

// serveIn is serve with the database in a folder that the test made.
func serveIn(t testing.TB, dir string, args ...string) *site {
	t.Helper()
	return serveWith(t, dir, "", args...)
}

// serveLong is serveIn a folder of a service as it is once it has come up: it
// collects garbage as it does then from the beginning.
func serveLong(t testing.TB, dir string, args ...string) *site {
	t.Helper()
	t.Setenv("GOGC", strconv.Itoa(gcCalm))
	return serveIn(t, dir, args...)
}

// serveOn is serve on a database of which there is one already.
func serveOn(t testing.TB, url string, args ...string) *site {
	t.Helper()
	return serveWith(t, t.TempDir(), url, args...)
}

func serveWith(t testing.TB, dir, url string, args ...string) *site {
	t.Helper()
	s := &site{api: &world{t: t}, dir: dir, url: url, address: "127.0.0.1:0", args: args}
	s.begin(t)
	await(t, "a first key", func() bool {
		key := firstTold.FindStringSubmatch(s.out.String())
		if key != nil {
			s.api.key = key[1]
		}
		return key != nil
	})
	return s
}

// begin starts the process; again, on the port and the database that it had.
func (s *site) begin(t testing.TB) {
	t.Helper()
	args := append([]string{"--log-json", "serve", "--listen", s.address, "--database", s.database()}, s.args...)
	s.process = tether(t, nil, args...)
	s.awaitAddress(t)
	s.api.http = &http.Client{Transport: &http.Transport{DialContext: s.dial, DisableKeepAlives: true, ExpectContinueTimeout: time.Second}}
}

// awaitAddress waits until the process says where it serves.
func (s *site) awaitAddress(t testing.TB) {
	t.Helper()
	var at []string
	await(t, "a service that serves", func() bool {
		s.mustRun()
		at = servingAt.FindStringSubmatch(s.err.String())
		return at != nil
	})
	s.secure, s.address = at[1] != "", at[2]
	if ops := opsAt.FindStringSubmatch(s.err.String()); ops != nil {
		s.ops = ops[1]
	}
}

func (s *site) database() string {
	if s.url != "" {
		return s.url
	}
	return "sqlite:" + filepath.Join(s.dir, "tether.db")
}

// dial connects to the service, whatever name was asked for.
func (s *site) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, s.address)
}

// ready is the HTTP status of /readyz.
func (s *site) ready() int {
	resp, err := s.api.http.Get("http://tether/readyz")
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// client asks the service as a program in Go does.
func (s *site) client(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{URL: "http://" + s.address, Key: s.api.key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// logFile is the log that an order has brought.
func (s *site) logFile(t *testing.T, orderID string) ([]byte, error) {
	var arrived bytes.Buffer
	_, err := s.client(t).DeviceLogfile(context.Background(), orderID, &arrived)
	return arrived.Bytes(), err
}

// give gives an order and waits for its end.
func (s *site) give(deviceID, order, params string) apiReply {
	rest := ""
	if params != "" {
		rest = `,"params":` + params
	}
	return <-s.api.giveOrder(deviceID, order, rest)
}

// log is a device's log, oldest first, in which no number is missing and
// connect and disconnect alternate.
func (s *site) log(deviceID string) []schema.Event {
	s.t.Helper()
	var list schema.List[schema.Event]
	s.api.must("GET", "device_log_query/"+deviceID+"?limit=1000", "", &list)
	slices.Reverse(list.Items)
	connected := false
	for i, e := range list.Items {
		if e.Seq != int64(i+1) {
			s.t.Errorf("line %d of the log has seq %d", i+1, e.Seq)
		}
		if e.Kind != schema.EventConnect && e.Kind != schema.EventDisconnect {
			continue
		}
		if connected == (e.Kind == schema.EventConnect) {
			s.t.Errorf("a second %s at seq %d", e.Kind, e.Seq)
		}
		connected = !connected
	}
	return list.Items
}

// told lists one member of the details of a device's events of a kind.
func (s *site) told(deviceID string, kind schema.EventKind, member string) (values []string) {
	s.t.Helper()
	for _, e := range s.log(deviceID) {
		if e.Kind != kind {
			continue
		}
		var detail map[string]any
		if err := json.Unmarshal(e.Detail, &detail); err != nil {
			s.t.Fatal(err)
		}
		values = append(values, fmt.Sprint(detail[member]))
	}
	return values
}

func (s *site) awaitState(deviceID string, state schema.DevState) {
	s.t.Helper()
	await(s.t, "device is "+string(state), func() bool { return s.api.device(deviceID).State == state })
}

// agent is a device in a process of its own.
type agent struct {
	*process
	id, state string
}

// agent registers a device and runs it; more is added to its configuration.
func (s *site) agent(program, name, more string) *agent {
	s.t.Helper()
	id, password := s.api.addDevice(name)
	a := &agent{id: id, state: filepath.Join(s.t.TempDir(), "state")}
	scheme := "ws"
	if s.secure {
		scheme = "wss"
	}
	config := filepath.Join(s.t.TempDir(), "agent.yaml")
	writeFile(s.t, config, fmt.Sprintf("server: %s://%s/ws\ndevice_id: %q\npassword: %s\nstate_dir: %s\n%s",
		scheme, s.address, id, password, a.state, more))
	a.process = launch(s.t, nil, program, "--config", config)
	return a
}

// own is the device's own log.
func (a *agent) own() string {
	a.t.Helper()
	text, err := os.ReadFile(filepath.Join(a.state, "device.log"))
	if err != nil {
		a.t.Fatal(err)
	}
	return string(text)
}

// writeFile writes a file that is its owner's alone.
func writeFile(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
