//go:build !race

package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestClientsOwn runs the clients' own tests, which mostly wait.
func TestClientsOwn(t *testing.T) {
	folder := nodePackage(t)
	t.Parallel()
	var both sync.WaitGroup
	defer both.Wait()
	both.Go(func() { own(t, pythonFolder, python, "-B", "-m", "unittest") })
	both.Go(func() { own(t, folder, "npm", "test") })
}

func own(t *testing.T, folder, name string, args ...string) {
	run := exec.Command(name, args...)
	run.Dir = folder
	if out, err := run.CombinedOutput(); err != nil {
		t.Errorf("%s %s: %v\n%s", name, args, err, out)
	}
}

// slack is by how much a time may be late, on a machine that does other things.
const slack = 500 * time.Millisecond

// TestClientsConform: both clients keep the whole contract, as the kit sees it.
// What failed in a tenth of the time is looked at again in half of it and with
// more slack, where a machine that was too busy passes, and a fault does not.
func TestClientsConform(t *testing.T) {
	py, js := pythonLine(t, "tether_device.conform"), "exec node "+filepath.Join(nodePackage(t), "bin", "conform.js")
	t.Parallel()
	var both sync.WaitGroup
	defer both.Wait()
	for name, line := range map[string]string{"Python": py, "JavaScript": js} {
		state := t.TempDir()
		both.Go(func() {
			r, text := conformance(t, line, state, 0.1, slack)
			t.Logf("%s\n%s", name, text)
			if again := unpassed(r); len(again) > 0 {
				if r, text = conformance(t, line, state, 0.5, 3*slack, again...); len(unpassed(r)) > 0 {
					t.Errorf("%s: not everything passed, in a second run neither:\n%s", name, text)
				}
			}
		})
	}
}

// TestClientsBroken: of a client with a fault, the kit names the rule.
func TestClientsBroken(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	defer all.Wait()
	for _, c := range []struct {
		module, rule, text, only string
		scale                    float64
	}{
		{"broken_late", "southbound 4", "A ping 5 s after the previous one was sent", "cadence", 0.3},
		{"broken_ids", "southbound 1", "An id is a string or an integer, and tells a request from all others", "cadence", 0.3},
		{"broken_confirm", "southbound 3", "It restarts when the confirm arrives", "restart-confirmed", 1},
	} {
		line, state := pythonLine(t, "tests."+c.module), t.TempDir()
		all.Go(func() {
			r, text := conformance(t, line, state, c.scale, slack, c.only)
			if !names(r, c.rule, c.text) {
				t.Errorf("%s: the rule was not named:\n%s", c.module, text)
			}
			t.Logf("%s\n%s", c.module, text)
		})
	}
}

func pythonLine(t *testing.T, module string) string {
	t.Helper()
	return strings.Join(pythonClient(t).env, " ") + " exec " + python + " -m " + module
}
