package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/edgetether/tether/schema"
)

// giveOrders gives orders by REST to random devices, at the rate of the options,
// until ctx ends. A latency is of an order that a device carried out, and counts
// from when it was due: callers who are all busy do not hide it.
func (f *fleet) giveOrders(ctx context.Context) {
	due := make(chan time.Time, 1<<16)
	var callers sync.WaitGroup
	for range f.options.Callers {
		callers.Go(func() {
			for at := range due {
				f.giveOrder(ctx, at)
			}
		})
	}
	every(ctx, f.options.Orders, func() {
		select {
		case due <- time.Now():
		default:
			f.stats.orders.add("not given: the callers are far behind")
		}
	})
	close(due)
	callers.Wait()
}

func (f *fleet) giveOrder(ctx context.Context, due time.Time) {
	body := map[string]any{"device_id": f.anyone(), "order": f.options.Order, "params": struct{}{}}
	err := f.options.API.Call(ctx, http.MethodPost, "give_order", body, nil)
	if ctx.Err() != nil {
		return // the end of the run is no outcome
	}
	if err == nil || refusedAs(err, "order_failed") { // a refusal is no order's time
		f.stats.order.Add(time.Since(due))
	}
	f.stats.orders.add(outcomeOf(err))
}

// anyone is the device_id of a random device.
func (f *fleet) anyone() string { return f.members[rand.N(len(f.members))].common().id }

// outcomeOf is an order's outcome by the code of its answer.
func outcomeOf(err error) string {
	var e *schema.Error
	switch {
	case err == nil:
		return "succeeded"
	case errors.As(err, &e):
		return e.Code
	}
	return cause(err.Error())
}

// every does something so many times a second until ctx ends; what a slow
// moment kept back is made up for.
func every(ctx context.Context, perSecond float64, do func()) {
	if perSecond <= 0 {
		return
	}
	const step = 10 * time.Millisecond
	tick := time.NewTicker(step)
	defer tick.Stop()
	began, done := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for due := int(now.Sub(began).Seconds() * perSecond); done < due; done++ {
				do()
			}
		}
	}
}

// GroupOrder is what became of one order to the whole group.
type GroupOrder struct {
	JobID   string           `json:"job_id"`
	State   string           `json:"state"`
	Seconds float64          `json:"seconds"` // to all outcomes, or to the end of the run
	Counts  map[string]int64 `json:"counts"`
}

// pollGroup is how often a group's order is asked for.
const pollGroup = 200 * time.Millisecond

// giveGroupOrder gives the group one order and waits for all outcomes.
func (f *fleet) giveGroupOrder(ctx context.Context, groupID string) (*GroupOrder, error) {
	body := map[string]any{"group_id": groupID, "order": f.options.Order, "params": struct{}{}}
	if f.options.MaxParallel > 0 {
		body["max_parallel"] = f.options.MaxParallel
	}
	began := time.Now()
	g := &GroupOrder{}
	if err := f.options.API.Call(ctx, http.MethodPost, "group_give_order", body, g); err != nil {
		if refusedAs(err, "not_found") {
			return nil, errors.New("--group-order: this server has no group_give_order: it is too old for orders to groups")
		}
		return nil, fmt.Errorf("--group-order: %w", err)
	}
	tick := time.NewTicker(pollGroup)
	defer tick.Stop()
	for {
		done, err := f.groupOrder(ctx, g)
		g.Seconds = time.Since(began).Seconds()
		if err == nil && done {
			return g, nil
		}
		select {
		case <-ctx.Done():
			if err != nil {
				return g, fmt.Errorf("--group-order: job %s: %w", g.JobID, err)
			}
			return g, fmt.Errorf("--group-order: job %s was not through at the end of the run: %s %v", g.JobID, g.State, g.Counts)
		case <-tick.C:
		}
	}
}

// groupOrder asks how a job stands. It is done when as many devices as there
// are have an outcome.
func (f *fleet) groupOrder(ctx context.Context, g *GroupOrder) (done bool, err error) {
	var job struct {
		State  string           `json:"state"`
		Counts map[string]int64 `json:"counts"`
	}
	if err := f.options.API.Call(ctx, http.MethodGet, "group_order_query/"+g.JobID, nil, &job); err != nil {
		return false, err
	}
	g.State, g.Counts = job.State, job.Counts
	var ended int64
	for state, n := range job.Counts {
		switch state {
		case "total", "pending", "waiting", "queued", "sent", "running":
		default:
			ended += n
		}
	}
	total, told := job.Counts["total"]
	return told && ended >= total, nil
}
