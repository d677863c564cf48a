package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/edgetether/tether/schema"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
)

// fault is what an error from below means for the writer and for readers.
type fault int

const (
	none    fault = iota
	refusal       // a schema.Error: an answer; nothing was written
	badRow        // the statement or its values are at fault
	passing       // the connection, or a neighbour's transaction: another try may succeed at once
	outage        // the database does not take writes now
	broken        // it must not be trusted until it is opened anew
)

// faultOf classifies err.
func faultOf(err error) fault {
	var known *schema.Error
	var file *sqlite.Error
	var server *pgconn.PgError
	var connect *pgconn.ConnectError
	var network net.Error
	switch {
	case err == nil:
		return none
	case errors.As(err, &file):
		return faultOfCode(file.Code())
	case errors.As(err, &connect): // before what made it fail
		return outage
	case errors.As(err, &server):
		return faultOfState(server.Code)
	case errors.As(err, &known):
		if known.Kind == schema.StoreUnavailable {
			return outage
		}
		return refusal
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, sql.ErrTxDone):
		return outage
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone), errors.As(err, &network),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), pgconn.SafeToRetry(err):
		return passing
	}
	return badRow
}

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

// states are PostgreSQL's SQLSTATEs that mean more than a bad row; classes are
// their first two characters, for those that are not among them.
var (
	states = map[string]fault{
		"0A000": passing, // a cached plan that a migration made void
		"25006": passing, // read-only: no longer the primary
		"25P03": passing, // idle in a transaction for too long: this process was stopped
		"26000": passing, // a prepared statement that is gone: a proxy changed the server
		"40001": passing, // serialization
		"40P01": passing, // deadlock
		"57014": outage,  // the limit of a statement's time
		"57P01": passing, // the server stops
		"57P02": passing, // it crashed
		"57P03": outage,  // it is starting
		"57P05": passing, // idle for too long
		"42501": outage,  // a right was taken away
		"55P03": outage,  // the limit of waiting for a lock
		"XX001": broken,  // a damaged page
		"XX002": broken,  // a damaged index
	}
	classes = map[string]fault{
		"08": passing, // the connection
		"28": outage,  // who we are
		"3D": outage,  // no such database
		"53": outage,  // disk, memory, connections
		"57": outage,  // the operator's doing
		"58": outage,  // the system below it
	}
)

func faultOfState(code string) fault {
	if f, ok := states[code]; ok {
		return f
	}
	if len(code) == 5 {
		if f, ok := classes[code[:2]]; ok {
			return f
		}
	}
	return badRow
}

// inDoubt says whether err, which a COMMIT returned, leaves open if it took
// effect: an engine that answers with an error has rolled back, but a server
// that went away in place of an answer may have done either (reliability F31).
func inDoubt(err error) bool {
	var file *sqlite.Error
	var server *pgconn.PgError
	switch {
	case err == nil, errors.As(err, &file), errors.Is(err, pgx.ErrTxCommitRollback):
		return false
	case errors.As(err, &server):
		return server.SeverityUnlocalized != "ERROR"
	}
	return true
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
	case passing, outage, broken:
		if errors.Is(err, schema.ErrStoreUnavailable) {
			return err
		}
		return unavailable(err)
	}
	return fmt.Errorf("store: %w", err)
}
