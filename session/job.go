package session

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgetether/tether/schema"
)

// job carries one group order out: it gives the orders that have neither a
// record nor a reason why they have none, at most max_parallel at once, and ends
// the job when every device has its outcome. It may be left off anywhere, and
// taken up by another process: an order's identifier, stored with the job, is
// the key of its record, so that none is given twice.
type job struct {
	hub      *Hub
	store    Jobs
	id       string
	failures *failures
	leave    func() // gives the count back

	over  atomic.Bool // nothing more is to begin
	stale atomic.Bool // the job may have changed in the store

	// The job's own goroutine alone uses these.
	now   schema.Job // as it was read last
	given bool       // there is nothing left to give
}

// look has the job read anew.
func (j *job) look() {
	j.stale.Store(true)
	j.failures.tell()
}

// run carries the job out, until it has ended, ctx has, or the hub is draining.
func (j *job) run(ctx context.Context) {
	defer j.leave()
	for {
		ended, err := j.round(ctx)
		if ended {
			return
		}
		pause := jobLook
		if err != nil || !j.given {
			pause = jobPause
		}
		if err != nil && ctx.Err() == nil {
			j.hub.log.Warn("a job is held up; trying again", "job", j.id, "error", err)
		}
		if !j.hub.rest(ctx, jobPace, nil) || !j.hub.rest(ctx, pause, j.failures.changed) {
			return
		}
	}
}

// round gives what can be given, and ends the job if that was all.
func (j *job) round(ctx context.Context) (ended bool, err error) {
	switch err := j.read(ctx); {
	case schema.KindOf(err) == schema.OrderNotFound: // retention took it
		return true, nil
	case err != nil:
		return false, err
	}
	if !j.given && !j.over.Load() {
		if err := j.give(ctx); err != nil {
			return false, err
		}
	}
	if err := j.heed(ctx); err != nil {
		return false, err
	}
	return j.store.SettleJob(ctx, j.id, time.Now().UnixMilli())
}

// read makes the count exact. What changes meanwhile is counted twice at most.
func (j *job) read(ctx context.Context) error {
	before := j.failures.failed.Load()
	j.stale.Store(false)
	now, err := j.store.Job(ctx, schema.Everything, j.id)
	if err != nil {
		j.stale.Store(true)
		return err
	}
	j.now = now
	j.failures.failed.Add(now.Counts.Failures() - before)
	j.over.Store(now.State != schema.JobRunning)
	return nil
}

// heed stops the job if too many devices did not succeed. The store is asked
// before: the count may be too high, never too low.
func (j *job) heed(ctx context.Context) error {
	if j.over.Load() || !j.stale.Load() && !j.tooMany() {
		return nil
	}
	if err := j.read(ctx); err != nil {
		return err
	}
	if j.over.Load() || !j.tooMany() {
		return nil
	}
	err := j.store.StopJob(ctx, j.id)
	if err == nil {
		j.over.Store(true)
	}
	return err
}

func (j *job) tooMany() bool {
	return j.now.MaxFailures != nil && j.failures.failed.Load() > *j.now.MaxFailures
}

// give gives the orders that were not given, and waits for those that it has
// sent. What waits for its device takes no place among max_parallel.
func (j *job) give(ctx context.Context) error {
	job := j.now
	slots := make(chan struct{}, job.MaxParallel)
	var wg sync.WaitGroup
	defer wg.Wait()
	left := false
	for after := int64(0); ; {
		orders, err := j.store.PendingOrders(ctx, j.id, after, jobBatch)
		if err != nil {
			return err
		}
		if len(orders) == 0 {
			j.given = !left
			return nil
		}
		for _, o := range orders {
			after = o.Place
			if j.comesBack(o) {
				left = true
				continue
			}
			if !j.hub.take(ctx, slots) {
				return nil
			}
			if err := j.heed(ctx); err != nil || j.over.Load() {
				return err
			}
			wg.Go(func() {
				defer func() { <-slots }()
				j.device(ctx, &job, o)
			})
		}
	}
}

// comesBack says whether a device is waited for that was connected before this
// process began, perhaps, and has not come back yet.
func (j *job) comesBack(o schema.JobOrder) bool {
	began := j.hub.jobs.began
	return j.now.CreatedTime < began.UnixMilli() && time.Since(began) < j.hub.cfg.JobGrace &&
		j.now.IfOffline != schema.IfQueue && j.hub.find(o.DeviceID) == nil
}

// device gives one order until it is known what became of it. What it leaves
// open when ctx ends, or the hub is draining, is taken up after the next start.
func (j *job) device(ctx context.Context, job *schema.Job, o schema.JobOrder) {
	for !j.hub.ends(ctx) && !j.try(ctx, job, o) {
		if !j.hub.rest(ctx, jobPause, nil) {
			return
		}
	}
}

// try says whether there is nothing more to do: the order has its record, or
// the store why it has none.
func (j *job) try(ctx context.Context, job *schema.Job, o schema.JobOrder) bool {
	record, err := j.hub.carry(ctx, askFor(job, o, time.Now()))
	refusal := schema.Public(err)
	switch {
	case record != nil, err == nil, j.hub.ends(ctx), refusal.Code == schema.ErrOrderExists.Code:
		return true
	case refusal.Code == schema.ErrJobOver.Code:
		j.over.Store(true)
		return true
	case refusal.Kind == schema.StoreUnavailable:
		_, err := j.hub.cfg.Queue.Order(ctx, schema.Everything, o.OrderID)
		return err == nil
	case holds(refusal, o): // an earlier try, whose commit has no answer yet
		return false
	}
	if err := j.store.RefuseOrder(ctx, j.id, o.Place, refusal.Code, refusal.Message); err != nil {
		return false
	}
	j.failures.add(true)
	return true
}

// holds says whether what keeps the device busy is the order itself.
func holds(refusal *schema.Error, o schema.JobOrder) bool {
	h, ok := refusal.Data.(schema.Holder)
	return ok && h.OrderID == o.OrderID
}
