package main

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
)

// burden is what a connection can make the service hold, by an attack that
// does not end by itself.
type burden struct {
	name  string
	login bool
	send  []byte
	limit int // bytes of a message
}

var burdens = []burden{
	{"T15 nothing at all", false, nil, 0},
	{"T15 a message before the login that does not end", false, frame(bitFin|opText, pingSized(schema.MaxLoginMessage))[:schema.MaxLoginMessage], schema.MaxLoginMessage},
	{"T15 a message that does not end", true, frame(bitFin|opText, pingSized(schema.MaxMessage))[:schema.MaxMessage], schema.MaxMessage},
	{"T15 fragments that do not end", true, fragments(pingSized(schema.MaxMessage), schema.MaxFragments)[:schema.MaxMessage], schema.MaxMessage},
	{"T15 a frame that claims 2^63-1", true, claim(1<<63 - 1), schema.MaxMessage},
	{"T15 depth 32,000", true, whole(nested(32_000)), schema.MaxMessage},
	{"T15 a number of 64 KB", true, whole(report(`"user_cpu_time":` + strings.Repeat("9", 65_000))), schema.MaxMessage},
	{"T15 a batch of 10,000", true, whole("[" + strings.Repeat("1,", 9999) + "1]"), schema.MaxMessage},
	{"T15 64 reports in a batch", true, whole("[" + strings.TrimSuffix(strings.Repeat(report(`"user_cpu_time":1`)+",", 64), ",") + "]"), schema.MaxMessage},
}

// perConnection is what a connection may hold beside its message: southbound's
// 16 KiB for each socket before the login, and as much again after it.
const perConnection = 32 << 10

// burdenSockets is how many connections make one attack at once.
func burdenSockets() int {
	if os.Getenv("TETHER_SOAK") != "" {
		return 1000
	}
	return 100
}

// weigh has one connection of each device make the attack, and compares the
// most that the service has then held with what it held before.
func (b burden) weigh(t *testing.T, s *site, devices []credentials) {
	rest := s.footprint() // what is not used is given back
	before := s.peak(t, true)
	var all sync.WaitGroup
	held := make(chan struct{})
	var ready sync.WaitGroup
	ready.Add(len(devices))
	for _, d := range devices {
		all.Go(func() {
			c := s.api.dial(t)
			defer c.conn.Close()
			c.handshake("")
			if b.login {
				c.text(d.login())
				c.sees(`ok "login"`)
			}
			c.write(b.send)
			ready.Done()
			<-held
		})
	}
	ready.Wait()
	after := s.peak(t, false)
	close(held)
	all.Wait()
	const slack = 16 << 20 // of the runtime and of the database, for any number of connections
	if grown, limit := after-before, len(devices)*(b.limit+perConnection)+slack; grown > limit {
		t.Errorf("%d KiB, over the limit of %d", grown>>10, limit>>10)
	} else {
		t.Logf("%d KiB, of %d allowed", grown>>10, limit>>10)
	}
	await(t, "the end of all sessions", func() bool { return s.footprint().goroutines <= rest.goroutines })
}

// peak is the most memory in bytes that the process has had since it was begun
// to look at.
func (s *site) peak(t *testing.T, begin bool) int {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d/", s.cmd.Process.Pid)
	if begin {
		if err := os.WriteFile(proc+"clear_refs", []byte("5"), 0); err != nil {
			t.Fatal(err)
		}
	}
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		t.Fatal(err)
	}
	kib, err := strconv.Atoi(string(regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// registerMany registers devices, some at a time.
func (w *world) registerMany(n int) []credentials {
	devices := make([]credentials, n)
	const atOnce = 8
	var all sync.WaitGroup
	for i := range atOnce {
		all.Go(func() {
			for k := i; k < n; k += atOnce {
				devices[k] = w.register(fmt.Sprint("many-", k))
			}
		})
	}
	all.Wait()
	return devices
}

// slowSockets is how many connections TestT16_SlowSockets makes: with the two
// ends in two processes, each of which may have 20,000 files open.
func slowSockets() int {
	if os.Getenv("TETHER_SOAK") != "" {
		return 18_000
	}
	return 2_000
}

// TestT16_SlowSockets: of thousands of connections that send a byte a second,
// half of them before and half of them after the handshake, none is left when
// the time for a head and for a login is over; and meanwhile devices come and
// go as ever.
func TestT16_SlowSockets(t *testing.T) {
	s := serveLong(t, memoryDir(t))
	s.api.address = s.address
	beside := startControl(s.api)
	d := s.api.register("in between")
	n := slowSockets()
	var slow sync.WaitGroup
	var gone atomic.Int64
	start := time.Now()
	for i := range n {
		slow.Go(func() { s.trickle(i); gone.Add(1) })
	}
	var slowest time.Duration
	for gone.Load() < int64(n) {
		began := time.Now()
		s.comeAndGo(d, net.IPv4(127, 0, 0, 9))
		slowest = max(slowest, time.Since(began))
	}
	slow.Wait()
	t.Logf("%d sockets were gone after %v; the slowest login, ping and close beside them took %v", n, time.Since(start), slowest)
	if took := time.Since(start); took > 4*schema.LoginTimeout {
		t.Errorf("%d sockets were gone after %v", n, took)
	}
	if slowest > schema.ReplyTimeout {
		t.Errorf("a login, a ping and a close took %v", slowest)
	}
	beside.stop(t)
	beside.unnoticed(t, s.log(beside.device.id))
}

// trickle sends a byte a second until the server has had enough.
func (s *site) trickle(i int) {
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%100))}}).Dial("tcp", s.address)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer conn.Close()
	c := newBare(s.t, s.api, conn)
	text := []byte(handshakeText)
	if i%2 == 0 {
		c.handshake("")
		text = frame(bitFin|opText, strings.Repeat(" ", 100))
	}
	c.trickle(text)
}
