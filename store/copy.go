package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// A copiedTable is a table as Copy reads and writes it.
type copiedTable struct{ name, columns, where string }

// copiedTables are all tables with all their columns, in an order in which no
// row comes before one that it refers to. A test holds them to the migrations.
// Not copied are the rows in which writers leave the number of their last
// commit: they are nothing to anybody else.
var copiedTables = []copiedTable{
	{name: "counters", columns: "name, value", where: " WHERE name NOT LIKE 'commit %'"},
	{name: "nodes", columns: "name, number, incarnation, lease_time"},
	{name: "devices", columns: `device_id, name, name_folded, type, description, sn, model, software, business_software, nic,
		enabled, created_time, updated_time, state, state_reason, last_seen_time, owner_node, owner_epoch, boot_id, client,
		update_version, told_version, password, credential_version, token, token_expires, old_token, old_token_expires`},
	{name: "group_info", columns: "group_id, name, description, created_time, updated_time"},
	{name: "relations", columns: "device_id, group_id, created_time"},
	{name: "api_keys", columns: "key_id, name, hash, role, group_ids, created_time, revoked_time, used_time"},
	{name: "key_sessions", columns: "hash, key_id, created_time, used_time, expires_time"},
	{name: "audit", columns: auditColumns},
	{name: "orders", columns: `order_id, device_id, name, is_inner, params, state, reason, late, verified, message, data, actor,
		created_time, sent_time, ended_time, due_time, epoch, node, boot_id, queue_pos, expires_time, once_owner, once_key, once_hash, job_id`},
	{name: "logfiles", columns: "order_id, device_id, bytes, sha256, created_time"},
	{name: "event_seq", columns: "device_id, seq"},
	{name: "events", columns: "device_id, seq, pos, at, kind, outcome, actor, detail"},
	{name: "status_history", columns: `device_id, at, status, cpu_user, cpu_system, cpu_idle, cpu_iowait,
		mem_total, mem_free, mem_cache, root_total, root_used, root_percent`},
	{name: "jobs", columns: `job_id, target, name, is_inner, params, max_parallel, max_failures, if_offline, if_busy, ttl, total,
		state, cancelled_by, actor, created_time, ended_time, once_owner, once_key, once_hash`},
	{name: "job_devices", columns: "job_id, place, device_id, order_id, reason, message"},
}

func (t copiedTable) query() string { return "SELECT " + t.columns + " FROM " + t.name + t.where }
func (t copiedTable) count() string { return "SELECT COUNT(*) FROM " + t.name + t.where }

// names are the columns one by one.
func (t copiedTable) names() []string {
	return strings.FieldsFunc(t.columns, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
}

// tellRows is after how many rows a copy tells of its progress.
const tellRows = 200

// CopyProgress is how far a copy has come.
type CopyProgress struct {
	Checking bool   // all is copied, and the rows of both sides are being compared
	Table    string // that is being copied or compared
	Done     int64  // rows of all tables; every row counts once when it is copied, and once when it is compared
	Of       int64
}

// TableSum is what a table comes to on one side of a copy.
type TableSum struct {
	Rows   int64
	Digest Digest
}

// TableCopy is a table as it was found on both sides after its copy.
type TableCopy struct {
	Table  string
	Source TableSum
	Target TableSum
}

// ErrCopyDiffers is what Copy says of a target that does not have, row for
// row, what the source has.
var ErrCopyDiffers = errors.New("the copy is not what was copied, and nothing of it was kept")

// ErrNotEmpty is what Copy says of a target that has anything in it.
var ErrNotEmpty = errors.New("the target is not empty")

// Copy writes all that the database from has into the database to, of any
// engine, which must be empty and is brought to this program's form first. The
// source is read as it is at one instant, and not changed. One of PostgreSQL that a
// server is using is refused; with a file of SQLite it is the caller who has its lock.
//
// The target is written in one transaction, and before that commits each row is
// read back and compared with what was read of the source: it has the whole copy, or
// it is empty, as after a copy that was cut off. The tables are returned also where they
// differ. tell may be nil; it gets the progress and must not block.
func Copy(ctx context.Context, from, to string, tell func(CopyProgress)) ([]TableCopy, error) {
	if from == to {
		return nil, errors.New("store: copy: source and target are the same")
	}
	if tell == nil {
		tell = func(CopyProgress) {}
	}
	c := &copying{tell: tell}
	tables, err := c.run(ctx, from, to)
	if err != nil {
		return tables, fmt.Errorf("store: copy: %w", err)
	}
	return tables, nil
}

// copying is one run of Copy.
type copying struct {
	from, to *sql.Tx
	bulk     func(context.Context, copiedTable, *stream) error // writes a table
	at       CopyProgress
	tell     func(CopyProgress)
}

// oneInstant is a transaction that sees the database as it is at its first
// read: SQLite knows no other.
var oneInstant = &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}

// run opens both sides, the source first: a source that is not there leaves
// the target as it is.
func (c *copying) run(ctx context.Context, from, to string) (tables []TableCopy, err error) {
	source, err := openSource(from)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if c.from, err = source.BeginTx(ctx, oneInstant); err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	defer func() { _ = c.from.Rollback() }() // nothing was written
	version, err := formOf(ctx, c.from)
	if err == nil {
		err = source.idle(ctx, c.from)
	}
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	target, err := openTarget(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	defer func() { err = errors.Join(err, target.close()) }()
	// Migrations' connections have no limit of time, and neither has a copy.
	conn, err := target.steps.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if c.to, err = conn.BeginTx(ctx, nil); err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	defer func() { _ = c.to.Rollback() }() // no more than an error after Commit
	c.bulk = func(ctx context.Context, t copiedTable, from *stream) error { return insertRows(ctx, c.to, t, from) }
	if target.bulk != nil {
		c.bulk = func(ctx context.Context, t copiedTable, from *stream) error { return target.bulk(ctx, conn, t, from) }
	}
	if err := c.fits(ctx, version); err != nil {
		return nil, err
	}
	return c.transfer(ctx)
}

// openTarget opens a database and brings it to this program's form.
func openTarget(ctx context.Context, url string) (*engine, error) {
	e, err := openEngine(url)
	if err != nil {
		return nil, err
	}
	if err := e.begin(ctx, url, Options{}); err != nil {
		return nil, errors.Join(err, e.close())
	}
	if err := (&Store{engine: e}).Migrate(ctx); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

// formOf is the number of the newest step that is applied to a database.
func formOf(ctx context.Context, t *sql.Tx) (version int64, err error) {
	err = t.QueryRowContext(ctx, "SELECT MAX(version_id) FROM goose_db_version").Scan(&version)
	return version, err
}

// fits checks that the target is empty, and of the source's form. The counters
// are there from the first step on; taking them away keeps a second copy, and
// a service that starts, waiting until this one is done.
func (c *copying) fits(ctx context.Context, version int64) error {
	ours, err := formOf(ctx, c.to)
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	if ours != version {
		return fmt.Errorf("the source has the form of step %d, and this program makes that of step %d: bring it there first, by \"tether migrate\"", version, ours)
	}
	for _, t := range copiedTables {
		text := t.count()
		if t.name == "counters" {
			text = "SELECT COUNT(*) FROM counters WHERE value <> 0"
		}
		var rows int64
		if err := c.to.QueryRowContext(ctx, text).Scan(&rows); err != nil {
			return fmt.Errorf("target: %w", err)
		}
		if rows > 0 {
			return fmt.Errorf("%w: its table %s has rows; give an empty one, or drop what this one has", ErrNotEmpty, t.name)
		}
	}
	_, err = c.to.ExecContext(ctx, "DELETE FROM counters")
	return err
}

// transfer copies, compares and commits.
func (c *copying) transfer(ctx context.Context) ([]TableCopy, error) {
	for _, t := range copiedTables {
		var rows int64
		if err := c.from.QueryRowContext(ctx, t.count()).Scan(&rows); err != nil {
			return nil, fmt.Errorf("source: %s: %w", t.name, err)
		}
		c.at.Of += 2 * rows
	}
	tables := make([]TableCopy, len(copiedTables))
	for i, t := range copiedTables {
		c.at.Table = t.name
		source, err := c.copyTable(ctx, t)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		tables[i] = TableCopy{Table: t.name, Source: source}
	}
	if err := c.compare(ctx, tables); err != nil {
		return tables, err
	}
	err := c.to.Commit()
	if inDoubt(err) {
		err = fmt.Errorf("%w; the copy is either whole or not there: try again, and a target that is then not empty has all of it", err)
	}
	return tables, err
}

// copyTable writes what it reads, and says what that came to.
func (c *copying) copyTable(ctx context.Context, t copiedTable) (TableSum, error) {
	from, err := openStream(ctx, c.from, t, c.advance)
	if err != nil {
		return TableSum{}, fmt.Errorf("source: %w", err)
	}
	written := c.bulk(ctx, t, from)
	if err := from.close(); err != nil { // which the writing ended with too
		return from.sum, fmt.Errorf("source: %w", err)
	}
	if written != nil {
		return from.sum, fmt.Errorf("target: %w", written)
	}
	return from.sum, nil
}

func (c *copying) advance(rows int64) {
	c.at.Done += rows
	c.tell(c.at)
}

// compare reads back what was written, every row of it. The rows of the source
// were summed up as they were read.
func (c *copying) compare(ctx context.Context, tables []TableCopy) (differ error) {
	c.at.Checking = true
	for i, t := range copiedTables {
		c.at.Table = t.name
		target, err := c.sum(ctx, t)
		if err != nil {
			return fmt.Errorf("target: %s: %w", t.name, err)
		}
		tables[i].Target = target
		if tables[i].Source != target && differ == nil {
			differ = fmt.Errorf("table %s: %w", t.name, ErrCopyDiffers)
		}
	}
	return differ
}

func (c *copying) sum(ctx context.Context, t copiedTable) (TableSum, error) {
	back, err := openStream(ctx, c.to, t, c.advance)
	if err != nil {
		return TableSum{}, err
	}
	for back.Next() { // which adds it up
	}
	return back.sum, back.close()
}
