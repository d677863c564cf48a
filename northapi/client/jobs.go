package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/edgetether/tether/schema"
)

// NewJob is an order for many devices: those of GroupID, of DeviceIDs, or of
// Filter, of which one is given. What is an order's is as in NewOrder.
type NewJob struct {
	GroupID        string
	DeviceIDs      []string
	Filter         *schema.JobFilter
	Order          string
	Params         any
	MaxParallel    int    // orders under way at once; 0: the service's default
	MaxFailures    *int64 // once more devices did not succeed, no order is begun; nil: it goes on
	Queue          bool
	WaitTurn       bool
	TTL            time.Duration
	IdempotencyKey string
}

// jobBody is a NewJob on its way.
type jobBody struct {
	GroupID     string            `json:"group_id,omitzero"`
	DeviceIDs   []string          `json:"device_ids,omitzero"`
	Filter      *schema.JobFilter `json:"filter,omitzero"`
	MaxParallel int               `json:"max_parallel,omitzero"`
	MaxFailures *int64            `json:"max_failures,omitzero"`
	orderBody
}

// jobRef names a job.
type jobRef struct {
	JobID string `json:"job_id"`
}

// GroupGiveOrder gives an order to many devices. It does not wait: GroupOrderQuery
// and the events of the job tell how it goes.
func (c *Client) GroupGiveOrder(ctx context.Context, j NewJob) (schema.Job, error) {
	body := jobBody{
		j.GroupID, j.DeviceIDs, j.Filter, j.MaxParallel, j.MaxFailures,
		newOrderBody(j.Order, j.Params, j.Queue, j.WaitTurn, j.TTL),
	}
	return call[schema.Job](ctx, c, request{method: http.MethodPost, service: "group_give_order", body: body, once: j.IdempotencyKey})
}

// GroupOrderRetry gives a job's order again to the devices that did not
// succeed, as a new job. The key may be empty, and is as NewOrder's.
func (c *Client) GroupOrderRetry(ctx context.Context, jobID, idempotencyKey string) (schema.Job, error) {
	return call[schema.Job](ctx, c, request{method: http.MethodPost, service: "group_order_retry", body: jobRef{jobID}, once: idempotencyKey})
}

// GroupOrderCancel has no more orders of a job begun.
func (c *Client) GroupOrderCancel(ctx context.Context, jobID string) (schema.Job, error) {
	return send[schema.Job](ctx, c, http.MethodPost, "group_order_cancel", jobRef{jobID})
}

// GroupOrderQuery is a job and a page of its devices, of those in some states
// or of all.
func (c *Client) GroupOrderQuery(ctx context.Context, jobID string, p schema.Page, states ...schema.JobDeviceState) (schema.JobResults, error) {
	q := url.Values{}
	for _, s := range states {
		q.Add("result", string(s))
	}
	return get[schema.JobResults](ctx, c, "group_order_query", parameters(q).page(p), jobID)
}

// GroupOrderQueryAll is a page of the jobs, newest first.
func (c *Client) GroupOrderQueryAll(ctx context.Context, p schema.Page) (schema.List[schema.Job], error) {
	return get[schema.List[schema.Job]](ctx, c, "group_order_query_all", parameters{}.page(p))
}

// Jobs are all jobs, newest first.
func (c *Client) Jobs(ctx context.Context) iter.Seq2[schema.Job, error] {
	return all(func(p schema.Page) (schema.List[schema.Job], error) { return c.GroupOrderQueryAll(ctx, p) })
}

// JobDevices are the devices of a job, in the order of their turn: those in
// some states, or all.
func (c *Client) JobDevices(ctx context.Context, jobID string, states ...schema.JobDeviceState) iter.Seq2[schema.JobDevice, error] {
	return all(func(p schema.Page) (schema.List[schema.JobDevice], error) {
		r, err := c.GroupOrderQuery(ctx, jobID, p, states...)
		return r.List, err
	})
}
