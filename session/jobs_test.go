package session

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// jobLedger is a ledger with one job in it. The real store is tried with the
// whole service.
type jobLedger struct {
	*ledger
	mu      sync.Mutex
	job     schema.Job
	orders  []schema.JobOrder
	refused map[int64]string
}

func newJobLedger(l *ledger, devices int) *jobLedger {
	jl := &jobLedger{ledger: l, refused: map[int64]string{}, job: schema.Job{
		JobID: "j", Order: "blink", Params: schema.RawObject(`{}`), MaxParallel: 2, IfOffline: schema.IfFail, IfBusy: schema.IfFail,
		State: schema.JobRunning, CreatedTime: time.Now().UnixMilli(),
	}}
	for i := range devices {
		jl.orders = append(jl.orders, schema.JobOrder{Place: int64(i + 1), DeviceID: fmt.Sprint(i + 1), OrderID: fmt.Sprint("o", i+1)})
	}
	return jl
}

func (l *jobLedger) RunningJobs(context.Context) ([]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.job.EndedTime != nil {
		return nil, l.err()
	}
	return []string{l.job.JobID}, l.err()
}

func (l *jobLedger) Job(context.Context, schema.Scope, string) (schema.Job, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	j := l.job
	for _, o := range l.orders {
		switch state := schema.JobDeviceState(l.order(o.OrderID).State); {
		case state != "":
			*j.Counts.Of(state)++
		case l.refused[o.Place] != "":
			j.Counts.Refused++
		case j.State == schema.JobRunning:
			j.Counts.Pending++
		default:
			j.Counts.Cancelled++
		}
	}
	return j, l.err()
}

func (l *jobLedger) PendingOrders(_ context.Context, _ string, after int64, limit int) (some []schema.JobOrder, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.orders {
		if o.Place > after && l.order(o.OrderID).State == "" && l.refused[o.Place] == "" && len(some) < limit {
			some = append(some, o)
		}
	}
	return some, l.err()
}

func (l *jobLedger) RefuseOrder(_ context.Context, _ string, place int64, reason, _ string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err() == nil {
		l.refused[place] = reason
	}
	return l.err()
}

func (l *jobLedger) StopJob(context.Context, string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err() == nil {
		l.job.State = schema.JobStopped
	}
	return l.err()
}

func (l *jobLedger) SettleJob(ctx context.Context, id string, now int64) (bool, error) {
	j, err := l.Job(ctx, schema.Everything, id)
	if err != nil || j.Counts.Pending+j.Counts.Queued+j.Counts.Sent > 0 {
		return false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.job.State == schema.JobRunning {
		l.job.State = schema.JobDone
	}
	l.job.EndedTime = &now
	return true, nil
}

// Order does not know what has no record.
func (l *jobLedger) Order(_ context.Context, _ schema.Scope, id string) (schema.Order, error) {
	o := l.order(id)
	if o.OrderID == "" && l.err() == nil {
		return o, schema.ErrOrderNotFound
	}
	return o, l.err()
}

// BeginOrder takes an order once.
func (l *jobLedger) BeginOrder(in schema.Intent, done func(error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.order(in.Order.OrderID).OrderID != "" {
		go done(schema.ErrOrderExists)
		return
	}
	l.ledger.BeginOrder(in, done)
}

// EndOrder takes that nothing was sent of the claim that it is said of.
func (l *jobLedger) EndOrder(out schema.Outcome, done func(schema.Order, error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.order(out.OrderID)
	if out.State == schema.OrderCancelled && o.OrderID != "" && out.Sent != *o.SentTime {
		go done(o, nil)
		return
	}
	l.ledger.EndOrder(out, done)
}

// jobBubble is a hub whose job runs until the test ends, and its devices, each
// of which counts in given what it gets and says success after a second.
func jobBubble(t *testing.T, devices int, change ...func(*Config)) (l *jobLedger, given map[string]int) {
	t.Helper()
	h, _ := bubble(t, append([]func(*Config){func(c *Config) {
		l = newJobLedger(c.Orders.(*ledger), devices)
		c.Jobs, c.Queue, c.Orders = l, l, l
	}}, change...)...)
	given = map[string]int{}
	ctx, stop := context.WithCancel(t.Context())
	var mu sync.Mutex
	for _, o := range l.orders {
		e := loggedIn(t, h, o.DeviceID)
		go func() {
			for r := range e.calls {
				var g schema.GiveOrder
				if err := json.Unmarshal(r.Params, &g); err != nil {
					t.Error(err)
				}
				mu.Lock()
				given[g.OrderID]++
				mu.Unlock()
				time.Sleep(time.Second)
				r.Reply(schema.OrderResult{Status: schema.ResultSuccess, Message: "done"})
			}
		}()
		go func() {
			for {
				select {
				case <-time.After(schema.PingInterval):
					_, _ = e.peer.Call("ping", nil, func(rpc.Response) {}) // or the device goes offline
				case <-ctx.Done():
					return
				}
			}
		}()
		t.Cleanup(func() { close(e.calls) })
	}
	done := make(chan struct{})
	go func() { defer close(done); h.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return l, given
}

// TestF29_JobOutlastsStore: while the store is down a job waits, and says of no
// device what is not so; afterwards it goes on, and every device has had the order once.
func TestF29_JobOutlastsStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, given := jobBubble(t, 6)
		for down := range 3 {
			time.Sleep(500 * time.Millisecond) // amid an order, and then between
			l.setDown(true)
			time.Sleep(time.Duration(1+2*down) * time.Second)
			l.setDown(false)
		}
		time.Sleep(20 * time.Second)
		j, err := l.Job(t.Context(), schema.Everything, "j")
		if err != nil || j.State != schema.JobDone || j.EndedTime == nil || j.Counts.Succeeded != 6 {
			t.Errorf("%+v %v", j, err)
		}
		for id, n := range given {
			if n != 1 {
				t.Errorf("%s was given %d times", id, n)
			}
		}
	})
}

// TestF29_JobWaitsForSlowStore: an order of a job, which nobody was told no of,
// is sent when the store has committed it at last.
func TestF29_JobWaitsForSlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowOrders{delay: 8 * time.Second}
		l, given := jobBubble(t, 2, func(c *Config) { slow.Orders = c.Orders; c.Orders = slow })
		time.Sleep(15 * time.Second)
		j, err := l.Job(t.Context(), schema.Everything, "j")
		if err != nil || j.State != schema.JobDone || j.Counts.Succeeded != 2 || len(given) != 2 {
			t.Errorf("%+v %v, given %v", j, err, given)
		}
	})
}

// TestWaits_Jobs: an outcome counts for its job alone, and for none once the
// job has left.
func TestWaits_Jobs(t *testing.T) {
	var w Waits
	tell := func(job string, state schema.OrderState) {
		o := schema.Order{OrderID: "o", JobID: &job}
		w.Committed([]schema.Event{
			{Kind: schema.EventOrder, Outcome: "sent", Detail: schema.OrderDetail(o)},
			{Kind: schema.EventOrderResult, Outcome: string(state), Detail: schema.OrderDetail(o)},
		})
	}
	tell("j", schema.OrderStateFail)
	ours, leave := w.count("j")
	for _, state := range []schema.OrderState{schema.OrderStateFail, schema.OrderSucceeded, schema.OrderExpired, schema.OrderStateLost} {
		tell("j", state)
		tell("k", state)
	}
	if n := ours.failed.Load(); n != 3 || len(ours.changed) != 1 {
		t.Errorf("%d failed", n)
	}
	leave()
	tell("j", schema.OrderStateFail)
	if n := ours.failed.Load(); n != 3 {
		t.Errorf("%d failed after it left", n)
	}
}
