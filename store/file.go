package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
)

// openToRead opens a database file that is there to read alone: nothing is made,
// converted or brought to another form, so that a backup can be looked at too.
func openToRead(rawURL string) (*sql.DB, error) {
	path, ok := strings.CutPrefix(rawURL, "sqlite:")
	if !ok {
		return nil, errors.New(`store: only the file of an SQLite database, "sqlite:PATH", can be read so; PostgreSQL has tools of its own`)
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return openPath(path, "mode=ro")
}

func openPath(path, mode string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", fileURI(path)+mode+"&_pragma=busy_timeout(2000)&_pragma=cache_size(-16384)")
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

func fileURI(path string) string { return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" }

// Backup copies the SQLite database that url names into a new file, while a
// service may go on using it: the copy is the database as it was at one
// instant, and writes are not held up. Until the copy is read back and on the
// disk it has another name: a file of the name that was asked for is whole.
func Backup(ctx context.Context, url, file string) error {
	if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("store: %s is there already", file)
	}
	db, err := openToRead(url)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	// CreateTemp makes it for this user's eyes only.
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*")
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	err = copyInto(ctx, db, f)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("store: backup: %w", errors.Join(asDamage(err), os.Remove(f.Name())))
	}
	return syncFolder(filepath.Dir(file))
}

// copyInto writes the database into the empty file, and proves that it can be
// read and is on the disk. It copies pages as they are: what is damaged is
// damaged in the copy, and found there, where a copy by SQL would leave it out.
func copyInto(ctx context.Context, db *sql.DB, f *os.File) error {
	if err := copyPages(ctx, db, f.Name()); err != nil {
		return err
	}
	// Without these two bytes saying that it uses a write-ahead log, it is one
	// file for whoever reads it; a service that opens it sets them again.
	if _, err := f.WriteAt([]byte{1, 1}, 18); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	written, err := openPath(f.Name(), "mode=ro&immutable=1") // no side files
	if err != nil {
		return err
	}
	defer func() { _ = written.Close() }()
	findings, err := pageFindings(ctx, written, "PRAGMA quick_check")
	if err == nil && len(findings) > 0 {
		err = fmt.Errorf("%w: %s", ErrDamaged, findings[0])
	}
	return err
}

// stepPages is how many pages are copied before the context is asked.
const stepPages = 1000

// copyPages holds a transaction open over all steps: without it every write
// between two of them would begin the copy anew.
func copyPages(ctx context.Context, db *sql.DB, to string) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	t, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = t.Rollback() }() // nothing was written
	var tables int
	if err := t.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return err
	}
	return conn.Raw(func(driver any) (err error) {
		source := driver.(interface {
			NewBackup(to string) (*sqlite.Backup, error)
		})
		// The file is nobody's yet: it needs no journal, and is flushed once.
		b, err := source.NewBackup(fileURI(to) + "_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.Finish()) }()
		for more := true; more && err == nil; {
			if err = ctx.Err(); err == nil {
				more, err = b.Step(stepPages)
			}
		}
		return err
	})
}

// MakeFolder makes a folder, and those that it is in, for this user's eyes only.
// Their names survive a power loss: what is flushed in a folder that is gone
// is gone with it (reliability F35).
func MakeFolder(name string) error {
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	parent := filepath.Dir(name)
	if parent != name {
		if err := MakeFolder(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("store: %w", err)
	}
	return syncFolder(parent)
}

// syncFolder makes a name in the folder survive a power loss.
func syncFolder(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// maxLinks is how many links a path may lead through, as in Linux.
const maxLinks = 40

// RealPath is the file that a path leads to, through links; it may not be there
// yet. SQLite keeps its write-ahead log beside that one.
func RealPath(path string) string {
	for range maxLinks {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return real
		}
		to, err := os.Readlink(path) // which leads nowhere yet
		if err != nil {
			return path
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	return path
}
