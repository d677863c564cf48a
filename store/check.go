package store

import (
	"context"
	"database/sql"
	"fmt"
)

// An invariant is what every commit leaves true. text finds the exceptions:
// whose it is, and two numbers that say tells of.
type invariant struct{ say, text string }

// invariants hold between commits, whatever the process died of. Retention
// takes events in the order of pos, and never the last.
var invariants = []invariant{
	{"device %s: of its events %d to %d some are missing",
		`SELECT device_id, MIN(seq), MAX(seq) FROM events GROUP BY device_id
			HAVING COUNT(*) <> MAX(seq) - MIN(seq) + 1 LIMIT $1`},
	{"device %s: its last event is %d, and its counter stands at %d",
		`SELECT e.device_id, e.last, COALESCE(s.seq, 0)
			FROM (SELECT device_id, MAX(seq) AS last FROM events GROUP BY device_id) AS e
			LEFT JOIN event_seq s ON s.device_id = e.device_id
			WHERE COALESCE(s.seq, 0) <> e.last LIMIT $1`},
	{"counter %s: of the events below it %d are missing, and it is %d past the last",
		`SELECT c.name, e.high - e.low + 1 - e.n, c.value - e.high
			FROM counters c CROSS JOIN (SELECT COUNT(*) AS n, MIN(pos) AS low, MAX(pos) AS high FROM events) AS e
			WHERE c.name = 'pos' AND e.n > 0 AND (e.n <> e.high - e.low + 1 OR c.value <> e.high) LIMIT $1`},
	{"device %s: events %d and %d are both connect or both disconnect",
		`SELECT device_id, earlier, seq
			FROM (SELECT device_id, seq, kind, LAG(seq) OVER (PARTITION BY device_id ORDER BY seq) AS earlier,
					LAG(kind) OVER (PARTITION BY device_id ORDER BY seq) AS was
				FROM events WHERE kind IN ('connect', 'disconnect')) AS links
			WHERE kind = was LIMIT $1`},
	{"device %s: its state is not what event %d says, of epoch %d",
		`SELECT d.device_id, e.seq, d.owner_epoch
			FROM (SELECT device_id, MAX(seq) AS seq FROM events WHERE kind IN ('connect', 'disconnect') GROUP BY device_id) AS link
			JOIN events e ON e.device_id = link.device_id AND e.seq = link.seq
			JOIN devices d ON d.device_id = e.device_id
			WHERE (e.kind = 'connect') = (d.state = 'offline') LIMIT $1`},
	{"device %s: %d orders are under way, and %d may be",
		"SELECT device_id, COUNT(*), 1 FROM orders WHERE state = 'sent' GROUP BY device_id HAVING COUNT(*) > 1 LIMIT $1"},
}

// Check looks at the whole database that url names, as it is at one instant,
// and tells all that is wrong with it: pages, indexes and references as the
// engine checks them, and what every commit of ours leaves true. A service may
// be using it meanwhile. It changes nothing.
func Check(ctx context.Context, url string) (findings []string, err error) {
	if err := logDamage(url); err != nil {
		findings = append(findings, err.Error())
	}
	db, err := openToRead(url)
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

// look asks all questions in one transaction.
func look(ctx context.Context, db *sql.DB) ([]string, error) {
	t, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = t.Rollback() }() // nothing was written
	findings, err := pageFindings(ctx, t, "PRAGMA integrity_check")
	if err != nil {
		return nil, err
	}
	rows, err := t.QueryContext(ctx, "PRAGMA foreign_key_check")
	found, err := collect(rows, err, func(r scanner) (string, error) {
		var table, parent string
		var row, key sql.NullInt64
		err := r.Scan(&table, &row, &parent, &key)
		return fmt.Sprintf("%s: row %d refers to nothing in %s", table, row.Int64, parent), err
	})
	findings = append(findings, found...)
	for _, i := range invariants {
		if err != nil {
			break
		}
		found, err = i.exceptions(ctx, t)
		findings = append(findings, found...)
	}
	return findings, err
}

func (i invariant) exceptions(ctx context.Context, db rowser) ([]string, error) {
	rows, err := db.QueryContext(ctx, i.text, maxFindings)
	return collect(rows, err, func(r scanner) (string, error) {
		var whose string
		var a, b int64
		err := r.Scan(&whose, &a, &b)
		return fmt.Sprintf(i.say, whose, a, b), err
	})
}
