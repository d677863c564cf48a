package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// sqlitePages has SQLite look at every page and index; sqliteReferences at
// what refers to another row.
func sqlitePages(ctx context.Context, t *sql.Tx) ([]string, error) {
	return pageFindings(ctx, t, "PRAGMA integrity_check")
}

func sqliteReferences(ctx context.Context, t *sql.Tx) ([]string, error) {
	rows, err := t.QueryContext(ctx, "PRAGMA foreign_key_check")
	return collect(rows, err, func(r scanner) (string, error) {
		var table, parent string
		var row, key sql.NullInt64
		err := r.Scan(&table, &row, &parent, &key)
		return fmt.Sprintf("%s: row %d refers to nothing in %s", table, row.Int64, parent), err
	})
}

// postgresRows has PostgreSQL read every value of a table: each page, with its
// checksum if the server has them, and what is kept outside of it.
func postgresRows(table copiedTable) question {
	text := "SELECT COALESCE(SUM(OCTET_LENGTH(r::text)), 0) FROM " + table.name + " AS r"
	return func(ctx context.Context, t *sql.Tx) ([]string, error) {
		var bytes int64
		return nil, t.QueryRowContext(ctx, text).Scan(&bytes)
	}
}

// What PostgreSQL's own check of an index is, where there is one that this role
// may use, and the indexes that it knows how to look at.
const (
	amcheckSchema = `SELECT quote_ident(n.nspname) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
		WHERE p.oid::regprocedure::text LIKE '%bt_index_check(regclass,boolean)' AND has_function_privilege(p.oid, 'EXECUTE')
			AND has_schema_privilege(n.oid, 'USAGE') LIMIT 1`
	amcheckPath    = "SELECT set_config('search_path', current_setting('search_path') || ', ' || $1, TRUE)"
	amcheckIndexes = `SELECT c.oid::bigint FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
		WHERE a.amname = 'btree' AND i.indisvalid AND c.relnamespace = current_schema()::regnamespace ORDER BY c.relname`
	amcheckIndex = "SELECT bt_index_check($1::oid::regclass, TRUE)"
)

// postgresIndexes looks for each index if it is in order, and has every row.
func postgresIndexes(ctx context.Context, t *sql.Tx) (findings []string, err error) {
	var schema string
	err = t.QueryRowContext(ctx, amcheckSchema).Scan(&schema)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil // ChecksIndexes tells
	}
	if err == nil {
		_, err = t.ExecContext(ctx, amcheckPath, schema)
	}
	if err != nil {
		return nil, err
	}
	rows, err := t.QueryContext(ctx, amcheckIndexes)
	indexes, err := collect(rows, err, func(r scanner) (oid int64, err error) { return oid, r.Scan(&oid) })
	for _, oid := range indexes {
		var found []string
		found, err = question(func(ctx context.Context, t *sql.Tx) ([]string, error) {
			_, err := t.ExecContext(ctx, amcheckIndex, oid)
			return nil, asBroken(err)
		}).apart(ctx, t)
		if findings = append(findings, found...); err != nil {
			break
		}
	}
	return findings, err
}

// asBroken takes what the check of an index says for damage, whatever its code.
func asBroken(err error) error {
	var server *pgconn.PgError
	if errors.As(err, &server) && faultOf(err) == badRow {
		server.Code = "XX002"
	}
	return err
}

// ChecksIndexes says whether Check looks at the indexes of a database too.
func ChecksIndexes(ctx context.Context, url string) (bool, error) {
	db, err := openSource(url)
	if err != nil {
		return false, err
	}
	defer func() { _ = db.Close() }()
	if db.local {
		return true, nil
	}
	var schema string
	err = db.QueryRowContext(ctx, amcheckSchema).Scan(&schema)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, outward(err)
}
