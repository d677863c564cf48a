package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/northapi"
)

// TestT16_ImportNotRead: a caller who sends an import and does not read its
// answer is cut off after a minute, and holds nobody up until then.
func TestT16_ImportNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		conn, err := w.listener.dialFrom("10.0.0.9")(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		began := time.Now()
		fmt.Fprintf(conn, "POST %s/device_import HTTP/1.1\r\nHost: tether\r\nAuthorization: Bearer %s\r\n"+
			"Content-Type: application/x-ndjson\r\nContent-Length: 10000000\r\n\r\n", northapi.Base, w.key)
		_, err = io.Copy(conn, strings.NewReader(strings.Repeat("no JSON\n", 1_250_000)))
		if waited := time.Since(began); err == nil || waited < time.Minute || waited > time.Minute+time.Second {
			t.Errorf("sent for %v: %v", waited, err)
		}
		if a := w.ask(http.MethodGet, "device_query_all", ""); a.HTTP != http.StatusOK {
			t.Errorf("another is answered %d", a.HTTP)
		}
	})
}
