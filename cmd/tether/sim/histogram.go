package sim

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// A Histogram counts times in a fixed amount of memory, in buckets whose width
// grows with what they hold, as HDR histograms do: a quantile is off by less than
// one part in 64, and by less than a microsecond below 64 of them. The zero
// value is empty. Many goroutines may add at once.
type Histogram struct {
	buckets [(octaves + 1) * perOctave]atomic.Uint32
	most    atomic.Int64 // µs, exact
	sum     atomic.Int64 // µs
	count   atomic.Int64
}

// Each doubling of time has 64 buckets. The last of 27 ends at 2^32 µs, over an
// hour; what is longer counts as that.
const (
	perOctaveBits = 6
	perOctave     = 1 << perOctaveBits
	octaves       = 26
	longest       = 1<<(octaves+perOctaveBits) - 1
)

// Add counts one time. A negative one is none.
func (h *Histogram) Add(d time.Duration) {
	us := max(0, d.Microseconds())
	h.buckets[bucketOf(us)].Add(1)
	h.count.Add(1)
	h.sum.Add(us)
	for most := h.most.Load(); us > most && !h.most.CompareAndSwap(most, us); {
		most = h.most.Load()
	}
}

// bucketOf is the bucket of a time: its octave, and the six bits behind the
// first.
func bucketOf(us int64) int {
	us = min(us, longest)
	if us < perOctave {
		return int(us)
	}
	octave := bits.Len64(uint64(us)) - perOctaveBits // 1 for 64 to 127 µs
	return octave*perOctave + int(us>>(octave-1)) - perOctave
}

// endOf is the last microsecond that a bucket holds.
func endOf(bucket int) int64 {
	octave, part := bucket/perOctave, int64(bucket%perOctave)
	if octave == 0 {
		return part
	}
	return (part+perOctave+1)<<(octave-1) - 1
}

// Count is how many times were added.
func (h *Histogram) Count() int64 { return h.count.Load() }

// Max is the longest of them, exactly.
func (h *Histogram) Max() time.Duration { return time.Duration(h.most.Load()) * time.Microsecond }

// Quantile is the time that a part q of all stayed within, 0.99 for the 99th
// percentile: never less than it was, and at most one part in 64 more.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := int64(q*float64(h.Count()) + 0.5)
	var seen int64
	for i := range h.buckets {
		seen += int64(h.buckets[i].Load())
		if seen > 0 && seen >= rank {
			return min(time.Duration(endOf(i))*time.Microsecond, h.Max())
		}
	}
	return h.Max()
}

// Latency is a histogram in a report; milliseconds.
type Latency struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean_ms"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Max   float64 `json:"max_ms"`
}

// Latency sums the histogram up.
func (h *Histogram) Latency() Latency {
	l := Latency{
		Count: h.Count(), P50: millis(h.Quantile(0.5)), P99: millis(h.Quantile(0.99)),
		P999: millis(h.Quantile(0.999)), Max: millis(h.Max()),
	}
	if l.Count > 0 {
		l.Mean = millis(time.Duration(h.sum.Load()/l.Count) * time.Microsecond)
	}
	return l
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
