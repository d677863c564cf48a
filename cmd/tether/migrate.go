package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/edgetether/tether/store"
)

type migrateCmd struct {
	Database string `default:"${database}" help:"The database."`
	Status   bool   `xor:"what" help:"Only list the steps, and which are applied."`
	Down     bool   `xor:"what" help:"Take the newest step back, and what is stored in its tables. Stop the service first."`
}

// Help is printed below the flags.
func (c *migrateCmd) Help() string {
	return `"tether serve" applies the steps that are missing by itself; this is for looking and for going back.

Examples:
  tether migrate                  apply what is missing
  tether migrate --status         list the steps
  tether migrate --down           take the newest back: refused while a service uses the database`
}

// Run is the command.
func (c *migrateCmd) Run(ctx context.Context, s streams) (err error) {
	if c.Status || c.Down {
		if err := mustExist(c.Database); err != nil {
			return err
		}
	}
	if c.Down { // a service would go on in a form that it does not know
		l, err := lockDatabase(c.Database)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, l.release()) }()
	}
	st, err := store.Open(ctx, c.Database, store.Options{})
	if err != nil {
		return err
	}
	switch {
	case c.Status:
	case c.Down:
		err = st.MigrateDown(ctx)
	default:
		err = st.Migrate(ctx)
	}
	if err == nil {
		err = showSteps(ctx, s, st)
	}
	return errors.Join(err, st.Close())
}

func showSteps(ctx context.Context, s streams, st *store.Store) error {
	steps, err := st.MigrationStatus(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for _, step := range steps {
		state := "missing"
		if step.Applied {
			state = "applied"
		}
		fmt.Fprintf(table, "%d\t%s\t%s\n", step.Version, step.File, state)
	}
	return table.Flush()
}
