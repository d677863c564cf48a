//go:build !race

package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
)

// parkedCalls is how many order calls TestT27_ParkedOrderCalls has wait.
func parkedCalls() int {
	if os.Getenv("TETHER_SOAK") != "" {
		return 10_000
	}
	return 1_000
}

// What the service may hold beside what it held at rest: half of each call is the
// stacks of its two goroutines, a quarter the buffers of net/http.
const (
	parkedBytes = 36 << 10 // each
	parkedSlack = 48 << 20 // the runtime and the database, which has written as many orders as distinctCalls
)

// distinctCalls are calls of an order each. All others are calls of one order
// again, by its Idempotency-Key: a call waits for 10 s at most, and a machine may
// not write 10,000 orders within that time.
const distinctCalls = 512

// parked gives an order that waits for its device, and whose caller waits for it.
// It returns when the request is written.
func (s *site) parked(t *testing.T, key, device, header string) net.Conn {
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Error(err)
		return nil
	}
	body := fmt.Sprintf(`{"device_id":%q,"order":"blink","params":{},"if_offline":"queue","wait_ms":10000}`, device)
	_, err = fmt.Fprintf(conn, "POST %s/give_order HTTP/1.1\r\nHost: tether\r\nAuthorization: Bearer %s\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		northapi.Base, key, header, len(body), body)
	if err != nil {
		t.Error(err)
	}
	return conn
}

// TestT27_ParkedOrderCalls: thousands of order calls that wait take memory in
// proportion and no more, and the bound is the sum of what keys may; each of two keys has as many of them as it may, and no
// more; a caller who leaves makes room within a second, and his order stays.
func TestT27_ParkedOrderCalls(t *testing.T) {
	n := parkedCalls()
	s := serveIn(t, memoryDir(t), "--key-rate", "0", "--key-waiting", fmt.Sprint(n/2))
	s.api.address = s.address
	devices := s.api.registerMany(distinctCalls/schema.MaxQueued + 1)
	keys := []string{s.newKey("a"), s.newKey("b")}
	before, _ := s.footprint().resident, s.peak(t, true)
	calls := make([]net.Conn, n)
	var all sync.WaitGroup
	const atOnce = 50
	for i := range atOnce {
		all.Go(func() {
			for k := i; k < n; k += atOnce {
				which, header := k, ""
				if k >= distinctCalls {
					which, header = distinctCalls, "Idempotency-Key: the one\r\n"
				}
				calls[k] = s.parked(t, keys[k%2], devices[which/schema.MaxQueued].id, header)
			}
		})
	}
	all.Wait()
	defer func() {
		for _, c := range calls {
			c.Close()
		}
	}()
	await(t, "both keys at their limit", func() bool { return s.keyStatus(keys[0]) == 429 && s.keyStatus(keys[1]) == 429 })
	peak, after := s.peak(t, false), s.footprint().resident
	if status := s.keyStatus(s.api.key); status != 200 {
		t.Errorf("a third key is answered %d", status)
	}
	calls[0].Close()
	left := time.Now()
	await(t, "room for another request", func() bool { return s.keyStatus(keys[0]) == 200 })
	freed := time.Since(left)
	var list schema.List[schema.Order]
	await(t, "all orders of a device", func() bool { // a call counts before its order is stored
		list = schema.List[schema.Order]{}
		s.api.must("GET", "device_orders_query/"+devices[0].id, "", &list)
		return len(list.Items) == schema.MaxQueued
	})
	for _, o := range list.Items {
		if o.State != schema.OrderQueued {
			t.Errorf("an order is %s", o.State)
		}
	}
	for _, i := range []int{1, n - 1} {
		resp, err := http.ReadResponse(bufio.NewReader(calls[i]), nil)
		if err != nil || resp.StatusCode != 202 {
			t.Errorf("call %d: %+v, %v", i, resp, err)
		}
	}
	grown, limit := after-before, (n*parkedBytes+parkedSlack)>>10
	t.Logf("%d calls: %d KiB, of %d allowed, %d at the most before what is not used was given back; room for another after %v",
		n, grown, limit, peak>>10-before, freed)
	if grown > limit {
		t.Errorf("%d KiB, over the limit of %d", grown, limit)
	}
	if freed > time.Second {
		t.Errorf("room for another after %v", freed)
	}
}

// newKey makes an operator's key.
func (s *site) newKey(name string) string {
	s.t.Helper()
	var made struct {
		Key string `json:"key"`
	}
	s.api.must("POST", "key_add", fmt.Sprintf(`{"name":%q,"role":"operator"}`, name), &made)
	return made.Key
}
