//go:build interop

package main

import (
	"encoding/json"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// scraper is a real Prometheus, which scrapes a service as scrape.yaml says and runs
// the rules of alerts.yaml.
type scraper struct {
	*process
	address string
}

// startScraper also waits until it answers.
func startScraper(t *testing.T, target string) *scraper {
	t.Helper()
	const shipped = "127.0.0.1:9091" // where scrape.yaml expects the service
	scrape := source(t, opsFiles+"scrape.yaml")
	if !strings.Contains(scrape, shipped) {
		t.Fatal("scrape.yaml does not name ", shipped)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"prometheus.yml": "global: {scrape_interval: 1s, evaluation_interval: 1s}\n" + strings.Replace(scrape, shipped, target, 1),
		"alerts.yaml":    source(t, opsFiles+"alerts.yaml"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &scraper{address: l.Addr().String()}
	l.Close()
	p.process = launch(t, nil, "prometheus", "--config.file", filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", p.address)
	await(t, "a Prometheus", func() bool {
		p.mustRun()
		return p.err.has("Server is ready")
	})
	return p
}

// ask asks its API.
func (p *scraper) ask(t *testing.T, path string, data any) {
	t.Helper()
	status, text := look(t, p.address, "/api/v1/"+path)
	answer := struct {
		Data any
	}{data}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || status != 200 {
		t.Fatalf("%s: %d %s", path, status, text)
	}
}

// series is how many a query finds.
func (p *scraper) series(t *testing.T, query string) int {
	t.Helper()
	var found struct{ Result []any }
	p.ask(t, "query?query="+url.QueryEscape(query), &found)
	return len(found.Result)
}

// threshold is what an alert compares a figure with.
var threshold = regexp.MustCompile(`(==|[<>]) [0-9.]+`)

// figure is the expression of an alert such that it is true of every figure that
// there is: what is left out is none.
func (a alert) figure() string {
	return strings.ReplaceAll(threshold.ReplaceAllString(a.Expr, ">= 0"), "offset 15m", "offset 1s")
}

// state is what has become of the rule of this name.
func (p *scraper) state(t *testing.T, name string) (state string) {
	t.Helper()
	var running struct {
		Groups []struct {
			Rules []struct{ Name, State, Health, LastError string }
		}
	}
	p.ask(t, "rules", &running)
	for _, r := range running.Groups[0].Rules {
		if r.Health == "err" {
			t.Fatal(r.Name, r.LastError)
		}
		if r.Name == name && r.Health == "ok" {
			state = r.State
		}
	}
	return state
}

// TestInteropPrometheus: every panel of the dashboard, and every alert rule, finds
// its figures at a service that has something to do; one that is killed is noticed.
func TestInteropPrometheus(t *testing.T) {
	s := serve(t)
	tether(t, []string{"TETHER_KEY=" + s.api.key}, "sim", "--mode", "lean", "--url", "http://"+s.address, "--devices", "20", "--orders", "5")
	p := startScraper(t, s.ops)
	finds := func(who, query string) {
		t.Helper()
		await(t, who+" to find something by "+query, func() bool { return p.series(t, query) > 0 })
	}
	_, panels := dashboard(t)
	chosen := strings.NewReplacer("$instance", s.ops, "$__rate_interval", "10s")
	for _, panel := range panels {
		for _, target := range panel.Targets {
			finds("the panel "+panel.Title, chosen.Replace(target.Expr))
		}
	}
	for _, a := range alerts(t) {
		finds("the alert "+a.Alert, a.figure())
		await(t, a.Alert+" to be watched", func() bool { return p.state(t, a.Alert) == "inactive" })
	}
	s.kill()
	await(t, "the alert of a service that is gone", func() bool { return p.state(t, "TetherDown") == "pending" })
}
