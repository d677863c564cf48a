//go:build unix

package sim

import (
	"strings"
	"syscall"
	"testing"
)

// TestCheckFiles: both sides of the limit.
func TestCheckFiles(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	room := int(min(uint64(limit.Cur), 1<<40)) - spareFiles
	if err := checkFiles(&Options{Devices: room}); err != nil {
		t.Error(err)
	}
	for _, o := range []*Options{
		{Devices: room + 1}, {Devices: room, Callers: 1}, {Devices: room, Faults: Faults{HalfOpen: 1}},
		{Devices: room - Faults{WrongLogins: 1}.wrongAtOnce() + 1, Faults: Faults{WrongLogins: 1}},
	} {
		if err := checkFiles(o); err == nil || !strings.Contains(err.Error(), "ulimit -n") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
