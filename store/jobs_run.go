package store

import (
	"context"

	"github.com/edgetether/tether/schema"
)

// The calls of this file are those of who carries jobs out.

// RunningJobs are the jobs that have not ended, oldest first.
func (s *Store) RunningJobs(ctx context.Context) ([]string, error) {
	return read(ctx, s, func(r querier) ([]string, error) {
		rows, err := r.rows("SELECT job_id FROM jobs WHERE ended_time IS NULL ORDER BY created_time, job_id")
		return collect(rows, err, scanID)
	})
}

// PendingOrders are the orders of a job that have not been given, behind a
// place: there is neither a record nor a reason why there is none.
func (s *Store) PendingOrders(ctx context.Context, jobID string, after int64, limit int) ([]schema.JobOrder, error) {
	return read(ctx, s, func(r querier) ([]schema.JobOrder, error) {
		rows, err := r.rows(`SELECT v.place, v.device_id, v.order_id FROM job_devices v
			WHERE v.job_id = $1 AND v.place > $2 AND v.reason IS NULL
				AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.order_id = v.order_id) ORDER BY v.place LIMIT $3`, jobID, after, limit)
		return collect(rows, err, func(r scanner) (o schema.JobOrder, err error) {
			return o, r.Scan(&o.Place, &o.DeviceID, &o.OrderID)
		})
	})
}

// RefuseOrder keeps why a device of a job was not sent its order. One that has
// a record has no such reason.
func (s *Store) RefuseOrder(ctx context.Context, jobID string, place int64, reason, message string) error {
	_, err := write(ctx, s, func(t *tx) (int64, error) {
		return t.exec(`UPDATE job_devices SET reason = $3, message = $4 WHERE job_id = $1 AND place = $2 AND reason IS NULL
			AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.order_id = job_devices.order_id)
			AND EXISTS (SELECT 1 FROM jobs j WHERE j.job_id = $1 AND j.state = 'running')`, jobID, place, reason, message)
	})
	return err
}

// StopJob has nothing more of a job begin.
func (s *Store) StopJob(ctx context.Context, jobID string) error {
	_, err := write(ctx, s, func(t *tx) (struct{}, error) { return struct{}{}, t.haltJob(jobID, schema.JobStopped, "") })
	return err
}

// haltJob changes the state of a job that is running. by is who cancelled it.
func (t *tx) haltJob(jobID string, to schema.JobState, by string) error {
	_, err := t.exec("UPDATE jobs SET state = $2, cancelled_by = $3 WHERE job_id = $1 AND state = 'running'", jobID, to, nullable(by))
	return err
}

// SettleJob ends a job all of whose devices have their outcome, and says if it
// has ended. Of one that was cancelled or stopped it ends the orders that wait,
// a sweep of them at most.
func (s *Store) SettleJob(ctx context.Context, jobID string, now int64) (ended bool, err error) {
	return change(ctx, s, func(t *tx) (bool, error) {
		j, err := uncounted(t, schema.Everything, jobID)
		if schema.KindOf(err) == schema.OrderNotFound {
			return true, nil
		}
		if err != nil || j.EndedTime != nil {
			return err == nil, err
		}
		switch {
		case j.State == schema.JobStopped:
			return t.endJob(jobID, schema.ReasonJobStopped, byServer, now)
		case j.CancelledBy != nil:
			return t.endJob(jobID, schema.ReasonJobCancelled, *j.CancelledBy, now)
		}
		return t.endJob(jobID, "", byServer, now)
	})
}

// endJob ends a job if nothing of it is left, and before that, if there is a
// reason, what waits of it.
func (t *tx) endJob(jobID, reason, by string, now int64) (bool, error) {
	if reason != "" {
		rows, err := t.rows(`UPDATE orders SET state = 'cancelled', reason = $2, ended_time = $3 WHERE order_id IN
			(SELECT order_id FROM orders WHERE job_id = $1 AND state = 'queued' LIMIT $4) RETURNING `+orderColumns, jobID, reason, now, sweep)
		orders, err := collect(rows, err, scanOrder)
		if err != nil {
			return false, err
		}
		for _, o := range oldestFirst(orders) {
			t.ended(o, by, now)
		}
	}
	n, err := t.exec(`UPDATE jobs SET ended_time = $2, state = CASE WHEN state = 'running' THEN 'done' ELSE state END
		WHERE job_id = $1 AND ended_time IS NULL
			AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.job_id = $1 AND o.state IN ('queued', 'sent'))
			AND (state <> 'running' OR total =
				(SELECT COUNT(*) FROM orders o WHERE o.job_id = $1) + (SELECT COUNT(*) FROM job_devices v WHERE v.job_id = $1 AND v.reason IS NOT NULL))`,
		jobID, now)
	return n > 0, err
}

// jobTakes refuses an order whose job begins no more, or that is there already.
func (t *tx) jobTakes(o schema.Order) error {
	if err := t.refuseAgain(o); err != schema.ErrJobOver {
		return err
	}
	var running int
	err := t.row("SELECT COUNT(*) FROM jobs WHERE job_id = $1 AND state = 'running'", *o.JobID).Scan(&running)
	if err == nil && running == 0 {
		err = schema.ErrJobOver
	}
	return err
}
