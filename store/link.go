package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"time"
)

// patience is longer than any of a server's own limits of time: who does not
// answer by then is not there.
const patience = 15 * time.Second

// link is the writer's connection and what is prepared on it. The writer's
// goroutine alone uses it.
type link struct {
	db     *sql.DB
	local  bool                // see engine
	text   func(string) string // see engine
	conn   *sql.Conn
	byText map[string]*sql.Stmt
	execs  map[string]executor // likewise, of SQLite's driver

	args  []any // room for those of one statement
	named []driver.NamedValue
}

// executor is a prepared statement of a driver.
type executor interface {
	driver.Stmt
	driver.StmtExecContext
}

// begin starts a transaction, on a new connection if there is none.
func (l *link) begin(ctx context.Context) (*sql.Tx, error) {
	if err := l.open(ctx); err != nil {
		return nil, err
	}
	return l.conn.BeginTx(ctx, nil)
}

func (l *link) open(ctx context.Context) error {
	if l.conn != nil {
		return nil
	}
	conn, err := l.db.Conn(ctx)
	if err == nil {
		l.conn, l.byText, l.execs = conn, map[string]*sql.Stmt{}, map[string]executor{}
	}
	return err
}

// drop gives the connection up, for good: the next transaction begins on one
// that nothing is known to be wrong with.
func (l *link) drop() {
	if l.conn == nil {
		return
	}
	if l.local && l.conn.Raw(l.closeExecs) == nil { // else it took them along
		for _, st := range l.byText {
			_ = st.Close()
		}
	}
	_ = l.conn.Raw(func(any) error { return driver.ErrBadConn }) // so it is closed, not kept
	_ = l.conn.Close()
	l.conn, l.byText, l.execs = nil, nil, nil
}

func (l *link) closeExecs(any) error {
	for _, st := range l.execs {
		_ = st.Close()
	}
	return nil
}

// patient is a context that ends when the engine must be taken for gone. SQLite is
// here: its driver would start a goroutine for each statement that may be called off.
func (l *link) patient() (context.Context, context.CancelFunc) {
	if l.local {
		return context.Background(), func() {}
	}
	return context.WithTimeout(context.Background(), patience)
}

// prepared prepares each text once for the life of a connection to SQLite, and
// the statement runs in the transaction that is open on it. The driver of
// PostgreSQL remembers texts by itself, and they run in the sql.Tx: a sql.Stmt
// that finds its connection dead would close it, and wait for the transaction's
// end, which waits for the statement.
func (l *link) prepared(ctx context.Context, text string) (*sql.Stmt, error) {
	if st, ok := l.byText[text]; ok {
		return st, nil
	}
	st, err := l.conn.PrepareContext(ctx, l.text(text))
	if err == nil {
		l.byText[text] = st
	}
	return st, err
}

// exec runs a statement and says how many rows it touched.
func (t *tx) exec(text string, args ...any) (int64, error) {
	if !t.link.local {
		return affected(t.sql.ExecContext(t.ctx, t.link.text(text), storable(args)...))
	}
	var res sql.Result
	err := t.link.conn.Raw(func(c any) (err error) {
		res, err = t.link.exec(t.ctx, c, text, storable(args))
		return err
	})
	return affected(res, err)
}

// exec is a statement of SQLite's driver itself: what is between would copy all
// arguments once more, and these are most of what a service of devices writes.
func (l *link) exec(ctx context.Context, conn any, text string, args []any) (driver.Result, error) {
	st, ok := l.execs[text]
	if !ok {
		made, err := conn.(driver.ConnPrepareContext).PrepareContext(ctx, l.text(text))
		if err != nil {
			return nil, err
		}
		st = made.(executor)
		l.execs[text] = st
	}
	defer func() { clear(l.named) }()
	l.named = l.named[:0]
	for i, v := range args {
		value, err := driver.DefaultParameterConverter.ConvertValue(v)
		if err != nil {
			return nil, err
		}
		l.named = append(l.named, driver.NamedValue{Ordinal: i + 1, Value: value})
	}
	return st.ExecContext(ctx, l.named)
}

func affected(res sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (t *tx) rows(text string, args ...any) (*sql.Rows, error) {
	if !t.link.local {
		return t.sql.QueryContext(t.ctx, t.link.text(text), storable(args)...)
	}
	st, err := t.link.prepared(t.ctx, text)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(t.ctx, storable(args)...)
}

// page is rows: what a change reads has one plan.
func (t *tx) page(text string, args ...any) (*sql.Rows, error) { return t.rows(text, args...) }

// often is rows: the writer keeps every text.
func (t *tx) often(text string, args ...any) (*sql.Rows, error) { return t.rows(text, args...) }

func (t *tx) row(text string, args ...any) scanner {
	if !t.link.local {
		return t.sql.QueryRowContext(t.ctx, t.link.text(text), storable(args)...)
	}
	st, err := t.link.prepared(t.ctx, text)
	if err != nil {
		return unread{err}
	}
	return st.QueryRowContext(t.ctx, storable(args)...)
}

// touched turns a count of rows into a refusal where there is none.
func touched(n int64, err error, missing error) error {
	if err == nil && n == 0 {
		return missing
	}
	return err
}
