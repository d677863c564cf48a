//go:build !race

package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
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

// parkedSlack is what the runtime and the database may take, which has written as
// many orders.
const parkedSlack = 24 << 20

// parkedCall is a call of an order that waits for its device.
type parkedCall struct {
	leave  context.CancelFunc
	status chan int // of the answer; 0: there is none
}

// park makes a call, and returns when its request is written.
func (s *site) park(c *http.Client, key, device string) parkedCall {
	ctx, leave := context.WithCancel(s.t.Context())
	p := parkedCall{leave, make(chan int, 1)}
	written := make(chan struct{})
	wrote := sync.OnceFunc(func() { close(written) })
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { wrote() }})
	body := fmt.Sprintf(`{"device_id":%q,"order":"blink","params":{},"if_offline":"queue","wait_ms":10000}`, device)
	r, err := http.NewRequestWithContext(traced, "POST", "http://"+s.address+northapi.Base+"/give_order", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", "application/json")
	go func() {
		defer wrote()
		resp, err := c.Do(r)
		if err != nil {
			p.status <- 0
			return
		}
		p.status <- resp.StatusCode
		resp.Body.Close()
	}()
	<-written
	return p
}

// TestT27_ParkedOrderCalls: thousands of order calls that wait, of an order each,
// take memory in proportion and no more, and the bound is the sum of what keys
// may; each of two keys has as many of them as it may, and no more; a caller who
// leaves makes room within a second, and his order stays. 10,000 of them are to
// take 200 MiB at most: HTTP/2 holds that. Over HTTP/1.1 a bare net/http server
// takes 150 MiB for as many.
func TestT27_ParkedOrderCalls(t *testing.T) {
	for _, c := range []struct {
		name   string
		speaks func(*http.Protocols)
		bytes  int // of each call
	}{
		{"HTTP2", func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }, (200<<20 - parkedSlack) / 10_000},
		{"HTTP1", func(p *http.Protocols) { p.SetHTTP1(true) }, 28 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := parkedCalls()
			s := serveLong(t, memoryDir(t), "--key-rate", "0", "--key-waiting", fmt.Sprint(n/2))
			s.api.address = s.address
			client := &http.Client{Transport: &http.Transport{Protocols: new(http.Protocols)}}
			c.speaks(client.Transport.(*http.Transport).Protocols)
			defer client.CloseIdleConnections()
			s.parkMany(t, client, n, (n*c.bytes+parkedSlack)>>10)
		})
	}
}

func (s *site) parkMany(t *testing.T, client *http.Client, n, limit int) {
	devices := s.api.registerMany(n/schema.MaxQueued + 1)
	keys := []string{s.newKey("a"), s.newKey("b")}
	before, _ := s.footprint().resident, s.peak(t, true)
	calls := make([]parkedCall, n)
	var all sync.WaitGroup
	const atOnce = 50
	for i := range atOnce {
		all.Go(func() {
			for k := i; k < n; k += atOnce {
				calls[k] = s.park(client, keys[k%2], devices[k/schema.MaxQueued].id)
			}
		})
	}
	all.Wait()
	defer func() {
		for _, c := range calls {
			c.leave()
		}
	}()
	await(t, "both keys at their limit", func() bool { return s.keyStatus(keys[0]) == 429 && s.keyStatus(keys[1]) == 429 })
	for i, d := range devices { // a call counts before its order is stored
		await(t, "the orders of a device", func() bool { return s.queued(d.id) == min(schema.MaxQueued, n-i*schema.MaxQueued) })
	}
	peak, after := s.peak(t, false), s.footprint()
	if status := s.keyStatus(s.api.key); status != 200 {
		t.Errorf("a third key is answered %d", status)
	}
	calls[0].leave()
	left := time.Now()
	await(t, "room for another request", func() bool { return s.keyStatus(keys[0]) == 200 })
	freed := time.Since(left)
	if queued := s.queued(devices[0].id); queued != schema.MaxQueued {
		t.Errorf("%d orders of %d wait", queued, schema.MaxQueued)
	}
	for _, c := range calls[1:] {
		if status := <-c.status; status != 202 {
			t.Errorf("a call is answered %d", status)
		}
	}
	grown := after.resident - before
	t.Logf("%d calls on %d descriptors: %d KiB, of %d allowed, %d at the most before what is not used was given back; room for another after %v",
		n, after.descriptors, grown, limit, peak>>10-before, freed)
	if grown > limit {
		t.Errorf("%d KiB, over the limit of %d", grown, limit)
	}
	if freed > time.Second {
		t.Errorf("room for another after %v", freed)
	}
}

// queued is how many orders wait for a device.
func (s *site) queued(device string) (n int) {
	s.t.Helper()
	var list schema.List[schema.Order]
	s.api.must("GET", "device_orders_query/"+device, "", &list)
	for _, o := range list.Items {
		if o.State == schema.OrderQueued {
			n++
		}
	}
	return n
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
