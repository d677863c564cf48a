package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
)

// connects is how many connections TestConnectsAndCloses makes.
var connects = flag.Int("connects", defaultConnects(), "connections that are made and closed")

func defaultConnects() int {
	if os.Getenv("TETHER_SOAK") != "" {
		return 500_000
	}
	return 1_000
}

// freed is what the program says when it has given back what it does not use.
var freed = regexp.MustCompile(`freed, (\d+) goroutines\n`)

// A program of the test gives its unused memory back when it is told to, so
// that what is left can be compared.
func init() {
	besideProgram = func() {
		told := make(chan os.Signal, 1)
		signal.Notify(told, syscall.SIGUSR1)
		for range told {
			debug.FreeOSMemory()
			fmt.Fprintf(os.Stderr, "freed, %d goroutines\n", runtime.NumGoroutine())
		}
	}
}

// footprint is what a process holds.
type footprint struct {
	resident                int // KiB
	goroutines, descriptors int
}

// footprint measures the service, when it has given back what it does not use.
func (s *site) footprint() (f footprint) {
	s.t.Helper()
	before := len(freed.FindAllString(s.err.String(), -1))
	s.signal(syscall.SIGUSR1)
	await(s.t, "memory given back", func() bool {
		told := freed.FindAllStringSubmatch(s.err.String(), -1)
		if len(told) == before {
			return false
		}
		f.goroutines, _ = strconv.Atoi(told[len(told)-1][1])
		return true
	})
	f.resident = s.resident()
	f.descriptors = descriptors(s.t, strconv.Itoa(s.cmd.Process.Pid))
	return f
}

// resident is what the process holds in memory, in KiB.
func (s *site) resident() int {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	kib, _ := strconv.Atoi(string(regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)[1]))
	return kib
}

// tolerated is by how much resident memory may grow: by 5 %, where the first
// tenth is long enough to fill the caches of the database; where it is not, by
// those caches.
func tolerated(resident int) int {
	if *connects >= 500_000 {
		return resident / 20
	}
	const databaseCaches = 64 << 10
	return databaseCaches
}

// churn connects and closes n times, and measures the service when the last
// session is gone.
func (s *site) churn(devices []credentials, n int) footprint {
	s.t.Helper()
	const workers = 8
	var left atomic.Int64
	left.Store(int64(n))
	var all sync.WaitGroup
	for i := range workers {
		mine := devices[i*len(devices)/workers : (i+1)*len(devices)/workers]
		all.Go(func() {
			for k := 0; left.Add(-1) >= 0 && !s.t.Failed(); k++ {
				s.comeAndGo(mine[k%len(mine)], net.IPv4(127, 0, byte(1+i), byte(1+k%10)))
			}
		})
	}
	all.Wait()
	for _, d := range devices {
		s.awaitState(d.id, "offline")
	}
	return s.footprint()
}

// comeAndGo is one connection: login, ping, close. It has an address of its
// own to come from: one address has not ports enough.
func (s *site) comeAndGo(d credentials, from net.IP) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}
	conn, err := dialer.Dial("tcp", s.address)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer conn.Close()
	c := newBare(s.t, s.api, conn)
	c.handshake("")
	c.text(d.login())
	c.sees(`ok "login"`)
	c.text(pingMessage)
	c.sees("ok 99")
	c.leave()
}
