package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
)

// TestT16_SlowBody: a body that trickles in is given up after 10 s; an order
// that is waited for longer than that is not.
func TestT16_SlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		conn, err := w.listener.dialFrom("10.0.0.8")(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		start, sent := time.Now(), make(chan struct{})
		defer func() { conn.Close(); <-sent }()
		go func() {
			defer close(sent)
			fmt.Fprintf(conn, "POST %s/group_add HTTP/1.1\r\nHost: tether\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n", northapi.Base, w.key)
			for range 1000 {
				if _, err := conn.Write([]byte(" ")); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if d := time.Since(start); resp.StatusCode != 400 || d != 10*time.Second {
			t.Errorf("%d after %v", resp.StatusCode, d)
		}
	})
}

// TestT16_SlowHeader: likewise a head, after 5 s.
func TestT16_SlowHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		conn, err := w.listener.dialFrom("10.0.0.8")(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		start, sent := time.Now(), make(chan struct{})
		defer func() { conn.Close(); <-sent }()
		go func() {
			defer close(sent)
			for _, b := range []byte("GET /healthz HTTP/1.1\r\nHost: tether\r\nX-Slow: " + strings.Repeat("x", 100)) {
				if _, err := conn.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		if _, err := io.ReadAll(conn); err != nil || time.Since(start) != headerTimeout {
			t.Errorf("closed after %v, %v", time.Since(start), err)
		}
	})
}

// TestF27_Flood: 100 messages at once and 20 a second are served; one more is
// a flood. Members of a batch count as messages do. The neighbour is unmoved.
func TestF27_Flood(t *testing.T) {
	for _, tc := range []struct {
		name    string
		burst   int
		batch   int // members of each message; 0 is no batch
		flooded bool
	}{
		{"100 at once", 99, 0, false}, // and the login
		{"101 at once", 100, 0, true},
		{"a batch of 48 twice", 2, 48, false}, // 96 members, two messages and the login
		{"a batch of 49 twice", 2, 49, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *serviceConfig) { c.messageRate = schema.MessageRate })
				id, password := w.addDevice("a")
				other, otherPassword := w.addDevice("b")
				neighbour := w.connect("10.0.0.8")
				neighbour.login(other, otherPassword, "boot")
				c := w.connect("10.0.0.7")
				c.login(id, password, "boot")
				go func() {
					for i := range tc.burst {
						if c.conn.WriteMessage(1, pings(1000*i, tc.batch)) != nil {
							return
						}
					}
				}()
				w.settle()
				select {
				case e := <-c.end:
					if !tc.flooded || e.Code != 1008 || e.Text != "flood" {
						t.Errorf("closed with %d %q", e.Code, e.Text)
					}
				default:
					if tc.flooded {
						t.Error("not closed")
					}
				}
				if m := neighbour.call("ping", "{}"); m.Error != nil {
					t.Errorf("the neighbour: %+v", m.Error)
				}
			})
		})
	}
}

// pings is a ping with the id from, or a batch of so many of them.
func pings(from, batch int) []byte {
	members := make([]string, max(1, batch))
	for i := range members {
		members[i] = fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"ping"}`, from+i)
	}
	if batch == 0 {
		return []byte(members[0])
	}
	return []byte("[" + strings.Join(members, ",") + "]")
}
