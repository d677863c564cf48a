package main

import (
	"flag"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
)

// How BenchmarkMemory goes about it. In full:
//
//	go test -run '^$' -bench Memory -benchtime 1x -timeout 1h ./cmd/tether -args -sockets 15000 -cadence 5m
var (
	sockets = flag.Int("sockets", 1000, "devices that are connected at once")
	cadence = flag.Duration("cadence", 10*time.Second, "within which they send what the contract has them send in five minutes")
)

// In five minutes a device sends this many rounds of some pings and a report.
const (
	cadenceRounds = int(5 * time.Minute / schema.StatusInterval)
	cadencePings  = int(schema.StatusInterval / schema.PingInterval)
)

// BenchmarkMemory is the resident memory for each connection, of the service and
// of the floor: idle, and after the messages of five minutes at the contract's
// cadence. Both processes run with the settings of the runtime that they have in
// the field: GOGC 20 for the service once a storm is over, 120 in it, 100 for the floor, and no limit of memory.
func BenchmarkMemory(b *testing.B) {
	var least weight
	b.Run("floor", func(b *testing.B) {
		least = serveEcho(b).weigh(b, *sockets, 0)
		least.report(b)
	})
	b.Run("whole", func(b *testing.B) {
		w := serveBench(b).weigh(b, *sockets, gcAfter+3*gcLook)
		w.report(b)
		if least == (weight{}) { // it was not asked for
			return
		}
		b.ReportMetric(w.idle/least.idle, "x-floor-idle")
		b.ReportMetric(w.after/least.after, "x-floor-after")
	})
}

// weight is KiB for each connection.
type weight struct {
	idle, after float64 // as the process then is
	idleLeast   float64 // when it has given back what it does not use
	afterLeast  float64 // likewise
}

func (w weight) report(b *testing.B) {
	b.ReportMetric(w.idle, "idle-KiB/conn")
	b.ReportMetric(w.idleLeast, "idle-freed-KiB/conn")
	b.ReportMetric(w.after, "after-KiB/conn")
	b.ReportMetric(w.afterLeast, "after-freed-KiB/conn")
}

// weigh measures a process with n connections, each of which has sent a ping
// before, beside what it held with none. The storm of their logins is to be over for a while.
func (s *site) weigh(b *testing.B, n int, calm time.Duration) (w weight) {
	devices := s.devices(n)
	empty := s.footprint().resident
	share := func(kib int) float64 { return float64(kib-empty) / float64(n) }
	ping, report := frame(bitFin|opText, benchPing), frame(bitFin|opText, benchReport)
	all := &crowd{site: s}
	var sizes [2]int // of the answers
	lively := func() { all.each(func(_ int, c net.Conn) { all.roundTrip(c, ping, make([]byte, sizes[0])) }) }
	pinged := time.Now()
	for some := range slices.Chunk(devices, 100) {
		all.join(some)
		if sizes[0] == 0 {
			sizes = [2]int{all.answerSize(ping), all.answerSize(report)}
		}
		if time.Since(pinged) > schema.PingInterval/2 { // who waits for the others stays alive
			pinged = time.Now()
			lively()
		}
	}
	joined := time.Now()
	for lively(); time.Since(joined) < calm; lively() {
		time.Sleep(min(calm-time.Since(joined), schema.PingInterval/2))
	}
	w.idle = share(s.resident())
	w.idleLeast = share(s.footprint().resident)
	b.ResetTimer()
	before := s.processorTime()
	var slower sync.WaitGroup
	slower.Add(n)
	over := make(chan struct{})
	go func() { slower.Wait(); close(over) }()
	all.each(func(i int, c net.Conn) {
		answers := [2][]byte{make([]byte, sizes[0]), make([]byte, sizes[1])}
		beat := *cadence / time.Duration(cadenceRounds*cadencePings)
		time.Sleep(beat * time.Duration(i) / time.Duration(n))
		next := time.NewTicker(beat)
		defer next.Stop()
		for k := range cadenceRounds * cadencePings {
			all.roundTrip(c, ping, answers[0])
			if k%cadencePings == 0 {
				all.roundTrip(c, report, answers[1])
			}
			<-next.C
		}
		slower.Done()
		alive := time.NewTicker(schema.PingInterval) // who is ready stays alive
		defer alive.Stop()
		for {
			select {
			case <-over:
				return
			case <-alive.C:
				all.roundTrip(c, ping, answers[0])
			}
		}
	})
	b.StopTimer()
	messages := n * cadenceRounds * (cadencePings + 1)
	b.ReportMetric(float64(s.processorTime()-before)/float64(messages), "cpu-ns/message")
	w.after = share(s.resident())
	w.afterLeast = share(s.footprint().resident)
	s.signal(syscall.SIGTERM)
	return w
}
