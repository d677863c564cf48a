package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// ErrDamaged is what Open and Backup say of a database whose file is not what
// was written.
var ErrDamaged = errors.New("the database is damaged")

// begin opens the first connections, and looks for damage if that is asked for.
func (e *engine) begin(ctx context.Context, url string, o Options) error {
	if o.Check > 0 { // the first connection empties the log, for better or worse
		if err := logDamage(url); err != nil {
			return err
		}
	}
	if err := e.ping(ctx); err != nil {
		return asDamage(err)
	}
	if o.Check > 0 && e.local { // a server of its own looks after its files
		return e.sound(ctx, o)
	}
	return nil
}

// tablesToLookAt puts the tables that grow for ever last: what else there is,
// is small, and looked at whole.
const tablesToLookAt = `SELECT name FROM sqlite_schema WHERE type = 'table'
	ORDER BY name IN ('events', 'status_history', 'orders'), name`

// sound looks for damage (reliability F36) before the database is used: in the
// write-ahead log, and in the tables for as long as o.Check. What it then has
// not come to is not known to be sound, and the log says so.
func (e *engine) sound(ctx context.Context, o Options) error {
	rows, err := e.read.QueryContext(ctx, tablesToLookAt)
	tables, err := collect(rows, err, func(r scanner) (name string, err error) { return name, r.Scan(&name) })
	limited, stop := context.WithTimeout(ctx, o.Check)
	defer stop()
	for i, name := range tables {
		var found []string
		found, err = pageFindings(limited, e.read, "PRAGMA quick_check('"+name+"')")
		switch {
		case len(found) > 0:
			return fmt.Errorf("store: %w: %s", ErrDamaged, found[0])
		case limited.Err() != nil && ctx.Err() == nil:
			if o.Log != nil {
				o.Log(fmt.Sprintf("not looked at for damage, for want of time: %s", strings.Join(tables[i:], ", ")), nil)
			}
			return nil
		case err != nil:
			return outward(err)
		}
	}
	return asDamage(err)
}

// asDamage tells a file that is not, or no longer, a database.
func asDamage(err error) error {
	if faultOf(err) == broken {
		return fmt.Errorf("store: %w: %w", ErrDamaged, err)
	}
	return err
}

// maxFindings bounds what one question of a check answers.
const maxFindings = 20

// pageFindings runs one of SQLite's own checks. That the file cannot be read
// for damage is a finding too.
func pageFindings(ctx context.Context, db rowser, text string) ([]string, error) {
	rows, err := db.QueryContext(ctx, text)
	lines, err := collect(rows, err, func(r scanner) (line string, err error) { return line, r.Scan(&line) })
	switch {
	case faultOf(err) == broken:
		return []string{err.Error()}, nil
	case err != nil:
		return nil, err
	case len(lines) == 1 && lines[0] == "ok":
		return nil, nil
	}
	return lines[:min(len(lines), maxFindings)], nil
}

// rowser is a pool or a transaction.
type rowser interface {
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
}
