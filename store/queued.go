package store

import (
	"cmp"
	"context"
	"database/sql"

	"github.com/edgetether/tether/schema"
)

// Enqueue stores an order behind those that wait for its device.
func (s *Store) Enqueue(ctx context.Context, q schema.Queued) (schema.Order, error) {
	return write(ctx, s, func(t *tx) (schema.Order, error) { return t.enqueue(q) })
}

// enqueue gives the order the next number of a counter: places rise with each
// order that is queued, so that one that comes back keeps its own.
func (t *tx) enqueue(q schema.Queued) (schema.Order, error) {
	o := q.Order
	if err := t.roomFor(o.DeviceID); err != nil {
		return schema.Order{}, err
	}
	used, err := t.onceUsed(q.Once, o.CreatedTime)
	if err != nil {
		return schema.Order{}, err
	}
	if used != "" {
		return schema.Order{}, schema.ErrOrderKnown
	}
	if err := t.freeOnce(q.Once); err != nil {
		return schema.Order{}, err
	}
	if o.JobID != nil {
		if err := t.jobTakes(o); err != nil {
			return schema.Order{}, err
		}
	}
	var place int64
	err = t.row("UPDATE counters SET value = value + 1 WHERE name = 'queue' RETURNING value").Scan(&place)
	if err != nil {
		return schema.Order{}, err
	}
	row := t.row(`INSERT INTO orders (order_id, device_id, name, is_inner, params, state, actor, created_time,
			due_time, expires_time, queue_pos, once_owner, once_key, once_hash, job_id)
		VALUES ($1, $2, $3, $4, $5, 'queued', $6, $7, $8, $8, $9, $10, $11, $12, $13) RETURNING `+orderColumns,
		o.OrderID, o.DeviceID, o.Order, o.IsInner, paramsText(o), o.By, o.CreatedTime,
		q.Expires, place, nullable(q.Once.Owner), nullable(q.Once.Key), nullable(q.Once.Hash), o.JobID)
	if o, err = scanOrder(row); err == nil {
		t.waits(o, o.By, o.CreatedTime, "expires_time", q.Expires)
	}
	return o, err
}

// roomFor says whether one more order may wait for a device.
func (t *tx) roomFor(deviceID string) error {
	var waiting int
	err := t.row(`SELECT COUNT(o.order_id) FROM devices d
		LEFT JOIN orders o ON o.device_id = d.device_id AND o.state = 'queued'
		WHERE d.device_id = $1 GROUP BY d.device_id`, deviceID).Scan(&waiting)
	if _, err := one(waiting, err, schema.ErrDeviceNotFound); err != nil {
		return err
	}
	if waiting >= schema.MaxQueued {
		return schema.ErrQueueFull
	}
	return nil
}

// waits leaves the event of an order that waits, or waits again.
func (t *tx) waits(o schema.Order, by string, now int64, name string, value any) {
	t.event(schema.Event{
		DeviceID: o.DeviceID, Time: now, Kind: schema.EventOrder, Outcome: string(schema.OrderQueued), By: by,
		Detail: schema.OrderDetail(o, "order", o.Order, "by", o.By, name, value),
	})
}

// NextOrders are the orders that wait for a device longest, two at most,
// without those whose time is over.
func (s *Store) NextOrders(ctx context.Context, deviceID string, now int64) ([]schema.Order, error) {
	return read(ctx, s, func(r querier) ([]schema.Order, error) {
		rows, err := r.rows("SELECT "+orderColumns+` FROM orders
			WHERE device_id = $1 AND state = 'queued' AND expires_time > $2 ORDER BY queue_pos, order_id LIMIT 2`, deviceID, now)
		return collect(rows, err, scanOrder)
	})
}

// claimOrder moves an order from queued to sent, if in.Epoch owns the device,
// no order of it is sent, and none has waited longer. This is what decides between all who may want
// something of the order at one time: a session, another one that took over,
// its canceller, the clerk.
func (t *tx) claimOrder(in schema.Intent) error {
	o := in.Order
	n, err := t.exec(`UPDATE orders SET state = 'sent', sent_time = $3, due_time = $4, epoch = $5, node = $6, boot_id = $7
		WHERE order_id = $1 AND device_id = $2 AND state = 'queued' AND expires_time > $8
			AND EXISTS (SELECT 1 FROM devices d WHERE d.device_id = $2 AND d.owner_epoch = $5)
			AND NOT EXISTS (SELECT 1 FROM orders s WHERE s.device_id = $2 AND s.state = 'sent')
			AND NOT EXISTS (SELECT 1 FROM orders e WHERE e.device_id = $2 AND e.state = 'queued' AND e.expires_time > $8
				AND (e.queue_pos, e.order_id) < (orders.queue_pos, orders.order_id))`,
		o.OrderID, o.DeviceID, *o.SentTime, in.Due, in.Epoch, in.Node, in.BootID, in.Now)
	switch {
	case err != nil:
		return err
	case n == 0:
		return t.refuseClaim(in)
	}
	t.begun(o)
	return nil
}

// refuseClaim says why nothing was claimed: no ownership, the same claim
// again, another order in flight, or one that is not the first.
func (t *tx) refuseClaim(in schema.Intent) error {
	sent, err := t.inFlight(in)
	switch {
	case err != nil || sent == nil:
		return cmp.Or[error](err, schema.ErrNotFirst)
	case sent.OrderID == in.Order.OrderID && *sent.SentTime == *in.Order.SentTime:
		return nil
	}
	return schema.Busy(*sent, *in.Order.SentTime)
}

// requeue takes back the claim of an order of which no byte was sent. One that
// was sent at once, and so has no place, comes before all that wait.
func (t *tx) requeue(out schema.Outcome) (schema.Order, error) {
	row := t.row(`UPDATE orders SET state = 'queued', sent_time = NULL,
			expires_time = COALESCE(expires_time, CAST($5 AS BIGINT)), due_time = COALESCE(expires_time, CAST($5 AS BIGINT)),
			queue_pos = COALESCE(queue_pos,
				(SELECT COALESCE(MIN(q.queue_pos), 1) - 1 FROM orders q WHERE q.device_id = $2 AND q.state = 'queued'))
		WHERE order_id = $1 AND device_id = $2 AND state = 'sent' AND epoch = $3 AND sent_time = $4 RETURNING `+orderColumns,
		out.OrderID, out.DeviceID, out.Epoch, out.Sent, out.Expires)
	o, err := scanOrder(row)
	if o, err = one(o, err, schema.ErrOrderNotFound); schema.KindOf(err) == schema.OrderNotFound {
		return t.orderOf(out.DeviceID, out.OrderID)
	}
	if err == nil {
		t.waits(o, byServer, out.Now, "reason", out.Reason)
	}
	return o, err
}

// CancelOrder ends an order that waits. One that is sent or has ended stays as
// it is: the refusal has its record.
func (s *Store) CancelOrder(ctx context.Context, sc schema.Scope, orderID, by string, now int64) (schema.Order, error) {
	return write(ctx, s, func(t *tx) (schema.Order, error) {
		o, err := orderIn(t, sc, orderID)
		switch {
		case err != nil:
			return o, err
		case o.State != schema.OrderQueued:
			return schema.Order{}, notCancellable(o)
		}
		cancelled, err := t.cancelWaiting("order_id", orderID, "", by, now)
		if err != nil || len(cancelled) == 0 {
			return schema.Order{}, cmp.Or[error](err, schema.ErrOrderNotFound)
		}
		return cancelled[0], nil
	})
}

func notCancellable(o schema.Order) error {
	e := schema.Errorf(schema.OrderConflict, "order_not_cancellable", "order_id: the order is %s; only one that waits can be cancelled", o.State)
	e.Data = o
	return e
}

// cancelWaiting ends the orders that wait: one of them, or those of a device.
func (t *tx) cancelWaiting(column, id, reason, by string, now int64) ([]schema.Order, error) {
	rows, err := t.rows(`UPDATE orders SET state = 'cancelled', reason = $2, ended_time = $3
		WHERE `+column+` = $1 AND state = 'queued' RETURNING `+orderColumns, id, nullable(reason), now)
	orders, err := collect(rows, err, scanOrder)
	for _, o := range orders {
		t.ended(o, by, now)
	}
	return orders, err
}

// ExpireOrders ends the orders that have waited for too long, a sweep of them
// at most, and says when the next one will have; 0 is never.
func (s *Store) ExpireOrders(ctx context.Context, now int64) (next int64, err error) {
	next, err = s.nextExpiry(ctx)
	if err != nil || next == 0 || next > now {
		return next, err
	}
	_, err = change(ctx, s, func(t *tx) (struct{}, error) {
		return struct{}{}, t.settle(overdueQueued, schema.OrderExpired, schema.ReasonNotSent, now, now)
	})
	if err != nil {
		return 0, err
	}
	return s.nextExpiry(ctx)
}

func (s *Store) nextExpiry(ctx context.Context) (int64, error) {
	return read(ctx, s, func(r querier) (int64, error) {
		var at sql.NullInt64
		err := r.row("SELECT MIN(due_time) FROM orders WHERE state = 'queued'").Scan(&at)
		return at.Int64, err
	})
}

// HandOver lists orders that wait though the node has their device online and
// carrying out nothing, a sweep of them at most.
func (s *Store) HandOver(ctx context.Context, node, now int64) ([]schema.Order, error) {
	return read(ctx, s, func(r querier) ([]schema.Order, error) {
		rows, err := r.rows("SELECT "+orderColumns+` FROM orders WHERE state = 'queued' AND expires_time > $2
			AND EXISTS (SELECT 1 FROM devices d WHERE d.device_id = orders.device_id AND d.owner_node = $1 AND d.state = 'online')
			AND NOT EXISTS (SELECT 1 FROM orders s WHERE s.device_id = orders.device_id AND s.state = 'sent') LIMIT $3`,
			node, now, sweep)
		return collect(rows, err, scanOrder)
	})
}
