package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// What the server costs is measured beside a floor: the least that any server
// could do that has the same frames to read and to write. Both run in processes
// of their own, in turns, so that what else the machine does counts for both;
// the ratio of the two is what is worth comparing from one day to another.

const (
	benchPing   = `{"jsonrpc":"2.0","id":12345,"method":"ping"}`
	benchReport = `{"jsonrpc":"2.0","id":12346,"method":"upload_status_info","params":{` +
		`"CPU_info":{"user_cpu_time":4112.78,"system_cpu_time":923.85,"idle_cpu_time":179258.0,"io_wait_cpu_time":120.6},` +
		`"Memory_info":{"total_memory_mb":1673,"free_memory_mb":91,"buff_cache_mb":258},` +
		`"Disk_info":{"root_total_size_mb":39942,"root_used_size_mb":10509,"root_used_percent":27.6},"dev_state":"online"}}`
)

// echoProgram is the floor: the WebSocket library, as its documentation shows it.
const echoProgram = "echo"

func init() { programs[echoProgram] = serveFloor }

func serveFloor() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(os.Stderr, `"url":"http://%s"`, l.Addr())
	up := websocket.Upgrader{}
	panic(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		for {
			kind, p, err := ws.ReadMessage()
			if err != nil || ws.WriteMessage(kind, p) != nil {
				return
			}
		}
	})))
}

// serveEcho starts the floor.
func serveEcho(t testing.TB) *site {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{process: launch(t, []string{programEnv + "=" + echoProgram}, self), api: &world{t: t}}
	s.awaitAddress(t)
	s.api.address = s.address
	return s
}

// serveBench starts the service, on a disk.
func serveBench(t testing.TB, args ...string) *site {
	t.Helper()
	s := serveWith(t, t.TempDir(), "", append(args, "--key-rate", "0")...)
	s.api.address = s.address
	return s
}

// processorTime is what a process has used so far: the sum over its threads, of
// which Go ends none.
func (p *process) processorTime() (sum time.Duration) {
	p.t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	if err != nil || len(threads) == 0 {
		p.t.Fatal("no threads: ", err)
	}
	for _, name := range threads {
		text, err := os.ReadFile(name)
		if err != nil {
			p.t.Fatal(err)
		}
		ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			p.t.Fatal(err)
		}
		sum += time.Duration(ns)
	}
	return sum
}

// crowd is connections to one server.
type crowd struct {
	site  *site
	conns []net.Conn
}

// devices registers n devices; the floor knows none.
func (s *site) devices(n int) []credentials {
	if s.api.key == "" {
		return make([]credentials, n)
	}
	return s.api.registerMany(n)
}

// connect opens a connection for each of the devices.
func (s *site) connect(devices []credentials) *crowd {
	f := &crowd{site: s}
	f.join(devices)
	return f
}

// join opens further connections. Devices that the server knows log in.
func (f *crowd) join(devices []credentials) {
	f.site.t.Helper()
	from := len(f.conns)
	f.conns = append(f.conns, make([]net.Conn, len(devices))...)
	const atOnce = 8
	var all sync.WaitGroup
	for i := range atOnce {
		all.Go(func() {
			for k := i; k < len(devices); k += atOnce {
				c := f.site.api.upgradedFrom(net.IPv4(127, 0, 0, byte(1+(from+k)/perAddress)))
				if devices[k].id != "" {
					c.text(devices[k].login())
					c.sees(`ok "login"`)
				}
				_ = c.conn.SetDeadline(time.Time{})
				f.conns[from+k] = c.conn
			}
		})
	}
	all.Wait()
}

// perAddress is how many connections come from one address, which has some
// 28,000 ports for all that the machine does.
const perAddress = 4500

// upgradedFrom is upgraded from an address.
func (w *world) upgradedFrom(from net.IP) *bare {
	w.t.Helper()
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}).Dial("tcp", w.address)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	c := newBare(w.t, w, conn)
	c.handshake("")
	return c
}

// answerSize is the size of the frame that answers message.
func (f *crowd) answerSize(message []byte) int {
	f.site.t.Helper()
	c := newBare(f.site.t, f.site.api, f.conns[0])
	c.write(message)
	_, payload, err := c.receive()
	if err != nil {
		f.site.t.Fatal(err)
	}
	_ = c.conn.SetDeadline(time.Time{})
	if len(payload) > 125 {
		return 4 + len(payload)
	}
	return 2 + len(payload)
}

// exchange makes n round trips, each connection one at a time, and returns the
// processor time that the server used for them.
func (f *crowd) exchange(message []byte, answer, n int) time.Duration {
	var left atomic.Int64
	left.Store(int64(n))
	before := f.site.processorTime()
	f.each(func(_ int, c net.Conn) {
		b := make([]byte, answer)
		for left.Add(-1) >= 0 && f.roundTrip(c, message, b) {
		}
	})
	return f.site.processorTime() - before
}

// roundTrip sends a message and awaits its answer. It is false if there is none.
func (f *crowd) roundTrip(c net.Conn, message, answer []byte) bool {
	_, err := c.Write(message)
	if err == nil {
		_, err = io.ReadFull(c, answer)
	}
	if err != nil {
		f.site.t.Error(err)
	}
	return err == nil
}

// each does something with all connections at once.
func (f *crowd) each(do func(i int, c net.Conn)) {
	var all sync.WaitGroup
	for i, c := range f.conns {
		all.Go(func() { do(i, c) })
	}
	all.Wait()
}

// BenchmarkPing and BenchmarkReport are the processor time of the whole server,
// session and store included, for a message and its answer.
func BenchmarkPing(b *testing.B)   { benchMessage(b, benchPing) }
func BenchmarkReport(b *testing.B) { benchMessage(b, benchReport) }

// benchMessage compares the service with the floor. Beside the service the floor
// is measured again, in turns with it; the ratio is the median of all turns.
func benchMessage(b *testing.B, text string) {
	const devices, turn = 64, 4096
	message := frame(bitFin|opText, text)
	echo, service := serveEcho(b), serveBench(b, "--device-message-rate", "0")
	floor, whole := echo.connect(echo.devices(devices)), service.connect(service.devices(devices))
	sizes := [2]int{floor.answerSize(message), whole.answerSize(message)}
	b.Run("floor", func(b *testing.B) {
		used := floor.exchange(message, sizes[0], b.N)
		b.ReportMetric(float64(used)/float64(b.N), "cpu-ns/op")
	})
	b.Run("whole", func(b *testing.B) {
		var used time.Duration
		var ratios []float64
		for left := b.N; left > 0; left -= turn {
			n := min(left, turn)
			spent := whole.exchange(message, sizes[1], n)
			b.StopTimer()
			ratios = append(ratios, float64(spent)/float64(floor.exchange(message, sizes[0], n)))
			b.StartTimer()
			used += spent
		}
		slices.Sort(ratios)
		b.ReportMetric(float64(used)/float64(b.N), "cpu-ns/op")
		b.ReportMetric(ratios[len(ratios)/2], "x-floor")
	})
}
