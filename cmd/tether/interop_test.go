//go:build interop

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/edgetether/tether/schema"
)

// These tests run devices that speak JSON-RPC through libraries that nobody
// here wrote, as processes, against the service in a process of its own. The
// programs are in testdata/interop; npm, the Go proxy and apt give the libraries.
// "make interop" runs them and keeps each conversation as it went over the
// wire; -v prints it. Two more devices make their JSON-RPC by hand.

// A device says what its library made of the answers, a line for each. These
// are the lines of all of them: before and after those of its library alone.
var (
	understood = []string{
		"login password",
		`ping "pong"`,
		"upload_status_info {}",
		"no_such_method -32601 method not found",
		"upload_status_info -32602 CPU_info: required",
		"upload_status_info {}",
	}
	thereafter = []string{
		"ready 1", "device_update told", "restart_confirm", "closed",
		"login token", `ping "pong"`, "upload_status_info {}", "ready 2", "closed",
		"login token", `ping "pong"`, "upload_status_info {}", "ready 3", "closed",
	}
)

// foreigner is one of these devices.
type foreigner struct {
	name    string
	program func(*testing.T) []string
	before  []string // what it says before the login
	more    []string // what only this one says
	clumsy  string   // what business is told of an error that is not the library's own; empty: its text
	closes  []string // of the connections that it has before the first login
}

var foreigners = []foreigner{
	{name: "json-rpc-2.0", program: script, more: []string{"batch first pong", "batch é -32601", "batch third pong", "pong alive?"}},
	{
		name: "vscode-ws-jsonrpc", program: script,
		more:   []string{"cancelled pong", "three at once pong pong pong"},
		clumsy: "Request give_order failed with message: the lamp is broken",
	},
	{
		name: "json-rpc-peer", program: script,
		more:   []string{"three at once pong pong pong"},
		clumsy: "unknown error from the peer",
	},
	{name: "jrpc2", program: built, more: []string{`batch "pong"`, "batch -32601", `batch "pong"`}},
	{
		name: "ethereum", program: built,
		before: []string{"rpc.discover true", "login by position -32602 params: must be an object"},
		more:   []string{"batch pong", "batch -32601", "batch pong", "subscribe -32601 method not found"},
		closes: []string{"4400"},
	},
	{name: "websockets", program: pythonScript},
	{name: "aiohttp", program: pythonScript},
}

func TestInterop(t *testing.T) {
	s := serve(t)
	for _, f := range foreigners {
		t.Run(f.name, func(t *testing.T) { f.test(t, s) })
	}
}

func (f foreigner) test(t *testing.T, s *site) {
	program := f.program(t)
	id, password := s.api.addDevice(f.name)
	wire := newTap(t, s.address)
	p := launch(t, nil, program[0], append(program[1:], wire.url(), id, password)...)
	t.Cleanup(func() { keep(t, f.name, wire, p) })
	p.awaitLine("ready 1")
	converse(t, s, p, id, cmp.Or(f.clumsy, "the lamp is broken"))
	p.awaitLine("ready 2")
	s.dialWire(t).login(id, password, "elsewhere") // takes over
	p.awaitLine("ready 3")
	p.signal(syscall.SIGTERM)
	if code := p.code(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	said, want := strings.Split(strings.TrimSpace(p.out.String()), "\n"), slices.Concat(f.before, understood, f.more, thereafter)
	if !slices.Equal(said, want) {
		t.Errorf("the device said %q\nwant %q", said, want)
	}
	for _, fault := range faults(wire.noted()) {
		t.Error(fault)
	}
	checkCloses(t, wire, append(f.closes, "1000", "4409", "1000"))
	s.awaitState(id, schema.Offline)
	await(t, "the ends of four connections", func() bool {
		return strings.Join(s.told(id, schema.EventDisconnect, "reason"), " ") == "closed_by_device takeover takeover closed_by_device"
	})
	if got := strings.Join(s.told(id, schema.EventLogin, "form"), " "); got != "id_password token id_password token" {
		t.Errorf("logins by %s", got)
	}
}

// converse is what business does with a device that is ready.
func converse(t *testing.T, s *site, p *process, id, clumsy string) {
	t.Helper()
	const text = `{"text":"a \"lamp\" <灯> & more"}`
	if o := s.give(id, "say", text).check(t, 200, "", "succeeded", ""); !sameJSON(t, o.Data, text) || o.Message != "said" {
		t.Errorf("said %q, %s", o.Message, o.Data)
	}
	if o := s.give(id, "ask", "{}").check(t, 200, "", "succeeded", ""); !sameJSON(t, o.Data, `{"answer":"pong"}`) {
		t.Errorf("asked %s", o.Data)
	}
	for order, message := range map[string]string{
		"broken":   "the lamp is broken",
		"clumsy":   clumsy,
		"nothing":  `the device's answer is no result: status: must be "success" or "fail"`,
		"nonsense": "order not in config",
	} {
		if o := s.give(id, order, "{}").check(t, 502, "order_failed", "failed", ""); o.Message != message {
			t.Errorf("%s: %s", order, o.Message)
		}
	}
	s.api.must("PUT", "device_update", `{"device_id":"`+id+`","device_name":"told"}`, nil)
	p.awaitLine("device_update told")
	var now struct {
		Report schema.StatusInfo `json:"report"`
	}
	s.api.must("GET", "device_statusInfo_query/"+id, "", &now)
	if total := now.Report.Memory; total == nil || total.Total == nil || *total.Total != 512 {
		t.Errorf("the report is %+v", now.Report)
	}
	o := s.give(id, "restart", "").check(t, 200, "", "succeeded", "")
	await(t, "a restart that is verified", func() bool {
		v := s.api.order(o.OrderID).Verified
		return v != nil && *v
	})
}

// awaitLine waits until the process has said a line.
func (p *process) awaitLine(line string) {
	p.t.Helper()
	await(p.t, line, func() bool {
		p.mustRun()
		return strings.Contains("\n"+p.out.String(), "\n"+line+"\n")
	})
}

// checkCloses compares the service's close codes of the connections. Both sides
// send a close frame, whoever is first; what the device repeats is its own
// affair: aiohttp answers 1000 to everything.
func checkCloses(t *testing.T, wire *tap, want []string) {
	t.Helper()
	got := map[side][]string{}
	for _, l := range wire.noted() {
		if l.kind == "close" {
			code, _, _ := strings.Cut(l.text, " ")
			got[l.from] = append(got[l.from], code)
		}
	}
	if !slices.Equal(got[fromServer], want) || len(got[fromDevice]) != len(want) {
		t.Errorf("the service closed with %s, the device with %s, want %s", got[fromServer], got[fromDevice], want)
	}
}

func sameJSON(t *testing.T, a json.RawMessage, b string) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Error(err)
	}
	if err := json.Unmarshal([]byte(b), &y); err != nil {
		t.Error(err)
	}
	return fmt.Sprint(x) == fmt.Sprint(y)
}

// keep prints a conversation and writes it down; where that is, -artifacts
// says.
func keep(t *testing.T, name string, wire *tap, p *process) {
	t.Helper()
	text := fmt.Sprintf("%s\nwhat the device said:\n%s", wire, &p.out)
	t.Logf("the conversation of %s:\n%s", name, text)
	if err := os.WriteFile(filepath.Join(t.ArtifactDir(), name+".txt"), []byte(text), 0o600); err != nil {
		t.Error(err)
	}
}

// script is a device in JavaScript.
func script(t *testing.T) []string {
	t.Helper()
	return []string{"node", filepath.Join(libraries(t), filepath.Base(t.Name())+".mjs")}
}

// pythonScript is a device in Python, which has only its transport of others. Debian's
// Python is the one for which apt installs.
func pythonScript(t *testing.T) []string {
	t.Helper()
	return []string{python, "-B", absolute(t, "testdata/interop/python/"+filepath.Base(t.Name())+"_.py")}
}

// built is a device in Go.
func built(t *testing.T) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(t.Name()))
	build := exec.Command("go", "build", "-o", path, "./"+filepath.Base(t.Name()))
	build.Dir = "testdata/interop/go"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return []string{path}
}

// libraries is the folder of the scripts, beside which npm has put their
// libraries: exactly those of the lock file.
func libraries(t *testing.T) string {
	t.Helper()
	const dir = "testdata/interop/js"
	lock, err := os.Stat(dir + "/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if there, err := os.Stat(dir + "/node_modules/.package-lock.json"); err != nil || there.ModTime().Before(lock.ModTime()) {
		install := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
		install.Dir = dir
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	return absolute(t, dir)
}

// absolute is a path that holds in any folder.
func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
