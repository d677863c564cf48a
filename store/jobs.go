package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/edgetether/tether/schema"
)

// AddJob stores a job with all its devices as they are at this moment, and
// gives each the identifier of its order, which newID makes: what has been given
// already is then known for ever by the orders' own key. With a key that was
// used it returns the job that is there.
//
// It is one transaction: the devices of a job are those of one instant.
func (s *Store) AddJob(ctx context.Context, sc schema.Scope, n schema.NewJob, newID func() string) (schema.Job, error) {
	return change(ctx, s, func(t *tx) (schema.Job, error) {
		used, err := t.jobOfKey(n.Once, n.CreatedTime)
		if err != nil {
			return schema.Job{}, err
		}
		if used == "" {
			if used, err = n.JobID, t.addJob(sc, n, newID); err != nil {
				return schema.Job{}, err
			}
		}
		return jobIn(t, sc, used)
	})
}

// jobOfKey is the job that was made with a key; empty is none, and then
// nothing has the key any more.
func (t *tx) jobOfKey(once schema.Once, now int64) (jobID string, err error) {
	if once.Key == "" {
		return "", nil
	}
	var hash string
	err = t.row("SELECT job_id, once_hash FROM jobs WHERE once_owner = $1 AND once_key = $2 AND created_time > $3 AND state <> 'removed'",
		once.Owner, once.Key, now-schema.OnceLifetime.Milliseconds()).Scan(&jobID, &hash)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		_, err = t.exec("UPDATE jobs SET once_owner = NULL, once_key = NULL, once_hash = NULL WHERE once_owner = $1 AND once_key = $2",
			once.Owner, once.Key)
		return "", err
	case err == nil && hash != once.Hash:
		return "", schema.ErrOtherOrder
	}
	return jobID, err
}

func (t *tx) addJob(sc schema.Scope, n schema.NewJob, newID func() string) error {
	devices, err := t.targeted(sc, &n)
	if err == nil && len(devices) == 0 {
		err = schema.ErrNoDevices
	}
	if err == nil {
		err = t.roomForJob()
	}
	if err != nil {
		return err
	}
	if err := t.insertJob(n, len(devices)); err != nil {
		return err
	}
	rows := make([][]any, len(devices))
	for i, id := range devices {
		rows[i] = []any{n.JobID, i + 1, id, newID()}
	}
	return t.insertRows("INSERT INTO job_devices (job_id, place, device_id, order_id) VALUES ", "", rows)
}

// roomForJob says whether one more job may run.
func (t *tx) roomForJob() error {
	var running int
	err := t.row("SELECT COUNT(*) FROM jobs WHERE ended_time IS NULL").Scan(&running)
	if err == nil && running >= schema.MaxJobs {
		return schema.ErrTooManyJobs
	}
	return err
}

func (t *tx) insertJob(n schema.NewJob, devices int) error {
	target, err := jsonText(n.Target)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO jobs (job_id, target, name, is_inner, params, max_parallel, max_failures, if_offline, if_busy,
			ttl, total, state, actor, created_time, once_owner, once_key, once_hash)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'running', $12, $13, $14, $15, $16)`,
		n.JobID, target, n.Order, n.IsInner, string(n.Params), n.MaxParallel, n.MaxFailures, n.IfOffline, n.IfBusy,
		n.TTL, devices, n.By, n.CreatedTime, nullable(n.Once.Owner), nullable(n.Once.Key), nullable(n.Once.Hash))
	return err
}

// targeted are the identifiers of the devices that a job is for, of those that
// the scope sees. A retry gets the order and the limits of the job before it.
func (t *tx) targeted(sc schema.Scope, n *schema.NewJob) ([]string, error) {
	switch n.Target.Kind {
	case schema.TargetGroup:
		if _, err := groupIn(t, sc, n.Target.GroupID); err != nil {
			return nil, err
		}
		return t.filtered(sc, schema.DeviceFilter{GroupID: n.Target.GroupID})
	case schema.TargetFilter:
		f := *n.Target.Filter
		return t.filtered(sc, schema.DeviceFilter{State: f.State, Type: f.Type, Model: f.Model, Name: f.Name})
	case schema.TargetDevices:
		return t.listedDevices(sc, n.DeviceIDs)
	}
	return t.unsuccessful(sc, n)
}

func scanID(r scanner) (id string, err error) { return id, r.Scan(&id) }

func (t *tx) ids(q *query) ([]string, error) {
	rows, err := t.rows(q.text.String(), q.args...)
	return collect(rows, err, scanID)
}

func (t *tx) filtered(sc schema.Scope, f schema.DeviceFilter) ([]string, error) {
	q, id := listed(sc, f, nil, "d.device_id")
	q.add(" ORDER BY " + id)
	return t.ids(q)
}

// listedDevices are those of a list, all of which have to be there.
func (t *tx) listedDevices(sc schema.Scope, ids []string) ([]string, error) {
	there := make(map[string]bool, len(ids))
	for part := range slices.Chunk(ids, maxRows) {
		var q query
		q.add("SELECT d.device_id FROM devices d WHERE ")
		in(&q, "d.device_id", part)
		q.within(sc, "d.device_id")
		found, err := t.ids(&q)
		if err != nil {
			return nil, err
		}
		for _, id := range found {
			there[id] = true
		}
	}
	for i, id := range ids {
		if !there[id] {
			return nil, schema.Errorf(schema.DeviceNotFound, schema.ErrDeviceNotFound.Code, "device_ids[%d]: no such device: %s", i, id)
		}
	}
	return ids, nil
}

// unsuccessful are the devices of a job before that did not succeed, as far as
// they are still there. n becomes like that job.
func (t *tx) unsuccessful(sc schema.Scope, n *schema.NewJob) ([]string, error) {
	old, err := uncounted(t, sc, n.Target.JobID)
	if err != nil {
		return nil, err
	}
	if old.EndedTime == nil {
		return nil, schema.ErrJobRunning
	}
	n.Order, n.IsInner, n.Params, n.TTL = old.Order, old.IsInner, old.Params, old.TTL
	n.MaxParallel, n.MaxFailures, n.IfOffline, n.IfBusy = old.MaxParallel, old.MaxFailures, old.IfOffline, old.IfBusy
	var q query
	q.add(`SELECT v.device_id FROM job_devices v JOIN devices d ON d.device_id = v.device_id
		WHERE v.job_id = ? AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.order_id = v.order_id AND o.state = 'succeeded')`, old.JobID)
	q.within(sc, "v.device_id")
	q.add(" ORDER BY v.place")
	return t.ids(&q)
}

// CancelJob has nothing more of a job begin. A scope that does not see all of
// the job's devices must not: others' are among them.
func (s *Store) CancelJob(ctx context.Context, sc schema.Scope, jobID, by string, now int64) (schema.Job, error) {
	return change(ctx, s, func(t *tx) (schema.Job, error) {
		j, err := jobIn(t, sc, jobID)
		if err != nil {
			return j, err
		}
		if j.State != schema.JobRunning {
			e := schema.Errorf(schema.OrderConflict, "job_not_cancellable", "job_id: the job is %s; only one that is running can be cancelled", j.State)
			e.Data = j
			return schema.Job{}, e
		}
		if err := t.seesAll(sc, jobID); err != nil {
			return schema.Job{}, err
		}
		if err := t.haltJob(jobID, schema.JobCancelled, by); err != nil {
			return schema.Job{}, err
		}
		if _, err := t.endJob(jobID, schema.ReasonJobCancelled, by, now); err != nil {
			return schema.Job{}, err
		}
		return jobIn(t, sc, jobID)
	})
}

// seesAll refuses where the job has devices that the scope does not see.
func (t *tx) seesAll(sc schema.Scope, jobID string) error {
	if sc.Groups == nil {
		return nil
	}
	var q query
	q.add(`SELECT COUNT(*) FROM job_devices v JOIN devices d ON d.device_id = v.device_id
		WHERE v.job_id = ? AND NOT EXISTS (SELECT 1 FROM relations w WHERE w.device_id = v.device_id AND `, jobID)
	in(&q, "w.group_id", sc.Groups)
	q.add(")")
	var others int64
	err := t.row(q.text.String(), q.args...).Scan(&others)
	if err == nil && others > 0 {
		return schema.Errorf(schema.Forbidden, "forbidden", "Authorization: the job is for devices too that the key is not for")
	}
	return err
}

// jobColumns are what scanJob reads.
const jobColumns = `j.job_id, j.target, j.name, j.is_inner, j.params, j.max_parallel, j.max_failures, j.if_offline, j.if_busy,
	j.ttl, j.state, j.cancelled_by, j.actor, j.created_time, j.ended_time, j.total`

func scanJob(r scanner) (j schema.Job, err error) {
	var target, params string
	err = r.Scan(&j.JobID, &target, &j.Order, &j.IsInner, &params, &j.MaxParallel, &j.MaxFailures, &j.IfOffline, &j.IfBusy,
		&j.TTL, &j.State, &j.CancelledBy, &j.By, &j.CreatedTime, &j.EndedTime, &j.Counts.Total)
	if err != nil {
		return j, err
	}
	j.Params = json.RawMessage(params)
	if err := json.Unmarshal([]byte(target), &j.Target); err != nil {
		return j, fmt.Errorf("store: stored JSON: %w", err)
	}
	return j, nil
}
