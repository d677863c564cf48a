package northapi_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/edgetether/tether/northapi"
	"github.com/go-chi/chi/v5"
)

// BenchmarkDeviceQuery compares the frame with a bare chi handler that sends
// the same bytes: the difference is what key, role, scope, overlay and
// encoding cost.
func BenchmarkDeviceQuery(b *testing.B) {
	w := newWorld(b)
	path := northapi.Base + "/device_query/" + ownDevice
	body := []byte(w.do("viewer", get, path, "").body)
	bare := chi.NewRouter()
	bare.Get(northapi.Base+"/device_query/{device_id}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
	})
	for name, handler := range map[string]http.Handler{"bare": bare, "frame": w.handler} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			r := w.request("viewer", get, path, "")
			for b.Loop() {
				handler.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}
