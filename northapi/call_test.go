package northapi

import (
	"net/http"
	"testing"

	"github.com/go-chi/chi/v5"
)

// Router is what a handler that New has made serves.
func Router(h http.Handler) chi.Routes { return h.(*api).router }

// TestAside: a panic is the caller's.
func TestAside(t *testing.T) {
	defer func() {
		if v := recover(); v != "no" {
			t.Errorf("recovered %v", v)
		}
	}()
	aside(func() { panic("no") })
}
