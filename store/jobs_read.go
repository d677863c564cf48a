package store

import (
	"context"

	"github.com/edgetether/tether/schema"
)

// jobDeviceState is what became of device v of job j, whose order's record is
// o, if there is one.
const jobDeviceState = `CASE WHEN o.state IS NOT NULL THEN o.state WHEN v.reason IS NOT NULL THEN 'refused'
	WHEN j.state = 'running' THEN 'pending' ELSE 'cancelled' END`

// ofDevices are the devices of a job, with the records of their orders.
const ofDevices = ` FROM job_devices v JOIN jobs j ON j.job_id = v.job_id LEFT JOIN orders o ON o.order_id = v.order_id WHERE v.job_id = ?`

// Job is a job with its counts. A limited scope sees a job that has one of its
// devices, and counts those alone.
func (s *Store) Job(ctx context.Context, sc schema.Scope, jobID string) (schema.Job, error) {
	return read(ctx, s, func(r querier) (schema.Job, error) { return jobIn(r, sc, jobID) })
}

// jobIn reads a job of the scope, and counts its devices.
func jobIn(r querier, sc schema.Scope, jobID string) (schema.Job, error) {
	j, err := uncounted(r, sc, jobID)
	if err != nil {
		return j, err
	}
	return j, countDevices(r, sc, &j)
}

// uncounted is jobIn where the counts do not matter.
func uncounted(r querier, sc schema.Scope, jobID string) (schema.Job, error) {
	var q query
	q.add("SELECT "+jobColumns+" FROM jobs j WHERE j.job_id = ? AND j.state <> 'removed'", jobID)
	q.withinJobs(sc)
	j, err := scanJob(r.row(q.text.String(), q.args...))
	return one(j, err, schema.ErrJobNotFound)
}

// withinJobs limits the query to jobs that have a device of the scope.
func (q *query) withinJobs(sc schema.Scope) {
	if sc.Groups == nil {
		return
	}
	q.add(" AND EXISTS (SELECT 1 FROM relations w JOIN job_devices v ON v.device_id = w.device_id WHERE v.job_id = j.job_id AND ")
	q.in("w.group_id", sc.Groups)
	q.add(")")
}

// ListJobs lists jobs, newest first.
func (s *Store) ListJobs(ctx context.Context, sc schema.Scope, p schema.Page) (schema.List[schema.Job], error) {
	var q query
	q.add("SELECT " + jobColumns + " FROM jobs j WHERE j.state <> 'removed'")
	q.withinJobs(sc)
	return read(ctx, s, func(r querier) (schema.List[schema.Job], error) {
		l, err := list(r, &q, p, order{kind: 'J', number: "j.created_time", id: "j.job_id", newest: true}, scanJob,
			func(j schema.Job) cursor { return cursor{number: j.CreatedTime, id: j.JobID} })
		for i := range l.Items {
			if err == nil {
				err = countDevices(r, sc, &l.Items[i])
			}
		}
		return l, err
	})
}

// JobResults is a job and a page of its devices, in the order of their turn; of
// those in some states, if states are given.
func (s *Store) JobResults(ctx context.Context, sc schema.Scope, jobID string, states []schema.JobDeviceState, p schema.Page) (schema.JobResults, error) {
	var q query
	q.add("SELECT v.place, v.device_id, v.order_id, "+jobDeviceState+`,
		CASE WHEN o.state IS NOT NULL THEN o.reason WHEN v.reason IS NOT NULL THEN v.reason
			WHEN j.state = 'running' THEN NULL WHEN j.state = 'stopped' THEN 'job_stopped' ELSE 'job_cancelled' END,
		COALESCE(o.message, v.message)`+ofDevices, jobID)
	q.within(sc, "v.device_id")
	if len(states) > 0 {
		words := make([]string, len(states))
		for i, s := range states {
			words[i] = string(s)
		}
		q.add(" AND ")
		q.in(jobDeviceState, words)
	}
	return read(ctx, s, func(r querier) (res schema.JobResults, err error) {
		if res.Job, err = jobIn(r, sc, jobID); err != nil {
			return res, err
		}
		rows, err := list(r, &q, p, order{kind: 'j', number: "v.place"}, scanPlaced,
			func(d placed) cursor { return cursor{number: d.place} })
		res.List = schema.List[schema.JobDevice]{Items: make([]schema.JobDevice, len(rows.Items)), NextCursor: rows.NextCursor}
		for i, d := range rows.Items {
			res.Items[i] = d.JobDevice
		}
		return res, err
	})
}

// placed is a device of a job, and its place.
type placed struct {
	schema.JobDevice
	place int64
}

func scanPlaced(r scanner) (d placed, err error) {
	return d, r.Scan(&d.place, &d.DeviceID, &d.OrderID, &d.State, &d.Reason, &d.Message)
}

// countDevices fills in the counts of a job, whose Total it has already. For those who
// see all, two indexes have the answer.
func countDevices(r querier, sc schema.Scope, j *schema.Job) error {
	if sc.Groups != nil {
		return countSeen(r, sc, j)
	}
	states, err := tallied(r, "SELECT state, COUNT(*) FROM orders WHERE job_id = $1 GROUP BY state", j.JobID)
	if err != nil {
		return err
	}
	err = r.row("SELECT COUNT(*) FROM job_devices WHERE job_id = $1 AND reason IS NOT NULL", j.JobID).Scan(&j.Counts.Refused)
	rest := j.Counts.Total - j.Counts.Refused
	for _, s := range states {
		*j.Counts.Of(s.state) += s.n
		rest -= s.n
	}
	if j.State == schema.JobRunning {
		j.Counts.Pending = rest
	} else {
		j.Counts.Cancelled += rest
	}
	return err
}

// countSeen is countDevices for a limited scope: its own devices are all that there are.
func countSeen(r querier, sc schema.Scope, j *schema.Job) error {
	var q query
	q.add("SELECT "+jobDeviceState+", COUNT(*)"+ofDevices, j.JobID)
	q.within(sc, "v.device_id")
	q.add(" GROUP BY 1")
	states, err := tallied(r, q.text.String(), q.args...)
	j.Counts.Total = 0
	for _, s := range states {
		*j.Counts.Of(s.state) += s.n
		j.Counts.Total += s.n
	}
	return err
}

// stateCount is how many devices of a job are in a state.
type stateCount struct {
	state schema.JobDeviceState
	n     int64
}

func tallied(r querier, text string, args ...any) ([]stateCount, error) {
	rows, err := r.rows(text, args...)
	return collect(rows, err, func(r scanner) (c stateCount, err error) { return c, r.Scan(&c.state, &c.n) })
}
