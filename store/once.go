package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"

	"github.com/edgetether/tether/schema"
)

// An order's Idempotency-Key is kept in its row, so that it is durable with the
// order, and with none that was refused. An index makes it one of a kind.

// freeAgain is the condition under which a key may be used for another order,
// though one has it: that is older than a time, or nothing of it was ever sent.
const freeAgain = `(created_time <= $3 OR state = 'cancelled' AND COALESCE(reason, '') = 'not_sent')`

// OrderByKey finds the order that was given with a key after a time. None is
// schema.ErrOrderNotFound, one of another body schema.ErrOtherOrder.
func (s *Store) OrderByKey(ctx context.Context, once schema.Once, after int64) (schema.Order, error) {
	return read(ctx, s, func(r querier) (schema.Order, error) {
		var hash string
		row := r.row("SELECT "+orderColumns+", once_hash FROM orders WHERE once_owner = $1 AND once_key = $2 AND NOT "+freeAgain,
			once.Owner, once.Key, after)
		o, err := scanOrder(also{row, &hash})
		if o, err = one(o, err, schema.ErrOrderNotFound); err == nil && hash != once.Hash {
			return schema.Order{}, schema.ErrOtherOrder
		}
		return o, err
	})
}

// also is a scanner of one column more.
type also struct {
	scanner
	more any
}

func (a also) Scan(dest ...any) error { return a.scanner.Scan(append(dest, a.more)...) }

// beginAlone is for an intent that is carried out by itself.
func (t *tx) beginAlone(in schema.Intent) error {
	if in.Waited {
		return t.claimOrder(in)
	}
	return t.beginOnce(in)
}

// beginOrder is beginOrders of one, whose refusal it returns.
func (t *tx) beginOrder(in schema.Intent) error {
	mine, begins := t.result, intent{new(result), in}
	err := t.beginOrders([]intent{begins})
	t.result = mine
	mine.events = append(mine.events, begins.events...)
	return cmp.Or(err, begins.refused)
}

// beginOnce is beginOrder of an order with a key.
func (t *tx) beginOnce(in schema.Intent) error {
	used, err := t.onceUsed(in.Once, in.Order.CreatedTime)
	if err != nil {
		return err
	}
	if used != "" && used != in.Order.OrderID {
		return schema.ErrOrderKnown
	}
	if err := t.beginOrder(in); err != nil || used != "" {
		return err
	}
	if err := t.freeOnce(in.Once); err != nil {
		return err
	}
	_, err = t.exec("UPDATE orders SET once_owner = $2, once_key = $3, once_hash = $4 WHERE order_id = $1",
		in.Order.OrderID, in.Once.Owner, in.Once.Key, in.Once.Hash)
	return err
}

// onceUsed is the order for which a key was used; empty is none.
func (t *tx) onceUsed(once schema.Once, now int64) (orderID string, err error) {
	if once.Key == "" {
		return "", nil
	}
	err = t.row("SELECT order_id FROM orders WHERE once_owner = $1 AND once_key = $2 AND NOT "+freeAgain,
		once.Owner, once.Key, now-schema.OnceLifetime.Milliseconds()).Scan(&orderID)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return orderID, err
}

// freeOnce takes a key from an order that does not need it any more.
func (t *tx) freeOnce(once schema.Once) error {
	if once.Key == "" {
		return nil
	}
	_, err := t.exec("UPDATE orders SET once_owner = NULL, once_key = NULL, once_hash = NULL WHERE once_owner = $1 AND once_key = $2",
		once.Owner, once.Key)
	return err
}
