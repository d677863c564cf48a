package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
)

// BenchmarkDeviceQuery is one device of a thousand by its identifier, with
// and without a scope; "ratio" is its time over that of a bare SELECT of the same row
// by database/sql. The two take turns, so that both see the same machine.
func BenchmarkDeviceQuery(b *testing.B) {
	eachBench(b, func(b *testing.B) {
		s := open(b, Options{})
		addGroup(b, s, "g")
		fleetOf(b, s, 0, 999)
		_, err := s.engine.steps.ExecContext(b.Context(), "INSERT INTO relations (device_id, group_id, created_time) SELECT device_id, 'g', 0 FROM devices")
		must(b, err)
		for name, sc := range map[string]schema.Scope{"all": all, "scope": {Groups: []string{"g"}}} {
			b.Run(name, func(b *testing.B) {
				var ours, bare time.Duration
				for n := range b.N {
					id, began := fmt.Sprintf("%04d", n%1000), time.Now()
					_, err := s.Device(b.Context(), sc, id)
					must(b, err)
					ours, began = ours+time.Since(began), time.Now()
					must(b, bareDevice(b, s, id))
					bare += time.Since(began)
				}
				b.ReportMetric(float64(ours)/float64(b.N), "ns/op")
				b.ReportMetric(float64(bare)/float64(b.N), "bare-ns/op")
				b.ReportMetric(float64(ours)/float64(bare), "ratio")
			})
		}
	})
}

func bareDevice(b *testing.B, s *Store, id string) error {
	columns := make([]any, 15)
	for i := range columns {
		columns[i] = new(any)
	}
	return s.engine.write.QueryRowContext(b.Context(), "SELECT "+deviceColumns+" FROM devices d WHERE d.device_id = $1", id).Scan(columns...)
}
