package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
)

// link is the writer's connection and what is prepared on it. The writer's
// goroutine alone uses it.
type link struct {
	db     *sql.DB
	conn   *sql.Conn
	byText map[string]*sql.Stmt
}

// begin starts a transaction, on a new connection if there is none.
func (l *link) begin(ctx context.Context) (*sql.Tx, error) {
	if l.conn == nil {
		conn, err := l.db.Conn(ctx)
		if err != nil {
			return nil, err
		}
		l.conn, l.byText = conn, map[string]*sql.Stmt{}
	}
	return l.conn.BeginTx(ctx, nil)
}

// drop gives the connection up because of err (nil: at the end), so that the
// next transaction begins on one that nothing is known to be wrong with. A
// connection that database/sql itself found dead took its statements along.
func (l *link) drop(err error) {
	if !errors.Is(err, driver.ErrBadConn) {
		for _, st := range l.byText {
			_ = st.Close()
		}
	}
	if l.conn != nil {
		_ = l.conn.Close()
	}
	l.conn, l.byText = nil, nil
}

// prepared prepares each text once for the life of the connection. A prepared
// statement runs in the transaction that is open on its connection.
func (l *link) prepared(ctx context.Context, text string) (*sql.Stmt, error) {
	if st, ok := l.byText[text]; ok {
		return st, nil
	}
	st, err := l.conn.PrepareContext(ctx, text)
	if err == nil {
		l.byText[text] = st
	}
	return st, err
}

// exec runs a statement and says how many rows it touched.
func (t *tx) exec(text string, args ...any) (int64, error) {
	st, err := t.link.prepared(t.ctx, text)
	if err != nil {
		return 0, err
	}
	res, err := st.ExecContext(t.ctx, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (t *tx) rows(text string, args ...any) (*sql.Rows, error) {
	st, err := t.link.prepared(t.ctx, text)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(t.ctx, args...)
}

func (t *tx) row(text string, args ...any) *sql.Row {
	st, err := t.link.prepared(t.ctx, text)
	if err != nil {
		return t.link.conn.QueryRowContext(t.ctx, text, args...) // which tells the same error
	}
	return st.QueryRowContext(t.ctx, args...)
}

// touched turns a count of rows into a refusal where there is none.
func touched(n int64, err error, missing error) error {
	if err == nil && n == 0 {
		return missing
	}
	return err
}
