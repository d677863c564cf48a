package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/edgetether/tether/store"
)

type dbCopyCmd struct {
	From string `required:"" placeholder:"URL" help:"The database to copy: sqlite:PATH or postgres://…. It is not changed."`
	To   string `required:"" placeholder:"URL" help:"The database to write, which must be empty: sqlite:PATH or postgres://…."`
}

// Help is printed below the flags.
func (c *dbCopyCmd) Help() string {
	return `Stop the service first, with SIGTERM: a database that a service uses is refused. Then start the service on the
copy, with the same --node.
Devices stay logged in: their tokens and passwords are in it, and so are the API keys. Received logs are files and
are not: if there are any, it says at the end which folder to copy.

At the end every row is read back and compared with what was read, table by table. If they differ, the table is
named, nothing is kept, and the exit code is 1. A copy that is cut off leaves the target empty, and can be begun again. A
password in a URL can be seen by other users: give the URLs as TETHER_FROM and TETHER_TO, or use ~/.pgpass.

Examples:
  tether db copy --from sqlite:data/tether.db --to postgres://tether@db.example/tether?sslmode=verify-full
  tether db copy --from postgres://tether@db.example/tether --to sqlite:/var/lib/tether/tether.db`
}

// Run is the command. Both sides are locked against a server.
func (c *dbCopyCmd) Run(ctx context.Context, s streams) (err error) {
	if c.From == c.To {
		return errors.New("--from and --to are the same database")
	}
	if err := mustExist(c.From); err != nil {
		return err
	}
	for _, url := range []string{c.From, c.To} {
		l, err := lockDatabase(url)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, l.release()) }()
	}
	began, show := time.Now(), newBar(s.err, isTerminal(s.err))
	tables, err := store.Copy(ctx, c.From, c.To, func(p store.CopyProgress) { tellCopy(&show, p) })
	show.clear()
	if ctx.Err() != nil && err != nil {
		return errors.New("interrupted: begin again; a target that is then not empty has all of it")
	}
	rows, shown := showTables(s, tables)
	if err := errors.Join(err, shown); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%d rows in %.1f s, equal row for row\n", rows, time.Since(began).Seconds())
	return c.tellFiles(s, tables)
}

// tellFiles says what is still to be copied: files of which the database has but a list.
func (c *dbCopyCmd) tellFiles(s streams, tables []store.TableCopy) (err error) {
	for _, t := range tables {
		if t.Table != "logfiles" || t.Source.Rows == 0 {
			continue
		}
		from, to := logsBeside(c.From), logsBeside(c.To)
		where := fmt.Sprintf("copy %s to %s", from, to)
		if from == to {
			where = fmt.Sprintf("they stay in %s, as seen from where the server is started", from)
		}
		_, err = fmt.Fprintf(s.out, "received logs: %d, which are files and in no database: %s, or give the new server their folder as --sftp-dir\n", t.Source.Rows, where)
	}
	return err
}

// tellCopy shows how far a copy is, when it is time to.
func tellCopy(show *bar, p store.CopyProgress) {
	if !show.due() {
		return
	}
	step := "copying "
	if p.Checking {
		step = "comparing "
	}
	show.show(float64(p.Done)/float64(p.Of), step+p.Table)
}

// showTables prints what was compared. Of the digests it shows as much as
// tells any two sides apart.
func showTables(s streams, tables []store.TableCopy) (rows int64, err error) {
	if len(tables) == 0 {
		return 0, nil
	}
	table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "table\trows\tdigest\trows copied\tdigest copied\t")
	for _, t := range tables {
		rows += t.Source.Rows
		word := "equal"
		if t.Source != t.Target {
			word = "DIFFERENT"
		}
		fmt.Fprintf(table, "%s\t%d\t%.16s\t%d\t%.16s\t%s\n", t.Table, t.Source.Rows, t.Source.Digest, t.Target.Rows, t.Target.Digest, word)
	}
	return rows, table.Flush()
}
