package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

// The steps are numbered files, each with its way back. A released one is never
// changed.
//
//go:embed migrations/*.sql
var migrationFiles embed.FS

// Migration is one step of the database's form.
type Migration struct {
	Version int64
	File    string
	Applied bool
}

// Migrate applies the steps that are missing.
func (s *Store) Migrate(ctx context.Context) error {
	p, err := s.migrations()
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("store: migrate: %w", err)
	}
	return nil
}

// MigrateDown takes back the newest step that is applied, and what was stored
// in its tables. A PostgreSQL on which a server is at work is refused, not one that
// starts meanwhile; the lock of a file is for the caller to take.
func (s *Store) MigrateDown(ctx context.Context) error {
	if err := s.idle(ctx); err != nil {
		return fmt.Errorf("store: migrate down: %w", err)
	}
	p, err := s.migrations()
	if err != nil {
		return err
	}
	if _, err := p.Down(ctx); err != nil {
		return fmt.Errorf("store: migrate down: %w", err)
	}
	return nil
}

// idle refuses a PostgreSQL on which a server is at work.
func (s *Store) idle(ctx context.Context) error {
	t, err := s.engine.steps.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = t.Rollback() }() // it has read only
	return s.engine.idle(ctx, t)
}

// MigrationStatus lists all steps, oldest first.
func (s *Store) MigrationStatus(ctx context.Context) ([]Migration, error) {
	p, err := s.migrations()
	if err != nil {
		return nil, err
	}
	steps, err := p.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("store: migration status: %w", err)
	}
	list := make([]Migration, len(steps))
	for i, st := range steps {
		list[i] = Migration{Version: st.Source.Version, File: st.Source.Path, Applied: st.State == goose.StateApplied}
	}
	return list, nil
}

// migrations run on a connection that the writer does not hold. Go migrations registered by a program that embeds this package are not
// ours: the global registry is left out.
func (s *Store) migrations() (*goose.Provider, error) {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	options := append([]goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}, s.engine.goose...)
	p, err := goose.NewProvider(s.engine.dialect, s.engine.steps, files, options...)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return p, nil
}
