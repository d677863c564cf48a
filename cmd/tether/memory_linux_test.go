//go:build !race

package main

import (
	"fmt"
	"testing"
)

// TestT15_Memory: each attack on memory, by one connection alone and by many
// at once, makes the service hold no more than the limit of each of them.
func TestT15_Memory(t *testing.T) {
	s := serveLong(t, memoryDir(t))
	s.api.address = s.address
	devices := s.api.registerMany(burdenSockets())
	beside := startControl(s.api)
	for _, b := range burdens {
		for _, n := range []int{1, len(devices)} {
			t.Run(fmt.Sprintf("%s, %d", b.name, n), func(t *testing.T) { b.weigh(t, s, devices[:n]) })
		}
	}
	beside.stop(t)
	beside.unnoticed(t, s.log(beside.device.id))
}
