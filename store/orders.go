package store

import (
	"database/sql"
	"encoding/json"
	"errors"

	"github.com/edgetether/tether/schema"
)

// orderColumns are what scanOrder reads.
const orderColumns = `order_id, device_id, name, is_inner, params, state, reason, late, verified, message, data, actor,
	created_time, sent_time, ended_time, job_id`

func scanOrder(r scanner) (o schema.Order, err error) {
	var params string
	var data sql.NullString
	err = r.Scan(&o.OrderID, &o.DeviceID, &o.Order, &o.IsInner, &params, &o.State, &o.Reason, &o.Late, &o.Verified,
		&o.Message, &data, &o.By, &o.CreatedTime, &o.SentTime, &o.EndedTime, &o.JobID)
	o.Params = json.RawMessage(params)
	if data.Valid {
		o.Data = json.RawMessage(data.String)
	}
	return o, err
}

// intent is an order about to be sent, in a run.
type intent struct {
	*result
	schema.Intent
}

// BeginOrder commits an order that is about to be sent. It never blocks; done
// is called once, on the writer's goroutine. Given the same intent again, it
// succeeds again.
func (s *Store) BeginOrder(in schema.Intent, done func(error)) {
	if in.Waited || in.Once.Key != "" {
		s.writer.submit(&op{apply: func(t *tx) error { return t.beginAlone(in) }, done: done})
		return
	}
	s.writer.submit(&op{
		touches: []string{in.Order.DeviceID, in.Order.OrderID},
		join:    func(r *run, at *result) { r.intents = append(r.intents, intent{at, in}) },
		done:    done,
	})
}

// beginOrders inserts each order whose epoch owns the device, while no order of
// it is sent; the indexes of the table see to the latter. One of a job is
// inserted while the job runs. The ids that come back are of those that were inserted.
func (t *tx) beginOrders(intents []intent) error {
	rows := make([][]any, len(intents))
	for i, in := range intents {
		rows[i] = intentRow(in.Intent)
	}
	begun, err := idsFor(t, intentColumns, rows, `INSERT INTO orders (order_id, device_id, name, is_inner, params, state, actor,
			created_time, sent_time, due_time, epoch, node, boot_id, job_id)
		SELECT given.id, given.device, given.name, given.inner_order, given.params, 'sent', given.actor,
			given.created, given.sent, given.due, given.epoch, given.node, given.boot, given.job
		FROM given CROSS JOIN devices d WHERE d.device_id = given.device AND d.owner_epoch = given.epoch
			AND (given.job IS NULL OR EXISTS (SELECT 1 FROM jobs j WHERE j.job_id = given.job AND j.state = 'running'))
		ON CONFLICT DO NOTHING RETURNING order_id`)
	if err != nil {
		return err
	}
	for _, in := range intents {
		t.result = in.result
		if begun[in.Order.OrderID] {
			t.begun(in.Order)
		} else if err := in.answer(t.refuseOrder(in.Intent)); err != nil {
			return err
		}
	}
	return nil
}

// intentColumns are what intentRow fills.
const intentColumns = `id TEXT, device TEXT, name TEXT, inner_order BOOLEAN, params TEXT, actor TEXT,
	created BIGINT, sent BIGINT, due BIGINT, epoch BIGINT, node BIGINT, boot TEXT, job TEXT`

func intentRow(in schema.Intent) []any {
	o := in.Order
	return []any{o.OrderID, o.DeviceID, o.Order, o.IsInner, paramsText(o), o.By,
		o.CreatedTime, o.SentTime, in.Due, in.Epoch, in.Node, in.BootID, o.JobID}
}

func paramsText(o schema.Order) string {
	if len(o.Params) == 0 {
		return "{}"
	}
	return string(o.Params)
}

// begun leaves the event of an order that is sent.
func (t *tx) begun(o schema.Order) {
	at := o.CreatedTime
	if o.SentTime != nil {
		at = *o.SentTime
	}
	t.event(schema.Event{
		DeviceID: o.DeviceID, Time: at, Kind: schema.EventOrder, Outcome: string(schema.OrderSent), By: o.By,
		Detail: schema.OrderDetail(o, "order", o.Order, "by", o.By),
	})
}

// refuseOrder says why nothing was inserted: no ownership, the same intent
// again, another order in flight, the order there already, or its job over.
func (t *tx) refuseOrder(in schema.Intent) error {
	sent, err := t.inFlight(in)
	switch {
	case err != nil:
		return err
	case sent == nil:
		return t.refuseAgain(in.Order)
	case sent.OrderID != in.Order.OrderID:
		return schema.Busy(*sent, in.Order.CreatedTime)
	case !sameTime(sent.SentTime, in.Order.SentTime): // it was sent before: not this time
		return schema.ErrOrderExists
	}
	return nil
}

func sameTime(a, b *int64) bool { return a == b || a != nil && b != nil && *a == *b }

// refuseAgain says whether an order is there already, or otherwise that its
// job is over; nil is neither.
func (t *tx) refuseAgain(o schema.Order) error {
	_, err := t.orderOf(o.DeviceID, o.OrderID)
	switch {
	case err == nil:
		return schema.ErrOrderExists
	case schema.KindOf(err) != schema.OrderNotFound || o.JobID == nil:
		return err
	}
	return schema.ErrJobOver
}

// inFlight is the order of in's device that is sent, or nil; an error if
// in.Epoch does not own the device.
func (t *tx) inFlight(in schema.Intent) (*schema.Order, error) {
	var epoch int64
	err := t.row("SELECT owner_epoch FROM devices WHERE device_id = $1", in.Order.DeviceID).Scan(&epoch)
	if _, err := one(epoch, err, schema.ErrDeviceNotFound); err != nil {
		return nil, err
	}
	if epoch != in.Epoch {
		return nil, schema.ErrFenced
	}
	sent, err := scanOrder(t.row("SELECT "+orderColumns+" FROM orders WHERE device_id = $1 AND state = 'sent'", in.Order.DeviceID))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &sent, err
}

// outcome is how an order ended, in a run, and where to leave its record.
type outcome struct {
	*result
	schema.Outcome
	order *schema.Order
}

// EndOrder settles an order by compare and set (see schema.Outcome). It never
// blocks; done is called once, on the writer's goroutine, with the record as
// it now is.
func (s *Store) EndOrder(out schema.Outcome, done func(schema.Order, error)) {
	var o schema.Order
	end := &op{
		touches: []string{out.DeviceID, out.OrderID},
		join:    func(r *run, at *result) { r.outcomes = append(r.outcomes, outcome{at, out, &o}) },
		done: func(err error) {
			if err != nil {
				o = schema.Order{} // applied, but not committed
			}
			done(o, err)
		},
	}
	if out.State == schema.OrderQueued {
		end.join, end.apply = nil, func(t *tx) (err error) { o, err = t.requeue(out); return err }
	}
	s.writer.submit(end)
}

// endOrders' condition is the compare and set: it touches an order only in a
// state that may take the outcome, so that the first one wins whoever else
// settles it, the clerk or another session. That nothing was sent is said of one
// claim: of an order that was given again since, it is not true. An order that
// it does not touch is read as it is.
func (t *tx) endOrders(outcomes []outcome) error {
	rows := make([][]any, len(outcomes))
	for i, out := range outcomes {
		rows[i] = []any{out.OrderID, out.DeviceID, out.State, nullable(out.Reason),
			out.Message, rawText(out.Data), out.Now, out.Late, known(out.State), oneClaim(out.Outcome), out.Epoch}
	}
	orders, err := forRows(t, `id TEXT, device TEXT, becomes TEXT, why TEXT, says TEXT, brings TEXT,
		at BIGINT, is_late BOOLEAN, is_known BOOLEAN, claim BIGINT, claim_epoch BIGINT`, rows,
		`UPDATE orders SET late = (late OR is_late OR state = 'unknown'),
			state = becomes, reason = why, message = says, data = brings, ended_time = at
		FROM given WHERE order_id = given.id AND device_id = given.device AND (state = 'sent' OR (state = 'unknown' AND is_known))
			AND (claim IS NULL OR sent_time = claim AND epoch = claim_epoch)
		RETURNING `+orderColumns, scanOrder)
	if err != nil {
		return err
	}
	ended := make(map[string]schema.Order, len(orders))
	for _, o := range orders {
		ended[o.OrderID] = o
	}
	for _, out := range outcomes {
		t.result = out.result
		o, ok := ended[out.OrderID]
		if ok {
			t.ended(o, authorOf(out.State), out.Now)
		} else if o, err = t.orderOf(out.DeviceID, out.OrderID); out.answer(err) != nil {
			return err
		}
		*out.order = o
	}
	return nil
}

// oneClaim is the time of the one claim that an outcome is of; NULL: of any.
func oneClaim(out schema.Outcome) sql.NullInt64 {
	return sql.NullInt64{Int64: out.Sent, Valid: out.State == schema.OrderCancelled && out.Sent != 0}
}

// orderOf finds an order of a device.
func (t *tx) orderOf(deviceID, orderID string) (schema.Order, error) {
	o, err := scanOrder(t.row("SELECT "+orderColumns+" FROM orders WHERE order_id = $1 AND device_id = $2", orderID, deviceID))
	return one(o, err, schema.ErrOrderNotFound)
}

// known says whether an order's state is what its device said.
func known(s schema.OrderState) bool { return s == schema.OrderSucceeded || s == schema.OrderStateFail }

func authorOf(s schema.OrderState) string {
	if known(s) {
		return byDevice
	}
	return byServer
}

// nullable is text that is NULL if it is empty.
func nullable(text string) sql.NullString { return sql.NullString{String: text, Valid: text != ""} }

// ended leaves the event of an order's outcome.
func (t *tx) ended(o schema.Order, by string, now int64) {
	t.event(schema.Event{
		DeviceID: o.DeviceID, Time: now, Kind: schema.EventOrderResult, Outcome: string(o.State), By: by,
		Detail: schema.OrderDetail(o, "state", o.State, "reason", o.Reason, "late", o.Late),
	})
}
