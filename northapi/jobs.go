package northapi

import (
	"cmp"
	"context"
	"math"

	"github.com/edgetether/tether/schema"
)

// Jobs are the store's group orders. A scope that is limited to groups sees a
// job that has one of its devices, and of it those devices alone.
type Jobs interface {
	// AddJob makes a job for the devices that are there now, or finds the one
	// that was made with the same key. No device is ErrNoDevices, an unknown one
	// of a list DeviceNotFound, an unknown group GroupNotFound, an unknown job to
	// be given again ErrJobNotFound, one that has not ended ErrJobRunning.
	AddJob(ctx context.Context, sc schema.Scope, n schema.NewJob, newID func() string) (schema.Job, error)
	ListJobs(ctx context.Context, sc schema.Scope, p schema.Page) (schema.List[schema.Job], error) // newest first
	// JobResults is a job and a page of its devices, of those in states if there are any.
	JobResults(ctx context.Context, sc schema.Scope, jobID string, states []schema.JobDeviceState, p schema.Page) (schema.JobResults, error)
	// CancelJob has no more orders of a job begin. One that does not run is
	// OrderConflict, with its record; others' devices in it are Forbidden.
	CancelJob(ctx context.Context, sc schema.Scope, jobID, by string, now int64) (schema.Job, error)
}

// groupGiveOrder is the body of group_give_order, and its key. Its members that
// are an order's are as those of giveOrder.
type groupGiveOrder struct {
	GroupID     string           `json:"group_id"`
	DeviceIDs   []string         `json:"device_ids"`
	Filter      *jobFilter       `json:"filter"`
	Order       string           `json:"order"`
	Params      schema.RawObject `json:"params"`
	MaxParallel *int64           `json:"max_parallel"`
	MaxFailures *int64           `json:"max_failures"`
	IfOffline   string           `json:"if_offline"`
	IfBusy      string           `json:"if_busy"`
	TTL         *int64           `json:"ttl_s"`
	key         string           // the header Idempotency-Key
}

func (q *groupGiveOrder) useOnce(key string) { q.key = key }

func (q groupGiveOrder) check() error {
	return cmp.Or(
		q.checkTarget(),
		schema.CheckOrder("order", q.Order),
		schema.CheckParams("params", q.Order, q.Params),
		within("max_parallel", q.MaxParallel, 1, schema.MaxParallel),
		within("max_failures", q.MaxFailures, 0, schema.MaxJobFailures),
		oneOf("if_offline", q.IfOffline, fail, queueIt),
		oneOf("if_busy", q.IfBusy, fail, waitForIt),
		q.one().checkTTL(),
	)
}

func within(member string, n *int64, least, most int64) error {
	if n != nil && (*n < least || *n > most) {
		return schema.InvalidMember(member, "must be an integer from %d to %d", least, most)
	}
	return nil
}

// checkTarget names what is given beside another target, or that none is.
func (q groupGiveOrder) checkTarget() error {
	switch {
	case q.GroupID != "" && q.DeviceIDs != nil, q.DeviceIDs != nil && q.Filter != nil:
		return schema.InvalidMember("device_ids", "is one of group_id, device_ids and filter, of which one must be given")
	case q.GroupID != "" && q.Filter != nil:
		return schema.InvalidMember("filter", "is one of group_id, device_ids and filter, of which one must be given")
	case q.DeviceIDs != nil && len(q.DeviceIDs) == 0:
		return schema.InvalidMember("device_ids", "must have at least one member")
	case q.DeviceIDs != nil:
		return schema.CheckIDs("device_ids", q.DeviceIDs)
	case q.Filter != nil:
		return q.Filter.check()
	}
	return schema.CheckID("group_id", q.GroupID)
}

// jobFilter chooses devices. A member that is given is not empty: as a filter
// of everything it would be a mistake too dear.
type jobFilter struct {
	State *schema.DevState `json:"dev_state"`
	Type  *string          `json:"device_type"`
	Model *string          `json:"model"`
	Name  *string          `json:"name"`
}

func (f jobFilter) check() error {
	if f == (jobFilter{}) {
		return schema.InvalidMember("filter", "must have at least one member")
	}
	if f.State != nil && !f.State.Valid() {
		return schema.InvalidMember("filter.dev_state", "must be %s, %s or %s", schema.Online, schema.Unknown, schema.Offline)
	}
	return cmp.Or(
		checkGiven("filter.device_type", f.Type, schema.MaxType),
		checkGiven("filter.model", f.Model, schema.MaxHardware),
		checkGiven("filter.name", f.Name, schema.MaxName),
	)
}

func checkGiven(member string, s *string, limit int) error {
	switch {
	case s == nil:
		return nil
	case *s == "":
		return schema.InvalidMember(member, "must not be empty")
	}
	return schema.CheckText(member, *s, limit)
}

// filter is f as the store takes it.
func (f jobFilter) filter() *schema.JobFilter {
	return &schema.JobFilter{State: given(f.State), Type: given(f.Type), Model: given(f.Model), Name: given(f.Name)}
}

// given is what p points to; the zero value if it was left out.
func given[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// one is the order as it is given to one device.
func (q groupGiveOrder) one() giveOrder {
	return giveOrder{Order: q.Order, Params: q.Params, IfOffline: q.IfOffline, IfBusy: q.IfBusy, TTL: q.TTL}
}

func (q groupGiveOrder) target() schema.JobTarget {
	switch {
	case q.Filter != nil:
		return schema.JobTarget{Kind: schema.TargetFilter, Filter: q.Filter.filter()}
	case q.DeviceIDs != nil:
		return schema.JobTarget{Kind: schema.TargetDevices}
	}
	return schema.JobTarget{Kind: schema.TargetGroup, GroupID: q.GroupID}
}

func (q groupGiveOrder) job() schema.Job {
	parallel := int64(schema.DefaultParallel)
	if q.MaxParallel != nil {
		parallel = *q.MaxParallel
	}
	return schema.Job{
		Target: q.target(), Order: q.Order, IsInner: schema.IsInner(q.Order), Params: q.one().params(),
		MaxParallel: parallel, MaxFailures: q.MaxFailures,
		IfOffline: cmp.Or(q.IfOffline, fail), IfBusy: cmp.Or(q.IfBusy, fail), TTL: int64(q.one().ttl().Seconds()),
	}
}

// hash is of all that is asked for, as giveOrder's is.
func (q groupGiveOrder) hash() string {
	failures := int64(-1)
	if q.MaxFailures != nil {
		failures = *q.MaxFailures
	}
	j := q.job()
	return hashOf("%q %q %q %d %d %s", q.GroupID, q.DeviceIDs, given(j.Target.Filter), j.MaxParallel, failures, q.one().hash())
}

func (a *api) groupGiveOrder(ctx context.Context, who caller, q groupGiveOrder) (schema.Job, error) {
	n := schema.NewJob{Job: q.job(), DeviceIDs: q.DeviceIDs}
	if q.key != "" {
		n.Once = schema.Once{Owner: who.key, Key: q.key, Hash: q.hash()}
	}
	return a.addJob(ctx, who, n)
}

// addJob makes a job, and has it carried out.
func (a *api) addJob(ctx context.Context, who caller, n schema.NewJob) (schema.Job, error) {
	if a.Draining() {
		return schema.Job{}, schema.ErrDraining
	}
	n.JobID, n.By, n.CreatedTime = a.NewID(), who.by, a.millis()
	j, err := a.Jobs.AddJob(ctx, who.scope, n, a.NewID)
	if err == nil {
		a.Sessions.JobChanged(j.JobID)
	}
	return j, err
}

// jobRef is the body of group_order_cancel.
type jobRef struct {
	JobID string `json:"job_id"`
}

func (q jobRef) check() error { return schema.CheckID("job_id", q.JobID) }

func (a *api) groupOrderCancel(ctx context.Context, who caller, q jobRef) (schema.Job, error) {
	j, err := a.Jobs.CancelJob(ctx, who.scope, q.JobID, who.by, a.millis())
	if err == nil {
		a.Sessions.JobChanged(j.JobID)
	}
	return j, err
}

// groupOrderRetry is the body of group_order_retry, and its key.
type groupOrderRetry struct {
	jobRef
	key string
}

func (q *groupOrderRetry) useOnce(key string) { q.key = key }

func (a *api) groupOrderRetry(ctx context.Context, who caller, q groupOrderRetry) (schema.Job, error) {
	n := schema.NewJob{Job: schema.Job{Target: schema.JobTarget{Kind: schema.TargetRetry, JobID: q.JobID}}}
	if q.key != "" {
		n.Once = schema.Once{Owner: who.key, Key: q.key, Hash: hashOf("retry %q", q.JobID)}
	}
	return a.addJob(ctx, who, n)
}

// jobPage is a request for a job and a part of its devices.
type jobPage struct {
	id     string
	states []schema.JobDeviceState
	page   schema.Page
}

func (q *jobPage) bind(p *params) {
	q.id, q.page = p.id("job_id"), p.page()
	q.states = words(p, "result", math.MaxInt, schema.JobDeviceState.Valid, "must be states of a job's devices")
}

func (a *api) groupOrderQuery(ctx context.Context, who caller, q jobPage) (schema.JobResults, error) {
	return a.Jobs.JobResults(ctx, who.scope, q.id, q.states, q.page)
}

func (a *api) groupOrderQueryAll(ctx context.Context, who caller, q pageOf) (schema.List[schema.Job], error) {
	return a.Jobs.ListJobs(ctx, who.scope, q.page)
}
