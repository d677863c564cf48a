package session

import (
	"context"
	"sync"
	"time"

	"github.com/edgetether/tether/schema"
)

// Times of jobs.
const (
	// jobPause passes before something is tried again that the store, or a
	// device, could not do.
	jobPause = time.Second
	// jobPace is the least time between two looks at a job whose orders change.
	jobPace = 100 * time.Millisecond
	// jobLook is how often a job is looked at though nothing was heard of it.
	jobLook = 5 * time.Second
	// jobBatch is how many orders are read of the store at a time.
	jobBatch = 256
)

// jobs carries group orders out, each in a goroutine of its own (job.go). All
// that must not be lost is the store's: which job runs, which of its orders has
// been given, and what became of it. run owns the goroutines.
type jobs struct {
	hub   *Hub
	began time.Time     // of the hub
	news  chan struct{} // holds one token: the store has a new job
	wg    sync.WaitGroup

	mu      sync.Mutex
	running map[string]*job
}

func newJobs(h *Hub) *jobs {
	return &jobs{hub: h, began: time.Now(), news: make(chan struct{}, 1), running: make(map[string]*job)}
}

// JobChanged tells of a job that was added to the store, or changed there.
func (h *Hub) JobChanged(jobID string) {
	h.jobs.mu.Lock()
	j := h.jobs.running[jobID]
	h.jobs.mu.Unlock()
	if j != nil {
		j.look()
		return
	}
	select {
	case h.jobs.news <- struct{}{}:
	default:
	}
}

// run takes up what the store has, at the start and whenever there is more,
// until ctx ends or the hub is draining.
func (js *jobs) run(ctx context.Context) {
	defer js.wg.Wait()
	if js.hub.cfg.Jobs == nil {
		return
	}
	for {
		var again <-chan time.Time
		if err := js.takeUp(ctx); err != nil {
			js.hub.log.Warn("jobs not taken up; trying again", "error", err)
			again = time.After(jobPause)
		}
		select {
		case <-js.news:
		case <-again:
		case <-js.hub.stopping:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (js *jobs) takeUp(ctx context.Context) error {
	ids, err := js.hub.cfg.Jobs.RunningJobs(ctx)
	if err != nil && ctx.Err() == nil {
		return err
	}
	js.mu.Lock()
	defer js.mu.Unlock()
	for _, id := range ids {
		if js.running[id] != nil {
			continue
		}
		j := &job{hub: js.hub, store: js.hub.cfg.Jobs, id: id}
		j.failures, j.leave = js.hub.cfg.Waits.count(id)
		js.running[id] = j
		js.wg.Go(func() {
			j.run(ctx)
			js.mu.Lock()
			defer js.mu.Unlock()
			delete(js.running, id)
		})
	}
	return nil
}

// rest waits, no longer than until the hub is draining or ctx ends: then it is false.
func (h *Hub) rest(ctx context.Context, d time.Duration, sooner <-chan struct{}) bool {
	over := time.NewTimer(d)
	defer over.Stop()
	select {
	case <-over.C:
	case <-sooner:
	case <-h.stopping:
		return false
	case <-ctx.Done():
		return false
	}
	return true
}

// ends says whether orders are no longer to be given.
func (h *Hub) ends(ctx context.Context) bool { return ctx.Err() != nil || h.isDraining() }

// take waits for a place among slots; false: orders are no longer to be given.
func (h *Hub) take(ctx context.Context, slots chan<- struct{}) bool {
	select {
	case slots <- struct{}{}:
		return !h.ends(ctx)
	case <-h.stopping:
	case <-ctx.Done():
	}
	return false
}

// askFor is an order of a job as it is given to the hub. What is of the job
// stays the same for all its devices.
func askFor(j *schema.Job, o schema.JobOrder, now time.Time) schema.Ask {
	return schema.Ask{
		Order: schema.Order{
			OrderID: o.OrderID, DeviceID: o.DeviceID, Order: j.Order, IsInner: j.IsInner, Params: j.Params,
			State: schema.OrderQueued, JobID: &j.JobID, By: j.By, CreatedTime: now.UnixMilli(),
		},
		Wait:   schema.OrderTimeout,
		IfBusy: j.IfBusy == schema.IfWait, IfOffline: j.IfOffline == schema.IfQueue,
		Expires: now.Add(time.Duration(j.TTL) * time.Second).UnixMilli(),
	}
}
