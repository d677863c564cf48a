package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/edgetether/tether/schema"
)

// sweep is the most rows that one statement of the clerk settles; the next
// sweep takes the rest.
const sweep = 1000

// Settle is the clerk's sweep over what no session settled: a sent order whose
// due time passed more than grace ago becomes unknown, and a restart that no
// new boot proved within restartWindow is marked as not verified. All of it is by compare and set, and may run
// beside sessions, which settle most orders themselves: grace leaves them time.
func (s *Store) Settle(ctx context.Context, now int64, grace, restartWindow time.Duration) error {
	_, err := change(ctx, s, func(t *tx) (struct{}, error) {
		if err := t.settle(overdueSent, schema.OrderStateLost, schema.ReasonTimeout, now-grace.Milliseconds(), now); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, t.unverified(now, now-restartWindow.Milliseconds())
	})
	return err
}

// The states are in the text, so that the planner sees which index fits.
const (
	overdueSent = `UPDATE orders SET state = $1, reason = $2, ended_time = $3 WHERE order_id IN
		(SELECT order_id FROM orders WHERE state = 'sent' AND due_time < $4 LIMIT $5) RETURNING ` + orderColumns
	overdueQueued = `UPDATE orders SET state = $1, reason = $2, ended_time = $3 WHERE order_id IN
		(SELECT order_id FROM orders WHERE state = 'queued' AND due_time <= $4 LIMIT $5) RETURNING ` + orderColumns
)

// settle ends the orders that were due before a time, or if they waited, at it.
func (t *tx) settle(text string, to schema.OrderState, reason string, before, now int64) error {
	rows, err := t.rows(text, to, reason, now, before, sweep)
	orders, err := collect(rows, err, scanOrder)
	for _, o := range oldestFirst(orders) {
		t.ended(o, byServer, now)
	}
	return err
}

// unverified gives up waiting for the new boot of restarts that ended before a
// time. COALESCE keeps SQLite off the index of all that has ended.
func (t *tx) unverified(now, before int64) error {
	rows, err := t.rows(`UPDATE orders SET verified = FALSE WHERE order_id IN
		(SELECT order_id FROM orders WHERE name = 'restart' AND verified IS NULL
			AND state IN ('succeeded', 'unknown') AND COALESCE(ended_time, 0) < $1 LIMIT $2) RETURNING `+orderColumns, before, sweep)
	orders, err := collect(rows, err, scanOrder)
	for _, o := range oldestFirst(orders) {
		t.event(schema.Event{
			DeviceID: o.DeviceID, Time: now, Kind: schema.EventRestartUnverified, Outcome: string(o.State), By: byServer,
			Detail: schema.OrderDetail(o),
		})
	}
	return err
}

// oldestFirst puts orders in the order in which the log is to tell of them: a
// statement returns them in any.
func oldestFirst(orders []schema.Order) []schema.Order {
	slices.SortFunc(orders, func(a, b schema.Order) int {
		return cmp.Or(cmp.Compare(a.CreatedTime, b.CreatedTime), cmp.Compare(a.OrderID, b.OrderID))
	})
	return orders
}
