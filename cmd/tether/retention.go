package main

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/edgetether/tether/store"
)

const (
	// sweepInterval is how often what is old enough is removed.
	sweepInterval = time.Hour
	// sweepPause is the least time between two batches. The rest of it is as long
	// as the batch took: half of the time is always left to other writes.
	sweepPause = 10 * time.Millisecond
)

// age is how long something is kept: days as 30d, or what time.ParseDuration
// takes; 0 is for ever.
type age time.Duration

const day = 24 * time.Hour

// maxDays are what a time.Duration can hold.
const maxDays = 100_000

// UnmarshalText reads a flag.
func (a *age) UnmarshalText(text []byte) error {
	if days, ok := strings.CutSuffix(string(text), "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > maxDays {
			return errors.New("must be 0 to 100000 days, such as 30d")
		}
		*a = age(time.Duration(n) * day)
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 {
		return errors.New("must be a time such as 30d or 12h, or 0")
	}
	*a = age(d)
	return nil
}

// ages are how long each kind of records is kept.
type ages struct{ events, history, orders, audit age }

// retention removes records that are old enough. run is its goroutine.
type retention struct {
	kinds []aging
	log   *slog.Logger
}

// aging is one kind of records. remove takes a batch of those that are older
// than before, and says how many; 0 is that there are none. What is kept for ever is
// none of them; keep is 0 for what goes whatever its age.
type aging struct {
	name   string
	keep   age
	remove func(ctx context.Context, before int64) (int64, error)
}

func newRetention(keep ages, st *store.Store, log *slog.Logger) *retention {
	r := &retention{log: log}
	for _, k := range []aging{
		{"events", keep.events, st.RemoveEvents},
		{"history", keep.history, st.RemoveSamples},
		{"orders", keep.orders, st.RemoveOrders},
		{"audit", keep.audit, st.RemoveAudit},
	} {
		if k.keep > 0 {
			r.kinds = append(r.kinds, k)
		}
	}
	deleted := func(ctx context.Context, _ int64) (int64, error) { return st.RemoveDeleted(ctx) } // whatever its age
	r.kinds = append(r.kinds, aging{name: "history_of_deleted", remove: deleted})
	return r
}

// run sweeps at once and then at each interval, until ctx ends.
func (r *retention) run(ctx context.Context) {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for ctx.Err() == nil {
		r.sweep(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// sweep removes what is due now, and reports it. What could not be removed is
// still there at the next sweep.
func (r *retention) sweep(ctx context.Context) {
	began, total := time.Now(), int64(0)
	var report []any
	for _, k := range r.kinds {
		n, err := k.sweep(ctx, began)
		if err != nil && ctx.Err() == nil {
			r.log.Warn("old records could not be removed", "kind", k.name, "error", err)
		}
		total += n
		report = append(report, k.name, n)
	}
	if total > 0 {
		r.log.Info("old records were removed", append(report, "took", time.Since(began).Round(time.Millisecond))...)
	}
}

// sweep removes all of a kind that is due, batch by batch.
func (k aging) sweep(ctx context.Context, now time.Time) (total int64, err error) {
	before := now.Add(-time.Duration(k.keep)).UnixMilli()
	for {
		began := time.Now()
		n, err := k.remove(ctx, before)
		total += n
		if err != nil || n == 0 {
			return total, err
		}
		select {
		case <-time.After(max(sweepPause, time.Since(began))):
		case <-ctx.Done():
			return total, ctx.Err()
		}
	}
}
