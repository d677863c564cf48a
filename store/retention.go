package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
)

// removeBatch is the most rows that one call removes. It bounds how long a
// commit that carries one takes, and so what other changes wait for.
const removeBatch = 500

// RemoveEvents removes events that are older than before, oldest first, a
// batch of them at most, and says how many: 0 is that all are gone. What is left of
// a device's log is numbered without gap: they go in the order of pos, and the
// first that is young enough ends it, whatever the clock did around it. The
// very last event stays: the next start compares its clock with it (Newest).
func (s *Store) RemoveEvents(ctx context.Context, before int64) (int64, error) {
	type line struct{ pos, at int64 }
	last, err := read(ctx, s, func(r querier) (last int64, err error) {
		rows, err := r.rows("SELECT pos, at FROM events ORDER BY pos LIMIT $1", removeBatch)
		oldest, err := collect(rows, err, func(r scanner) (l line, err error) { return l, r.Scan(&l.pos, &l.at) })
		for _, l := range oldest {
			if l.at >= before {
				break
			}
			last = l.pos
		}
		return last, err
	})
	if err != nil || last == 0 {
		return 0, err
	}
	return s.remove(ctx, "DELETE FROM events WHERE pos <= $1 AND pos < (SELECT MAX(pos) FROM events) RETURNING device_id", last)
}

// RemoveOrders removes orders that ended before before, a batch at most, and
// says how many. One that has not ended stays, however old it is, and one of a
// job stays as long as the job.
func (s *Store) RemoveOrders(ctx context.Context, before int64) (int64, error) {
	n, err := s.removeJob(ctx, before)
	if n != 0 || err != nil {
		return n, err
	}
	return s.remove(ctx, `DELETE FROM orders WHERE order_id IN
		(SELECT order_id FROM orders WHERE ended_time < $1
			AND (job_id IS NULL OR NOT EXISTS (SELECT 1 FROM jobs j WHERE j.job_id = orders.job_id))
			ORDER BY ended_time LIMIT $2) RETURNING device_id`, before, removeBatch)
}

// removeJob removes the job that ended longest before before, the rows of its
// devices in batches first, and says how many. It is gone for everybody with
// the first of them: what is left of it must not be counted.
func (s *Store) removeJob(ctx context.Context, before int64) (int64, error) {
	jobID, err := read(ctx, s, func(r querier) (id string, err error) {
		err = r.row("SELECT job_id FROM jobs WHERE ended_time < $1 ORDER BY ended_time LIMIT 1", before).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return "", nil
		}
		return id, err
	})
	if err != nil || jobID == "" {
		return 0, err
	}
	return write(ctx, s, func(t *tx) (int64, error) {
		n, err := t.exec(`DELETE FROM job_devices WHERE job_id = $1 AND place IN
			(SELECT place FROM job_devices WHERE job_id = $1 ORDER BY place LIMIT $2)`, jobID, removeBatch)
		if err != nil {
			return 0, err
		}
		text := "UPDATE jobs SET state = 'removed' WHERE job_id = $1"
		if n < removeBatch {
			text = "DELETE FROM jobs WHERE job_id = $1"
		}
		_, err = t.exec(text, jobID)
		return max(n, 1), err
	})
}

// RemoveSamples removes reports of the history that are older than before, a
// batch at most, and says how many.
func (s *Store) RemoveSamples(ctx context.Context, before int64) (int64, error) {
	return write(ctx, s, func(t *tx) (int64, error) {
		return t.exec(`DELETE FROM status_history WHERE (device_id, at) IN
			(SELECT device_id, at FROM status_history WHERE at < $1 ORDER BY at LIMIT $2)`, before, removeBatch)
	})
}

// RemoveDeleted removes reports of devices that were deleted, whatever their age,
// a batch at most, and says how many.
func (s *Store) RemoveDeleted(ctx context.Context) (int64, error) {
	devices, err := read(ctx, s, func(r querier) ([]string, error) {
		rows, err := r.rows(deletedReporters, maxRows)
		return collect(rows, err, scanID)
	})
	if err != nil || len(devices) == 0 {
		return 0, err
	}
	var q query
	q.add("DELETE FROM status_history WHERE (device_id, at) IN (SELECT h.device_id, h.at FROM status_history h WHERE ")
	in(&q, "h.device_id", devices)
	q.add(" AND NOT EXISTS (SELECT 1 FROM devices d WHERE d.device_id = h.device_id) LIMIT ?)", removeBatch)
	return write(ctx, s, func(t *tx) (int64, error) { return t.exec(q.text.String(), q.args...) })
}

// deletedReporters goes from device to device of the history, not from report to
// report: there are thousands of each.
const deletedReporters = `WITH RECURSIVE reporter (id) AS (SELECT MIN(device_id) FROM status_history
	UNION ALL SELECT (SELECT MIN(h.device_id) FROM status_history h WHERE h.device_id > reporter.id) FROM reporter
		WHERE reporter.id IS NOT NULL)
	SELECT id FROM reporter WHERE id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM devices d WHERE d.device_id = reporter.id) LIMIT $1`

// remove runs a DELETE that returns the devices whose rows it took.
func (s *Store) remove(ctx context.Context, text string, args ...any) (int64, error) {
	return write(ctx, s, func(t *tx) (int64, error) {
		rows, err := t.rows(text, args...)
		devices, err := collect(rows, err, scanID)
		if err != nil {
			return 0, err
		}
		n := int64(len(devices))
		slices.Sort(devices)
		return n, t.forget(slices.Compact(devices))
	})
}

// forget drops the counters of those of the devices that were deleted and of
// which nothing is kept any more.
func (t *tx) forget(devices []string) error {
	for part := range slices.Chunk(devices, maxRows) {
		var q query
		q.add("DELETE FROM event_seq WHERE ")
		in(&q, "device_id", part)
		q.add(` AND NOT EXISTS (SELECT 1 FROM devices d WHERE d.device_id = event_seq.device_id)
			AND NOT EXISTS (SELECT 1 FROM events e WHERE e.device_id = event_seq.device_id)
			AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.device_id = event_seq.device_id)`)
		if _, err := t.exec(q.text.String(), q.args...); err != nil {
			return err
		}
	}
	return nil
}
