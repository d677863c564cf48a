package store

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// openSQLite opens the file at path. Migrations share the writer's pool.
func openSQLite(path string) (*engine, error) {
	if path == "" || path == ":memory:" {
		return nil, errURL
	}
	if err := prepareFile(path); err != nil {
		return nil, err
	}
	e := &engine{dialect: goose.DialectSQLite3, local: true, text: unnamed, idle: locked}
	var err error
	if e.write, err = openFile(path, 2, writing); err != nil {
		return nil, err
	}
	e.steps = e.write
	if e.read, err = openFile(path, readers, "_pragma=query_only(1)"); err != nil {
		return nil, errors.Join(err, e.write.Close())
	}
	return e, nil
}

// prepareFile makes the folder and the file, so that nobody else may read
// them from the first byte on; SQLite gives its side files the file's mode, and
// flushes the folder that they are in.
func prepareFile(path string) error {
	if err := MakeFolder(filepath.Dir(path)); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

func openFile(path string, n int, extra string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dataSource(path, extra))
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return keep(db, n), nil
}

// writing is for the writer: an immediate transaction takes the lock when it
// begins, so that it cannot fail half-way for want of it; and what undoes a
// statement of many rows that fails is kept in memory, not in a file.
// What is in the write-ahead log goes into the file when there are 125 MiB of it: the
// same pages are written by one commit after the other, and go there once. That takes
// half a second, in which nothing else is written.
const writing = "_txlock=immediate&_pragma=temp_store(MEMORY)&_pragma=wal_autocheckpoint(32000)"

// unnamed leaves the numbers of parameters out, if they are in order. To SQLite
// $1 is a name, and the driver asks for each parameter's name, which goes through
// all before it: of 64 rows, that was a fifth of the time.
func unnamed(text string) string {
	n, inOrder := 0, true
	bare := parameter.ReplaceAllStringFunc(text, func(name string) string {
		n++
		inOrder = inOrder && name == "$"+strconv.Itoa(n)
		return "?"
	})
	if !inOrder {
		return text
	}
	return bare
}

var parameter = regexp.MustCompile(`\$[0-9]+`)

// dataSource is how the driver wants to be told. A commit is on the disk when
// it returns (synchronous); another process that holds the lock, a backup say,
// is waited for (busy_timeout); the write-ahead log is cut after it has grown.
func dataSource(path, extra string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + extra +
		"&_pragma=busy_timeout(2000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
		"&_pragma=foreign_keys(1)&_pragma=journal_size_limit(134217728)&_pragma=cache_size(-16384)"
}
