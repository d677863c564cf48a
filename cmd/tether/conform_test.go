package main

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/edgetether/tether/cmd/tether/conform"
	"github.com/edgetether/tether/schema"
)

// TestServerConforms: the whole service, held against the contract by the kit,
// in virtual time.
func TestServerConforms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *serviceConfig) { c.messageRate = schema.MessageRate })
		id, password := w.addDevice("a")
		r, err := conform.RunServer(t.Context(), conform.ServerOptions{
			URL: "ws://tether/ws", NetDial: w.dialFrom("10.0.0.7"), API: "http://tether", Key: w.key, Slow: true,
			Device: conform.Identity{ID: id, SN: "SN-a", Model: "M", Password: password}, Say: t.Logf,
		})
		if err != nil {
			t.Fatal(err)
		}
		if !r.Passed(true) {
			t.Error("not everything passed")
		}
		var text strings.Builder
		if err := r.WriteText(&text, false); err != nil {
			t.Fatal(err)
		}
		t.Log(text.String())
	})
}

// TestConformCommand: what a wrong call is, and what the outputs are.
func TestConformCommand(t *testing.T) {
	for _, line := range []string{
		"conform --only nothing", "conform --time-scale 0", "conform --time-scale 1.1", "conform --device-id x", "conform --slow",
		"conform --api http://x", "conform --server ws://x/ws --exec y", "conform --server ws://x/ws --only close-1012",
	} {
		if code, _, errs := conformRun(t, strings.Fields(line)...); code != 2 || errs == "" {
			t.Errorf("%s: %d %s", line, code, errs)
		}
	}
	for _, args := range [][]string{{"--list"}, {"--list", "--server", "ws://x/ws"}} {
		code, out, _ := conformRun(t, append([]string{"conform"}, args...)...)
		if code != 0 || !strings.Contains(out, "southbound 2: ") {
			t.Errorf("%v: %d %s", args, code, out)
		}
	}
}

// TestConformReports: a client that is no client, in all forms of the report.
func TestConformReports(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.xml")
	code, out, errs := conformRun(t, "conform", "--listen", "127.0.0.1:0", "--exec", "echo I am no device; exit 3", "--only", "order", "--junit", file, "--json", "-")
	if code != 1 || !strings.Contains(errs, "I am no device") || !strings.Contains(errs, "checks failed") {
		t.Errorf("code %d, %s", code, errs)
	}
	var report struct {
		Failed    int
		Scenarios []conform.Result
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Failed != 1 || len(report.Scenarios) != 2 {
		t.Errorf("%v: %s", err, out)
	}
	if c := report.Scenarios[0].Checks[0]; c.Outcome != conform.Failed || !strings.Contains(c.Saw, "exit status 3: I am no device") {
		t.Errorf("%+v", c)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var suites struct {
		Failures int `xml:"failures,attr"`
		Suites   []struct {
			Cases []struct {
				Failure *struct {
					Message string `xml:"message,attr"`
				} `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &suites); err != nil || suites.Failures != 1 || suites.Suites[0].Cases[0].Failure == nil {
		t.Errorf("%v: %s", err, text)
	}
}

// TestConformByHand: without --exec a person starts the client, and is told so.
func TestConformByHand(t *testing.T) {
	code, out, errs := conformRun(t, "conform", "--listen", "127.0.0.1:0", "--wait", "1ms", "--only", "order,login-sn")
	if code != 1 || !strings.Contains(errs, "Start your client") || !strings.Contains(out, "--exec") {
		t.Errorf("code %d\n%s\n%s", code, out, errs)
	}
}

func conformRun(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e strings.Builder
	code = run(t.Context(), args, nil, &o, &e)
	return code, o.String(), e.String()
}
