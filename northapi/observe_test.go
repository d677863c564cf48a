package northapi_test

import (
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/edgetether/tether/northapi"
)

// TestT45_ObservedRoutes: each request is observed under its route's pattern,
// and paths that a stranger makes up add no name.
func TestT45_ObservedRoutes(t *testing.T) {
	type seen struct {
		route  string
		status int
	}
	var mu sync.Mutex
	var got []seen
	w := newWorld(t, func(c *northapi.Config) {
		c.Observe = func(route string, status int, took time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, seen{route, status})
			if took <= 0 || took > time.Minute {
				t.Errorf("%s took %v", route, took)
			}
		}
	})
	w.do("operator", get, "device_query/201", "")
	w.do("operator", get, "device_query/0", "")
	w.do("none", get, "/healthz", "")
	w.handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(get, "/openapi.json", nil))
	w.do("none", get, "/made/up", "")
	w.do("none", "BREW", "/healthz", "")
	want := []seen{
		{"GET " + northapi.Base + "/device_query/{device_id}", 200}, {"GET " + northapi.Base + "/device_query/{device_id}", 404},
		{"GET /healthz", 200}, {northapi.Documents, 200}, {northapi.NoRoute, 404}, {northapi.NoRoute, 405},
	}
	if !slices.Equal(got, want) {
		t.Errorf("observed %v", got)
	}
	for _, s := range got {
		if !slices.Contains(northapi.Routes(), s.route) {
			t.Errorf("%s is none of Routes", s.route)
		}
	}
}
