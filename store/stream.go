package store

import (
	"context"

	"github.com/edgetether/tether/schema"
)

// eventWindow bounds how many positions one read looks at: a stream that
// takes few events must not make a read last.
const eventWindow = 10_000

// EventsAfter reads the events of a stream behind position after, at most
// limit of them. An unknown device or group of the selection is not found,
// like one outside the scope; a deleted device is known as ListEvents knows it.
//
// A position is given when its transaction commits, one after the other: what
// is not there up to the last position will never be.
func (s *Store) EventsAfter(ctx context.Context, sc schema.Scope, sel schema.EventSelection, after int64, limit int) (schema.EventRange, error) {
	return read(ctx, s, func(r querier) (x schema.EventRange, err error) {
		if sc, err = selected(r, sc, sel); err != nil {
			return x, err
		}
		if err = r.row("SELECT value FROM counters WHERE name = 'pos'").Scan(&x.Last); err != nil {
			return x, err
		}
		x.Through = x.Last
		if after < x.Last-eventWindow {
			x.Through = after + eventWindow
		}
		q := streamed(sc, sel, after, x.Through, limit)
		rows, err := r.rows(q.text.String(), q.args...)
		if x.Events, err = collect(rows, err, scanEvent); err != nil {
			return x, err
		}
		if len(x.Events) == limit {
			x.Through = x.Events[limit-1].Pos
		}
		return withoutGap(r, x, after)
	})
}

// withoutGap makes x honest of what retention took. It looks after the events
// were read: what was removed meanwhile is then told of, if it was read or not.
func withoutGap(r querier, x schema.EventRange, after int64) (schema.EventRange, error) {
	err := r.row("SELECT COALESCE(MIN(pos), $1) FROM events", x.Last+1).Scan(&x.First)
	if x.First > after+1 && after < x.Last {
		x.Events, x.Through = []schema.Event{}, x.First-1
	}
	return x, err
}

// selected is the scope of a stream: that of its group, if it has one.
func selected(r querier, sc schema.Scope, sel schema.EventSelection) (schema.Scope, error) {
	if sel.DeviceID != "" {
		if err := remembered(r, sc, sel.DeviceID); err != nil {
			return sc, err
		}
	}
	for _, id := range sel.JobIDs {
		if _, err := uncounted(r, sc, id); err != nil {
			return sc, err
		}
	}
	if sel.GroupID == "" {
		return sc, nil
	}
	_, err := groupIn(r, sc, sel.GroupID)
	return schema.Scope{Groups: []string{sel.GroupID}}, err
}

// streamed is the query of a range. It is to go by pos: the device is an
// expression, for which the device's own index cannot be taken, because that
// holds all that the device ever did.
func streamed(sc schema.Scope, sel schema.EventSelection, after, through int64, limit int) *query {
	var q query
	q.add("SELECT pos, seq, device_id, at, kind, outcome, actor, detail FROM events WHERE pos > ? AND pos <= ?", after, through)
	if sel.DeviceID != "" {
		q.add(" AND COALESCE(device_id, '') = ?", sel.DeviceID)
	}
	if len(sel.Kinds) > 0 {
		kinds := make([]string, len(sel.Kinds))
		for i, k := range sel.Kinds {
			kinds[i] = string(k)
		}
		q.add(" AND ")
		q.in("kind", kinds)
	}
	if len(sel.JobIDs) > 0 {
		q.ofJobs(sel.JobIDs)
	}
	q.within(sc, "events.device_id")
	q.add(" ORDER BY pos LIMIT ?", limit)
	return &q
}

// ofJobs limits the query to the events of jobs' orders. Their detail is text of
// our own making, in which nothing of a device's or a caller's could pass for a
// member, and the range of positions bounds how much of it is looked at.
func (q *query) ofJobs(ids []string) {
	q.add(" AND kind IN ('order', 'order_result', 'restart_verified', 'restart_unverified') AND (FALSE")
	for _, id := range ids {
		q.add(" OR detail LIKE ?", `%"job_id":"`+id+`"%`)
	}
	q.add(")")
}
