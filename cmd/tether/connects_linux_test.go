//go:build !race

package main

import (
	"fmt"
	"testing"
	"time"
)

// TestConnectsAndCloses has devices log in, ping and leave, as fast as they
// can, against a service in a process of its own. After the last of them it
// holds what it held after the first tenth, but for a part of its memory; and
// a device beside them does not notice.
func TestConnectsAndCloses(t *testing.T) {
	s := serveLong(t, memoryDir(t))
	s.api.address = s.address
	beside := startControl(s.api)
	devices := make([]credentials, 100)
	for i := range devices {
		devices[i] = s.api.register(fmt.Sprint("device-", i))
	}
	var held []footprint
	for start := time.Now(); len(held) < 10; {
		held = append(held, s.churn(devices, *connects/10))
		t.Logf("%d connects and closes, %v: %+v", len(held)**connects/10, time.Since(start).Round(time.Second), held[len(held)-1])
	}
	beside.stop(t)
	beside.unnoticed(t, s.log(beside.device.id))
	first, last := held[0], held[9]
	if grown := last.resident - first.resident; grown > tolerated(first.resident) {
		t.Errorf("resident memory has grown by %d KiB, which is %.1f %%", grown, 100*float64(grown)/float64(first.resident))
	}
	if last.goroutines > first.goroutines || last.descriptors > first.descriptors {
		t.Errorf("goroutines or descriptors were left behind: %+v, %+v", first, last)
	}
}
