package store

import (
	"context"
	"database/sql"

	"github.com/edgetether/tether/schema"
)

// tx is one transaction of the writer. Events are gathered while its changes
// are carried out, and written by flush with a few statements for all.
type tx struct {
	ctx    context.Context
	link   *link
	sql    *sql.Tx
	result *result        // of the change that is being carried out
	events []schema.Event // of all changes, in their order
}

// event notes a line of a device's log, which the change in hand leaves; flush
// gives it its seq and pos.
func (t *tx) event(e schema.Event) { t.result.event(e) }

func (r *result) event(e schema.Event) {
	if len(e.Detail) == 0 {
		e.Detail = schema.Detail()
	}
	r.events = append(r.events, e)
}

// isolated undoes what fn wrote if it fails, its events included, and leaves
// the neighbours in the batch as they are.
func (t *tx) isolated(fn func() error) error {
	if _, err := t.exec("SAVEPOINT change"); err != nil {
		return err
	}
	events := len(t.result.events)
	err := fn()
	if err == nil {
		_, err = t.exec("RELEASE SAVEPOINT change")
		return err
	}
	t.result.events = t.result.events[:events]
	for _, text := range []string{"ROLLBACK TO SAVEPOINT change", "RELEASE SAVEPOINT change"} {
		if _, undo := t.exec(text); undo != nil {
			return undo
		}
	}
	return err
}

// flush writes the events. It numbers them as late as can be: the counter of
// pos is one row, and whoever moved it keeps all others waiting until the commit.
func (t *tx) flush() error {
	if len(t.events) == 0 {
		return nil
	}
	if err := t.number(); err != nil {
		return err
	}
	return t.insert("INSERT INTO events (device_id, seq, pos, at, kind, outcome, actor, detail) VALUES ", "", len(t.events),
		func(args []any, i int) []any {
			e := &t.events[i]
			return append(args, e.DeviceID, e.Seq, e.Pos, e.Time, string(e.Kind), e.Outcome, e.By, string(e.Detail))
		})
}

// number gives the events their pos and seq: both counters are moved by as
// many as there are, and the numbers below are handed out in order.
func (t *tx) number() error {
	count := map[string]int64{}
	var rows [][]any
	for _, e := range t.events {
		if count[e.DeviceID]++; count[e.DeviceID] == 1 {
			rows = append(rows, []any{e.DeviceID, nil})
		}
	}
	for _, r := range rows {
		r[1] = count[r[0].(string)]
	}
	last, err := t.advance(rows)
	if err != nil {
		return err
	}
	var pos int64
	err = t.row("UPDATE counters SET value = value + $1 WHERE name = 'pos' RETURNING value", len(t.events)).Scan(&pos)
	if err != nil {
		return err
	}
	for i := range t.events {
		e := &t.events[i]
		e.Pos = pos - int64(len(t.events)-1-i)
		e.Seq = last[e.DeviceID] - count[e.DeviceID] + 1
		count[e.DeviceID]--
	}
	return nil
}

// advance moves the devices' seq counters by the numbers beside them, and
// returns where they are then.
func (t *tx) advance(rows [][]any) (map[string]int64, error) {
	last := make(map[string]int64, len(rows))
	for part := range parts(rows) {
		text, args := values("INSERT INTO event_seq (device_id, seq) VALUES ",
			" ON CONFLICT (device_id) DO UPDATE SET seq = event_seq.seq + excluded.seq RETURNING device_id, seq", part)
		found, err := t.rows(text, args...)
		type counter struct {
			device string
			seq    int64
		}
		counters, err := collect(found, err, func(r scanner) (c counter, err error) {
			return c, r.Scan(&c.device, &c.seq)
		})
		if err != nil {
			return nil, err
		}
		for _, c := range counters {
			last[c.device] = c.seq
		}
	}
	return last, nil
}
