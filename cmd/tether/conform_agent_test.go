//go:build !race

package main

import (
	"net"
	"testing"
	"time"

	"github.com/edgetether/tether/cmd/tether/conform"
)

// TestAgentConforms: the ready-made agent as a client under test. Times are not
// what it is about: the library's are held exactly elsewhere.
func TestAgentConforms(t *testing.T) {
	program := agentProgram(t)
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r, err := conform.Run(t.Context(), conform.Options{
		Listener: l, Device: conform.Identity{ID: "1860117402213097472", SN: "SN-7", Model: "ModelB", Password: "conform-password"},
		TimeScale: 0.2, HeartbeatScale: 0.2, Slack: conform.Slack{Part: 1, Fixed: 5 * time.Second}, StateDir: t.TempDir(),
		Launch: conform.Exec("exec sh ../tether-agent/conform.sh "+program, t.Output()), Say: t.Logf,
		Only: []string{"login-password", "login-sn", "order", "order-unknown", "order-interrupted", "upload-log", "restart-repeated"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Passed(true) {
		t.Error("not everything passed")
		_ = r.WriteText(t.Output(), false)
	}
}
