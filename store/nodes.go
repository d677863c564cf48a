package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/edgetether/tether/schema"
)

// nodeNumbers is how many nodes there may be: a snowflake has ten bits for them.
const nodeNumbers = 1024

// ClaimNode gives the process that calls itself name its place among the
// servers: the number of its row, or the lowest free one, and the next
// incarnation. Incarnations rise over all nodes, so that epochs made from them
// rise as well when a server comes back under another name.
//
// On PostgreSQL the name is this store's until Close, or until it claims another:
// a second process that asks for it gets ErrNodeTaken, and touches nothing. What
// keeps a second process away from an SQLite file is a lock beside it, which the
// caller takes.
func (s *Store) ClaimNode(ctx context.Context, name string, now int64) (schema.Node, error) {
	claim := func() (schema.Node, error) { return s.claimNode(ctx, name, now) }
	if s.engine.hold == nil {
		return claim()
	}
	return s.engine.hold.claim(ctx, name, claim)
}

// ErrNodeTaken is what a second process gets that takes the name of a node, and
// what Options.OnTaken is told by the first if it has lost the name.
var ErrNodeTaken = errors.New("the name of this server is taken")

func (s *Store) claimNode(ctx context.Context, name string, now int64) (schema.Node, error) {
	return change(ctx, s, func(t *tx) (n schema.Node, err error) {
		n.Name = name
		if n.Number, err = t.nodeNumber(name); err != nil {
			return n, err
		}
		err = t.row("UPDATE counters SET value = value + 1 WHERE name = 'incarnation' RETURNING value").Scan(&n.Incarnation)
		if err != nil {
			return n, err
		}
		_, err = t.exec(`INSERT INTO nodes (name, number, incarnation, lease_time) VALUES ($1, $2, $3, $4)
			ON CONFLICT (name) DO UPDATE SET incarnation = excluded.incarnation, lease_time = excluded.lease_time`,
			n.Name, n.Number, n.Incarnation, now)
		return n, err
	})
}

// nodeNumber is the number of name's row, or the lowest that no row has.
func (t *tx) nodeNumber(name string) (number int64, err error) {
	err = t.row("SELECT number FROM nodes WHERE name = $1", name).Scan(&number)
	if !errors.Is(err, sql.ErrNoRows) {
		return number, err
	}
	rows, err := t.rows("SELECT number FROM nodes ORDER BY number")
	taken, err := collect(rows, err, func(r scanner) (n int64, err error) { return n, r.Scan(&n) })
	if err != nil {
		return 0, err
	}
	number = 0
	for _, n := range taken {
		if n == number {
			number++
		}
	}
	if number >= nodeNumbers {
		return 0, errNoNumber
	}
	return number, nil
}

var errNoNumber = schema.Errorf(schema.Overloaded, "no_node_number", "all %d node numbers are taken", nodeNumbers)

// Newest is the latest time that anything stored bears, in milliseconds; 0 in
// an empty store. A clock that shows less has been set back, and identifiers
// that are made of it might be there already.
func (s *Store) Newest(ctx context.Context) (int64, error) {
	return read(ctx, s, func(q querier) (newest int64, err error) {
		for _, query := range []string{
			"SELECT at FROM events ORDER BY pos DESC LIMIT 1",
			"SELECT MAX(created_time) FROM group_info",
			"SELECT MAX(created_time) FROM api_keys",
		} {
			var at sql.NullInt64
			if err := q.row(query).Scan(&at); err != nil && !errors.Is(err, sql.ErrNoRows) {
				return 0, err
			}
			newest = max(newest, at.Int64)
		}
		return newest, nil
	})
}

// ResetNode is called at the start of n, before its first Claim: what earlier
// incarnations of it left behind has ended with them. Their devices become
// offline, and their sent orders unknown.
func (s *Store) ResetNode(ctx context.Context, n schema.Node, now int64) error {
	for _, reset := range []func(*tx, int64, int64) (int, error){(*tx).resetOrders, (*tx).resetDevices} {
		for rows := sweep; rows == sweep; {
			var err error
			rows, err = change(ctx, s, func(t *tx) (int, error) { return reset(t, n.Number, now) })
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// resetDevices and resetOrders settle one sweep and say how many rows it had.
func (t *tx) resetDevices(node, now int64) (int, error) {
	type device struct {
		id    string
		epoch int64
	}
	rows, err := t.rows(`UPDATE devices SET state = 'offline', state_reason = 'server_restart' WHERE device_id IN
		(SELECT device_id FROM devices WHERE owner_node = $1 AND state IN ($2, $3) LIMIT $4)
		RETURNING device_id, owner_epoch`, node, schema.Online, schema.Unknown, sweep)
	devices, err := collect(rows, err, func(r scanner) (d device, err error) { return d, r.Scan(&d.id, &d.epoch) })
	for _, d := range devices {
		t.disconnected(d.id, schema.ReasonRestart, d.epoch, now)
	}
	return len(devices), err
}

func (t *tx) resetOrders(node, now int64) (int, error) {
	rows, err := t.rows(`UPDATE orders SET state = 'unknown', reason = 'server_restart', ended_time = $2 WHERE order_id IN
		(SELECT order_id FROM orders WHERE node = $1 AND state = 'sent' LIMIT $3) RETURNING `+orderColumns, node, now, sweep)
	orders, err := collect(rows, err, scanOrder)
	for _, o := range orders {
		t.ended(o, byServer, now)
	}
	return len(orders), err
}
