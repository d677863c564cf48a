package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// The limits of time that a URL does not set itself.
const (
	postgresConnect = 5 * time.Second
	postgresLock    = "2s"
	postgresQuery   = "10s"
)

// openPostgres opens the database of a URL, in the form that libpq knows: TLS
// as sslmode says, several hosts for a fail-over, any parameter of a session.
func openPostgres(rawURL string) (*engine, error) {
	config, err := parsePostgres(rawURL)
	if err != nil {
		return nil, err
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	session := map[string]string{
		"statement_timeout": postgresQuery, "lock_timeout": postgresLock,
		"idle_in_transaction_session_timeout": postgresQuery,
	}
	reading := maps.Clone(session)
	// To compile a plan, or to start more processes for it, takes longer than any read of ours.
	reading["jit"], reading["max_parallel_workers_per_gather"] = "off", "0"
	return &engine{
		write: keep(openSessions(config, session, durable), 2),
		read:  keep(openSessions(config, reading, readOnly), readers),
		steps: openSessions(config, map[string]string{"lock_timeout": postgresQuery}, durable),
		text:  func(same string) string { return same },
		anew:  []any{pgx.QueryExecModeDescribeExec},
		hold:  &hold{db: keep(openSessions(config, session, lively), 1)},
		idle:  postgresIdle,
		bulk:  copyFrom,
		// Two servers that start at once take turns.
		dialect: goose.DialectPostgres, goose: []goose.ProviderOption{goose.WithSessionLocker(locker)},
	}, nil
}

// copyFrom writes a table by COPY, in the transaction that conn is in.
func copyFrom(ctx context.Context, conn *sql.Conn, t copiedTable, from *stream) error {
	return conn.Raw(func(driver any) error {
		_, err := driver.(*stdlib.Conn).Conn().CopyFrom(ctx, pgx.Identifier{t.name}, t.names(), from)
		return err
	})
}

// openPostgresToRead opens a database for one read that may take long.
func openPostgresToRead(rawURL string) (*sql.DB, error) {
	config, err := parsePostgres(rawURL)
	if err != nil {
		return nil, err
	}
	return openSessions(config, map[string]string{"lock_timeout": postgresQuery}, readOnly), nil
}

func parsePostgres(rawURL string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(rawURL)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err) // without the password
	}
	// Values travel apart from the text, always (T37).
	if config.DefaultQueryExecMode == pgx.QueryExecModeSimpleProtocol {
		return nil, errors.New("store: default_query_exec_mode must not be simple_protocol")
	}
	return config, nil
}

// What is said on a new connection, besides its parameters.
const (
	// durable: a commit is on the disk when it returns, whatever the role's default.
	durable = "SELECT set_config('synchronous_commit', 'on', FALSE) WHERE current_setting('synchronous_commit') = 'off'"
	// readOnly is no parameter, because target_session_attrs=read-write would
	// then take the server for a standby.
	readOnly = "SET default_transaction_read_only = on"
)

// openSessions is a pool whose sessions have the parameters that the URL does
// not give, and begin with a statement.
func openSessions(base *pgx.ConnConfig, params map[string]string, begin string) *sql.DB {
	config := base.Copy()
	for name, value := range params {
		if _, given := config.RuntimeParams[name]; !given {
			config.RuntimeParams[name] = value
		}
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = postgresConnect
	}
	if _, given := config.RuntimeParams["application_name"]; !given {
		config.RuntimeParams["application_name"] = "tether"
	}
	return stdlib.OpenDB(*config, stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
		if encoding := c.PgConn().ParameterStatus("server_encoding"); encoding != "UTF8" {
			return fmt.Errorf("store: the database's encoding is %s, and must be UTF8", encoding)
		}
		_, err := c.Exec(ctx, begin)
		return err
	}))
}
