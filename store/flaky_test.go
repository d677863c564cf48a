package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// flaky is the real driver with switches for what a database may do to us.
type flaky struct {
	source string
	driver driver.Driver
	begin  atomic.Pointer[error] // BEGIN fails with it
	commit atomic.Pointer[error] // COMMIT is rolled back and fails with it
	begun  atomic.Int64          // transactions that were tried
}

func fail(p *atomic.Pointer[error], err error) { p.Store(&err) }

func (f *flaky) Driver() driver.Driver { return f.driver }

func (f *flaky) Connect(context.Context) (driver.Conn, error) {
	c, err := f.driver.Open(f.source)
	return flakyConn{c, f}, err
}

type flakyConn struct {
	driver.Conn
	f *flaky
}

func (c flakyConn) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	return c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, text)
}

func (c flakyConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	c.f.begun.Add(1)
	if err := c.f.begin.Load(); err != nil {
		return nil, *err
	}
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
	return flakyTx{tx, c.f}, err
}

type flakyTx struct {
	driver.Tx
	f *flaky
}

func (t flakyTx) Commit() error {
	if err := t.f.commit.Load(); err != nil {
		_ = t.Rollback()
		return *err
	}
	return t.Tx.Commit()
}

// openFlaky is open with switches on the writer's connection.
func openFlaky(t testing.TB, path string, o Options) (*Store, *flaky) {
	t.Helper()
	e, err := openEngine(seeded(t, "sqlite:"+path))
	must(t, err)
	s := &Store{engine: e}
	must(t, s.Migrate(t.Context()))
	f := &flaky{source: dataSource(path, writing), driver: e.write.Driver()}
	must(t, e.write.Close())
	e.write = sql.OpenDB(f)
	s.writer = startWriter(e, o)
	return s, f
}

func flakyPath(t testing.TB) string { return filepath.Join(t.TempDir(), "tether.db") }
