package main

import (
	"bufio"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// opsFiles is where the dashboard, the rules and the table of metrics are.
const opsFiles = "northapi/ops/"

var (
	ownMetric   = regexp.MustCompile(`\b(tether|go|process)_[a-z0-9_]+`)
	metricLabel = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"`)
)

// exported are the metrics of a service: names of their own, and the names of
// the series of histograms, each with the labels and words that there are.
func exported(t *testing.T) (metrics []string, names map[string]bool, words map[string]bool) {
	t.Helper()
	names, words = map[string]bool{}, map[string]bool{`job="tether"`: true}
	w := newWorld(t)
	w.svc.metrics.watch(w.svc)
	families, err := w.svc.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		names[f.GetName()] = true
		if strings.HasPrefix(f.GetName(), "tether_") {
			metrics = append(metrics, f.GetName())
			if f.GetHelp() == "" {
				t.Errorf("%s has no help text", f.GetName())
			}
		}
		for _, m := range f.GetMetric() {
			if m.GetHistogram() != nil {
				for _, end := range []string{"_bucket", "_count", "_sum"} {
					names[f.GetName()+end] = true
				}
			}
			for _, l := range m.GetLabel() {
				words[l.GetName()+`="`+l.GetValue()+`"`] = true
			}
		}
	}
	return metrics, names, words
}

// checkQuery: a query names nothing that is not there.
func checkQuery(t *testing.T, where, query string, names, words map[string]bool) {
	t.Helper()
	found := ownMetric.FindAllString(query, -1)
	if len(found) == 0 && !strings.Contains(query, "up{") {
		t.Errorf("%s asks for no metric: %s", where, query)
	}
	for _, name := range found {
		if !names[name] {
			t.Errorf("%s: there is no %s", where, name)
		}
	}
	for _, m := range regexp.MustCompile(`(\w+)="([^"$]*)"`).FindAllString(query, -1) {
		if !words[m] {
			t.Errorf("%s: no series has %s", where, m)
		}
	}
	for _, m := range metricLabel.FindAllStringSubmatch(query, -1) {
		known := m[1] == "instance"
		for word := range words {
			known = known || strings.HasPrefix(word, m[1]+"=")
		}
		if !known {
			t.Errorf("%s: no series has the label %s", where, m[1])
		}
	}
}

// panel is one of the dashboard.
type panel struct {
	Title, Description string
	Targets            []struct{ Expr string }
}

// dashboard is the text of the dashboard, and its panels.
func dashboard(t *testing.T) (text string, panels []panel) {
	t.Helper()
	text = source(t, opsFiles+"dashboard.json")
	var d struct{ Panels []panel }
	if err := json.Unmarshal([]byte(text), &d); err != nil || len(d.Panels) < 10 {
		t.Fatal(len(d.Panels), err)
	}
	return text, d.Panels
}

// alert is one of the rules.
type alert struct {
	Alert, Expr string
	Annotations struct{ Summary, Description string }
}

func alerts(t *testing.T) []alert {
	t.Helper()
	var rules struct{ Groups []struct{ Rules []alert } }
	if err := yaml.Unmarshal([]byte(source(t, opsFiles+"alerts.yaml")), &rules); err != nil || len(rules.Groups) != 1 {
		t.Fatal(len(rules.Groups), err)
	}
	return rules.Groups[0].Rules
}

// TestOpsFiles: the dashboard and the alert rules ask for metrics that there
// are, and every metric is in the table of README, and on the dashboard.
func TestOpsFiles(t *testing.T) {
	t.Parallel()
	metrics, names, words := exported(t)
	text, panels := dashboard(t)
	for _, p := range panels {
		for _, target := range p.Targets {
			checkQuery(t, "the panel "+p.Title, target.Expr, names, words)
		}
		if p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("the panel %q has no description, or shows nothing", p.Title)
		}
	}
	for _, name := range metrics {
		if !strings.Contains(text, name) {
			t.Errorf("the dashboard does not know %s", name)
		}
	}
	for _, r := range alerts(t) {
		checkQuery(t, r.Alert, r.Expr, names, words)
		if r.Annotations.Summary == "" || r.Annotations.Description == "" {
			t.Errorf("%s does not say what to do", r.Alert)
		}
	}
	checkTable(t, metrics)
}

// checkTable: the table of README has the metrics that there are, and no others.
func checkTable(t *testing.T, metrics []string) {
	t.Helper()
	var table []string
	for line := bufio.NewScanner(strings.NewReader(source(t, opsFiles+"README.md"))); line.Scan(); {
		if name, ok := strings.CutPrefix(line.Text(), "| `tether_"); ok {
			name, _, _ = strings.Cut(name, "`")
			table = append(table, "tether_"+name)
		}
	}
	slices.Sort(table)
	slices.Sort(metrics)
	if !slices.Equal(table, metrics) {
		t.Errorf("the table has\n%v\nand the service\n%v", table, metrics)
	}
}
