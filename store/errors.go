package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/edgetether/tether/schema"
	"modernc.org/sqlite"
)

// fault is what an error from below means for the writer.
type fault int

const (
	none    fault = iota
	refusal       // a schema.Error: an answer; nothing was written
	badRow        // the statement or its values are at fault
	outage        // the database does not take writes now
	broken        // it must not be trusted until it is opened anew
)

// SQLite's primary result codes, and two extended ones. The driver's own
// constants would link a second package for eleven numbers.
const (
	sqliteBusy     = 5
	sqliteLocked   = 6
	sqliteNoMem    = 7
	sqliteReadOnly = 8
	sqliteAborted  = 9
	sqliteIO       = 10
	sqliteCorrupt  = 11
	sqliteFull     = 13
	sqliteCantOpen = 14
	sqliteNotADB   = 26

	sqliteIOFsync    = sqliteIO | 4<<8
	sqliteIODirFsync = sqliteIO | 5<<8
)

// faultOf classifies err.
func faultOf(err error) fault {
	var known *schema.Error
	var engine *sqlite.Error
	switch {
	case err == nil:
		return none
	case errors.As(err, &engine):
		return faultOfCode(engine.Code())
	case errors.As(err, &known):
		if known.Kind == schema.StoreUnavailable {
			return outage
		}
		return refusal
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone), errors.Is(err, sql.ErrTxDone),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return outage
	}
	return badRow
}

func faultOfCode(code int) fault {
	switch code {
	case sqliteIOFsync, sqliteIODirFsync:
		return broken
	}
	switch code & 0xff {
	case sqliteCorrupt, sqliteNotADB:
		return broken
	case sqliteBusy, sqliteLocked, sqliteNoMem, sqliteReadOnly, sqliteAborted, sqliteIO, sqliteFull, sqliteCantOpen:
		return outage
	}
	return badRow
}

// unavailable makes cause an error of kind StoreUnavailable. The cause is for
// our own log: schema.Public shows nothing of it.
func unavailable(cause error) error {
	return fmt.Errorf("%w: %w", schema.ErrStoreUnavailable, cause)
}

// outward is err as callers get it: a refusal as it is, an outage as
// StoreUnavailable, and the rest as an internal error that edges do not show.
func outward(err error) error {
	switch faultOf(err) {
	case none:
		return nil
	case refusal:
		return err
	case outage, broken:
		if errors.Is(err, schema.ErrStoreUnavailable) {
			return err
		}
		return unavailable(err)
	}
	return fmt.Errorf("store: %w", err)
}
