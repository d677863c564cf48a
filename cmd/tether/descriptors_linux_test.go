package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/edgetether/tether/schema"
)

// TestF55_OutOfDescriptors: a service that may open no more files keeps the
// devices that it has, does not spin, says what is wrong, and takes connections
// again as soon as there is room.
func TestF55_OutOfDescriptors(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.limitFiles(t, 60)
	id, password := s.api.addDevice("a")
	c := s.dialWire(t)
	c.login(id, password, "boot-1")
	var idle []net.Conn
	t.Cleanup(func() {
		for _, conn := range idle {
			conn.Close()
		}
	})
	for range 80 { // some of them wait in the kernel's queue
		conn, err := s.dial(t.Context(), "tcp", "")
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, conn)
	}
	await(t, "a line that says what is wrong", func() bool { return s.err.has("connections cannot be accepted") })
	before := s.processorTicks(t)
	for range 20 {
		if m := c.call(schema.MethodPing, "{}"); string(m.Result) != `"pong"` {
			t.Fatalf("ping: %+v", m)
		}
	}
	report := `{"CPU_info":{},"Memory_info":{},"Disk_info":{}}`
	if m := c.call(schema.MethodUploadStatus, report); m.Error != nil {
		t.Fatalf("a report: %+v", m.Error)
	}
	if lines := strings.Count(s.err.String(), "connections cannot be accepted"); lines > 2 {
		t.Errorf("it says so %d times", lines)
	}
	for _, conn := range idle {
		conn.Close()
	}
	idle = nil
	await(t, "a service that takes connections again", func() bool { return s.ready() == http.StatusOK })
	again := s.dialWire(t)
	other, secret := s.api.addDevice("b")
	again.login(other, secret, "boot-1")
	if _, text := look(t, s.ops, "/metrics"); strings.Contains(text, "tether_accept_failures_total 0\n") {
		t.Error("the metrics do not tell of it")
	}
	if got := s.told(id, schema.EventDisconnect, "reason"); len(got) != 0 {
		t.Errorf("the first device was disconnected for %s", got)
	}
	t.Logf("processor time while there was no room, in hundredths of a second: %d", s.processorTicks(t)-before)
}

// limitFiles lets the process have so many files open, as of now.
func (p *process) limitFiles(t *testing.T, n int) {
	t.Helper()
	out, err := exec.Command("prlimit", "--pid", fmt.Sprint(p.cmd.Process.Pid), fmt.Sprintf("--nofile=%d:%[1]d", n)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestF55_LimitIsRaised: the process may have as many files open as the system
// lets it, whatever it was started with, and says how many that is.
func TestF55_LimitIsRaised(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := launch(t, []string{programEnv + "=tether"}, "/bin/sh", "-c", `ulimit -S -n 111; ulimit -H -n 333; exec "$@"`, "sh",
		self, "--log-json", "serve", "--listen", "127.0.0.1:0")
	await(t, "a service that serves", func() bool { p.mustRun(); return servingAt.MatchString(p.err.String()) })
	if !p.err.has(`"open_files_at_most":332,`) && !p.err.has(`"open_files_at_most":333,`) { // Go leaves one
		t.Error("the limit is not the hard one")
	}
}

// processorTicks is the time that the process has used.
func (p *process) processorTicks(t *testing.T) (ticks int) {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	var user, system int
	if _, err := fmt.Sscan(strings.Join(strings.Fields(rest)[11:13], " "), &user, &system); err != nil {
		t.Fatal(err)
	}
	return user + system
}
