package main

import (
	"io"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
)

// TestSecondServer: a second server on the same database is refused before it
// touches anything; after the first one's end it is not.
func TestSecondServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id, _, c := online(t)
		_, err := newService(t.Context(), w.config)
		if err == nil || !strings.Contains(err.Error(), "in use by another server") {
			t.Errorf("the second server: %v", err)
		}
		if d := w.device(id); d.State != schema.Online || d.StateReason != "login" {
			t.Errorf("the first one's device is %s, %s", d.State, d.StateReason)
		}
		c.drop()
		w.settle()
		if n := count(w.said(id), "disconnect offline eof"); n != 1 {
			t.Errorf("the log has %q", w.said(id))
		}
		w.end()
		w.start()
	})
}

// TestBigParams: what northapi admits reaches the device, and its answer comes
// back, close to the size of a message.
func TestBigParams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id, _, c := online(t)
		for _, size := range []int{100, 4000, 30_000} {
			got := w.giveOrder(id, "blink", `,"params":{"x":"`+strings.Repeat("a", size)+`"}`)
			call, g := c.asked()
			if len(g.Params) != size+len(`{"x":""}`) {
				t.Errorf("%d bytes arrived of %d", len(g.Params), size)
			}
			c.answer(call, `{"status":"success","message":"","data":{"y":"`+strings.Repeat("b", 60_000)+`"}}`)
			(<-got).check(t, 200, "", "succeeded", "")
		}
	})
}

// TestRestartWindow: the setting holds for the proof as for the lack of it.
func TestRestartWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *serviceConfig) { c.restartWindow = 2 * time.Minute })
		id, password := w.addDevice("a")
		c := w.connect("10.0.0.7")
		c.login(id, password, "boot-1")
		got := w.giveOrder(id, "restart", "")
		_, g := c.asked()
		c.drop()
		<-got
		time.Sleep(90 * time.Second)
		w.connect("10.0.0.7").login(id, password, "boot-2")
		if o := w.order(g.OrderID); o.Verified == nil || !*o.Verified {
			t.Errorf("verified: %v", o.Verified)
		}
	})
}

// TestMistypedPath makes no database.
func TestMistypedPath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nothing.db")
	for _, args := range [][]string{{"key", "list"}, {"key", "revoke", "1"}, {"migrate", "--status"}} {
		var stderr strings.Builder
		code := run(t.Context(), append(args, "--database", "sqlite:"+path), nil, io.Discard, &stderr)
		if code != 1 || !strings.Contains(stderr.String(), "there is no database") {
			t.Errorf("%v: %d %s", args, code, stderr.String())
		}
	}
}
