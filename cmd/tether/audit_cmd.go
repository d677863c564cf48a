package main

import (
	"context"
	"strconv"

	"github.com/edgetether/tether/schema"
)

type auditCmd struct {
	remote
	By      string  `placeholder:"WHO" help:"What this one asked for, such as key:line-2."`
	Service string  `help:"Requests to this service, such as device_delete."`
	Since   instant `placeholder:"TIME" help:"Not before this: 2h ago, or a time such as 2026-11-23 02:03."`
	Until   instant `placeholder:"TIME" help:"Before this, likewise."`
	Limit   int     `default:"20" help:"The newest so many; 0: all that are kept."`
}

// Help is printed below the flags.
func (c *auditCmd) Help() string {
	return `The newest is the first. Each change and each order that was asked for with a good key has a line, and what was
refused to it too: STATUS and CODE are what was answered. It takes an admin's key that is not limited to groups.

Examples:
  tether audit --since 24h --limit 0
  tether audit --by key:line-2 --service give_order
  tether audit --service key_revoke --json | jq -r .target.key_id`
}

// Run is the command.
func (c *auditCmd) Run(ctx context.Context, a *asking) error {
	f := schema.AuditFilter{Since: int64(c.Since), Until: int64(c.Until), By: c.By, Service: c.Service}
	head := []string{"TIME", "BY", "ADDRESS", "SERVICE", "STATUS", "CODE", "TARGET"}
	return list(a, a.Audit(ctx, f), c.Limit, head, func(l schema.Audit) []string {
		return []string{moment(l.Time), l.By, l.Address, l.Service, strconv.FormatInt(l.Status, 10), l.Code, string(l.Target)}
	})
}
