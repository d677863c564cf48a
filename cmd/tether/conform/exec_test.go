package conform

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
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

// overSockets runs the kit against a program, in real time and a tenth of it.
func overSockets(t *testing.T, line string, only ...string) *Report {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), Options{
		Listener: l, Device: pressSeven, TimeScale: 0.1, HeartbeatScale: 0.1, Slack: Slack{Part: 0.25, Fixed: 300 * time.Millisecond},
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

// TestProcessConforms: the Go library as a process, over real sockets.
func TestProcessConforms(t *testing.T) {
	r := overSockets(t, clientLine(t))
	if !r.Passed(true) {
		t.Error("not everything passed")
	}
	t.Logf("%s", textOf(t, r))
}

func textOf(t *testing.T, r *Report) string {
	t.Helper()
	var text strings.Builder
	if err := r.WriteText(&text, false); err != nil {
		t.Fatal(err)
	}
	return text.String()
}
