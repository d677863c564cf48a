package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/store"
)

type keyCmd struct {
	Database string `default:"${database}" help:"The service's database. It may be running."`

	Add    keyAddCmd    `cmd:"" help:"Make a key and print it, once."`
	List   keyListCmd   `cmd:"" help:"List the keys; what they are is not kept."`
	Revoke keyRevokeCmd `cmd:"" help:"Revoke a key: it is refused from now on."`
}

// open opens the database that the key commands work on.
func (c *keyCmd) open(ctx context.Context) (*store.Store, error) {
	return store.Open(ctx, c.Database, store.Options{Migrate: true})
}

type keyAddCmd struct {
	Name  string   `arg:"" help:"Shown in logs as key:NAME."`
	Role  string   `default:"viewer" enum:"viewer,operator,admin" help:"What it may do: ${enum}."`
	Group []string `placeholder:"ID" help:"Limit it to the devices of this group; may be repeated."`
}

// Run is the command.
func (c *keyAddCmd) Run(ctx context.Context, s streams, flags *cli) error {
	if err := schema.CheckName("NAME", c.Name); err != nil {
		return err
	}
	return withStore(ctx, flags, func(st *store.Store) error {
		now := time.Now()
		node, err := st.ClaimNode(ctx, "tether key", now.UnixMilli())
		if err != nil {
			return err
		}
		newID, err := snowflakes(ctx, st, node.Number)
		if err != nil {
			return err
		}
		k := schema.Key{KeyID: newID(), Name: c.Name, Role: schema.Role(c.Role), GroupIDs: c.Group}
		key, err := addKey(ctx, st, k)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(s.out, key)
		return err
	})
}

func withStore(ctx context.Context, flags *cli, work func(*store.Store) error) error {
	st, err := flags.Key.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(work(st), st.Close())
}

type keyListCmd struct{}

// Run is the command.
func (c *keyListCmd) Run(ctx context.Context, s streams, flags *cli) error {
	if err := mustExist(flags.Key.Database); err != nil {
		return err
	}
	return withStore(ctx, flags, func(st *store.Store) error {
		table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "ID\tNAME\tROLE\tGROUPS\tMADE\tREVOKED")
		page := schema.Page{Limit: schema.MaxPageLimit}
		for {
			keys, err := st.ListKeys(ctx, page)
			if err != nil {
				return err
			}
			for _, k := range keys.Items {
				revoked := ""
				if k.RevokedTime != nil {
					revoked = showTime(*k.RevokedTime)
				}
				fmt.Fprintf(table, "%s\t%s\t%s\t%v\t%s\t%s\n", k.KeyID, k.Name, k.Role, k.GroupIDs, showTime(k.CreatedTime), revoked)
			}
			if page.Cursor = keys.NextCursor; page.Cursor == "" {
				return table.Flush()
			}
		}
	})
}

func showTime(ms int64) string { return time.UnixMilli(ms).Format(time.RFC3339) }

type keyRevokeCmd struct {
	ID string `arg:"" help:"The key's id, as \"tether key list\" shows it."`
}

// Run is the command.
func (c *keyRevokeCmd) Run(ctx context.Context, flags *cli) error {
	if err := mustExist(flags.Key.Database); err != nil {
		return err
	}
	return withStore(ctx, flags, func(st *store.Store) error {
		return st.RevokeKey(ctx, c.ID, time.Now().UnixMilli())
	})
}
