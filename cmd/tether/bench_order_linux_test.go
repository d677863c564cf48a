package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/store"
)

// BenchmarkGiveOrder is how long a business waits for an order that a device
// carries out at once: the request, the intent's commit, the device, the
// outcome's commit, the answer. The floor is one round trip over a bare
// WebSocket and one commit of the same store.
func BenchmarkGiveOrder(b *testing.B) {
	var least time.Duration
	b.Run("floor", func(b *testing.B) {
		echo, st := serveEcho(b), openBenchStore(b)
		bare := echo.connect(echo.devices(1))
		message := frame(bitFin|opText, benchReport)
		answer := make([]byte, bare.answerSize(message))
		b.ResetTimer()
		start := time.Now()
		for i := range b.N {
			bare.roundTrip(bare.conns[0], message, answer)
			key := schema.Key{KeyID: fmt.Sprint(i), Name: fmt.Sprint("key-", i), Role: schema.Viewer, CreatedTime: 1}
			if err := st.AddKey(b.Context(), key, fmt.Sprint("hash-", i)); err != nil {
				b.Fatal(err)
			}
		}
		least = time.Since(start) / time.Duration(b.N)
	})
	b.Run("whole", func(b *testing.B) {
		s := serveBench(b, "--device-message-rate", "0")
		id, password := s.api.addDevice("a")
		go s.obey(id, password)
		await(b, "a device that is online", func() bool { return s.api.device(id).State == schema.Online })
		client := &http.Client{Transport: &http.Transport{DialContext: s.dial}} // keeps its connection
		defer client.CloseIdleConnections()
		body := fmt.Sprintf(`{"device_id":%q,"order":"blink","params":{}}`, id)
		b.ResetTimer()
		start := time.Now()
		for range b.N {
			s.order(b, client, body)
		}
		if took := time.Since(start); least > 0 { // or the floor was not asked for
			b.ReportMetric(float64(took)/float64(b.N)/float64(least), "x-floor")
		}
	})
}

func openBenchStore(b *testing.B) *store.Store {
	st, err := store.Open(context.Background(), "sqlite:"+filepath.Join(b.TempDir(), databaseName), store.Options{Migrate: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := st.Close(); err != nil {
			b.Error(err)
		}
	})
	return st
}

// order gives an order over a connection that is kept.
func (s *site) order(b *testing.B, client *http.Client, body string) {
	req, err := http.NewRequest("POST", "http://tether"+northapi.Base+"/give_order", strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.api.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.Fatalf("%d %s %v", resp.StatusCode, text, err)
	}
}
