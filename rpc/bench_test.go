package rpc

import (
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/edgetether/tether/schema"
)

const (
	benchPing   = `{"jsonrpc":"2.0","id":12345,"method":"ping"}`
	benchReport = `{"jsonrpc":"2.0","id":12346,"method":"upload_status_info","params":{` +
		`"CPU_info":{"user_cpu_time":4112.78,"system_cpu_time":923.85,"idle_cpu_time":179258.0,"io_wait_cpu_time":120.6},` +
		`"Memory_info":{"total_memory_mb":1673,"free_memory_mb":91,"buff_cache_mb":258},` +
		`"Disk_info":{"root_total_size_mb":39942,"root_used_size_mb":10509,"root_used_percent":27.6},"dev_state":"online"}}`
)

// reporter answers ping, and decodes a report.
var reporter = handler{request: func(r *Request) {
	if r.Method == schema.MethodPing {
		r.Reply("pong")
		return
	}
	var s schema.StatusInfo
	if err := r.Decode(&s); err != nil {
		r.Fail(err)
		return
	}
	r.Reply(struct{}{})
}}

// The yardstick: a bare echo with the WebSocket library, of frames as large as
// ours. BenchmarkPing over BenchmarkEchoPing is what JSON-RPC costs.
func BenchmarkEchoPing(b *testing.B)   { benchEcho(b, benchPing) }
func BenchmarkPing(b *testing.B)       { benchPeer(b, benchPing) }
func BenchmarkEchoReport(b *testing.B) { benchEcho(b, benchReport) }
func BenchmarkReport(b *testing.B)     { benchPeer(b, benchReport) }

func benchEcho(b *testing.B, text string) {
	up := websocket.Upgrader{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	}))
	defer s.Close()
	roundTrips(b, "ws"+strings.TrimPrefix(s.URL, "http"), text)
}

func benchPeer(b *testing.B, text string) {
	url, ends, _ := listen(b, Options{}, reporter)
	roundTrips(b, url, text)
	<-ends
}

// roundTrips sends text and awaits the answer, over a socket whose client side
// costs next to nothing.
func roundTrips(b *testing.B, url, text string) {
	c := connect(b, url)
	c.accepted()
	message := frameOf(true, opText, text)
	c.write(message)
	answer := make([]byte, 2+len(c.receive().payload))
	if len(answer) > 127 {
		answer = append(answer, 0, 0)
	}
	b.ReportAllocs()
	before := processorTime()
	for b.Loop() {
		c.write(message)
		for n := 0; n < len(answer); {
			m, err := c.r.Read(answer[n:])
			if err != nil {
				b.Fatal(err)
			}
			n += m
		}
	}
	b.ReportMetric(float64(processorTime()-before)/float64(b.N), "cpu-ns/op")
	c.conn.Close()
}

// processorTime is what the process has used, both sides of the connection.
func processorTime() int64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

func BenchmarkJudgePing(b *testing.B)   { benchJudge(b, benchPing) }
func BenchmarkJudgeReport(b *testing.B) { benchJudge(b, benchReport) }

func benchJudge(b *testing.B, text string) {
	raw := []byte(text)
	b.ReportAllocs()
	for b.Loop() {
		if judge(raw).kind != request {
			b.Fatal("refused")
		}
	}
}

// BenchmarkIdlePeer reports what an idle connection of the server costs, one
// message behind it: heap and stack, its other side not counted.
func BenchmarkIdlePeer(b *testing.B) {
	const n = 500
	url, ends, peers := listen(b, Options{}, reporter)
	warm := connect(b, url)
	warm.accepted()
	<-peers
	var conns []net.Conn
	for b.Loop() {
		conns = conns[:0]
		before := footprint()
		for range n {
			c := connect(b, url)
			c.accepted()
			c.send(benchPing)
			c.receive()
			c.r = nil
			conns = append(conns, c.conn)
			<-peers
		}
		b.ReportMetric(float64(footprint()-before)/n/1024, "KiB/conn")
		for _, c := range conns {
			c.Close()
			<-ends
		}
	}
	warm.conn.Close()
	<-ends
}

func footprint() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// F05: what following the frames adds to a message, whole and byte by byte.
func BenchmarkScanWhole(b *testing.B)      { benchScan(b, len(benchReport)+14) }
func BenchmarkScanByteByByte(b *testing.B) { benchScan(b, 1) }

func benchScan(b *testing.B, chunk int) {
	s, message := newScanner(), frameOf(true, opText, benchReport)
	for b.Loop() {
		if _, err := feedAll(s, message, chunk); err != nil {
			b.Fatal(err)
		}
	}
}
