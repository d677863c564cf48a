package store

import (
	"context"

	"github.com/edgetether/tether/schema"
)

// Credential finds the device that p names, by device_id or by the pair of SN
// and model, and what its login is checked against. An unknown device is
// schema.ErrDeviceNotFound.
func (s *Store) Credential(ctx context.Context, p schema.LoginParams, now int64) (schema.Credential, error) {
	var q query
	q.add(`SELECT device_id, enabled, credential_version, password, token, token_expires, old_token, old_token_expires
		FROM devices WHERE `)
	if p.DeviceID != "" {
		q.add("device_id = ?", p.DeviceID)
	} else {
		q.add("sn = ? AND model = ?", p.SN, p.Model)
	}
	return read(ctx, s, func(r querier) (c schema.Credential, err error) {
		var tokens [2]string
		var expires [2]int64
		err = r.row(q.text.String(), q.args...).Scan(&c.DeviceID, &c.Enabled, &c.Version, &c.Password,
			&tokens[0], &expires[0], &tokens[1], &expires[1])
		for i, hash := range tokens {
			if hash != "" && expires[i] > now {
				c.Tokens = append(c.Tokens, hash)
			}
		}
		return one(c, err, schema.ErrDeviceNotFound)
	})
}

// Claim makes c.Epoch the owner of the device. In one transaction it writes
// the older session's disconnect if that is outstanding, then connect and
// login, keeps the token as the newest of two, and marks the restarts that
// c.BootID proves.
func (s *Store) Claim(ctx context.Context, c schema.Claim) (schema.Claimed, error) {
	return write(ctx, s, func(t *tx) (schema.Claimed, error) { return t.claim(c) })
}

// claim refuses before it writes anything, so that it needs no savepoint: a
// whole fleet logs in after a restart. The order of the refusals does not
// matter to a device, which is told one thing for all of them.
func (t *tx) claim(c schema.Claim) (a schema.Claimed, err error) {
	var o owned
	old, err := deviceIn(t, schema.Everything, c.DeviceID, o.dest()...)
	switch {
	case schema.KindOf(err) == schema.DeviceNotFound:
		return a, schema.ErrLoginFailed
	case err != nil:
		return a, err
	case o.epoch >= c.Epoch:
		return a, schema.ErrFenced
	case !old.Enabled || o.credential != c.Version:
		return a, schema.ErrLoginFailed
	}
	if err := t.own(c, o.epoch); err != nil {
		return a, err
	}
	if old.State != schema.Offline {
		t.disconnected(c.DeviceID, "takeover", o.epoch, c.Now)
	}
	t.loggedIn(c)
	if err := t.proveRestarts(c); err != nil {
		return a, err
	}
	if a.Unsettled, err = t.unsettled(c); err != nil {
		return a, err
	}
	if o.update > o.told {
		a.Update = updateOf(old, o.update)
	}
	return a, nil
}

// own is the compare and set: it takes the device from the epoch that was
// read, and from no other.
func (t *tx) own(c schema.Claim, from int64) error {
	client, err := jsonText(c.Client)
	if err != nil {
		return err
	}
	n, err := t.exec(`UPDATE devices SET owner_epoch = $3, owner_node = $4, boot_id = $5, client = $6,
			state = 'online', state_reason = 'login', last_seen_time = $7,
			old_token = token, old_token_expires = token_expires, token = $8, token_expires = $9
		WHERE device_id = $1 AND owner_epoch = $2`,
		c.DeviceID, from, c.Epoch, c.Node, c.BootID, client, c.Now, c.TokenHash, c.TokenExpires)
	return touched(n, err, schema.ErrFenced)
}

// loggedIn leaves the two events of a login. Nothing secret is in them.
func (t *tx) loggedIn(c schema.Claim) {
	e := schema.Event{DeviceID: c.DeviceID, Time: c.Now, Outcome: outcomeSuccess, By: byDevice}
	e.Kind, e.Detail = schema.EventConnect, schema.Detail("epoch", c.Epoch, "address", c.Address)
	t.event(e)
	e.Kind, e.Detail = schema.EventLogin, schema.Detail("form", c.Form, "epoch", c.Epoch, "address", c.Address, "client", c.Client)
	t.event(e)
}

// disconnected is the counterpart of connect.
func (t *tx) disconnected(deviceID, reason string, epoch, now int64) {
	t.event(schema.Event{
		DeviceID: deviceID, Time: now, Kind: schema.EventDisconnect, Outcome: string(schema.Offline), By: byServer,
		Detail: schema.Detail("reason", reason, "epoch", epoch),
	})
}

// proveRestarts marks the restart orders that a new boot_id proves to have
// been carried out (reliability F48, F50): one that the device answered, one
// whose answer was lost, and one that the server died over. What ended it
// before, the loss of the connection say, is its reason no more.
func (t *tx) proveRestarts(c schema.Claim) error {
	if c.BootID == "" {
		return nil
	}
	rows, err := t.rows(`UPDATE orders SET late = (late OR state <> 'succeeded'), verified = TRUE, reason = NULL,
			ended_time = CASE WHEN state = 'succeeded' THEN ended_time ELSE $3 END, state = 'succeeded'
		WHERE device_id = $1 AND name = 'restart' AND verified IS NULL AND boot_id <> $2
			AND state IN ('sent', 'unknown', 'succeeded') AND COALESCE(ended_time, sent_time, created_time) >= $4
		RETURNING order_id, late`,
		c.DeviceID, c.BootID, c.Now, c.Now-c.RestartWindow.Milliseconds())
	type proof struct {
		orderID string
		late    bool
	}
	proofs, err := collect(rows, err, func(r scanner) (p proof, err error) { return p, r.Scan(&p.orderID, &p.late) })
	for _, p := range proofs {
		t.event(schema.Event{
			DeviceID: c.DeviceID, Time: c.Now, Kind: schema.EventRestartVerified,
			Outcome: string(schema.OrderSucceeded), By: byDevice,
			Detail: schema.Detail("order_id", p.orderID, "late", p.late),
		})
	}
	return err
}

// unsettled are the orders that the device is asked for; a restart just proven
// is none of them any more.
func (t *tx) unsettled(c schema.Claim) ([]string, error) {
	rows, err := t.rows(`SELECT order_id FROM orders
		WHERE device_id = $1 AND state IN ('sent', 'unknown') AND created_time >= $2
		ORDER BY created_time, order_id LIMIT $3`,
		c.DeviceID, c.Now-schema.UnsettledWindow.Milliseconds(), schema.MaxUnsettled)
	return collect(rows, err, func(r scanner) (id string, err error) { return id, r.Scan(&id) })
}
