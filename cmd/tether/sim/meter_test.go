package sim

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestMetricsMeter(t *testing.T) {
	text := "# HELP process_cpu_seconds_total x\nprocess_cpu_seconds_total 12.25\nprocess_resident_memory_bytes 1.048576e+06\nprocess_open_fds 17\nother{a=\"b\"} 3\n"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/metrics":
			fmt.Fprint(w, text)
		case "/other":
			fmt.Fprint(w, "other 1\n")
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	got, err := MetricsMeter(server.URL + "/metrics")(t.Context())
	if want := (Sample{RSS: 1 << 20, CPU: 12.25, Files: 17}); err != nil || got != want {
		t.Errorf("%+v %v", got, err)
	}
	for path, want := range map[string]string{"/other": "Prometheus", "/nothing": "404"} {
		if _, err := MetricsMeter(server.URL + path)(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestCPUOf(t *testing.T) {
	stat := "4711 (a name) of ) brackets) S 1 2 3 4 5 6 7 8 9 10 250 50 13 14"
	if got, err := cpuOf([]byte(stat)); got != 3 || err != nil {
		t.Error(got, err)
	}
	for _, bad := range []string{"", "1 (x) S 1", "1 (x) S 1 2 3 4 5 6 7 8 9 10 a b c"} {
		if _, err := cpuOf([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestUsage: cores are since all had arrived, memory since the start.
func TestUsage(t *testing.T) {
	u := Usage{
		Start: Sample{Seconds: 0, RSS: 1000, CPU: 1}, Steady: &Sample{Seconds: 10, RSS: 2500, CPU: 8},
		End: Sample{Seconds: 30, RSS: 3000, CPU: 18},
	}
	if u.sum(20); u.Cores != 0.5 || u.PerDevice != 100 {
		t.Errorf("%+v", u)
	}
	u.Steady = nil
	if u.sum(20); u.Cores != 17./30 {
		t.Errorf("%+v", u)
	}
}
