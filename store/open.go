package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// engine is an opened database: a connection that the writer holds and one for
// migrations, a few for readers, and the dialect that migrations are recorded in.
type engine struct {
	write   *sql.DB
	read    *sql.DB
	dialect goose.Dialect
}

// readers is the number of connections that read at once.
const readers = 4

// openEngine opens what rawURL names. SQLite is the one engine there is now.
func openEngine(rawURL string) (*engine, error) {
	path, ok := strings.CutPrefix(rawURL, "sqlite:")
	if !ok || path == "" || path == ":memory:" {
		return nil, errors.New(`store: the database must be given as "sqlite:PATH"`)
	}
	if err := prepareFile(path); err != nil {
		return nil, err
	}
	e := &engine{dialect: goose.DialectSQLite3}
	var err error
	if e.write, err = openPool(path, 2, "_txlock=immediate"); err != nil {
		return nil, err
	}
	if e.read, err = openPool(path, readers, "_pragma=query_only(1)"); err != nil {
		return nil, errors.Join(err, e.write.Close())
	}
	return e, nil
}

// prepareFile makes the folder and the file, so that nobody else may read
// them from the first byte on; SQLite gives its side files the file's mode.
func prepareFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

// openPool opens n connections that are kept.
func openPool(path string, n int, extra string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dataSource(path, extra))
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// dataSource is how the driver wants to be told. A commit is on the disk when
// it returns (synchronous); another process that holds the lock, a backup say,
// is waited for (busy_timeout); the write-ahead log is cut after it has grown.
// An immediate transaction (extra, for the writer) takes the lock when it
// begins, so that it cannot fail half-way for want of it.
func dataSource(path, extra string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + extra +
		"&_pragma=busy_timeout(2000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
		"&_pragma=foreign_keys(1)&_pragma=journal_size_limit(67108864)&_pragma=cache_size(-16384)"
}

// ping proves that both pools can open their connections, the writer first:
// it is the one that may switch the file to write-ahead logging.
func (e *engine) ping(ctx context.Context) error {
	if err := e.write.PingContext(ctx); err != nil {
		return unavailable(err)
	}
	if err := e.read.PingContext(ctx); err != nil {
		return unavailable(err)
	}
	return nil
}

func (e *engine) close() error {
	return errors.Join(e.read.Close(), e.write.Close())
}
