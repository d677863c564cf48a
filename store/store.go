package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/edgetether/tether/schema"
)

// DefaultMaxPending is Options.MaxPending where that is zero.
const DefaultMaxPending = 50_000

// readTimeout ends a forgotten read (reliability F37).
const readTimeout = 10 * time.Second

// Options of Open. The zero value works.
type Options struct {
	// Migrate brings the database to this program's form before it is used.
	Migrate bool
	// Check looks for damage in SQLite's file before it is used, for so long at most,
	// and has Open fail with ErrDamaged; 0 trusts it. Only the database's one
	// service should, and not while another writes.
	Check time.Duration
	// OnEvents gets the events of each commit, in the order of Pos, on the
	// writer's goroutine. It must not block, nor keep the slice.
	OnEvents func([]schema.Event)
	// OnTaken is told, once, that another process has taken the name that
	// ClaimNode gave to this one, which must stop. It must not block, nor call Close.
	OnTaken func(error)
	// Linger is how long after a commit the next one is put off, if nobody waits
	// for it: thousands of devices' samples and events, which come one by one, are
	// fewer flushes of the disk then. 0 puts none off.
	Linger time.Duration
	// MaxPending bounds the events and samples that wait while the database
	// takes no writes; 0 is DefaultMaxPending.
	MaxPending int
	// OnCommit is told of each transaction that the writer has tried: of how many
	// changes it was, how long it took, and why it failed. It must not block.
	OnCommit func(changes int, took time.Duration, err error)
	// Log is told what nobody else is: outages, lost events, bad rows. It must
	// not block.
	Log func(msg string, err error)
}

// Store is the database. Its methods may be called from any goroutine.
type Store struct {
	engine  *engine
	writer  *writer
	lookups lookups
}

// Open opens the database that url names. "sqlite:PATH" makes the folder and
// the file if need be, for this user's eyes only; "postgres://…" is a database
// that is there, with the settings of its connections as libpq knows them.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	e, err := openEngine(url)
	if err != nil {
		return nil, err
	}
	s := &Store{engine: e}
	if err := e.begin(ctx, url, o); err != nil {
		return nil, errors.Join(err, e.close())
	}
	if o.Migrate {
		if err := s.Migrate(ctx); err != nil {
			return nil, errors.Join(err, e.close())
		}
	}
	if e.hold != nil {
		e.hold.inform(o)
	}
	s.writer = startWriter(e, o)
	return s, nil
}

// Close commits what is queued, stops the writer, waits for it, and closes
// the database. Calls made after it fail as StoreUnavailable.
func (s *Store) Close() error {
	s.writer.close()
	s.lookups.close()
	return s.engine.close()
}

// Ready is for /readyz. It says whether the store can be read, took the last write, and takes one
// now if the last one was a while ago. A writer in an outage keeps trying, so that Ready turns good
// without traffic.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.writer.health(); err != nil {
		return unavailable(err)
	}
	if err := s.probe(ctx); err != nil {
		return err
	}
	_, err := read(ctx, s, func(q querier) (pos int64, err error) {
		err = q.row("SELECT value FROM counters WHERE name = 'pos'").Scan(&pos)
		return pos, err
	})
	return err
}

// querier reads: from the readers' connections, or inside a transaction.
type querier interface {
	row(text string, args ...any) scanner
	rows(text string, args ...any) (*sql.Rows, error)
	// page is rows of a query that is planned for its values: what is rare and
	// what is common want different plans.
	page(text string, args ...any) (*sql.Rows, error)
	// often is rows of a text that is one of few.
	often(text string, args ...any) (*sql.Rows, error)
}

// reader is a querier of committed data for one call.
type reader struct {
	ctx    context.Context
	engine *engine
}

func (r reader) row(text string, args ...any) scanner {
	switch st, err := r.kept(text); {
	case err != nil:
		return unread{err}
	case st != nil:
		return st.QueryRowContext(r.ctx, storable(args)...)
	}
	return r.engine.read.QueryRowContext(r.ctx, text, storable(args)...)
}

// kept is the statement of a text; nil if it is not kept here.
func (r reader) kept(text string) (*sql.Stmt, error) {
	if !r.engine.local {
		return nil, nil
	}
	return r.engine.prepared.of(r.ctx, r.engine.read, text)
}

func (r reader) rows(text string, args ...any) (*sql.Rows, error) {
	return r.engine.read.QueryContext(r.ctx, text, storable(args)...)
}

// often is rows of one of few texts, which are kept.
func (r reader) often(text string, args ...any) (*sql.Rows, error) {
	switch st, err := r.kept(text); {
	case err != nil:
		return nil, err
	case st != nil:
		return st.QueryContext(r.ctx, storable(args)...)
	}
	return r.rows(text, args...)
}

func (r reader) page(text string, args ...any) (*sql.Rows, error) {
	return r.rows(text, slices.Concat(r.engine.anew, args)...)
}

// read runs fn on committed data. A read may be repeated; a fail-over leaves
// as many dead connections as there are readers.
func read[T any](ctx context.Context, s *Store, fn func(querier) (T, error)) (v T, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	for range readers + 1 {
		v, err = fn(reader{ctx, s.engine})
		if faultOf(err) != passing {
			break
		}
	}
	return v, outward(err)
}

// write has the writer run fn in a transaction and waits until that is
// durable. What fn refuses it must refuse before it writes. A context that
// ends first is StoreUnavailable: fn is left out if it has not run yet, but
// its commit may be under way.
func write[T any](ctx context.Context, s *Store, fn func(*tx) (T, error)) (T, error) {
	value := new(T)
	return await(ctx, s, value, &op{apply: func(t *tx) (err error) {
		if ctx.Err() != nil {
			return errAbandoned
		}
		*value, err = fn(t)
		return err
	}})
}

// await submits o and waits for its answer. What o leaves in value travels
// through the channel: a caller that has left shares no variable with the writer.
func await[T any](ctx context.Context, s *Store, value *T, o *op) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	o.done = func(err error) { answered <- answer{*value, err} }
	s.writer.submit(o)
	select {
	case a := <-answered:
		return a.value, a.err
	case <-ctx.Done():
		var zero T
		return zero, unavailable(context.Cause(ctx))
	}
}

// change is write for the rare calls of several statements: a savepoint undoes
// what fn did before it refused.
func change[T any](ctx context.Context, s *Store, fn func(*tx) (T, error)) (T, error) {
	return write(ctx, s, func(t *tx) (v T, err error) {
		err = t.isolated(func() error {
			v, err = fn(t)
			return err
		})
		return v, err
	})
}

// errAbandoned answers a change whose caller left before it began.
var errAbandoned = schema.Errorf(schema.Overloaded, "abandoned", "the caller did not wait")

// one translates the absence of a row. It is for reads of a single row: missing is what no row means.
func one[T any](v T, err error, missing error) (T, error) {
	if errors.Is(err, sql.ErrNoRows) {
		var zero T
		return zero, missing
	}
	return v, err
}

// collect scans all rows.
func collect[T any](rows *sql.Rows, err error, scan func(scanner) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	items := []T{}
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		items = append(items, v)
	}
	return items, rows.Err()
}

// scanner is a row, alone or of many.
type scanner interface{ Scan(dest ...any) error }
