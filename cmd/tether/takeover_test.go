package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgetether/tether/schema"
)

// socketWorld is a whole service on a real socket, in real time.
func socketWorld(t *testing.T, change ...func(*serviceConfig)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	w.config = serviceConfig{
		database: "sqlite:" + filepath.Join(w.dir, "tether.db"), node: "test", bcryptCost: 4,
		statusSample: time.Minute, log: slog.New(slog.DiscardHandler), onEvents: w.committed,
	}
	for _, c := range change {
		c(&w.config)
	}
	svc, err := newService(t.Context(), w.config)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	w.svc, w.served, w.stop, w.listener = svc, make(chan error, 1), stop, newMemory()
	w.http = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
	}}}
	w.address = l.Addr().String()
	go func() { w.served <- svc.serve(ctx, l) }()
	t.Cleanup(w.end)
	if w.key, err = svc.addKey(t.Context(), "test", schema.Admin); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestF38_TwoAtOnce has two raw clients log in as one device at the same
// moment, 100 times over: exactly one survives, the other is closed with 4409,
// the device is online at the end, and the log has connect and disconnect in turn.
func TestF38_TwoAtOnce(t *testing.T) {
	w := socketWorld(t)
	id, password := w.addDevice("a")
	for round := range 100 {
		var both [2]*websocket.Conn
		for i := range both {
			conn, _, err := websocket.DefaultDialer.Dial("ws://"+w.address+"/ws", nil)
			if err != nil {
				t.Fatal(err)
			}
			both[i] = conn
		}
		codes := loginTogether(t, both, id, password)
		if codes[0]+codes[1] != 4409 {
			t.Fatalf("round %d: closed with %v, not one of them with 4409", round, codes)
		}
		survivor := both[0]
		if codes[0] != 0 {
			survivor = both[1]
		}
		if s := w.device(id); s.State != schema.Online {
			t.Fatalf("round %d: the device is %s, %s", round, s.State, s.StateReason)
		}
		pingOver(t, survivor)
		for _, c := range both {
			c.Close()
		}
	}
	checkAlternation(t, w, id)
}

// loginTogether logs both in at once and waits until one is closed; it returns
// the close codes, 0 for the one that is still there.
func loginTogether(t *testing.T, both [2]*websocket.Conn, id, password string) (codes [2]int) {
	var ready, sent, done sync.WaitGroup
	ready.Add(2)
	sent.Add(2)
	ended := make(chan struct{}, 2)
	for i, c := range both {
		done.Go(func() {
			ready.Done()
			ready.Wait()
			_ = c.WriteMessage(websocket.TextMessage, fmt.Appendf(nil,
				`{"jsonrpc":"2.0","id":1,"method":"login","params":{"device_id":%q,"password":%q,"boot_id":"b%d"}}`, id, password, i))
			sent.Done()
			for {
				_, msg, err := c.ReadMessage()
				if e, ok := err.(*websocket.CloseError); ok {
					codes[i] = e.Code
				}
				if err != nil {
					ended <- struct{}{}
					return
				}
				if string(msg) == `{"jsonrpc":"2.0","id":2,"result":"pong"}` {
					return
				}
			}
		})
	}
	sent.Wait()
	<-ended // the loser is gone; the other answers a ping and is read no further
	for _, c := range both {
		_ = c.WriteMessage(websocket.TextMessage, []byte(`{"jsonrpc":"2.0","id":2,"method":"ping"}`))
	}
	done.Wait()
	return codes
}

func pingOver(t *testing.T, c *websocket.Conn) {
	t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(pingMessage)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.ReadMessage(); err != nil {
		t.Fatal(err)
	}
}

// checkAlternation waits for the last disconnect and reads the whole log: gap-free,
// connect and disconnect in turn, epochs rising.
func checkAlternation(t *testing.T, w *world, id string) {
	t.Helper()
	for w.device(id).StateReason != "reset" && w.device(id).StateReason != "eof" {
		time.Sleep(time.Millisecond) // until the last close has been noticed
	}
	w.end()
	w.mu.Lock()
	defer w.mu.Unlock()
	connected, seq, epoch, connects := false, int64(0), int64(0), 0
	for _, e := range w.events {
		if e.DeviceID != id {
			continue
		}
		if seq++; e.Seq != seq {
			t.Fatalf("line %d has the number %d", seq, e.Seq)
		}
		if e.Kind != schema.EventConnect && e.Kind != schema.EventDisconnect {
			continue
		}
		if connected == (e.Kind == schema.EventConnect) {
			t.Fatalf("line %d: %s while connected is %v", seq, e.Kind, connected)
		}
		connected = !connected
		var d struct{ Epoch int64 }
		if err := json.Unmarshal(e.Detail, &d); err != nil {
			t.Fatal(err)
		}
		if e.Kind == schema.EventConnect {
			connects++
			if d.Epoch <= epoch {
				t.Fatalf("line %d: epoch %d after %d", seq, d.Epoch, epoch)
			}
			epoch = d.Epoch
		}
	}
	if connects < 100 {
		t.Errorf("%d connects in 100 rounds", connects)
	}
}
