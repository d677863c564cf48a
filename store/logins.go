package store

import (
	"context"

	"github.com/edgetether/tether/schema"
)

// claiming is a claim, in a run, and where to leave what answers it.
type claiming struct {
	*result
	schema.Claim
	claimed *schema.Claimed
	was     claimable
}

// claimable is a device as a claim finds it.
type claimable struct {
	deviceID string
	enabled  bool
	state    schema.DevState
	owned
}

// Claim makes c.Epoch the owner of the device. In one transaction it writes
// the older session's disconnect if that is outstanding, then connect and
// login, keeps the token as the newest of two, and marks the restarts that
// c.BootID proves. It is left out if ctx ends before its turn, and waits for its
// answer otherwise. Should a commit that was in doubt turn out to have claimed the
// device, it becomes offline again: its login was refused.
func (s *Store) Claim(ctx context.Context, c schema.Claim) (schema.Claimed, error) {
	claimed := new(schema.Claimed)
	a, err := await(context.WithoutCancel(ctx), s, claimed, claimOp(ctx, c, claimed))
	if err == nil && a.Waiting != nil {
		a.Waiting = s.firstOrder(ctx, c)
	}
	return a, err
}

// firstOrder is the order that waits longest for a device that was claimed. If
// it cannot be read, the clerk hands it over.
func (s *Store) firstOrder(ctx context.Context, c schema.Claim) *schema.Order {
	next, err := s.NextOrders(ctx, c.DeviceID, c.Now)
	if err != nil || len(next) == 0 {
		return nil
	}
	return &next[0]
}

func claimOp(ctx context.Context, c schema.Claim, claimed *schema.Claimed) *op {
	return &op{
		touches: []string{c.DeviceID},
		join: func(r *run, at *result) {
			if ctx.Err() != nil {
				at.refused = errAbandoned
				return
			}
			*claimed = schema.Claimed{Unsettled: []string{}}
			r.claims = append(r.claims, claiming{result: at, Claim: c, claimed: claimed})
		},
		unheard: func() *op {
			return presenceOp(&schema.Presence{
				DeviceID: c.DeviceID, Epoch: c.Epoch, State: schema.Offline, Reason: "login_refused", LastSeen: c.Now, Now: c.Now,
			})
		},
	}
}

// claim needs four statements for a whole fleet that returns. It refuses
// before it writes anything, and so needs no savepoint.
func (t *tx) claim(claims []claiming) error {
	claims, err := t.admit(claims)
	if err != nil {
		return err
	}
	if claims, err = t.own(claims); err != nil {
		return err
	}
	for _, c := range claims {
		t.result = c.result
		if c.was.state != schema.Offline {
			t.disconnected(c.DeviceID, "takeover", c.was.epoch, c.Now)
		}
		t.loggedIn(c.Claim)
		if c.was.update > c.was.told {
			d, err := deviceIn(t, schema.Everything, c.DeviceID)
			if err != nil {
				return err
			}
			c.claimed.Update = updateOf(d, c.was.update)
		}
		if c.was.waited {
			c.claimed.Waiting = new(schema.Order) // Claim reads which
		}
	}
	return t.openOrders(claims)
}

// admit looks the devices up, and returns the claims that nothing is to be
// said against. The order of the refusals does not matter to a device, which is
// told one thing for all of them.
func (t *tx) admit(claims []claiming) (admitted []claiming, err error) {
	found, err := forRows(t, "id TEXT", deviceIDs(claims),
		"SELECT d.device_id, d.enabled, d.state, "+ownerColumns+" FROM given CROSS JOIN devices d WHERE d.device_id = given.id",
		func(r scanner) (c claimable, err error) {
			return c, r.Scan(append([]any{&c.deviceID, &c.enabled, &c.state}, c.dest()...)...)
		})
	if err != nil {
		return nil, err
	}
	devices := make(map[string]claimable, len(found))
	for _, d := range found {
		devices[d.deviceID] = d
	}
	for _, c := range claims {
		was, known := devices[c.DeviceID]
		switch {
		case !known:
			c.refused = schema.ErrLoginFailed
		case was.epoch >= c.Epoch:
			c.refused = schema.ErrFenced
		case !was.enabled || was.credential != c.Version:
			c.refused = schema.ErrLoginFailed
		default:
			c.was = was
			admitted = append(admitted, c)
		}
	}
	return admitted, nil
}

// own is the compare and set: it takes a device from the epoch that was read,
// and from no other. It returns the claims that succeeded.
func (t *tx) own(claims []claiming) (owners []claiming, err error) {
	rows := make([][]any, len(claims))
	for i, c := range claims {
		client, err := jsonText(c.Client)
		if err != nil {
			return nil, err
		}
		rows[i] = []any{c.DeviceID, c.was.epoch, c.Epoch, c.Node, c.BootID, client, c.Now, c.TokenHash, c.TokenExpires}
	}
	taken, err := idsFor(t, `id TEXT, from_epoch BIGINT, epoch BIGINT, node BIGINT, boot TEXT, says TEXT, at BIGINT,
		hash TEXT, expires BIGINT`, rows,
		`UPDATE devices SET owner_epoch = epoch, owner_node = node, boot_id = boot, client = says,
			state = 'online', state_reason = 'login', last_seen_time = at,
			old_token = token, old_token_expires = token_expires, token = hash, token_expires = expires
		FROM given WHERE device_id = id AND owner_epoch = from_epoch RETURNING device_id`)
	if err != nil {
		return nil, err
	}
	for _, c := range claims {
		if taken[c.DeviceID] {
			owners = append(owners, c)
		} else {
			c.refused = schema.ErrFenced
		}
	}
	return owners, nil
}

// openOrders sees to the orders that a login may settle, or ask for. Few devices
// have any, and one statement finds those.
func (t *tx) openOrders(claims []claiming) error {
	open, err := idsFor(t, "id TEXT", deviceIDs(claims), `SELECT id FROM given
		WHERE EXISTS (SELECT 1 FROM orders o WHERE o.device_id = id AND o.state IN ('sent', 'unknown'))
		OR EXISTS (SELECT 1 FROM orders o WHERE o.device_id = id AND o.name = 'restart' AND o.verified IS NULL)`)
	if err != nil {
		return err
	}
	for _, c := range claims {
		if !open[c.DeviceID] {
			continue
		}
		t.result = c.result
		if err := t.proveRestarts(c.Claim); err != nil {
			return err
		}
		if c.claimed.Unsettled, err = t.unsettled(c.Claim); err != nil {
			return err
		}
	}
	return nil
}

func deviceIDs(claims []claiming) [][]any {
	rows := make([][]any, len(claims))
	for i, c := range claims {
		rows[i] = []any{c.DeviceID}
	}
	return rows
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
		RETURNING `+orderColumns,
		c.DeviceID, c.BootID, c.Now, c.Now-c.RestartWindow.Milliseconds())
	proven, err := collect(rows, err, scanOrder)
	for _, o := range oldestFirst(proven) {
		t.event(schema.Event{
			DeviceID: c.DeviceID, Time: c.Now, Kind: schema.EventRestartVerified,
			Outcome: string(schema.OrderSucceeded), By: byDevice,
			Detail: schema.OrderDetail(o, "late", o.Late),
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
	return collect(rows, err, scanID)
}
