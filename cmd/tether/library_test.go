package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/device"
	"github.com/edgetether/tether/schema"
)

// TestLibraryLives runs the service and the device library against each other
// for a virtual hour: not one miss, not one reconnect, one status line a minute.
func TestLibraryLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		id, password := w.addDevice("a")
		stop := w.run(device.Config{DeviceID: id, Password: password}, nil)
		time.Sleep(time.Hour + time.Second)
		d := w.device(id)
		if d.State != schema.Online || d.LastSeenTime == nil || time.Now().UnixMilli()-*d.LastSeenTime > 5000 {
			t.Errorf("after an hour the device is %s, seen at %v", d.State, d.LastSeenTime)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		want := []string{"update success", "connect success", "login success", "disconnect offline closed_by_device"}
		if got := w.said(id, schema.EventStatus); !slices.Equal(got, want) {
			t.Errorf("the log has %q", got)
		}
		if n := count(w.said(id), "status success"); n != 61 { // at its login, and then each minute
			t.Errorf("%d status lines in an hour", n)
		}
	})
}

// TestLibraryCarriesOut gives a custom order through the whole service.
func TestLibraryCarriesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		id, password := w.addDevice("a")
		w.run(device.Config{DeviceID: id, Password: password}, map[string]func(context.Context, json.RawMessage) (any, error){
			"blink": func(_ context.Context, p json.RawMessage) (any, error) { return map[string]any{"saw": p}, nil },
			"fail":  func(context.Context, json.RawMessage) (any, error) { return nil, errors.New("no lamp") },
			"slow": func(ctx context.Context, _ json.RawMessage) (any, error) {
				time.Sleep(9 * time.Second)
				return nil, nil
			},
			"panic": func(context.Context, json.RawMessage) (any, error) { panic("lamp") },
		})
		w.settle()
		o := (<-w.giveOrder(id, "blink", `,"params":{"n":3}`)).check(t, 200, "", "succeeded", "")
		if string(o.Data) != `{"saw":{"n":3}}` {
			t.Errorf("data %s", o.Data)
		}
		if o := (<-w.giveOrder(id, "fail", `,"params":{}`)).check(t, 502, "order_failed", "failed", ""); o.Message != "no lamp" {
			t.Errorf("message %q", o.Message)
		}
		(<-w.giveOrder(id, "slow", `,"params":{}`)).check(t, 200, "", "succeeded", "")
		(<-w.giveOrder(id, "panic", `,"params":{}`)).check(t, 502, "order_failed", "failed", "")
		if o := (<-w.giveOrder(id, "unheard", `,"params":{}`)).check(t, 502, "order_failed", "failed", ""); o.Message != "order not in config" {
			t.Errorf("message %q", o.Message)
		}
	})
}

// TestLibraryRestarts: confirmed, then proven by a new boot of the library.
func TestLibraryRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		id, password := w.addDevice("a")
		state := t.TempDir()
		restarted := errors.New("restarted")
		stop := w.run(device.Config{DeviceID: id, Password: password, StateDir: state, Restart: func() error { return restarted }}, nil)
		w.settle()
		a := <-w.giveOrder(id, "restart", "")
		o := a.check(t, 200, "", "succeeded", "")
		if err := stop(); !errors.Is(err, restarted) {
			t.Errorf("Run returned %v", err)
		}
		w.run(device.Config{DeviceID: id, Password: password, StateDir: state}, nil)
		w.settle()
		if o := w.order(o.OrderID); o.Verified == nil || !*o.Verified {
			t.Errorf("verified: %v", o.Verified)
		}
		if n := count(w.said(id), "restart_verified succeeded"); n != 1 {
			t.Errorf("the log has %q", w.said(id))
		}
	})
}

// cutter is a dialer whose connections can be cut, or made deaf.
type cutter struct {
	w    *world
	last atomic.Pointer[net.Conn]
	n    atomic.Int64
}

func (c *cutter) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := c.w.dialFrom("10.0.0.7")(ctx, network, addr)
	if err == nil {
		c.n.Add(1)
		c.last.Store(&conn)
	}
	return conn, err
}

func (c *cutter) cut() { _ = (*c.last.Load()).Close() }

// TestF51_LinkDiesBeforeTheReply: the device has carried the order out, and
// the link dies before its reply leaves. After the login the outcome moves
// from unknown to known, and the order is not done again.
func TestF51_LinkDiesBeforeTheReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		id, password := w.addDevice("a")
		link := &cutter{w: w}
		var done atomic.Int64
		w.run(device.Config{DeviceID: id, Password: password, NetDial: link.dial},
			map[string]func(context.Context, json.RawMessage) (any, error){
				"cut": func(context.Context, json.RawMessage) (any, error) {
					done.Add(1)
					link.cut()
					return map[string]int{"n": 1}, nil
				},
			})
		w.settle()
		o := (<-w.giveOrder(id, "cut", `,"params":{}`)).check(t, 504, "device_disconnected", "unknown", "disconnected")
		time.Sleep(15 * time.Second) // the library's 10 s ± 20 %
		now := w.order(o.OrderID)
		if now.State != schema.OrderSucceeded || !now.Late || string(now.Data) != `{"n":1}` {
			t.Errorf("%s, late %v, %s", now.State, now.Late, now.Data)
		}
		if done.Load() != 1 || link.n.Load() != 2 {
			t.Errorf("done %d times over %d connections", done.Load(), link.n.Load())
		}
	})
}

// TestServerRestarts: a server that stops in good order sends its devices away
// with a time to come back at; the library comes back by token.
func TestServerRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		id, password := w.addDevice("a")
		state := t.TempDir()
		w.run(device.Config{DeviceID: id, Password: password, StateDir: state, MaxTries: -1}, nil)
		time.Sleep(time.Minute)
		w.end()
		time.Sleep(20 * time.Second)
		w.start()
		time.Sleep(15 * time.Second)
		if d := w.device(id); d.State != schema.Online {
			t.Errorf("the device is %s, %s", d.State, d.StateReason)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		var forms []string
		for _, e := range w.events {
			if e.Kind == schema.EventLogin {
				var d struct{ Form string }
				_ = json.Unmarshal(e.Detail, &d)
				forms = append(forms, d.Form)
			}
		}
		if !slices.Equal(forms, []string{"id_password", "token"}) {
			t.Errorf("logins by %q", forms)
		}
	})
}

// TestToldOfItsRecord: an online device is told at once, an offline one at its
// next login, and nobody twice.
func TestToldOfItsRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		id, password := w.addDevice("a")
		told := make(chan schema.DeviceUpdate, 10)
		cfg := device.Config{DeviceID: id, Password: password, StateDir: t.TempDir(), OnUpdate: func(u schema.DeviceUpdate) { told <- u }}
		stop := w.run(cfg, nil)
		w.settle()
		w.must("PUT", "device_update", `{"device_id":"`+id+`","device_name":"b"}`, nil)
		w.settle()
		if len(told) != 1 {
			t.Fatalf("told %d times while online", len(told))
		}
		if u := <-told; u.Name != "b" || u.DeviceID != id {
			t.Errorf("told %+v", u)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		w.must("PUT", "device_update", `{"device_id":"`+id+`","device_name":"c"}`, nil)
		w.must("PUT", "device_update", `{"device_id":"`+id+`","device_name":"d"}`, nil)
		stop = w.run(cfg, nil)
		w.settle()
		if len(told) != 1 {
			t.Fatalf("told %d times after the login", len(told))
		}
		if u := <-told; u.Name != "d" {
			t.Errorf("told %+v", u)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		w.run(cfg, nil)
		w.settle()
		if len(told) != 0 {
			t.Error("told again")
		}
	})
}

// TestT12_Revoked: disabling, deleting and a new password end the live
// session at once, and its token with it.
func TestT12_Revoked(t *testing.T) {
	for _, tc := range []struct {
		what, method, path, body string
		code                     int
		reason                   string
	}{
		{"disabled", "PUT", "device_update", `,"enabled":false`, 4410, "disabled"},
		{"deleted", "DELETE", "device_delete", ``, 4410, "deleted"},
		{"password", "PUT", "device_password_update", `,"password":"another one"`, 4401, "password"},
	} {
		t.Run(tc.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				id, password := w.addDevice("a")
				c := w.connect("10.0.0.7")
				token := c.login(id, password, "boot-1").Token
				w.must(tc.method, tc.path, `{"device_id":"`+id+`"`+tc.body+`}`, nil)
				start := time.Now()
				if e := c.closed(); e.Code != tc.code || time.Since(start) != 0 {
					t.Errorf("closed with %d %q after %v", e.Code, e.Text, time.Since(start))
				}
				again := w.connect("10.0.0.7")
				m := again.call("login", `{"device_id":"`+id+`","token":"`+token+`"}`)
				if m.Error == nil || m.Error.Code != -32001 {
					t.Errorf("the old token: %+v", m.Error)
				}
				if e := again.closed(); e.Code != 4401 {
					t.Errorf("closed with %d", e.Code)
				}
			})
		})
	}
}

// TestT44_CanarySecrets sends secrets through every path that takes one, and
// finds them in no answer, event, log line, metric, stack or file of the service.
func TestT44_CanarySecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		const chosen = "canary-of-a-person"
		var added struct {
			DeviceID string `json:"device_id"`
		}
		w.must("POST", "device_add", `{"device_name":"c","hardware":{"sn":"C","model":"M"},"password":"`+chosen+`"}`, &added)
		c := w.connect("10.0.0.7")
		token := c.login(added.DeviceID, chosen, "boot-1").Token
		wrong := w.connect("10.0.0.8")
		wrong.call("login", `{"device_id":"`+added.DeviceID+`","password":"canary-that-is-wrong"}`)
		w.ask("PUT", "device_password_update", `{"device_id":"`+added.DeviceID+`","password":"canary"}`)
		var all []string
		for _, path := range []string{"device_query/" + added.DeviceID, "device_query_all", "device_log_query/" + added.DeviceID, "key_query_all"} {
			all = append(all, string(w.ask("GET", path, "").Data))
		}
		all = append(all, w.operated("/metrics", "/state", "/debug/pprof/goroutine?debug=2")...)
		w.end()
		files, err := filepath.Glob(filepath.Join(w.dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(b))
		}
		for i, text := range all {
			for _, secret := range []string{"canary", token, w.key} {
				if strings.Contains(text, secret) {
					t.Errorf("place %d holds %q", i, secret)
				}
			}
		}
	})
}

// operated are what the address for operations answers.
func (w *world) operated(paths ...string) (all []string) {
	w.t.Helper()
	o := &operations{metrics: w.svc.metrics}
	o.serves(w.svc)
	for _, path := range paths {
		got := httptest.NewRecorder()
		o.routes().ServeHTTP(got, httptest.NewRequest(http.MethodGet, path, nil))
		if got.Code != http.StatusOK || got.Body.Len() == 0 {
			w.t.Errorf("%s is answered %d", path, got.Code)
		}
		all = append(all, got.Body.String())
	}
	return all
}
