package store

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"time"

	"github.com/edgetether/tether/schema"
)

// maxTries is how often a batch is tried before its callers are told.
const maxTries = 3

// attempt is a batch, and what became of its transaction.
type attempt struct {
	batch   []*op
	number  int64 // of this attempt: what the transaction leaves in the writer's row
	events  []schema.Event
	results []result // by op
	err     error
	inDoubt bool // err leaves open if it was committed
}

// attempt applies batch in one transaction. It is repeated where another try
// may succeed at once: after a deadlock, say, or when the connection was lost
// with a fail-over. Where the COMMIT is what got no answer, the database is
// asked first what became of it (reliability F30, F31).
func (w *writer) attempt(batch []*op) (a *attempt) {
	for range maxTries {
		a = w.try(batch)
		if a.inDoubt {
			committed, err := w.committed(a)
			if err != nil {
				return a
			}
			a.inDoubt = false
			if committed {
				a.err = nil
			}
		}
		if faultOf(a.err) != passing {
			break
		}
	}
	return a
}

// try is one transaction. A connection on which anything but a row was wrong
// is given up. Only an engine that may fall silent has a limit of time: a commit that
// is given up leaves its callers without an answer.
func (w *writer) try(batch []*op) *attempt {
	w.attempts++
	a := &attempt{batch: batch, number: w.attempts, err: w.failed}
	if a.err != nil {
		return a
	}
	ctx, cancel := w.link.patient()
	defer cancel()
	began := time.Now()
	a.err = w.transact(ctx, a)
	w.onCommit(len(batch), time.Since(began), a.err)
	switch f := faultOf(a.err); {
	case f == broken:
		w.failed = unavailable(a.err)
		w.link.drop()
	case f == passing, f == outage, a.inDoubt:
		w.link.drop()
	}
	return a
}

func (w *writer) transact(ctx context.Context, a *attempt) error {
	sqlTx, err := w.link.begin(ctx)
	if err != nil {
		return err
	}
	t := &tx{ctx: ctx, link: w.link, sql: sqlTx}
	if a.results, err = t.apply(a.batch); err == nil {
		err = t.markedFlush(w.mark, a.number)
	}
	if err != nil {
		if undo := sqlTx.Rollback(); undo != nil {
			w.link.drop() // which undoes it as well
		}
		return err
	}
	a.events = t.events
	err = sqlTx.Commit()
	if a.inDoubt = inDoubt(err); a.inDoubt { // whatever the driver says of it, the connection is at fault
		err = fmt.Errorf("no answer to a commit: %w: %w", driver.ErrBadConn, err)
	}
	return err
}

// markedFlush ends a transaction's statements. Each leaves its number in the
// writer's own row, for committed; so a probe, which has no ops, writes too.
func (t *tx) markedFlush(mark string, number int64) error {
	_, err := t.exec(`INSERT INTO counters (name, value) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`, mark, number)
	if err != nil {
		return err
	}
	return t.flush()
}

// committed finds out whether a's COMMIT took effect. It writes the row, and
// so waits for a transaction that another connection may still have open.
func (w *writer) committed(a *attempt) (bool, error) {
	ctx, cancel := w.link.patient()
	defer cancel()
	var number int64
	err := w.link.open(ctx)
	if err == nil {
		err = w.link.conn.QueryRowContext(ctx, `INSERT INTO counters (name, value) VALUES ($1, 0)
			ON CONFLICT (name) DO UPDATE SET value = counters.value RETURNING value`, w.mark).Scan(&number)
	}
	if err != nil {
		w.link.drop()
	}
	return number == a.number, err
}

// settle clears up the doubt about an earlier commit, if there is one. Before
// batch comes what has to follow if it took effect, and if not, those of its ops
// that nobody waits for.
func (w *writer) settle(batch []*op) ([]*op, error) {
	a := w.doubt
	if a == nil {
		return batch, nil
	}
	committed, err := w.committed(a)
	switch {
	case err != nil:
		return batch, err
	case committed:
		w.told(a)
		batch = append(unheard(a.batch), batch...)
	default:
		batch = append(kept(a.batch), batch...)
	}
	w.doubt = nil
	return batch, nil
}

// kept and waitedFor are the ops of batch for which nobody waits, and the others.
func kept(batch []*op) []*op {
	return slices.DeleteFunc(slices.Clone(batch), func(o *op) bool { return o.done != nil })
}

func waitedFor(batch []*op) []*op {
	return slices.DeleteFunc(slices.Clone(batch), func(o *op) bool { return o.done == nil })
}

// unheard are what has to follow batch, of which nobody was told.
func unheard(batch []*op) (follow []*op) {
	for _, o := range batch {
		if o.unheard != nil {
			follow = append(follow, o.unheard())
		}
	}
	return follow
}

// unmark removes the writer's row at the end. A row that a crash leaves behind
// does no harm: no two writers have the same.
func (w *writer) unmark() {
	if w.doubt != nil {
		w.log("the last changes may be lost", w.doubt.err)
	}
	if w.link.conn == nil {
		return
	}
	ctx, cancel := w.link.patient()
	defer cancel()
	if _, err := w.link.conn.ExecContext(ctx, "DELETE FROM counters WHERE name = $1", w.mark); err != nil {
		w.log("the writer's row stays behind", err)
	}
}
