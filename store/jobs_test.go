package store

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
)

// jobOf is a job for a target, of the orders "JOB-1", "JOB-2", …
func jobOf(id string, target schema.JobTarget, devices ...string) schema.NewJob {
	return schema.NewJob{DeviceIDs: devices, Job: schema.Job{
		JobID: id, Target: target, Order: "blink", Params: schema.RawObject(`{"n":3}`), MaxParallel: 2,
		IfOffline: schema.IfFail, IfBusy: schema.IfWait, TTL: 60, By: "key:test", CreatedTime: start,
	}}
}

var (
	ofDeviceList = schema.JobTarget{Kind: schema.TargetDevices}
	ofGroupG     = schema.JobTarget{Kind: schema.TargetGroup, GroupID: "g"}
)

// ordersOf makes the identifiers of a job's orders.
func ordersOf(job string) func() string {
	n := 0
	return func() string { n++; return fmt.Sprintf("%s-%d", job, n) }
}

func addJob(t testing.TB, s *Store, n schema.NewJob) schema.Job {
	t.Helper()
	j, err := s.AddJob(t.Context(), all, n, ordersOf(n.JobID))
	must(t, err)
	return j
}

// jobFleet is a store with devices 1 to n, claimed at epoch 1. Those with odd
// numbers are in group g.
func jobFleet(t testing.TB, n int) *Store {
	t.Helper()
	s := open(t, Options{})
	addGroup(t, s, "g", "h")
	for i := 1; i <= n; i++ {
		id := fmt.Sprint(i)
		addDevice(t, s, id)
		claim(t, s, claimOf(id, 1))
		if i%2 == 1 {
			must(t, s.AddRelation(t.Context(), all, id, "g", start))
		}
	}
	return s
}

// jobIntent is the intent of the order of a job at a place, which is its device.
func jobIntent(job string, place int) schema.Intent {
	in := intentOf(fmt.Sprintf("%s-%d", job, place), fmt.Sprint(place), 1)
	in.Order.JobID = &job
	return in
}

func jobOutcome(job string, place int, state schema.OrderState) schema.Outcome {
	return schema.Outcome{OrderID: fmt.Sprintf("%s-%d", job, place), DeviceID: fmt.Sprint(place), Epoch: 1, State: state, Message: "says so", Now: start + 300}
}

// told is a job's state and counts, each that is not zero.
func told(t testing.TB, s *Store, sc schema.Scope, job string) string {
	t.Helper()
	j, err := s.Job(t.Context(), sc, job)
	must(t, err)
	text := fmt.Sprint(j.State, " ", j.Counts.Total, ":")
	for _, state := range []schema.JobDeviceState{schema.DevicePending, schema.DeviceQueued, schema.DeviceSent, schema.DeviceSucceeded,
		schema.DeviceFailed, schema.DeviceLost, schema.DeviceCancelled, schema.DeviceExpired, schema.DeviceRefused} {
		if n := *j.Counts.Of(state); n != 0 {
			text += fmt.Sprint(" ", state, " ", n)
		}
	}
	return text
}

// rowsOf tells of a job's devices, and holds the counts to them.
func rowsOf(t testing.TB, s *Store, sc schema.Scope, job string, limit int, states ...schema.JobDeviceState) string {
	t.Helper()
	var rows []string
	counted := schema.JobCounts{}
	for page := (schema.Page{Limit: limit}); ; {
		res, err := s.JobResults(t.Context(), sc, job, states, page)
		must(t, err)
		for _, d := range res.Items {
			*counted.Of(d.State)++
			counted.Total++
			row := fmt.Sprint(d.DeviceID, " ", d.State)
			if d.Reason != nil {
				row += " " + *d.Reason
			}
			if d.Message != "" {
				row += " (" + d.Message + ")"
			}
			rows = append(rows, row)
		}
		if page.Cursor = res.NextCursor; page.Cursor == "" {
			if len(states) == 0 {
				equal(t, "counts", res.Counts, counted)
			}
			return strings.Join(rows, "; ")
		}
	}
}

// The devices of a job are those that were there when it was made, whatever is
// done to them, and to their group, afterwards.
func TestAddJob_Snapshot(t *testing.T) {
	each(t, func(t *testing.T) {
		s := jobFleet(t, 5)
		j := addJob(t, s, jobOf("j", ofGroupG))
		want := schema.Job{JobID: "j", Target: ofGroupG, Order: "blink", Params: schema.RawObject(`{"n":3}`), MaxParallel: 2, IfOffline: "fail",
			IfBusy: "wait", TTL: 60, State: schema.JobRunning, Counts: schema.JobCounts{Total: 3, Pending: 3}, By: "key:test", CreatedTime: start}
		equal(t, "made", fmt.Sprintf("%+v", j), fmt.Sprintf("%+v", want))
		must(t, s.DeleteRelation(t.Context(), all, "1", "g"))
		must(t, s.DeleteDevice(t.Context(), all, "3", "", start))
		must(t, s.DeleteGroup(t.Context(), all, "g"))
		equal(t, "rows", rowsOf(t, s, all, "j", 2), "1 pending; 3 pending; 5 pending")
		orders, err := s.PendingOrders(t.Context(), "j", 1, 10)
		must(t, err)
		equal(t, "to give", fmt.Sprint(orders), "[{2 3 j-2} {3 5 j-3}]")
	})
}

func TestAddJob_Targets(t *testing.T) {
	each(t, func(t *testing.T) {
		s := jobFleet(t, 5)
		ofG := schema.Scope{Groups: []string{"g"}}
		filter := func(f schema.JobFilter) schema.JobTarget {
			return schema.JobTarget{Kind: schema.TargetFilter, Filter: &f}
		}
		for i, c := range []struct {
			scope   schema.Scope
			target  schema.JobTarget
			devices []string
			want    string // devices, or the error's text
		}{
			{all, ofDeviceList, []string{"4", "2"}, "4 2"},
			{ofG, ofDeviceList, []string{"3"}, "3"},
			{all, ofDeviceList, []string{"4", "9"}, "device_not_found: device_ids[1]: no such device: 9"},
			{ofG, ofDeviceList, []string{"3", "4"}, "device_not_found: device_ids[1]: no such device: 4"},
			{all, filter(schema.JobFilter{Model: "ModelB"}), nil, "1 2 3 4 5"},
			{ofG, filter(schema.JobFilter{Model: "ModelB"}), nil, "1 3 5"},
			{all, filter(schema.JobFilter{Name: "PRESS-4"}), nil, "4"},
			{all, filter(schema.JobFilter{State: schema.Online, Type: "press"}), nil, "1 2 3 4 5"},
			{all, filter(schema.JobFilter{State: schema.Offline}), nil, "no_devices: there is no device that the order would be for"},
			{all, schema.JobTarget{Kind: schema.TargetGroup, GroupID: "h"}, nil, "no_devices: there is no device that the order would be for"},
			{all, schema.JobTarget{Kind: schema.TargetGroup, GroupID: "x"}, nil, "group_not_found: no such group"},
			{ofG, schema.JobTarget{Kind: schema.TargetGroup, GroupID: "h"}, nil, "group_not_found: no such group"},
			{ofG, ofGroupG, nil, "1 3 5"},
		} {
			id := fmt.Sprint("j", i)
			_, err := s.AddJob(t.Context(), c.scope, jobOf(id, c.target, c.devices...), ordersOf(id))
			got := fmt.Sprint(err)
			if err == nil {
				orders, err := s.PendingOrders(t.Context(), id, 0, 10)
				must(t, err)
				var ids []string
				for _, o := range orders {
					ids = append(ids, o.DeviceID)
				}
				got = strings.Join(ids, " ")
			} else if _, err := s.Job(t.Context(), all, id); schema.KindOf(err) != schema.OrderNotFound {
				t.Errorf("%d: something was made: %v", i, err)
			}
			equal(t, id, got, c.want)
		}
	})
}

// TestJob_Counts: each device is in one state, at every moment, and the counts
// say the same as the rows; a late result changes both.
func TestJob_Counts(t *testing.T) {
	each(t, func(t *testing.T) {
		s := jobFleet(t, 8)
		addJob(t, s, jobOf("j", ofDeviceList, "1", "2", "3", "4", "5", "6", "7", "8"))
		for _, place := range []int{1, 2, 3, 4} {
			must(t, begin(s, jobIntent("j", place)))
		}
		for place, state := range map[int]schema.OrderState{2: schema.OrderSucceeded, 3: schema.OrderStateFail, 4: schema.OrderStateLost} {
			_, err := end(s, jobOutcome("j", place, state))
			must(t, err)
		}
		q := queuedOf("j-5", "5")
		q.Order.JobID = &[]string{"j"}[0]
		_, err := s.Enqueue(t.Context(), q)
		must(t, err)
		must(t, s.RefuseOrder(t.Context(), "j", 6, "device_offline", "the device is offline"))
		must(t, s.RefuseOrder(t.Context(), "j", 2, "device_offline", "it has a record"))
		must(t, s.DeleteDevice(t.Context(), all, "8", "", start))
		equal(t, "counts", told(t, s, all, "j"), "running 8: pending 2 queued 1 sent 1 succeeded 1 failed 1 unknown 1 refused 1")
		equal(t, "rows", rowsOf(t, s, all, "j", 3), "1 sent; 2 succeeded (says so); 3 failed (says so); 4 unknown (says so); 5 queued; "+
			"6 refused device_offline (the device is offline); 7 pending; 8 pending")
		equal(t, "some", rowsOf(t, s, all, "j", 1, schema.DeviceFailed, schema.DeviceRefused, schema.DeviceLost),
			"3 failed (says so); 4 unknown (says so); 6 refused device_offline (the device is offline)")
		ofG := schema.Scope{Groups: []string{"g", "h"}}
		equal(t, "seen", told(t, s, ofG, "j"), "running 4: pending 1 queued 1 sent 1 failed 1")
		equal(t, "seen rows", rowsOf(t, s, ofG, "j", 10), "1 sent; 3 failed (says so); 5 queued; 7 pending")
		_, err = end(s, jobOutcome("j", 4, schema.OrderSucceeded))
		must(t, err)
		equal(t, "later", told(t, s, all, "j"), "running 8: pending 2 queued 1 sent 1 succeeded 2 failed 1 refused 1")
		o, err := s.Order(t.Context(), all, "j-4")
		must(t, err)
		if o.JobID == nil || *o.JobID != "j" || !o.Late {
			t.Errorf("%+v", o)
		}
		_, err = s.Job(t.Context(), schema.Scope{Groups: []string{"h"}}, "j")
		wantKind(t, err, schema.OrderNotFound, "job_not_found")
		_, err = s.JobResults(t.Context(), all, "none", nil, schema.Page{})
		wantKind(t, err, schema.OrderNotFound, "job_not_found")
	})
}

// TestJob_PagesWhileRowsChange: a page goes on behind the one before, and each
// device is told of once, whatever its state becomes meanwhile.
func TestJob_PagesWhileRowsChange(t *testing.T) {
	each(t, func(t *testing.T) {
		s := jobFleet(t, 6)
		addJob(t, s, jobOf("j", ofDeviceList, "1", "2", "3", "4", "5", "6"))
		var seen []string
		for page := (schema.Page{Limit: 2}); ; {
			res, err := s.JobResults(t.Context(), all, "j", nil, page)
			must(t, err)
			for _, d := range res.Items {
				seen = append(seen, fmt.Sprint(d.DeviceID, d.State))
			}
			if page.Cursor = res.NextCursor; page.Cursor == "" {
				break
			}
			n := len(seen)
			must(t, begin(s, jobIntent("j", n)))
			must(t, begin(s, jobIntent("j", n+1)))
		}
		equal(t, "seen", fmt.Sprint(seen), "[1pending 2pending 3sent 4pending 5sent 6pending]")
		_, err := s.ListJobs(t.Context(), all, schema.Page{Cursor: cursor{kind: 'j', number: 1}.encode()})
		wantKind(t, err, schema.Invalid, "")
	})
}

// TestJob_GivenOnce: the identifier of a job's order is its record's, and no
// second intent of it is taken: not from the queue, nor at another time.
func TestJob_GivenOnce(t *testing.T) {
	each(t, func(t *testing.T) {
		s := jobFleet(t, 2)
		addJob(t, s, jobOf("j", ofDeviceList, "1", "2"))
		must(t, begin(s, jobIntent("j", 1)))
		again := jobIntent("j", 1)
		at := *again.Order.SentTime + 1
		again.Order.SentTime = &at
		wantKind(t, begin(s, again), schema.OrderRefused, "order_exists")
		q := schema.Queued{Order: again.Order, Expires: start + 1000}
		_, err := s.Enqueue(t.Context(), q)
		wantKind(t, err, schema.OrderRefused, "order_exists")
		_, err = end(s, jobOutcome("j", 1, schema.OrderSucceeded))
		must(t, err)
		wantKind(t, begin(s, again), schema.OrderRefused, "order_exists")
		orders, err := s.PendingOrders(t.Context(), "j", 0, 10)
		must(t, err)
		equal(t, "to give", fmt.Sprint(orders), "[{2 2 j-2}]")
	})
}

// TestF31_NotSentIsOfOneClaim: that nothing was sent, said of a claim whose
// commit was in doubt, does not touch the order that was given again since.
func TestF31_NotSentIsOfOneClaim(t *testing.T) {
	each(t, func(t *testing.T) {
		s := jobFleet(t, 1)
		addJob(t, s, jobOf("j", ofDeviceList, "1"))
		must(t, begin(s, jobIntent("j", 1)))
		notSent := jobOutcome("j", 1, schema.OrderCancelled)
		notSent.Reason = schema.ReasonNotSent
		for _, other := range []struct{ epoch, sent int64 }{{1, start + 99}, {2, start + 100}} {
			notSent.Epoch, notSent.Sent = other.epoch, other.sent
			o, err := end(s, notSent)
			must(t, err)
			equal(t, "state", o.State, schema.OrderSent)
		}
		notSent.Epoch, notSent.Sent = 1, start+100
		o, err := end(s, notSent)
		must(t, err)
		equal(t, "state", o.State, schema.OrderCancelled)
	})
}

// TestJob_EndsEarly: from the commit that cancels or stops a job nothing of it
// begins. What was sent has its outcome, and then the job has ended.
func TestJob_EndsEarly(t *testing.T) {
	each(t, func(t *testing.T) {
		for state, halt := range map[schema.JobState]func(*Store) error{
			schema.JobStopped: func(s *Store) error { return s.StopJob(t.Context(), "j") },
			schema.JobCancelled: func(s *Store) error {
				_, err := s.CancelJob(t.Context(), all, "j", "key:x", start+200)
				return err
			},
		} {
			s := jobFleet(t, 4)
			addJob(t, s, jobOf("j", ofDeviceList, "1", "2", "3", "4"))
			must(t, begin(s, jobIntent("j", 1)))
			q := queuedOf("j-2", "2")
			q.Order.JobID = &[]string{"j"}[0]
			_, err := s.Enqueue(t.Context(), q)
			must(t, err)
			must(t, halt(s))
			wantKind(t, begin(s, jobIntent("j", 3)), schema.OrderRefused, "job_over")
			q = queuedOf("j-4", "4")
			q.Order.JobID = &[]string{"j"}[0]
			_, err = s.Enqueue(t.Context(), q)
			wantKind(t, err, schema.OrderRefused, "job_over")
			must(t, s.RefuseOrder(t.Context(), "j", 4, "device_offline", ""))
			ended, err := s.SettleJob(t.Context(), "j", start+250)
			must(t, err)
			equal(t, "ended", ended, false)
			reason := "job_" + string(state)
			equal(t, "rows", rowsOf(t, s, all, "j", 10), fmt.Sprintf("1 sent; 2 cancelled %s; 3 cancelled %[1]s; 4 cancelled %[1]s", reason))
			_, err = end(s, jobOutcome("j", 1, schema.OrderSucceeded))
			must(t, err)
			ended, err = s.SettleJob(t.Context(), "j", start+400)
			must(t, err)
			equal(t, "ended", ended, true)
			j, err := s.Job(t.Context(), all, "j")
			must(t, err)
			if j.State != state || *j.EndedTime != start+400 || (state == schema.JobCancelled) != (j.CancelledBy != nil && *j.CancelledBy == "key:x") {
				t.Errorf("%+v", j)
			}
			_, err = s.CancelJob(t.Context(), all, "j", "key:x", start)
			wantKind(t, err, schema.OrderConflict, "job_not_cancellable")
			by := map[schema.JobState]string{schema.JobStopped: "server", schema.JobCancelled: "key:x"}[state]
			last := log(t, s, "2")
			equal(t, "event", fmt.Sprint(last[len(last)-1].By, string(last[len(last)-1].Detail)),
				by+fmt.Sprintf(`{"job_id":"j","late":false,"order_id":"j-2","reason":%q,"state":"cancelled"}`, reason))
		}
	})
}

func TestJob_EndsWithItsLastDevice(t *testing.T) {
	each(t, func(t *testing.T) {
		s := jobFleet(t, 2)
		addJob(t, s, jobOf("j", ofDeviceList, "1", "2"))
		settles := func(want bool) {
			t.Helper()
			ended, err := s.SettleJob(t.Context(), "j", start+500)
			must(t, err)
			equal(t, "ended", ended, want)
		}
		settles(false)
		must(t, s.RefuseOrder(t.Context(), "j", 1, "device_offline", ""))
		settles(false)
		must(t, begin(s, jobIntent("j", 2)))
		settles(false)
		_, err := end(s, jobOutcome("j", 2, schema.OrderStateLost))
		must(t, err)
		running, err := s.RunningJobs(t.Context())
		must(t, err)
		equal(t, "running", fmt.Sprint(running), "[j]")
		settles(true)
		settles(true)
		running, err = s.RunningJobs(t.Context())
		must(t, err)
		equal(t, "running", len(running), 0)
		equal(t, "counts", told(t, s, all, "j"), "done 2: unknown 1 refused 1")
	})
}

// TestT25_JobKey: the same key and body are the same job, also after its group
// is gone; another body is refused; after a day the key is free.
func TestT25_JobKey(t *testing.T) {
	each(t, func(t *testing.T) {
		s := jobFleet(t, 3)
		n := jobOf("j", ofGroupG)
		n.Once = schema.Once{Owner: "k", Key: "x", Hash: "1"}
		first := addJob(t, s, n)
		must(t, s.DeleteGroup(t.Context(), all, "g"))
		n.JobID = "again"
		equal(t, "again", addJob(t, s, n).JobID, first.JobID)
		n.Once.Hash = "2"
		_, err := s.AddJob(t.Context(), all, n, ordersOf("again"))
		wantKind(t, err, schema.OrderConflict, "idempotency_conflict")
		n.Once.Owner, n.Target, n.DeviceIDs = "other", ofDeviceList, []string{"1"}
		equal(t, "another's", addJob(t, s, n).JobID, "again")
		n.JobID, n.Once.Owner, n.CreatedTime = "later", "k", start+schema.OnceLifetime.Milliseconds()
		equal(t, "later", addJob(t, s, n).JobID, "later")
		n.JobID = "refused"
		n.Once.Key, n.DeviceIDs = "y", []string{"9"}
		_, err = s.AddJob(t.Context(), all, n, ordersOf("refused"))
		wantKind(t, err, schema.DeviceNotFound, "")
		n.DeviceIDs = []string{"1"}
		equal(t, "free again", addJob(t, s, n).JobID, "refused")
	})
}

// TestT25_JobKeyAtOnce: of many at one moment one job comes about.
func TestT25_JobKeyAtOnce(t *testing.T) {
	each(t, func(t *testing.T) {
		s := jobFleet(t, 3)
		made := make([]string, 20)
		var wg sync.WaitGroup
		for i := range made {
			wg.Go(func() {
				n := jobOf(fmt.Sprint("j", i), ofGroupG)
				n.Once = schema.Once{Owner: "k", Key: "x", Hash: "1"}
				j, err := s.AddJob(t.Context(), all, n, ordersOf(n.JobID))
				if made[i] = j.JobID; err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, id := range made {
			equal(t, "job", id, made[0])
		}
		l, err := s.ListJobs(t.Context(), all, schema.Page{})
		must(t, err)
		equal(t, "jobs", len(l.Items), 1)
	})
}

// TestJob_Retry: those that did not succeed and are still there, of those that
// the scope sees, with the order and the limits of the job before.
func TestJob_Retry(t *testing.T) {
	each(t, func(t *testing.T) {
		s := jobFleet(t, 6)
		n := jobOf("j", ofDeviceList, "1", "2", "3", "4", "5", "6")
		n.MaxFailures = &[]int64{7}[0]
		addJob(t, s, n)
		again := func(id string) schema.NewJob {
			return schema.NewJob{Job: schema.Job{JobID: id, Target: schema.JobTarget{Kind: schema.TargetRetry, JobID: "j"}, By: "key:y", CreatedTime: start + 900}}
		}
		_, err := s.AddJob(t.Context(), all, again("k"), ordersOf("k"))
		wantKind(t, err, schema.OrderConflict, "job_running")
		for place, state := range map[int]schema.OrderState{1: schema.OrderSucceeded, 2: schema.OrderStateFail, 3: schema.OrderStateLost} {
			must(t, begin(s, jobIntent("j", place)))
			_, err := end(s, jobOutcome("j", place, state))
			must(t, err)
		}
		must(t, s.RefuseOrder(t.Context(), "j", 4, "device_offline", ""))
		must(t, s.RefuseOrder(t.Context(), "j", 5, "device_offline", ""))
		must(t, s.DeleteDevice(t.Context(), all, "5", "", start))
		_, err = s.CancelJob(t.Context(), all, "j", "key:x", start+800)
		must(t, err)
		k := addJob(t, s, again("k"))
		equal(t, "rows", rowsOf(t, s, all, "k", 10), "2 pending; 3 pending; 4 pending; 6 pending")
		if k.Order != "blink" || string(k.Params) != `{"n":3}` || k.MaxParallel != 2 || *k.MaxFailures != 7 || k.IfBusy != "wait" || k.TTL != 60 || k.By != "key:y" {
			t.Errorf("%+v", k)
		}
		_, err = s.AddJob(t.Context(), schema.Scope{Groups: []string{"g"}}, again("l"), ordersOf("l"))
		must(t, err)
		equal(t, "seen rows", rowsOf(t, s, all, "l", 10), "3 pending")
		_, err = s.AddJob(t.Context(), schema.Scope{Groups: []string{"h"}}, again("m"), ordersOf("m"))
		wantKind(t, err, schema.OrderNotFound, "job_not_found")
	})
}

// TestT22_CancelJob: a key that does not see all devices of a job must not
// cancel it, and one that sees none does not know of it.
func TestT22_CancelJob(t *testing.T) {
	each(t, func(t *testing.T) {
		s := jobFleet(t, 3)
		addJob(t, s, jobOf("both", ofDeviceList, "1", "2"))
		addJob(t, s, jobOf("own", ofDeviceList, "1", "3"))
		ofG := schema.Scope{Groups: []string{"g"}}
		_, err := s.CancelJob(t.Context(), ofG, "both", "key:x", start)
		wantKind(t, err, schema.Forbidden, "forbidden")
		equal(t, "both", told(t, s, all, "both"), "running 2: pending 2")
		_, err = s.CancelJob(t.Context(), schema.Scope{Groups: []string{"h"}}, "both", "key:x", start)
		wantKind(t, err, schema.OrderNotFound, "job_not_found")
		_, err = s.CancelJob(t.Context(), ofG, "own", "key:x", start)
		must(t, err)
		equal(t, "own", told(t, s, all, "own"), "cancelled 2: cancelled 2")
		l, err := s.ListJobs(t.Context(), schema.Scope{Groups: []string{"h"}}, schema.Page{})
		must(t, err)
		equal(t, "seen", len(l.Items), 0)
		l, err = s.ListJobs(t.Context(), ofG, schema.Page{Limit: 1})
		must(t, err)
		equal(t, "newest", l.Items[0].JobID, "own")
	})
}

func TestJob_AtMost(t *testing.T) {
	each(t, func(t *testing.T) {
		s := jobFleet(t, 1)
		for i := range schema.MaxJobs {
			addJob(t, s, jobOf(fmt.Sprint("j", i), ofDeviceList, "1"))
		}
		_, err := s.AddJob(t.Context(), all, jobOf("more", ofDeviceList, "1"), ordersOf("more"))
		wantKind(t, err, schema.Overloaded, "too_many_jobs")
		_, err = s.CancelJob(t.Context(), all, "j7", "key:x", start)
		must(t, err)
		addJob(t, s, jobOf("more", ofDeviceList, "1"))
	})
}

// TestRemoveOrders_Jobs: a job goes with its devices once it has ended long
// ago, and its orders after it, not before; one that runs stays.
func TestRemoveOrders_Jobs(t *testing.T) {
	each(t, func(t *testing.T) {
		s := jobFleet(t, 2)
		addJob(t, s, jobOf("old", ofDeviceList, "1", "2"))
		must(t, begin(s, jobIntent("old", 1)))
		_, err := end(s, jobOutcome("old", 1, schema.OrderSucceeded))
		must(t, err)
		sweepAll := func(before int64) {
			t.Helper()
			for n := int64(1); n > 0; {
				n, err = s.RemoveOrders(t.Context(), before)
				must(t, err)
			}
		}
		sweepAll(start + 1_000_000)
		equal(t, "while it runs", told(t, s, all, "old"), "running 2: pending 1 succeeded 1")
		must(t, s.RefuseOrder(t.Context(), "old", 2, "device_offline", ""))
		_, err = s.SettleJob(t.Context(), "old", start+500)
		must(t, err)
		sweepAll(start + 500)
		equal(t, "not yet", told(t, s, all, "old"), "done 2: succeeded 1 refused 1")
		addJob(t, s, jobOf("new", ofDeviceList, "1"))
		sweepAll(start + 501)
		_, err = s.Job(t.Context(), all, "old")
		wantKind(t, err, schema.OrderNotFound, "job_not_found")
		_, err = s.Order(t.Context(), all, "old-1")
		wantKind(t, err, schema.OrderNotFound, "order_not_found")
		equal(t, "new", told(t, s, all, "new"), "running 1: pending 1")
		var left int
		must(t, s.engine.read.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM job_devices WHERE job_id = 'old'").Scan(&left))
		equal(t, "rows left", left, 0)
	})
}

// TestRemoveOrders_LargeJob: what is left of a job that is being removed is
// seen by nobody.
func TestRemoveOrders_LargeJob(t *testing.T) {
	s := openURL(t, "sqlite:"+t.TempDir()+"/large.db", Options{})
	large(t, s, removeBatch+1)
	addJob(t, s, jobOf("j", schema.JobTarget{Kind: schema.TargetFilter, Filter: &schema.JobFilter{Model: "ModelB"}}))
	_, err := s.CancelJob(t.Context(), all, "j", "key:x", start)
	must(t, err)
	for _, want := range []int64{removeBatch, 1, 0} {
		n, err := s.RemoveOrders(t.Context(), start+1)
		must(t, err)
		equal(t, "removed", n, want)
		_, err = s.Job(t.Context(), all, "j")
		wantKind(t, err, schema.OrderNotFound, "job_not_found")
	}
}

// large adds devices.
func large(t testing.TB, s *Store, devices int) {
	t.Helper()
	for first := 0; first < devices; first += 500 {
		var some []schema.NewDevice
		for n := first; n < min(devices, first+500); n++ {
			some = append(some, schema.NewDevice{Device: device(fmt.Sprintf("%06d", n)), PasswordHash: "sha256:00"})
		}
		_, err := s.AddDevices(t.Context(), some, "key:test")
		must(t, err)
	}
}

// BenchmarkJob is how long a job for 18,000 devices takes to be made, and to be
// counted when half of its orders have their record.
func BenchmarkJob(b *testing.B) {
	eachBench(b, func(b *testing.B) {
		s := open(b, Options{})
		const devices = 18_000
		large(b, s, devices)
		everything := schema.JobTarget{Kind: schema.TargetFilter, Filter: &schema.JobFilter{Model: "ModelB"}}
		var making, counting time.Duration
		for i := range b.N {
			id := fmt.Sprint("j", i)
			began := time.Now()
			addJob(b, s, jobOf(id, everything))
			making += time.Since(began)
			_, err := write(b.Context(), s, func(t *tx) (int64, error) {
				return t.exec(`INSERT INTO orders (order_id, device_id, name, is_inner, params, state, actor, created_time, ended_time, due_time, job_id)
					SELECT v.order_id, v.device_id, 'blink', FALSE, '{}', 'succeeded', '', 0, 1, 0, v.job_id FROM job_devices v WHERE v.job_id = $1 AND v.place <= $2`,
					id, devices/2)
			})
			must(b, err)
			began = time.Now()
			equal(b, "counts", told(b, s, all, id), "running 18000: pending 9000 succeeded 9000")
			counting += time.Since(began)
			_, err = s.CancelJob(b.Context(), all, id, "", start)
			must(b, err)
		}
		b.ReportMetric(float64(making.Milliseconds())/float64(b.N), "ms/job")
		b.ReportMetric(float64(counting.Microseconds())/float64(b.N), "µs/count")
	})
}
