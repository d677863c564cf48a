package northapi_test

import (
	"net/http/httptest"
	"testing"

	"github.com/edgetether/tether/northapi/docs"
)

// TestDocuments: they are there for everybody, to be read alone.
func TestDocuments(t *testing.T) {
	w := newWorld(t)
	for _, path := range docs.Paths() {
		for _, kind := range []string{"", "admin", "bad"} {
			for _, method := range []string{get, "HEAD"} {
				r := httptest.NewRecorder()
				w.handler.ServeHTTP(r, w.request(kind, method, path, ""))
				if r.Code != 200 || (r.Body.Len() == 0) != (method == "HEAD") || r.Header().Get("ETag") == "" {
					t.Errorf("%s %s with key %q: %d, %d bytes", method, path, kind, r.Code, r.Body.Len())
				}
			}
		}
		a := w.do("", post, path, "").want(t, 405, "method_not_allowed")
		if got := a.header.Get("Allow"); got != "GET, HEAD" {
			t.Errorf("%s: Allow %q", path, got)
		}
	}
}
