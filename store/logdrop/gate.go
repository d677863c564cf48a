package logdrop

import (
	"net"
	"sync"
)

// gate counts connections: strangers, all together and by address, and
// devices that have shown a good password. It waits for nothing: over a limit
// the answer is no.
type gate struct {
	mu        sync.Mutex
	strangers int
	addresses map[string]int
	devices   int
}

func newGate() *gate { return &gate{addresses: map[string]int{}} }

// enter lets a stranger in. Each that was let in must leave.
func (g *gate) enter(address string, l limits) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.strangers >= l.handshakes || g.addresses[address] >= l.perAddress {
		return false
	}
	g.strangers++
	g.addresses[address]++
	return true
}

func (g *gate) leave(address string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.strangers--
	if g.addresses[address]--; g.addresses[address] == 0 {
		delete(g.addresses, address)
	}
}

// join counts a device. Each that joined must part.
func (g *gate) join(l limits) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.devices >= l.connections {
		return false
	}
	g.devices++
	return true
}

func (g *gate) part() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.devices--
}

// sourceOf is the address of a connection without its port.
func sourceOf(c net.Conn) string {
	host, _, err := net.SplitHostPort(c.RemoteAddr().String())
	if err != nil {
		return c.RemoteAddr().String()
	}
	return host
}
