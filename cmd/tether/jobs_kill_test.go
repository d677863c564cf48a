package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/store"
)

// TestF34_JobsKilled kills the service at random moments while it carries out
// group orders. After each start the job goes on to its end by itself; no device
// was given an order of it twice; what it is said to have done it was given; and
// the counts are those of the rows. A job whose making was not answered is made
// again with its Idempotency-Key, and is one job.
func TestF34_JobsKilled(t *testing.T) {
	t.Parallel()
	devices, times, within := 60, 2, 30*time.Millisecond
	if os.Getenv("TETHER_SOAK") != "" {
		devices, times, within = 1000, 20, 2*time.Second
	}
	s := serve(t, "--device-message-rate", "0", "--key-rate", "0")
	c := recruit(s.api, devices)
	c.takes = 10 * time.Millisecond
	address := s.address
	c.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	c.join()
	var sum schema.JobCounts
	midway := 0
	for n := range times {
		key := fmt.Sprint("kill ", n)
		made := make(chan string, 1)
		go func() { made <- s.giveOnce(key) }()
		if n%2 == 0 { // in the thick of it; or else perhaps before there is anything
			await(t, "an order on a device", c.begun)
		}
		<-time.After(rand.N(within))
		s.kill()
		id := <-made
		c.wg.Wait()
		before := len(c.given)
		s.begin(t) // from now on the job goes on by itself
		c.join()
		if again := s.giveOnce(key); id != "" && again != id {
			t.Errorf("with one key job %s became %s", id, again)
		} else {
			id = again
		}
		var j schema.JobResults
		await(t, "the end of job "+id, func() bool { j = s.api.results(id); return j.EndedTime != nil })
		if before > 0 && before < devices {
			midway++
		}
		c.holds(t, j, devices)
		for _, state := range []schema.JobDeviceState{schema.DeviceSucceeded, schema.DeviceLost, schema.DeviceCancelled, schema.DeviceRefused} {
			*sum.Of(state) += *j.Counts.Of(state)
		}
	}
	s.kill()
	c.wg.Wait()
	if findings, err := store.Check(t.Context(), s.database()); err != nil || len(findings) > 0 {
		t.Error(findings, err)
	}
	t.Logf("%d kills, %d of them midway, of jobs for %d devices: %d succeeded, %d unknown, %d cancelled as not sent, %d refused; none was given an order twice",
		times, midway, devices, sum.Succeeded, sum.Unknown, sum.Cancelled, sum.Refused)
}

// giveOnce gives all devices an order, with a key; empty: there was no answer.
func (s *site) giveOnce(key string) string {
	a, err := s.api.try("POST", "group_give_order", `{"filter":{"model":"M"},"order":"blink","params":{},"max_parallel":20}`, "Idempotency-Key", key)
	var j schema.Job
	if err != nil || json.Unmarshal(a.Data, &j) != nil {
		return ""
	}
	return j.JobID
}

// begun says whether a device was given an order.
func (c *crew) begun() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.given) > 0
}

// holds looks at what became of each device of a job, against what the devices
// were given, and begins anew.
func (c *crew) holds(t *testing.T, j schema.JobResults, devices int) {
	t.Helper()
	given := c.orders(t)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(j.Items) != devices || j.Counts.Total != int64(devices) || given != len(c.given) {
		t.Errorf("%d rows, %+v; %d devices were given %d orders", len(j.Items), j.Counts, len(c.given), given)
	}
	for _, d := range j.Items {
		was := len(c.given[d.DeviceID]) == 1 && c.given[d.DeviceID][0] == d.OrderID
		switch d.State {
		case schema.DeviceSucceeded:
			if !was {
				t.Errorf("%+v, and was given %v", d, c.given[d.DeviceID])
			}
		case schema.DeviceLost:
			if *d.Reason == schema.ReasonTimeout {
				t.Errorf("%+v", d)
			}
		default: // cancelled as not sent, or refused
			if was {
				t.Errorf("%+v, and was given it", d)
			}
		}
	}
	clear(c.given)
}

// TestJobs_Measured is how long an order to 2,000 devices takes (with
// TETHER_SOAK=1; otherwise to 40) that carry it out at once, from the request to the last outcome.
func TestJobs_Measured(t *testing.T) {
	devices := 40
	if os.Getenv("TETHER_SOAK") != "" {
		devices = 2000
	}
	w := newWorld(t)
	c := recruit(w, devices)
	c.join()
	for _, parallel := range []int{10, 100, 1000} {
		began := time.Now()
		j := w.giveAll(fmt.Sprintf(`,"max_parallel":%d`, parallel))
		made := time.Since(began)
		await(t, "the end of the job", func() bool {
			w.must("GET", "group_order_query/"+j.JobID+"?limit=1", "", &j)
			return j.EndedTime != nil
		})
		took := time.Since(began)
		sameCounts(t, w.results(j.JobID), schema.JobDone, schema.JobCounts{Total: int64(devices), Succeeded: int64(devices)})
		t.Logf("%d devices, max_parallel %d: made in %v, ended after %v", devices, parallel, made.Round(time.Millisecond), took.Round(time.Millisecond))
	}
}
