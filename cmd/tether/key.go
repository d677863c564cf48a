package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
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
		newID, err := toolIDs(ctx, st)
		if err != nil {
			return err
		}
		k := schema.Key{Name: c.Name, Role: schema.Role(c.Role), GroupIDs: c.Group}
		key, err := addKey(ctx, st, newID, k, keyTool)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(s.out, key)
		return err
	})
}

// keyTool is who makes and revokes keys here, and the name of the node whose
// identifiers they get.
const keyTool = "tether key"

// toolIDs makes identifiers that no server makes.
func toolIDs(ctx context.Context, st *store.Store) (func() string, error) {
	node, err := st.ClaimNode(ctx, keyTool, time.Now().UnixMilli())
	if err != nil {
		return nil, err
	}
	return snowflakes(ctx, st, node.Number)
}

// addKey makes an API key and returns it. The audit log has a line of it, as of
// one that was made by REST.
func addKey(ctx context.Context, st *store.Store, newID func() string, k schema.Key, by string) (string, error) {
	var secrets store.Secrets
	key := secrets.NewKey()
	k.KeyID, k.CreatedTime = newID(), time.Now().UnixMilli()
	if err := st.AddKey(ctx, k, secrets.HashToken(key)); err != nil {
		return "", err
	}
	auditKey(st, newID(), by, "key_add", k.KeyID, http.StatusCreated)
	return key, nil
}

// auditKey leaves a line of a change that succeeded, and was not made by a key.
func auditKey(st *store.Store, auditID, by, service, keyID string, status int64) {
	st.Audit(schema.Audit{
		AuditID: auditID, Time: time.Now().UnixMilli(), By: by, Service: service, Target: schema.Detail("key_id", keyID), Status: status,
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
		fmt.Fprintln(table, "ID\tNAME\tROLE\tGROUPS\tMADE\tUSED\tREVOKED")
		page := schema.Page{Limit: schema.MaxPageLimit}
		for {
			keys, err := st.ListKeys(ctx, page)
			if err != nil {
				return err
			}
			for _, k := range keys.Items {
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.KeyID, k.Name, k.Role, strings.Join(k.GroupIDs, " "),
					showTime(k.CreatedTime), showSome(k.UsedTime), showSome(k.RevokedTime))
			}
			if page.Cursor = keys.NextCursor; page.Cursor == "" {
				return table.Flush()
			}
		}
	})
}

func showTime(ms int64) string { return time.UnixMilli(ms).Format(time.RFC3339) }

// showSome shows a time that may not be: as a dash.
func showSome(ms *int64) string {
	if ms == nil {
		return "-"
	}
	return showTime(*ms)
}

type keyRevokeCmd struct {
	ID string `arg:"" help:"The key's id, as \"tether key list\" shows it."`
}

// Run is the command.
func (c *keyRevokeCmd) Run(ctx context.Context, flags *cli) error {
	if err := mustExist(flags.Key.Database); err != nil {
		return err
	}
	return withStore(ctx, flags, func(st *store.Store) error {
		if err := st.RevokeKey(ctx, c.ID, time.Now().UnixMilli()); err != nil {
			return err
		}
		newID, err := toolIDs(ctx, st)
		if err != nil {
			return fmt.Errorf("the key is revoked, but the audit log has no line of it: %w", err)
		}
		auditKey(st, newID(), keyTool, "key_revoke", c.ID, http.StatusOK)
		return nil
	})
}
