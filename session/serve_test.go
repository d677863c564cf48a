package session

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// dialHub connects to a hub over a socket.
func dialHub(t *testing.T, h *Hub) *rpc.Peer {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	p, err := rpc.Dial(t.Context(), "ws"+strings.TrimPrefix(server.URL, "http"), rpc.Options{})
	if err != nil {
		t.Error(err)
		return nil
	}
	t.Cleanup(p.Abort)
	return p
}

// TestF19_HubHasADoor: a connection waits for its turn.
func TestF19_HubHasADoor(t *testing.T) {
	h, _ := bubble(t)
	for range cap(h.door.turns) {
		h.door.enter(t.Context())
	}
	came := make(chan *rpc.Peer)
	go func() { came <- dialHub(t, h) }()
	for h.door.waiting.Load() == 0 {
		select {
		case <-came:
			t.Fatal("it was taken out of turn")
		case <-time.After(time.Millisecond):
		}
	}
	h.door.leave()
	if p := <-came; p != nil {
		go p.Serve(&end{})
	}
}

// TestF20_ClaimsAreCounted: from the login until the store has answered.
func TestF20_ClaimsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := bubble(t)
		l.hold = make(chan struct{})
		for _, id := range []string{"1", "2"} {
			e := connect(t, h)
			_, _ = e.peer.Call(schema.MethodLogin, schema.LoginParams{DeviceID: id, Password: "t-right"}, func(rpc.Response) {})
		}
		claims := func(want int) {
			t.Helper()
			synctest.Wait()
			h.door.mu.Lock()
			defer h.door.mu.Unlock()
			if h.door.claims != want {
				t.Errorf("%d claims, want %d", h.door.claims, want)
			}
		}
		claims(2)
		close(l.hold)
		claims(0)
	})
}

// TestT1_BehindALogin: what a device sends behind its login, without waiting for the
// answer, is not measured by what a stranger may send, nor served as one's.
func TestT1_BehindALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := bubble(t)
		l.hold = make(chan struct{})
		e := connect(t, h)
		answers := make(chan rpc.Response, 2)
		long := json.RawMessage(`{"CPU_info":{},"Memory_info":{},"Disk_info":{},"custom":{"x":"` + strings.Repeat("x", schema.MaxLoginMessage) + `"}}`)
		for _, c := range []struct {
			method string
			params any
		}{{schema.MethodLogin, schema.LoginParams{DeviceID: "1", Password: "t-right"}}, {schema.MethodUploadStatus, long}} {
			go e.peer.Call(c.method, c.params, func(r rpc.Response) { answers <- r }) //nolint:errcheck // there would be no answer
			synctest.Wait()
		}
		close(l.hold)
		for range 2 {
			select {
			case r := <-answers:
				if r.Err != nil {
					t.Error(r.Err)
				}
			case end := <-e.closed:
				t.Fatalf("closed: %+v", end)
			}
		}
	})
}

// TestF03_DeafDevice: a device that asks for more than it reads stays within its
// share, is not closed for it, and has all answers once it reads.
func TestF03_DeafDevice(t *testing.T) {
	const asked = 40
	h, _ := bubble(t, func(c *Config) { c.Settings.Discover = []byte(`{"x":"` + strings.Repeat("x", 27_000) + `"}`) })
	p := dialHub(t, h)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	answers := make(chan rpc.Response, asked)
	for range asked {
		if _, err := p.Call("rpc.discover", nil, func(r rpc.Response) { answers <- r }); err != nil {
			t.Fatal(err)
		}
	}
	until := func(wrong string, holds func(waiting uint64) bool) {
		t.Helper()
		for !holds(h.Stats().BytesWaiting) {
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
				t.Fatal(wrong)
			}
		}
	}
	until("nothing waits", func(waiting uint64) bool { return waiting > 0 })
	most := h.Stats().BytesWaiting
	go p.Serve(&end{})
	for n := range asked {
		select {
		case r := <-answers:
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			most = max(most, h.Stats().BytesWaiting)
		case <-ctx.Done():
			t.Fatalf("%d of %d answers", n, asked)
		}
	}
	if most > schema.PauseOutbox+28_000 { // one answer more than what is no reason to pause
		t.Errorf("%d bytes have waited", most)
	}
	until("something waits", func(waiting uint64) bool { return waiting == 0 })
}

// TestHub_Processors: as many connections are taken at once as there are processors,
// and one password less is checked.
func TestHub_Processors(t *testing.T) {
	for processors, want := range map[int][2]int{1: {1, 1}, 4: {4, 3}} {
		h, _ := bubble(t, func(c *Config) { c.Processors = processors })
		if got := [2]int{cap(h.door.turns), cap(h.gate.checks)}; got != want {
			t.Errorf("%d processors: %v turns and checks, want %v", processors, got, want)
		}
	}
}
