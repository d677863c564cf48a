package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/store"
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

// TestF34_ServiceKilledUnderLoad kills the service at random moments while
// devices log in and carry out orders and others are registered. Whatever was
// answered with success is there after it, and the check of the database,
// which knows that logs have no gap and that connect and disconnect alternate,
// finds nothing. (That a kill leaves the kernel's
// memory alone, package store makes up for: TestF35.)
func TestF34_ServiceKilledUnderLoad(t *testing.T) {
	t.Parallel()
	kills := 20
	if os.Getenv("TETHER_SOAK") != "" {
		kills = 200
	}
	s := serve(t, "--device-message-rate", "0")
	var ids, passwords []string
	for i := range 4 {
		id, password := s.api.addDevice(fmt.Sprint("press-", i))
		ids, passwords = append(ids, id), append(passwords, password)
	}
	var all acked
	var slowest time.Duration
	for range kills {
		var life acked
		s.killUnderLoad(t, ids, passwords, &life)
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
	t.Logf("%d kills; acknowledged and there: %d devices, %d orders; slowest start %v", kills, len(all.devices), len(all.orders), slowest)
	if len(all.devices) == 0 || len(all.orders) == 0 {
		t.Error("there was no load")
	}
}

// killUnderLoad lets devices and callers loose on the service, and kills it.
func (s *site) killUnderLoad(t *testing.T, ids, passwords []string, life *acked) {
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
	<-time.After(time.Duration(rand.Int64N(int64(500 * time.Millisecond)))) // the moment is what is random here
	s.kill()
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
