package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgetether/tether/schema"
)

// crew are devices that carry orders out.
type crew struct {
	dial  func(context.Context, string, string) (net.Conn, error)
	takes time.Duration    // to carry an order out
	fails func(i int) bool // nil: none does

	ids, passwords []string

	mu     sync.Mutex
	given  map[string][]string // orders, by device
	flying int                 // orders that are being carried out
	most   int                 // of flying
	wg     sync.WaitGroup
}

// recruit registers devices, which are not connected yet.
func recruit(w *world, n int) *crew {
	c := &crew{dial: w.dialFrom("10.0.0.7"), given: map[string][]string{}}
	for i := range n {
		id, password := w.addDevice(fmt.Sprint("d", i))
		c.ids, c.passwords = append(c.ids, id), append(c.passwords, password)
	}
	return c
}

// join connects devices; those that are named by none are all.
func (c *crew) join(which ...int) {
	if len(which) == 0 {
		for i := range c.ids {
			which = append(which, i)
		}
	}
	at := make(chan struct{}, 50) // logins at once
	for _, i := range which {
		at <- struct{}{}
		c.wg.Go(func() { c.serve(i, sync.OnceFunc(func() { <-at })) })
	}
	for range cap(at) {
		at <- struct{}{}
	}
}

// serve is a device until its connection is gone. loggedIn is called also if it
// does not get that far.
func (c *crew) serve(i int, loggedIn func()) {
	defer loggedIn()
	d := websocket.Dialer{NetDialContext: c.dial}
	conn, _, err := d.Dial("ws://tether/ws", nil)
	if err != nil {
		return
	}
	defer conn.Close()
	var writing sync.Mutex
	say := func(format string, args ...any) {
		writing.Lock()
		defer writing.Unlock()
		_ = conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, format, args...)) // or the next read fails
	}
	say(`{"jsonrpc":"2.0","id":1,"method":"login","params":{"device_id":%q,"password":%q,"boot_id":"b"}}`, c.ids[i], c.passwords[i])
	gone := make(chan struct{})
	defer close(gone)
	go func() {
		for {
			select {
			case <-time.After(schema.PingInterval):
				say(`{"jsonrpc":"2.0","id":2,"method":"ping"}`)
			case <-gone:
				return
			}
		}
	}()
	for {
		var m message
		if conn.ReadJSON(&m) != nil {
			return
		}
		if m.Method == schema.MethodGiveOrder {
			say(`{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, c.carryOut(i, m.Params))
		} else {
			loggedIn()
		}
	}
}

func (c *crew) carryOut(i int, params json.RawMessage) string {
	var g schema.GiveOrder
	_ = json.Unmarshal(params, &g) // an empty id is found by nobody
	c.mu.Lock()
	c.given[c.ids[i]] = append(c.given[c.ids[i]], g.OrderID)
	c.flying++
	c.most = max(c.most, c.flying)
	c.mu.Unlock()
	if c.takes > 0 {
		time.Sleep(c.takes)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flying--
	if c.fails != nil && c.fails(i) {
		return `{"status":"fail","message":"no"}`
	}
	return success
}

// orders is how many orders the devices were given; none was given one twice.
func (c *crew) orders(t *testing.T) (n int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, all := range c.given {
		n += len(all)
		slices.Sort(all)
		if len(slices.Compact(slices.Clone(all))) != len(all) {
			t.Errorf("device %s was given %v", id, all)
		}
	}
	return n
}

// giveAll gives all devices of the world an order, as rest says.
func (w *world) giveAll(rest string) schema.Job {
	w.t.Helper()
	var j schema.Job
	w.must("POST", "group_give_order", `{"filter":{"model":"M"},"order":"blink","params":{}`+rest+`}`, &j)
	return j
}

// results are a job and all its devices, a page at a time; the counts are held
// to the rows.
func (w *world) results(jobID string) schema.JobResults {
	w.t.Helper()
	var all schema.JobResults
	var counted schema.JobCounts
	for cursor := ""; ; {
		var page schema.JobResults
		w.must("GET", "group_order_query/"+jobID+"?limit=1000&cursor="+cursor, "", &page)
		for _, d := range page.Items {
			*counted.Of(d.State)++
			counted.Total++
		}
		page.Items = append(all.Items, page.Items...)
		all = page
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if all.EndedTime != nil && all.Counts != counted {
		w.t.Errorf("the counts are %+v, the rows %+v", all.Counts, counted)
	}
	return all
}

// finished waits for the end of a job.
func (w *world) finished(jobID string) schema.JobResults {
	w.t.Helper()
	for range 1000 {
		if j := w.results(jobID); j.EndedTime != nil {
			return j
		}
		time.Sleep(time.Second)
	}
	w.t.Fatalf("job %s does not end: %+v", jobID, w.results(jobID).Counts)
	return schema.JobResults{}
}

func sameCounts(t *testing.T, j schema.JobResults, state schema.JobState, want schema.JobCounts) {
	t.Helper()
	if j.State != state || j.Counts != want {
		t.Errorf("%s %+v\nwant %s %+v", j.State, j.Counts, state, want)
	}
}

// TestJobs_InParallel: as many orders are under way as max_parallel says, no
// more and, while there are more to give, no fewer.
func TestJobs_InParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := recruit(w, 20)
		c.takes = time.Second
		c.join()
		began := time.Now()
		j := w.finished(w.giveAll(`,"max_parallel":3`).JobID)
		sameCounts(t, j, schema.JobDone, schema.JobCounts{Total: 20, Succeeded: 20})
		if took := *j.EndedTime - j.CreatedTime; c.most != 3 || took != 7000 || c.orders(t) != 20 {
			t.Errorf("%d at once, %d orders, in %d ms, from %v", c.most, c.orders(t), took, began)
		}
		for _, d := range j.Items {
			if o := w.order(d.OrderID); o.JobID == nil || *o.JobID != j.JobID || o.By != "key:test" || o.DeviceID != d.DeviceID {
				t.Errorf("%+v", o)
			}
		}
	})
}

// TestJobs_StopAtFailures: once more than max_failures devices did not succeed,
// what has not begun does not begin.
func TestJobs_StopAtFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := recruit(w, 20)
		c.takes, c.fails = time.Second, func(int) bool { return true }
		c.join()
		before := 0
		for _, x := range []struct {
			options      string
			least, given int // that is given
		}{
			{`,"max_parallel":1,"max_failures":0`, 1, 1},
			{`,"max_parallel":1,"max_failures":2`, 3, 3},
			{`,"max_parallel":4,"max_failures":5`, 6, 9}, // the three others of the second four, and one in the place of each of two
			{`,"max_parallel":4,"max_failures":20`, 20, 20},
			{`,"max_parallel":4`, 20, 20},
		} {
			j := w.finished(w.giveAll(x.options).JobID)
			given := c.orders(t) - before
			before += given
			state := schema.JobStopped
			if x.given == 20 {
				state = schema.JobDone
			}
			sameCounts(t, j, state, schema.JobCounts{Total: 20, Failed: int64(given), Cancelled: int64(20 - given)})
			if given < x.least || given > x.given {
				t.Errorf("%s: %d were given", x.options, given)
			}
			for _, d := range j.Items {
				if d.State == schema.DeviceCancelled && *d.Reason != schema.ReasonJobStopped {
					t.Errorf("%+v", d)
				}
			}
		}
	})
}

// TestJobs_StopAtWhatWaited: devices that were refused, or whose order has
// expired, did not succeed either; what still waits is cancelled.
func TestJobs_StopAtWhatWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		recruit(w, 5)
		j := w.finished(w.giveAll(`,"max_parallel":1,"max_failures":1`).JobID)
		sameCounts(t, j, schema.JobStopped, schema.JobCounts{Total: 5, Refused: 2, Cancelled: 3})
		if d := j.Items[0]; *d.Reason != "device_offline" || d.Message != "the device is offline" {
			t.Errorf("%+v", d)
		}
		long := w.giveAll(`,"if_offline":"queue","ttl_s":10,"max_failures":0`)
		time.Sleep(time.Second)
		if n := w.results(long.JobID).Counts.Queued; n != 5 {
			t.Fatalf("%d wait", n)
		}
		w.must("POST", "order_cancel", fmt.Sprintf(`{"order_id":%q}`, w.results(long.JobID).Items[2].OrderID), nil)
		j = w.finished(long.JobID)
		sameCounts(t, j, schema.JobStopped, schema.JobCounts{Total: 5, Cancelled: 5})
		if j.Items[2].Reason != nil || *j.Items[3].Reason != schema.ReasonJobStopped {
			t.Errorf("%+v", j.Items)
		}
		j = w.finished(w.giveAll(`,"if_offline":"queue","ttl_s":10`).JobID)
		sameCounts(t, j, schema.JobDone, schema.JobCounts{Total: 5, Expired: 5})
	})
}

// TestJobs_WhatWaitsTakesNoPlace: behind devices that are away the others have
// their turn, and the job ends when the last has come back.
func TestJobs_WhatWaitsTakesNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := recruit(w, 6)
		c.join(5)
		id := w.giveAll(`,"max_parallel":1,"if_offline":"queue","if_busy":"wait"`).JobID
		time.Sleep(2 * time.Second)
		sameCounts(t, w.results(id), schema.JobRunning, schema.JobCounts{Total: 6, Queued: 5, Succeeded: 1})
		time.Sleep(time.Minute)
		c.join(0, 1, 2, 3, 4)
		sameCounts(t, w.finished(id), schema.JobDone, schema.JobCounts{Total: 6, Succeeded: 6})
		if c.orders(t) != 6 {
			t.Errorf("%d were given", c.orders(t))
		}
	})
}

// TestJobs_Cancel: from the answer on nothing begins; what is under way has its
// outcome, and what waits is cancelled.
func TestJobs_Cancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := recruit(w, 10)
		c.takes = 2 * time.Second
		c.join(2, 3, 4, 5, 6, 7, 8, 9)
		id := w.giveAll(`,"max_parallel":2,"if_offline":"queue"`).JobID
		time.Sleep(3 * time.Second)
		var j schema.Job
		w.must("POST", "group_order_cancel", fmt.Sprintf(`{"job_id":%q}`, id), &j)
		if want := (schema.JobCounts{Total: 10, Sent: 2, Succeeded: 2, Cancelled: 6}); j.State != schema.JobCancelled || j.Counts != want || j.EndedTime != nil {
			t.Errorf("%+v", j)
		}
		sameCounts(t, w.finished(id), schema.JobCancelled, schema.JobCounts{Total: 10, Succeeded: 4, Cancelled: 6})
		a := w.ask("POST", "group_order_cancel", fmt.Sprintf(`{"job_id":%q}`, id))
		if a.HTTP != 409 || a.Code != "job_not_cancellable" || c.orders(t) != 4 {
			t.Errorf("%+v, %d were given", a, c.orders(t))
		}
	})
}

// TestJobs_Retry gives those the order again that did not succeed.
func TestJobs_Retry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := recruit(w, 6)
		broken := true
		c.fails = func(i int) bool { return broken && i == 1 }
		c.join(0, 1, 2)
		first := w.finished(w.giveAll("").JobID)
		sameCounts(t, first, schema.JobDone, schema.JobCounts{Total: 6, Succeeded: 2, Failed: 1, Refused: 3})
		broken = false
		c.join(3, 4)
		var j schema.Job
		w.must("POST", "group_order_retry", fmt.Sprintf(`{"job_id":%q}`, first.JobID), &j)
		if j.Target != (schema.JobTarget{Kind: schema.TargetRetry, JobID: first.JobID}) {
			t.Errorf("%+v", j)
		}
		sameCounts(t, w.finished(j.JobID), schema.JobDone, schema.JobCounts{Total: 4, Succeeded: 3, Refused: 1})
		sameCounts(t, w.results(first.JobID), schema.JobDone, first.Counts)
	})
}

// TestF52_JobGoesOn: a server that drains begins nothing more. After its start
// the job goes on, and devices have time to come back; nobody is given an order
// twice, and no device is taken for offline because the server was.
func TestF52_JobGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := recruit(w, 8)
		c.takes = 2 * time.Second
		c.join()
		id := w.giveAll(`,"max_parallel":2`).JobID
		time.Sleep(3 * time.Second)
		w.end()
		c.wg.Wait()
		if given := c.orders(t); given != 4 {
			t.Errorf("%d were given", given)
		}
		w.start()
		sameCounts(t, w.results(id), schema.JobRunning, schema.JobCounts{Total: 8, Pending: 4, Succeeded: 4})
		time.Sleep(12 * time.Second)
		c.join(0, 1, 2, 3, 4, 5, 6)
		time.Sleep(10 * time.Second)
		sameCounts(t, w.results(id), schema.JobRunning, schema.JobCounts{Total: 8, Pending: 1, Succeeded: 7})
		time.Sleep(10 * time.Second)
		sameCounts(t, w.finished(id), schema.JobDone, schema.JobCounts{Total: 8, Succeeded: 7, Refused: 1})
		if c.orders(t) != 7 {
			t.Errorf("%d were given", c.orders(t))
		}
	})
}

// TestJobs_DeviceGone: a device that was deleted before its turn says so.
func TestJobs_DeviceGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := recruit(w, 3)
		c.takes = 2 * time.Second
		c.join(0, 1)
		id := w.giveAll(`,"max_parallel":1,"if_offline":"queue"`).JobID
		time.Sleep(time.Second)
		w.must("DELETE", "device_delete", fmt.Sprintf(`{"device_id":%q}`, c.ids[2]), nil)
		j := w.finished(id)
		sameCounts(t, j, schema.JobDone, schema.JobCounts{Total: 3, Succeeded: 2, Refused: 1})
		if d := j.Items[2]; d.Reason == nil || *d.Reason != "device_not_found" {
			t.Errorf("%+v", d)
		}
	})
}

// TestJobs_Events: the events of a job's orders name it, and those of a device
// that was refused too.
func TestJobs_Events(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := recruit(w, 2)
		c.join(0)
		j := w.finished(w.giveAll("").JobID)
		w.settle()
		var got []string
		for _, e := range w.events {
			if ref := e.OrderRef(); ref.JobID == j.JobID {
				got = append(got, fmt.Sprint(slices.Index(c.ids, e.DeviceID), " ", e.Kind, " ", e.Outcome))
			}
		}
		slices.Sort(got)
		if want := "0 order sent, 0 order_result succeeded, 1 order refused"; strings.Join(got, ", ") != want {
			t.Errorf("%s\nwant %s", strings.Join(got, ", "), want)
		}
	})
}
