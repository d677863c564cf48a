package session

import (
	"strconv"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
)

// reporting is a session that opens at the zero of a clock, and reports each 15 s.
func reporting(deviceID string, every time.Duration, reports int) (kept []time.Duration) {
	set, born := Settings{StatusSample: every}.withDefaults(), time.Unix(0, 0)
	c := newCore(&set, 1, "", born)
	c.deviceID, c.phase = deviceID, open
	c.startLiveness(born)
	for i := range reports {
		at := time.Duration(i) * 15 * time.Second
		for _, e := range c.step(statusRequest{noResponder{}, &schema.StatusInfo{}}, born.Add(at)) {
			if _, ok := e.(sample); ok {
				kept = append(kept, at)
			}
		}
	}
	return kept
}

// TestSamples: of a device that reports each 15 s the history keeps the first report,
// and one a minute.
func TestSamples(t *testing.T) {
	for i := range 50 {
		kept := reporting(strconv.Itoa(i), 0, 41) // ten minutes
		if n := len(kept); kept[0] != 0 || n != 11 && n != 10 {
			t.Fatalf("device %d: %v", i, kept)
		}
		for k := range len(kept) - 2 {
			if apart := kept[k+2] - kept[k+1]; apart != time.Minute {
				t.Errorf("device %d: %s apart, %v", i, apart, kept)
			}
		}
	}
	if n := len(reporting("1", -1, 41)); n != 41 {
		t.Errorf("of all 41 reports %d are kept", n)
	}
}

// TestSamplesOfAFleet: devices that came at once are not written down at once.
func TestSamplesOfAFleet(t *testing.T) {
	const devices = 1000
	at := map[time.Duration]int{}
	for i := range devices {
		for _, t := range reporting(strconv.Itoa(i), 0, 13)[1:] {
			at[t]++
		}
	}
	for when, n := range at {
		if n > devices/3 { // of four times a minute
			t.Errorf("after %s %d of %d are written", when, n, devices)
		}
	}
	if len(at) < 12 {
		t.Errorf("written at %v", at)
	}
}
