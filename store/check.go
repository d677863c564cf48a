package store

import (
	"context"
	"database/sql"
	"fmt"
)

// An invariant is what every commit leaves true. text finds the exceptions:
// whose it is, and two numbers that say tells of.
type invariant struct{ say, text string }

// invariants hold between commits, whatever the process died of, on every engine.
// They do not rely on what an engine is told to see to by itself, such as that
// a key is unique: its index may be what is damaged.
var invariants = []invariant{
	// Events. Retention takes them in the order of pos, and never the last.
	{"device %s: of its events %d to %d some are missing",
		`SELECT device_id, MIN(seq), MAX(seq) FROM events GROUP BY device_id
			HAVING COUNT(*) <> MAX(seq) - MIN(seq) + 1 LIMIT $1`},
	{"device %s: its last event is %d, and its counter stands at %d",
		`SELECT e.device_id, e.last, COALESCE(s.seq, 0)
			FROM (SELECT device_id, MAX(seq) AS last FROM events GROUP BY device_id) AS e
			LEFT JOIN event_seq s ON s.device_id = e.device_id
			WHERE COALESCE(s.seq, 0) <> e.last LIMIT $1`},
	{"device %s: its event at %d comes after the one at %d",
		`SELECT device_id, pos, was
			FROM (SELECT device_id, pos, LAG(pos) OVER (ORDER BY pos) AS was FROM events) AS line
			WHERE pos <> was + 1 LIMIT $1`},
	{"device %s: event %d is the one before as well, or is at %d, before that",
		`SELECT device_id, seq, pos
			FROM (SELECT device_id, seq, pos, LAG(seq) OVER device AS was, LAG(pos) OVER device AS earlier
				FROM events WINDOW device AS (PARTITION BY device_id ORDER BY seq)) AS line
			WHERE seq = was OR pos <= earlier LIMIT $1`},
	{"counter %s: the last event is at %d, and it stands at %d",
		`SELECT 'pos', e.last, COALESCE(c.value, 0)
			FROM (SELECT MAX(pos) AS last FROM events) AS e LEFT JOIN counters c ON c.name = 'pos'
			WHERE COALESCE(c.value, 0) <> e.last LIMIT $1`},
	{"device %s: events %d and %d are both connect or both disconnect",
		`SELECT device_id, earlier, seq
			FROM (SELECT device_id, seq, kind, LAG(seq) OVER (PARTITION BY device_id ORDER BY seq) AS earlier,
					LAG(kind) OVER (PARTITION BY device_id ORDER BY seq) AS was
				FROM events WHERE kind IN ('connect', 'disconnect')) AS links
			WHERE kind = was LIMIT $1`},

	// Devices.
	{"device %s: its state is not what event %d says, of epoch %d",
		`SELECT d.device_id, e.seq, d.owner_epoch
			FROM (SELECT device_id, MAX(seq) AS seq FROM events WHERE kind IN ('connect', 'disconnect') GROUP BY device_id) AS link
			JOIN events e ON e.device_id = link.device_id AND e.seq = link.seq
			JOIN devices d ON d.device_id = e.device_id
			WHERE (e.kind = 'connect') = (d.state = 'offline') LIMIT $1`},
	{"device %s: its state is none that there is; it is of node %d, epoch %d",
		`SELECT device_id, COALESCE(owner_node, 0), owner_epoch FROM devices WHERE state NOT IN ('online', 'Unknown', 'offline') LIMIT $1`},
	{"device %s: it was told of change %d, and the last is %d",
		"SELECT device_id, told_version, update_version FROM devices WHERE told_version > update_version LIMIT $1"},
	{"device %s: %d devices have its sn and model, and %d may",
		"SELECT MIN(device_id), COUNT(*), 1 FROM devices GROUP BY sn, model HAVING COUNT(*) > 1 LIMIT $1"},
	{"device %s: it is in a group, and of devices %d and of groups %d are there",
		`SELECT r.device_id, COUNT(d.device_id), COUNT(g.group_id)
			FROM relations r LEFT JOIN devices d ON d.device_id = r.device_id LEFT JOIN group_info g ON g.group_id = r.group_id
			WHERE d.device_id IS NULL OR g.group_id IS NULL GROUP BY r.device_id, r.group_id LIMIT $1`},

	// Orders.
	{"device %s: %d orders are under way, and %d may be",
		"SELECT device_id, COUNT(*), 1 FROM orders WHERE state = 'sent' GROUP BY device_id HAVING COUNT(*) > 1 LIMIT $1"},
	{"order %s: its state is none that there is; it was made at %d, and is due at %d",
		`SELECT order_id, created_time, due_time FROM orders
			WHERE state NOT IN ('queued', 'sent', 'succeeded', 'failed', 'unknown', 'cancelled', 'expired') LIMIT $1`},
	{"order %s: it has ended or has not, and its times say otherwise; it was made at %d, and ended at %d",
		`SELECT order_id, created_time, COALESCE(ended_time, 0) FROM orders
			WHERE (state IN ('queued', 'sent')) = (ended_time IS NOT NULL) LIMIT $1`},

	// Keys.
	{"key %s: a log-in with it began at %d and ends at %d, or the key is not there",
		`SELECT s.key_id, s.created_time, s.expires_time FROM key_sessions s LEFT JOIN api_keys k ON k.key_id = s.key_id
			WHERE k.key_id IS NULL OR s.expires_time < s.created_time LIMIT $1`},
	{"audit log: of %s, at %d, the status is %d, which is none",
		"SELECT service, at, status FROM audit WHERE service <> 'audit_lost' AND status NOT BETWEEN 0 AND 599 LIMIT $1"},
	// Jobs. One whose removal has begun is not looked at.
	{"job %s: its state is none that there is, or not that of a job which ended at %d; it was made at %d",
		`SELECT job_id, COALESCE(ended_time, 0), created_time FROM jobs
			WHERE state NOT IN ('running', 'done', 'cancelled', 'stopped', 'removed')
				OR state = 'running' AND ended_time IS NOT NULL OR state IN ('done', 'removed') AND ended_time IS NULL LIMIT $1`},
	{"job %s: it is for %d devices, and %d are there",
		`SELECT j.job_id, j.total, COUNT(d.place) FROM jobs j LEFT JOIN job_devices d ON d.job_id = j.job_id
			WHERE j.state <> 'removed' GROUP BY j.job_id, j.total HAVING j.total <> COUNT(d.place) LIMIT $1`},
	{"job %s: the device at place %d has no order, as its row says, and %d is there",
		`SELECT d.job_id, d.place, COUNT(*) FROM job_devices d JOIN orders o ON o.order_id = d.order_id
			WHERE d.reason IS NOT NULL OR COALESCE(o.job_id, '') <> d.job_id OR o.device_id <> d.device_id
			GROUP BY d.job_id, d.place LIMIT $1`},
	{"job %s: it ended at %d, and %d of its orders have not",
		`SELECT j.job_id, j.ended_time, COUNT(*) FROM jobs j JOIN orders o ON o.job_id = j.job_id
			WHERE j.ended_time IS NOT NULL AND o.state IN ('queued', 'sent') GROUP BY j.job_id, j.ended_time LIMIT $1`},

	// Nodes.
	{"node %s: it is of incarnation %d, and the counter stands at %d",
		`SELECT n.name, n.incarnation, COALESCE(c.value, 0) FROM nodes n LEFT JOIN counters c ON c.name = 'incarnation'
			WHERE n.incarnation > COALESCE(c.value, 0) LIMIT $1`},
	{"node %s: its number is %d, and %d nodes have it",
		"SELECT MIN(name), number, COUNT(*) FROM nodes GROUP BY number HAVING COUNT(*) > 1 LIMIT $1"},
}

// Check looks at the whole database that url names, as it is at one instant,
// and tells all that is wrong with it: what is stored and its indexes as the
// engine checks them, and what every commit of ours leaves true. A service may
// be using it meanwhile. It changes nothing.
//
// PostgreSQL checks indexes by its extension amcheck. Where that is not
// installed, or the role may not use it, they are left out: see ChecksIndexes.
func Check(ctx context.Context, url string) (findings []string, err error) {
	if err := logDamage(url); err != nil {
		findings = append(findings, err.Error())
	}
	db, err := openSource(url)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	found, err := look(ctx, db)
	if faultOf(err) == broken { // there is no looking any further
		return append(append(findings, found...), err.Error()), nil
	}
	return append(findings, found...), outward(err)
}

// A question is asked of a database, and answered by what is wrong there.
type question func(ctx context.Context, t *sql.Tx) ([]string, error)

// look asks all questions in one transaction.
func look(ctx context.Context, db *source) (findings []string, err error) {
	t, err := db.BeginTx(ctx, oneInstant)
	if err != nil {
		return nil, err
	}
	defer func() { _ = t.Rollback() }() // nothing was written
	questions := db.questions
	for _, i := range invariants {
		questions = append(questions, i.exceptions)
	}
	for _, ask := range questions {
		found, err := ask.apart(ctx, t)
		if findings = append(findings, found...); err != nil {
			return findings, err
		}
	}
	return findings, nil
}

// apart asks so that damage which the question stumbles over is a finding, and
// leaves the transaction fit for the next one.
func (ask question) apart(ctx context.Context, t *sql.Tx) ([]string, error) {
	if _, err := t.ExecContext(ctx, "SAVEPOINT question"); err != nil {
		return nil, err
	}
	found, err := ask(ctx, t)
	if faultOf(err) != broken {
		return found, err
	}
	_, undo := t.ExecContext(ctx, "ROLLBACK TO SAVEPOINT question")
	return append(found, err.Error()), undo
}

func (i invariant) exceptions(ctx context.Context, t *sql.Tx) ([]string, error) {
	rows, err := t.QueryContext(ctx, i.text, maxFindings)
	return collect(rows, err, func(r scanner) (string, error) {
		var whose string
		var a, b int64
		err := r.Scan(&whose, &a, &b)
		return fmt.Sprintf(i.say, whose, a, b), err
	})
}
