package northapi_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
	"github.com/go-chi/chi/v5"
)

// remembered answers with one device and one key, and leaves SQL out.
type remembered struct {
	northapi.Devices
	northapi.Keys
	device schema.Device
	key    schema.Key
}

func (m remembered) Device(context.Context, schema.Scope, string) (schema.Device, error) {
	return m.device, nil
}

func (m remembered) KeyByHash(context.Context, string) (schema.Key, error) { return m.key, nil }

// BenchmarkDeviceQuery compares a bare chi handler that sends the same bytes,
// the frame over ports that cost nothing (key, role, overlay, encoding), and
// the whole with its two reads of SQLite.
func BenchmarkDeviceQuery(b *testing.B) {
	path := northapi.Base + "/device_query/" + ownDevice
	whole := newWorld(b)
	plain := newWorld(b, func(c *northapi.Config) {
		d, err := c.Devices.Device(b.Context(), schema.Everything, ownDevice)
		if err != nil {
			b.Fatal(err)
		}
		m := remembered{device: d, key: schema.Key{Name: "viewer", Role: schema.Viewer}}
		c.Devices, c.Keys, c.Secrets = m, m, whole.secrets.Secrets
	})
	body := []byte(whole.do("viewer", get, path, "").body)
	bare := chi.NewRouter()
	bare.Get(northapi.Base+"/device_query/{device_id}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
	})
	var least time.Duration // of the bare one
	for _, c := range []struct {
		name    string
		handler http.Handler
	}{{"bare", bare}, {"frame", plain.handler}, {"sqlite", whole.handler}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			r := whole.request("viewer", get, path, "")
			for b.Loop() {
				c.handler.ServeHTTP(httptest.NewRecorder(), r)
			}
			took := b.Elapsed() / time.Duration(b.N)
			if c.name == "bare" {
				least = took
			}
			if least > 0 { // or the bare one was not asked for
				b.ReportMetric(float64(took)/float64(least), "x-bare")
			}
		})
	}
}
