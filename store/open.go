package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/pressly/goose/v3"
)

// engine is an opened database: a connection that the writer holds, a few for
// readers, one for migrations, and the little in which engines differ. What
// fills it in is in open_sqlite.go and open_postgres.go.
type engine struct {
	write *sql.DB
	read  *sql.DB
	steps *sql.DB // without limits of time: a migration or a copy may take long

	// hold keeps the name of this node; nil where a file's lock does.
	hold *hold

	// idle refuses a database that a server is using.
	idle func(context.Context, *sql.Tx) error

	// bulk writes a table in a way of the engine's own that is faster than INSERT; nil: none is.
	bulk func(ctx context.Context, conn *sql.Conn, t copiedTable, from *stream) error

	dialect goose.Dialect          // that migrations are recorded in
	goose   []goose.ProviderOption // more of the engine's own
	// local is an engine in this process: it always answers, and wants its
	// statements closed before their connection.
	local    bool
	prepared statements // of the readers, where local
	// text is a statement in the form that the engine likes best.
	text func(string) string
	// anew comes before the values of a query that is to be planned for them, and not once for all.
	anew []any
}

// readers is the number of connections that read at once.
const readers = 4

var errURL = errors.New(`store: the database must be given as "sqlite:PATH" or "postgres://…"`)

// openEngine opens what rawURL names.
func openEngine(rawURL string) (*engine, error) {
	scheme, rest, _ := strings.Cut(rawURL, ":")
	switch scheme {
	case "sqlite":
		return openSQLite(rest)
	case "postgres", "postgresql":
		return openPostgres(rawURL)
	}
	return nil, errURL
}

// source is a database that is there to be read whole, and that nothing is changed of.
type source struct {
	*sql.DB
	local     bool                                 // see engine
	questions []question                           // of a check, of the engine's own
	idle      func(context.Context, *sql.Tx) error // see engine
}

// locked is idle of a database that is a file: its lock keeps servers away.
func locked(context.Context, *sql.Tx) error { return nil }

// openSource opens a database to read it whole.
func openSource(rawURL string) (*source, error) {
	scheme, _, _ := strings.Cut(rawURL, ":")
	switch scheme {
	case "sqlite":
		db, err := openToRead(rawURL)
		return &source{
			DB: db, local: true, questions: []question{sqlitePages, sqliteReferences}, idle: locked,
		}, err
	case "postgres", "postgresql":
		db, err := openPostgresToRead(rawURL)
		questions := []question{postgresIndexes}
		for _, t := range copiedTables {
			questions = append(questions, postgresRows(t))
		}
		return &source{DB: db, questions: questions, idle: postgresIdle}, err
	}
	return nil, errURL
}

// keep has db hold n connections, and never more.
func keep(db *sql.DB, n int) *sql.DB {
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db
}

// ping proves that both pools can open their connections, the writer first:
// it is the one that may switch an SQLite file to write-ahead logging.
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
	err := errors.Join(e.prepared.close(), e.read.Close(), e.steps.Close(), e.write.Close())
	if e.hold != nil { // the last: whoever waits for the name finds all written
		e.hold.release()
		err = errors.Join(err, e.hold.db.Close())
	}
	return err
}
