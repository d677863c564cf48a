package store

import (
	"database/sql"
	"encoding/json"

	"github.com/edgetether/tether/schema"
)

// orderColumns are what scanOrder reads.
const orderColumns = `order_id, device_id, name, is_inner, params, state, reason, late, verified, message, data, actor,
	created_time, sent_time, ended_time`

func scanOrder(r scanner) (o schema.Order, err error) {
	var params string
	var data sql.NullString
	err = r.Scan(&o.OrderID, &o.DeviceID, &o.Order, &o.IsInner, &params, &o.State, &o.Reason, &o.Late, &o.Verified,
		&o.Message, &data, &o.By, &o.CreatedTime, &o.SentTime, &o.EndedTime)
	o.Params = json.RawMessage(params)
	if data.Valid {
		o.Data = json.RawMessage(data.String)
	}
	return o, err
}

// BeginOrder commits an order that is about to be sent. It never blocks; done
// is called once, on the writer's goroutine. Given the same intent again, it
// succeeds again.
func (s *Store) BeginOrder(in schema.Intent, done func(error)) {
	s.writer.submit(&op{apply: func(t *tx) error { return t.beginOrder(in) }, done: done})
}

// beginOrder inserts the order if in.Epoch owns the device and no order of it
// is sent; the indexes of the table see to the latter. The casts are for
// PostgreSQL, which takes a bare parameter in a SELECT for text.
func (t *tx) beginOrder(in schema.Intent) error {
	o := in.Order
	params := string(o.Params)
	if params == "" {
		params = "{}"
	}
	n, err := t.exec(`INSERT INTO orders (order_id, device_id, name, is_inner, params, state, actor,
			created_time, sent_time, due_time, epoch, node, boot_id)
		SELECT CAST($1 AS TEXT), device_id, CAST($3 AS TEXT), CAST($4 AS BOOLEAN), CAST($5 AS TEXT), 'sent', CAST($6 AS TEXT),
			CAST($7 AS BIGINT), CAST($8 AS BIGINT), CAST($9 AS BIGINT), owner_epoch, CAST($11 AS BIGINT), CAST($12 AS TEXT)
		FROM devices WHERE device_id = $2 AND owner_epoch = $10
		ON CONFLICT DO NOTHING`,
		o.OrderID, o.DeviceID, o.Order, o.IsInner, params, o.By,
		o.CreatedTime, o.SentTime, in.Due, in.Epoch, in.Node, in.BootID)
	switch {
	case err != nil:
		return err
	case n == 0:
		return t.refuseOrder(in)
	}
	at := o.CreatedTime
	if o.SentTime != nil {
		at = *o.SentTime
	}
	t.event(schema.Event{
		DeviceID: o.DeviceID, Time: at, Kind: schema.EventOrder, Outcome: string(schema.OrderSent), By: o.By,
		Detail: schema.Detail("order_id", o.OrderID, "order", o.Order, "by", o.By),
	})
	return nil
}

// refuseOrder says why nothing was inserted: no ownership, the same order
// again, or another one in flight.
func (t *tx) refuseOrder(in schema.Intent) error {
	var epoch int64
	err := t.row("SELECT owner_epoch FROM devices WHERE device_id = $1", in.Order.DeviceID).Scan(&epoch)
	if _, err := one(epoch, err, schema.ErrDeviceNotFound); err != nil {
		return err
	}
	if epoch != in.Epoch {
		return schema.ErrFenced
	}
	row := t.row("SELECT "+orderColumns+" FROM orders WHERE device_id = $1 AND state = 'sent'", in.Order.DeviceID)
	sent, err := scanOrder(row)
	if sent, err = one(sent, err, errOrderExists); err != nil {
		return err
	}
	if sent.OrderID == in.Order.OrderID {
		return nil
	}
	return schema.Busy(sent, in.Order.CreatedTime)
}

var errOrderExists = schema.Errorf(schema.OrderRefused, "order_exists", "an order with this id has ended already")

// EndOrder settles an order by compare and set (see schema.Outcome). It never
// blocks; done is called once, on the writer's goroutine, with the record as
// it now is.
func (s *Store) EndOrder(out schema.Outcome, done func(schema.Order, error)) {
	var o schema.Order
	s.writer.submit(&op{
		apply: func(t *tx) (err error) {
			o, err = t.endOrder(out)
			return err
		},
		done: func(err error) {
			if err != nil {
				o = schema.Order{} // applied, but not committed
			}
			done(o, err)
		},
	})
}

// endOrder's condition is the compare and set: it touches an order only in a
// state that may take the outcome, so that the first one wins whoever else
// settles it, the clerk or another session.
func (t *tx) endOrder(out schema.Outcome) (schema.Order, error) {
	known := out.State == schema.OrderSucceeded || out.State == schema.OrderStateFail
	row := t.row(`UPDATE orders SET late = (late OR CAST($8 AS BOOLEAN) OR state = 'unknown'),
			state = $3, reason = $4, message = $5, data = $6, ended_time = $7
		WHERE order_id = $1 AND device_id = $2 AND (state = 'sent' OR (state = 'unknown' AND CAST($9 AS BOOLEAN)))
		RETURNING `+orderColumns,
		out.OrderID, out.DeviceID, out.State, sql.NullString{String: out.Reason, Valid: out.Reason != ""},
		out.Message, rawText(out.Data), out.Now, out.Late, known)
	o, err := scanOrder(row)
	if o, err = one(o, err, schema.ErrOrderNotFound); schema.KindOf(err) == schema.OrderNotFound {
		row := t.row("SELECT "+orderColumns+" FROM orders WHERE order_id = $1 AND device_id = $2", out.OrderID, out.DeviceID)
		o, err = scanOrder(row)
		return one(o, err, schema.ErrOrderNotFound)
	}
	if err != nil {
		return schema.Order{}, err
	}
	by := byServer
	if known {
		by = byDevice
	}
	t.ended(o, by, out.Now)
	return o, nil
}

// ended leaves the event of an order's outcome.
func (t *tx) ended(o schema.Order, by string, now int64) {
	t.event(schema.Event{
		DeviceID: o.DeviceID, Time: now, Kind: schema.EventOrderResult, Outcome: string(o.State), By: by,
		Detail: schema.Detail("order_id", o.OrderID, "state", o.State, "reason", o.Reason, "late", o.Late),
	})
}
