package sim

import (
	"net"
	"net/url"
)

// sourceAddresses are 127.0.0.2 and those after it; of none the kernel chooses.
func sourceAddresses(n int) []net.IP {
	var all []net.IP
	for i := range n {
		all = append(all, net.IPv4(127, 0, byte((i+2)>>8), byte(i+2)))
	}
	return all
}

// strangers are the addresses of those who guess: 127.1.0.1 to 127.1.0.20, where
// devices have an address of their own.
func (f *fleet) strangers(n int) net.IP {
	if len(f.network.sources) == 0 {
		return nil
	}
	return net.IPv4(127, 1, 0, byte(1+n%20))
}

// socketsPerSource is how many devices share a source address where nothing else
// is said. Sockets of connections that have just ended keep their ports for a
// minute, so that it is far below maxPerSource.
const socketsPerSource = 4_500

// SourcesFor is how many source addresses a fleet needs at a server: 0 where they
// cannot be chosen, because it is not at an address of 127.
func SourcesFor(devices int, server string) int {
	u, err := url.Parse(server)
	if err != nil {
		return 0
	}
	ip := net.ParseIP(u.Hostname()).To4()
	if ip == nil || ip[0] != 127 {
		return 0
	}
	return (devices + socketsPerSource - 1) / socketsPerSource
}
