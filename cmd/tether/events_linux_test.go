package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgetether/tether/northapi"
)

// follower reads a stream of events, and notes its end.
type follower struct {
	last  atomic.Int64 // id of the last event, or of what told of one
	count atomic.Int64 // of events
	end   string       // reason of the stream's last event
	done  chan struct{}
}

// follow opens a stream after an id. The ids of its events go up one by one.
func (s *site) follow(t *testing.T, ctx context.Context, key string, after int64, f *follower) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://tether/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Last-Event-ID", strconv.FormatInt(after, 10))
	resp, err := s.api.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	f.last.Store(after)
	f.done = make(chan struct{})
	go func() {
		defer close(f.done)
		defer resp.Body.Close()
		if err := f.read(resp.Body); err != nil {
			t.Error(err)
		}
	}()
}

// read reads until the stream ends, or is cut off.
func (f *follower) read(body io.Reader) error {
	var id, kind string
	for lines := bufio.NewScanner(body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			id = value
		case "event":
			kind = value
		case "data":
			if kind == "dropped" {
				f.end = value
				continue
			}
			want := f.last.Load() + 1
			if id != strconv.FormatInt(want, 10) {
				return fmt.Errorf("event %s %s in place of %d", id, kind, want)
			}
			f.last.Store(want)
			f.count.Add(1)
		}
	}
	return nil
}

// lastEvent is the position of the service's last event.
func (s *site) lastEvent(t *testing.T) int64 {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://tether/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.api.key)
	resp, err := s.api.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			last, err := strconv.ParseInt(id, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return last
		}
	}
	t.Fatal("the stream does not begin with an id")
	return 0
}

// register registers n devices, which makes as many events.
func (s *site) register(t *testing.T, prefix string, n int) {
	t.Helper()
	read, write := io.Pipe()
	go func() {
		out := bufio.NewWriter(write)
		for i := range n {
			fmt.Fprintf(out, `{"device_name":"n","hardware":{"sn":"%s-%d","model":"M"}}`+"\n", prefix, i)
		}
		_ = write.CloseWithError(out.Flush())
	}()
	req, err := http.NewRequest(http.MethodPost, "http://tether"+northapi.Base+"/device_import", read)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.api.key)
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := s.api.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(text), fmt.Sprintf(`"added":%d,"failed":0`, n)) {
		t.Fatalf("%v, the import ended with %s", err, text[max(0, len(text)-300):])
	}
}

// addKey makes a key with the role viewer.
func (s *site) addKey(t *testing.T, name string) string {
	t.Helper()
	var added struct{ Key string }
	s.api.must("POST", "key_add", fmt.Sprintf(`{"name":%q,"role":"viewer"}`, name), &added)
	return added.Key
}

// memory is what a process has in memory now, and had at most, in MiB.
func (p *process) memory(t *testing.T) (now, most int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kib int
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kib); err == nil {
			now = kib >> 10
		} else if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			most = kib >> 10
		}
	}
	return now, most
}

// askForEvents sends the request of a stream on a connection with small buffers, of
// which nothing is read here.
func (s *site) askForEvents(t *testing.T, key string, after int64) net.Conn {
	t.Helper()
	conn, err := s.dial(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /events?after=%d HTTP/1.1\r\nHost: tether\r\nAuthorization: Bearer %s\r\n\r\n", after, key)
	return conn
}

// sip reads a little of a connection now and then.
func sip(ctx context.Context, conn net.Conn) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	piece := make([]byte, 512)
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if _, err := conn.Read(piece); err != nil {
			return
		}
	}
}

// streams is how many more streams a key may open.
func (s *site) streams(t *testing.T, key string) (n int) {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	for ; n < 64; n++ {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://tether/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		resp, err := s.api.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			break
		}
	}
	return n
}

// TestF34_EventsOverKills: the service is killed under load, time and again. A
// reader that goes on after the last id that it saw has every event once, and
// each change that was answered with success is among them.
func TestF34_EventsOverKills(t *testing.T) {
	t.Parallel()
	const kills = 4
	s := serve(t)
	at, good := s.lastEvent(t), 0
	began := at
	for k := range kills + 1 {
		f := new(follower)
		s.follow(t, t.Context(), s.api.key, at, f)
		for i := 0; i < 30 || f.count.Load() < 10; i++ {
			s.api.addDevice(fmt.Sprintf("n-%d-%d", k, i))
			good++
		}
		if k < kills {
			s.kill()
			<-f.done
			s.begin(t)
		} else {
			s.signal(os.Interrupt)
			<-f.done
			var end struct {
				Reason string `json:"reason"`
				Resume int64  `json:"resume_after"`
			}
			if err := json.Unmarshal([]byte(f.end), &end); err != nil || end.Reason != "draining" || end.Resume != f.last.Load() {
				t.Errorf("at a stop in good order: %q", f.end)
			}
		}
		at = f.last.Load()
	}
	if code := s.code(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.begin(t)
	last := new(follower)
	ctx, leave := context.WithCancel(t.Context())
	s.follow(t, ctx, s.api.key, at, last)
	await(t, "all that was answered", func() bool { return last.last.Load()-began >= int64(good) })
	leave()
	<-last.done
	if n := last.last.Load() - began; n != int64(good) {
		t.Errorf("%d events of %d changes", n, good)
	}
}
