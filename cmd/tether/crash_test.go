package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/store"
	"github.com/edgetether/tether/store/pgtest"
)

// acked is what a service has answered with success.
type acked struct {
	sync.Mutex
	devices []string
	orders  []string // succeeded
}

func (a *acked) add(list *[]string, id string) {
	a.Lock()
	defer a.Unlock()
	*list = append(*list, id)
}

// begun says whether there was load: an order and a device.
func (a *acked) begun() bool {
	a.Lock()
	defer a.Unlock()
	return len(a.orders) > 0 && len(a.devices) > 0
}

// TestF34_ServiceKilledUnderLoad kills the service at random moments while
// devices log in and carry out orders and others are registered. Whatever was
// answered with success is there after it, and the check of the database,
// which knows that logs have no gap and that connect and disconnect alternate,
// finds nothing. (That a kill leaves the kernel's
// memory alone, package store makes up for: TestF35.)
func TestF34_ServiceKilledUnderLoad(t *testing.T) {
	t.Parallel()
	s := serve(t, "--device-message-rate", "0", "--key-rate", "0")
	s.keepsItsWord(t, kills(10), func(int) { atRandom(); s.kill() })
}

// TestF34_PostgresAndServiceKilledUnderLoad is the same on PostgreSQL, which flushes
// its commits. At each moment its postmaster is killed, and in turn the service while
// that is away, or after the service was back to normal (F28).
func TestF34_PostgresAndServiceKilledUnderLoad(t *testing.T) {
	server, err := pgtest.Start("fsync=on", "full_page_writes=on")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}()
	s := serveOn(t, server.URL(""), "--device-message-rate", "0", "--key-rate", "0")
	var slowest time.Duration
	s.keepsItsWord(t, kills(4), func(n int) {
		atRandom()
		if err := server.Crash(); err != nil {
			t.Error(err)
		}
		if n%2 == 0 {
			s.kill()
		}
		if err := server.Resume(); err != nil {
			t.Error(err)
		}
		if n%2 == 1 {
			began := time.Now()
			await(t, "a service that is ready again", func() bool { return s.ready() == http.StatusOK })
			slowest = max(slowest, time.Since(began))
			atRandom()
			s.kill()
		}
	})
	t.Logf("slowest return to normal, the process living: %v", slowest)
}

// kills is how many moments are tried: more where there is time for it.
func kills(n int) int {
	if os.Getenv("TETHER_SOAK") != "" {
		return 200
	}
	return n
}

// atRandom waits for the moment, which is what is random here.
func atRandom() { <-time.After(time.Duration(rand.Int64N(int64(500 * time.Millisecond)))) }

// keepsItsWord lets a load loose on the service so many times, strikes, which kills
// it, starts it anew, and looks for all that was acknowledged.
func (s *site) keepsItsWord(t *testing.T, times int, strike func(n int)) {
	t.Helper()
	var ids, passwords []string
	for i := range 4 {
		id, password := s.api.addDevice(fmt.Sprint("press-", i))
		ids, passwords = append(ids, id), append(passwords, password)
	}
	var all acked
	var slowest time.Duration
	for n := range times {
		var life acked
		s.underLoad(ids, passwords, &life, func() {
			if n%4 < 2 { // in the thick of it; or else perhaps before there is anything
				await(t, "an order that succeeded", life.begun)
			}
			strike(n)
		})
		if findings, err := store.Check(t.Context(), s.database()); err != nil || len(findings) > 0 {
			t.Fatal(findings, err)
		}
		began := time.Now()
		s.begin(t)
		slowest = max(slowest, time.Since(began))
		s.has(t, &life)
		all.devices, all.orders = append(all.devices, life.devices...), append(all.orders, life.orders...)
	}
	s.has(t, &all)
	t.Logf("%d kills; acknowledged and there: %d devices, %d orders; slowest start %v", times, len(all.devices), len(all.orders), slowest)
}

// underLoad lets devices and callers loose on the service, until strike has killed it.
func (s *site) underLoad(ids, passwords []string, life *acked, strike func()) {
	var wg sync.WaitGroup
	prefix := fmt.Sprint(rand.Int64())
	for i, id := range ids {
		wg.Go(func() { s.obey(id, passwords[i]) })
		wg.Go(func() { s.orderOn(id, life) })
	}
	wg.Go(func() {
		for n := 0; ; n++ {
			a, err := s.api.try("POST", "device_add", fmt.Sprintf(`{"device_name":"d","hardware":{"sn":"%s-%d","model":"M"}}`, prefix, n))
			if err != nil {
				return
			}
			if a.Status == "success" {
				var added struct {
					DeviceID string `json:"device_id"`
				}
				_ = json.Unmarshal(a.Data, &added) // an empty id is found by nobody
				life.add(&life.devices, added.DeviceID)
			}
		}
	})
	strike()
	wg.Wait()
}

// obey is a device that carries out orders until its connection is gone.
func (s *site) obey(id, password string) {
	d := websocket.Dialer{NetDialContext: s.dial}
	conn, _, err := d.Dial("ws://tether/ws", nil)
	if err != nil {
		return
	}
	defer conn.Close()
	say := func(format string, args ...any) {
		_ = conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, format, args...)) // or the next read fails
	}
	say(`{"jsonrpc":"2.0","id":1,"method":"login","params":{"device_id":%q,"password":%q,"boot_id":"b"}}`, id, password)
	for {
		var m message
		if err := conn.ReadJSON(&m); err != nil {
			return
		}
		if m.Method == schema.MethodGiveOrder {
			say(`{"jsonrpc":"2.0","id":%s,"result":{"status":"success","message":"done"}}`, m.ID)
		}
	}
}

// orderOn gives a device orders until the service is gone.
func (s *site) orderOn(id string, life *acked) {
	for {
		a, err := s.api.try("POST", "give_order", fmt.Sprintf(`{"device_id":%q,"order":"blink","params":{}}`, id))
		if err != nil {
			return
		}
		var o schema.Order
		if a.HTTP == 200 && json.Unmarshal(a.Data, &o) == nil {
			life.add(&life.orders, o.OrderID)
		}
	}
}

// has looks up what was acknowledged.
func (s *site) has(t *testing.T, a *acked) {
	t.Helper()
	for _, id := range a.devices {
		s.api.device(id)
	}
	for _, id := range a.orders {
		if o := s.api.order(id); o.State != schema.OrderSucceeded {
			t.Errorf("order %s was acknowledged as succeeded, and is %s", id, o.State)
		}
	}
}
