package conform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgetether/tether/device"
)

// clientEnv makes the test binary be a client, for tests of processes.
const clientEnv = "CONFORM_TEST_CLIENT"

// beClient is a device program as an integrator would write it: it reads its
// environment, and restarts by executing itself anew.
func beClient() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	env := map[string]string{}
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	err := library{change: func(c *device.Config) {
		c.Restart = nil
		c.TimeScale, _ = strconv.ParseFloat(env["TETHER_TIME_SCALE"], 64)
	}}.launch(ctx, env)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// overSockets runs the kit against a program, in real time.
func overSockets(t *testing.T, line string, scale float64, slack Slack, only ...string) *Report {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), Options{
		Listener: l, Device: pressSeven, TimeScale: scale, HeartbeatScale: scale, Slack: slack,
		StateDir: t.TempDir(), Launch: Exec(line, t.Output()), Say: t.Logf, Only: only,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func clientLine(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return clientEnv + "=1 exec " + path
}

// processScenarios are those in which a process is more than a goroutine.
var processScenarios = []string{"login-password", "login-sn", "boot-id", "order", "order-interrupted", "restart-repeated", "close-4410"}

// TestProcessConforms: the Go library as a process, over real sockets. Times
// are not what it is about: a machine that tests has other things to do. With
// TETHER_SOAK every scenario, and times, as an integrator would run it.
func TestProcessConforms(t *testing.T) {
	scale, slack, only := 0.2, Slack{Part: 1, Fixed: 5 * time.Second}, processScenarios
	if os.Getenv("TETHER_SOAK") != "" {
		scale, slack, only = 0.1, Slack{Part: 0.25, Fixed: 200 * time.Millisecond}, nil
	}
	r := overSockets(t, clientLine(t), scale, slack, only...)
	if !r.Passed(true) {
		t.Error("not everything passed")
	}
	t.Logf("%s", textOf(t, r))
}

// TestExecEndsAll: a client that does not want to end is killed with what it
// has started.
func TestExecEndsAll(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	line := "trap '' TERM; sleep 1000 & echo $! > " + pids + ".new; mv " + pids + ".new " + pids + "; wait; sleep 1000"
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Exec(line, io.Discard)(ctx, nil) }()
	var pid int
	for deadline := time.Now().Add(time.Minute); pid == 0; {
		if text, err := os.ReadFile(pids); err == nil {
			pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		if time.Now().After(deadline) {
			t.Fatal("the client did not start")
		}
	}
	cancel(ErrKilled)
	if err := <-ended; !errors.Is(err, errStopped) {
		t.Error(err)
	}
	for deadline := time.Now().Add(time.Minute); alive(pid); {
		if time.Now().After(deadline) {
			t.Fatal("its child lives")
		}
	}
}

// alive says whether a process runs: a dead one that nobody has waited for does
// not.
func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(text), ") Z ")
}

func textOf(t *testing.T, r *Report) string {
	t.Helper()
	var text strings.Builder
	if err := r.WriteText(&text, false); err != nil {
		t.Fatal(err)
	}
	return text.String()
}
