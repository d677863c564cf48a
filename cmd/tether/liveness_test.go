package main

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
)

const pingMessage = `{"jsonrpc":"2.0","id":99,"method":"ping"}`

// TestF01_SilentDevice follows a device that vanishes without a FIN: Unknown
// at 7.5 s, two failures at 13.0 s, offline and closed with 4408 at 18.5 s,
// exactly.
func TestF01_SilentDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		id, password := w.addDevice("a")
		c := w.connect("10.0.0.7")
		c.login(id, password, "boot-1")
		start := time.Now()
		at := func(d time.Duration) { time.Sleep(time.Until(start.Add(d))); w.settle() }

		at(7499 * time.Millisecond)
		if s := w.device(id).State; s != schema.Online {
			t.Errorf("at 7.499 s the device is %s", s)
		}
		at(7500 * time.Millisecond)
		if s := w.device(id); s.State != schema.Unknown || s.StateReason != "liveness" {
			t.Errorf("at 7.5 s the device is %s, %s", s.State, s.StateReason)
		}
		at(13 * time.Second)
		if s := w.device(id).State; s != schema.Unknown {
			t.Errorf("at 13.0 s the device is %s", s)
		}
		at(18499 * time.Millisecond)
		if s := w.device(id).State; s != schema.Unknown {
			t.Errorf("at 18.499 s the device is %s", s)
		}
		if e := c.closed(); e.Code != 4408 || time.Since(start) != 18500*time.Millisecond {
			t.Errorf("closed with %d after %v", e.Code, time.Since(start))
		}
		w.settle()
		if s := w.device(id); s.State != schema.Offline || s.StateReason != "liveness" {
			t.Errorf("at the end the device is %s, %s", s.State, s.StateReason)
		}
		want := []string{"update success", "connect success", "login success", "state Unknown liveness", "disconnect offline liveness"}
		if got := w.said(id); !slices.Equal(got, want) {
			t.Errorf("the log has %q", got)
		}
	})
}

// TestF01_TwoFailures: a message after the second miss still saves the device,
// and the count begins anew.
func TestF01_TwoFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		id, password := w.addDevice("a")
		c := w.connect("10.0.0.7")
		c.login(id, password, "boot-1")
		time.Sleep(18499 * time.Millisecond)
		c.send(pingMessage)
		c.next()
		start := time.Now()
		if e := c.closed(); e.Code != 4408 || time.Since(start) != 18500*time.Millisecond {
			t.Errorf("closed with %d after %v", e.Code, time.Since(start))
		}
	})
}

// TestF24_TwelveSecondsOfSilence cost one failure; then the tolerance is 7.5 s again.
func TestF24_TwelveSecondsOfSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		id, password := w.addDevice("a")
		c := w.connect("10.0.0.7")
		c.login(id, password, "boot-1")
		for range 3 {
			time.Sleep(12 * time.Second)
			if s := w.device(id).State; s != schema.Unknown {
				t.Errorf("after 12 s of silence the device is %s", s)
			}
			c.send(pingMessage)
			c.next()
			if s := w.device(id).State; s != schema.Online {
				t.Errorf("after a ping the device is %s", s)
			}
			time.Sleep(7499 * time.Millisecond)
			if s := w.device(id).State; s != schema.Online {
				t.Errorf("7.499 s later the device is %s", s)
			}
			c.send(pingMessage)
			c.next()
		}
		if n := count(w.said(id), "state Unknown liveness"); n != 3 {
			t.Errorf("%d misses, not 3", n)
		}
	})
}

func count(lines []string, line string) (n int) {
	for _, l := range lines {
		if l == line {
			n++
		}
	}
	return n
}

// TestF25_Boundaries tries both sides of both tolerances.
func TestF25_Boundaries(t *testing.T) {
	for _, tc := range []struct {
		first, second time.Duration // silence before each ping
		misses        int
	}{
		{7499 * time.Millisecond, 0, 0},
		{7501 * time.Millisecond, 0, 1},
		{7500*time.Millisecond + 5499*time.Millisecond, 0, 1},
		{7500*time.Millisecond + 5501*time.Millisecond, 0, 1}, // the second miss changes the count, not the state
		{7501 * time.Millisecond, 7499 * time.Millisecond, 1},
		{7501 * time.Millisecond, 7501 * time.Millisecond, 2},
	} {
		t.Run(fmt.Sprint(tc.first, tc.second), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				id, password := w.addDevice("a")
				c := w.connect("10.0.0.7")
				c.login(id, password, "boot-1")
				for _, silence := range []time.Duration{tc.first, tc.second} {
					time.Sleep(silence)
					c.send(pingMessage)
					c.next()
				}
				if n := count(w.said(id), "state Unknown liveness"); n != tc.misses {
					t.Errorf("%d misses, not %d", n, tc.misses)
				}
				if s := w.device(id).State; s != schema.Online {
					t.Errorf("the device is %s", s)
				}
			})
		})
	}
}

const reportMessage = `{"jsonrpc":"2.0","id":7,"method":"upload_status_info","params":{"CPU_info":{},"Memory_info":{},"Disk_info":{}}}`

// TestF26_AnyValidMessage is a sign of life: reports alone, pings alone, a
// notification, a request that cannot be served. What is no valid message is none.
func TestF26_AnyValidMessage(t *testing.T) {
	for _, tc := range []struct {
		name, msg string
		answered  bool
		alive     bool
	}{
		{"ping", pingMessage, true, true},
		{"report", reportMessage, true, true},
		{"notification", `{"jsonrpc":"2.0","method":"ping"}`, false, true},
		{"unknown method", `{"jsonrpc":"2.0","id":1,"method":"nonsense"}`, true, true},
		{"wrong params", `{"jsonrpc":"2.0","id":1,"method":"upload_status_info","params":{}}`, true, true},
		{"second login", `{"jsonrpc":"2.0","id":1,"method":"login","params":{"device_id":"1","password":"x"}}`, true, true},
		{"no JSON", `{"jsonrpc":`, true, false},
		{"no request", `{"jsonrpc":"2.0","id":1}`, true, false},
		{"unasked response", `{"jsonrpc":"2.0","id":1,"result":{}}`, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				id, password := w.addDevice("a")
				c := w.connect("10.0.0.7")
				c.login(id, password, "boot-1")
				for range 3 {
					time.Sleep(5 * time.Second)
					c.send(tc.msg)
					if tc.answered {
						c.next()
					}
				}
				want := schema.Unknown
				if tc.alive {
					want = schema.Online
				}
				if s := w.device(id).State; s != want {
					t.Errorf("the device is %s, not %s", s, want)
				}
			})
		})
	}
}

// TestNoLogin: a connection that does not log in is closed after 5 s.
func TestNoLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.connect("10.0.0.7")
		start := time.Now()
		if e := c.closed(); e.Code != 4408 || time.Since(start) != 5*time.Second {
			t.Errorf("closed with %d after %v", e.Code, time.Since(start))
		}
	})
}
