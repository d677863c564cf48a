package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/edgetether/tether/store"
)

type dbCmd struct {
	Backup dbBackupCmd `cmd:"" help:"Copy a database into a new file, also while its service runs."`
	Check  dbCheckCmd  `cmd:"" help:"Look for damage in a database, also while its service runs."`
	Copy   dbCopyCmd   `cmd:"" help:"Copy a database into an empty one, of another engine too."`
}

type dbBackupCmd struct {
	Database string `default:"${database}" help:"The database: sqlite:PATH."`
	To       string `required:"" placeholder:"FILE" help:"The copy. It must not be there yet."`
}

// Help is printed below the flags.
func (c *dbBackupCmd) Help() string {
	return `The copy is the database as it was at one instant. It is read back before it gets its name, and a damaged
database is not copied. To go back to it: stop the service, move the database away, and with it the files that have
its name and -wal or -shm after it, and put the copy in its place.

Examples:
  tether db backup --to /backup/tether-2026-11-23.db`
}

// Run is the command.
func (c *dbBackupCmd) Run(ctx context.Context, s streams) error {
	began := time.Now()
	if err := store.Backup(ctx, c.Database, c.To); err != nil {
		return err
	}
	info, err := os.Stat(c.To)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%s: %.1f MiB in %.1f s, read back and sound\n", c.To, float64(info.Size())/(1<<20), time.Since(began).Seconds())
	return err
}

type dbCheckCmd struct {
	Database string `default:"${database}" help:"The database: sqlite:PATH, also of a backup, or postgres://…"`
}

// Help is printed below the flags.
func (c *dbCheckCmd) Help() string {
	return `It reads every page and index, and what must be true of devices, orders and logs: the events of a device are numbered
without gap, connect and disconnect alternate, one order at most is under way. It prints what is wrong, a line each,
and then ends with 1; with 0 if nothing is. It changes nothing. Indexes of PostgreSQL are looked at by its extension
amcheck, if that is there and may be used; otherwise it says that they were not.

Examples:
  tether db check
  tether db check --database sqlite:/backup/tether-2026-11-23.db
  tether db check --database postgres://tether@db.example/tether`
}

// Run is the command.
func (c *dbCheckCmd) Run(ctx context.Context, s streams) error {
	began := time.Now()
	findings, err := store.Check(ctx, c.Database)
	if err != nil {
		return err
	}
	for _, f := range findings {
		fmt.Fprintln(s.out, f)
	}
	indexes, err := store.ChecksIndexes(ctx, c.Database)
	if err != nil {
		return err
	}
	if !indexes {
		fmt.Fprintln(s.err, "its indexes were not looked at: that takes the extension amcheck (CREATE EXTENSION amcheck), "+
			"and the right to it (GRANT EXECUTE ON FUNCTION bt_index_check(regclass, boolean) TO …)")
	}
	if len(findings) > 0 {
		return fmt.Errorf("%s: %d findings", withoutSecrets(c.Database), len(findings))
	}
	_, err = fmt.Fprintf(s.out, "%s: nothing wrong, %.1f s\n", withoutSecrets(c.Database), time.Since(began).Seconds())
	return err
}
