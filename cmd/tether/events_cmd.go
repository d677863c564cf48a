package main

import (
	"context"
	"fmt"
	"time"

	"github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
)

type eventsCmd struct {
	remote
	Device string             `help:"Those of this device: its id or its whole name."`
	Group  string             `help:"Those of the devices in this group: its id or name."`
	Job    []string           `placeholder:"ID,…" help:"Those of the orders of these jobs."`
	Kind   []schema.EventKind `placeholder:"KIND,…" help:"Those of these kinds: connect, login, login_failed, login_refused, state, status, order, order_result, restart_verified, restart_unverified, upload, update, disconnect, duplicate_identity, events_lost."`
	After  *int64             `placeholder:"POS" help:"Begin behind this position; 0: with the oldest that is kept. Default: with what comes next."`
}

// Help is printed below the flags.
func (c *eventsCmd) Help() string {
	return `Shows the events of all devices as they happen, until Ctrl-C. After a lost connection or a restart of the
service it goes on where it was, skips nothing and repeats nothing, and says so on standard error.

Examples:
  tether events
  tether events --group "hall 2" --kind state,order_result
  tether events --after 0 --json >> events.ndjson`
}

// Run is the command.
func (c *eventsCmd) Run(ctx context.Context, a *asking) (err error) {
	q := client.EventQuery{EventSelection: schema.EventSelection{Kinds: c.Kind, JobIDs: c.Job}, After: c.After}
	if c.Device != "" {
		if q.DeviceID, err = a.device(ctx, c.Device); err != nil {
			return err
		}
	}
	if q.GroupID, err = a.optionalGroup(ctx, c.Group); err != nil {
		return err
	}
	return tail(ctx, a, q, newEventTable(a))
}

// tail shows events until ctx ends, and says on standard error what befalls
// the connection.
func tail(ctx context.Context, a *asking, q client.EventQuery, show func(schema.Event) error) error {
	q.OnGap = func(after, first int64) {
		fmt.Fprintf(a.err, "tether: what lay behind %d and before %d was removed before it could be read\n", after, first)
	}
	q.OnLost = func(err error, wait time.Duration) {
		fmt.Fprintf(a.err, "tether: %s; again in %v\n", plain(err.Error()), wait.Round(100*time.Millisecond))
	}
	q.OnBack = func() { fmt.Fprintln(a.err, "tether: connected again; nothing was skipped") }
	for e, err := range a.Events(ctx, q) {
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if err := show(e); err != nil {
			return err
		}
	}
	return nil
}

var eventHead = []string{"TIME", "DEVICE", "KIND", "OUTCOME", "BY", "DETAIL"}

func eventRow(e schema.Event) []string {
	return []string{moment(e.Time), e.DeviceID, string(e.Kind), e.Outcome, e.By, string(e.Detail)}
}

// newEventTable shows events one by one. The columns are as wide as they
// usually need to be from the beginning.
func newEventTable(a *asking) func(schema.Event) error {
	t := newTable(a.out, a.width, eventHead...)
	t.cols = []int{len("2006-01-02 15:04:05"), 19, len(schema.EventRestartVerified), len(schema.OrderSucceeded), len("key:operator"), 0}
	return func(e schema.Event) error {
		if a.json {
			return writeJSON(a.out, e)
		}
		t.add(eventRow(e)...)
		return t.flush()
	}
}
