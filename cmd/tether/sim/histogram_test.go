package sim

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestHistogramBuckets: every time is in a bucket that ends at or after it, less
// than one part in 64 after.
func TestHistogramBuckets(t *testing.T) {
	times := []int64{0, 1, 63, 64, 65, 127, 128, 129, 1 << 20, 1<<20 + 1, longest - 1, longest}
	for range 100_000 {
		times = append(times, int64(math.Exp2(rand.Float64()*(octaves+perOctaveBits))))
	}
	slices.Sort(times)
	last := 0
	for _, us := range times {
		b := bucketOf(us)
		if end := endOf(b); end < us || float64(end-us) >= max(1, float64(us)/perOctave) {
			t.Fatalf("%d µs is in bucket %d, which ends at %d", us, b, end)
		}
		if b < last || b >= len((&Histogram{}).buckets) {
			t.Fatalf("%d µs is in bucket %d, after %d", us, b, last)
		}
		last = b
	}
	if bucketOf(longest+1) != bucketOf(longest) || bucketOf(math.MaxInt64) != last {
		t.Error("what is too long belongs in the last bucket")
	}
	for b := range last {
		if bucketOf(endOf(b)) != b || bucketOf(endOf(b)+1) != b+1 {
			t.Fatalf("bucket %d does not end at %d", b, endOf(b))
		}
	}
}

// TestHistogramQuantiles holds quantiles against the sorted times themselves.
func TestHistogramQuantiles(t *testing.T) {
	var h Histogram
	var exact []time.Duration
	for range 20_000 {
		d := time.Duration(math.Exp(rand.NormFloat64()*2) * float64(time.Millisecond)).Truncate(time.Microsecond)
		exact = append(exact, d)
		h.Add(d)
	}
	slices.Sort(exact)
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		want := exact[max(0, int(q*float64(len(exact))+0.5)-1)]
		got := h.Quantile(q)
		if got < want || float64(got-want) > float64(want)/perOctave+float64(time.Microsecond) {
			t.Errorf("%g: %v, it is %v", q, got, want)
		}
	}
	if h.Max() != exact[len(exact)-1] || h.Count() != int64(len(exact)) {
		t.Errorf("max %v, count %d", h.Max(), h.Count())
	}
}

func TestHistogramEmpty(t *testing.T) {
	var h Histogram
	if h.Quantile(0.99) != 0 || h.Max() != 0 || h.Latency() != (Latency{}) {
		t.Errorf("%+v", h.Latency())
	}
	h.Add(-time.Second)
	h.Add(2 * time.Millisecond)
	if l := h.Latency(); l.Count != 2 || l.P50 != 0 || l.Max != 2 || l.Mean != 1 {
		t.Errorf("%+v", l)
	}
}
