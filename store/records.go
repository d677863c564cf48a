package store

import (
	"context"

	"github.com/edgetether/tether/schema"
)

// Order finds an order's record. With a limited scope, its device must be there.
func (s *Store) Order(ctx context.Context, sc schema.Scope, orderID string) (schema.Order, error) {
	return read(ctx, s, func(r querier) (schema.Order, error) { return orderIn(r, sc, orderID) })
}

func orderIn(r querier, sc schema.Scope, orderID string) (schema.Order, error) {
	var q query
	q.add("SELECT "+orderColumns+" FROM orders WHERE order_id = ?", orderID)
	q.within(sc, "orders.device_id")
	o, err := scanOrder(r.row(q.text.String(), q.args...))
	return one(o, err, schema.ErrOrderNotFound)
}

// ListOrders lists a device's orders, newest first; also those of a deleted
// device, where the scope is everything.
func (s *Store) ListOrders(ctx context.Context, sc schema.Scope, deviceID string, p schema.Page) (schema.List[schema.Order], error) {
	var q query
	q.add("SELECT "+orderColumns+" FROM orders WHERE device_id = ?", deviceID)
	return read(ctx, s, func(r querier) (schema.List[schema.Order], error) {
		if err := remembered(r, sc, deviceID); err != nil {
			return schema.List[schema.Order]{}, err
		}
		return list(r, &q, p, order{kind: 'o', number: "created_time", id: "order_id", newest: true}, scanOrder,
			func(o schema.Order) cursor { return cursor{number: o.CreatedTime, id: o.OrderID} })
	})
}

// ListEvents lists a device's log, newest first; also that of a deleted
// device, where the scope is everything.
func (s *Store) ListEvents(ctx context.Context, sc schema.Scope, f schema.EventFilter, p schema.Page) (schema.List[schema.Event], error) {
	var q query
	q.add("SELECT pos, seq, device_id, at, kind, outcome, actor, detail FROM events WHERE device_id = ?", f.DeviceID)
	if f.Since != 0 {
		q.add(" AND at >= ?", f.Since)
	}
	if f.Until != 0 {
		q.add(" AND at < ?", f.Until)
	}
	q.equal("kind", string(f.Kind))
	return read(ctx, s, func(r querier) (schema.List[schema.Event], error) {
		if err := remembered(r, sc, f.DeviceID); err != nil {
			return schema.List[schema.Event]{}, err
		}
		return list(r, &q, p, order{kind: 'e', number: "seq", newest: true}, scanEvent,
			func(e schema.Event) cursor { return cursor{number: e.Seq} })
	})
}

func scanEvent(r scanner) (e schema.Event, err error) {
	var detail string
	err = r.Scan(&e.Pos, &e.Seq, &e.DeviceID, &e.Time, &e.Kind, &e.Outcome, &e.By, &detail)
	e.Detail = schema.RawObject(detail)
	return e, err
}

// remembered is visible, and for the scope of everything it also knows the
// devices that were deleted: their logs have begun.
func remembered(r querier, sc schema.Scope, deviceID string) error {
	err := visible(r, sc, deviceID)
	if sc.Groups != nil || schema.KindOf(err) != schema.DeviceNotFound {
		return err
	}
	var seq int64
	_, err = one(seq, r.row("SELECT seq FROM event_seq WHERE device_id = $1", deviceID).Scan(&seq), schema.ErrDeviceNotFound)
	return err
}
