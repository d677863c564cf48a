package store

import (
	"context"
	"slices"

	"github.com/edgetether/tether/schema"
)

// ownerColumns follow deviceColumns where a change needs them.
const ownerColumns = `d.owner_epoch, d.credential_version, d.update_version, d.told_version,
	EXISTS (SELECT 1 FROM orders q WHERE q.device_id = d.device_id AND q.state = 'queued')`

// owned are a device's ownerColumns.
type owned struct {
	epoch, credential, update, told int64
	waited                          bool // an order waits for it
}

func (o *owned) dest() []any { return []any{&o.epoch, &o.credential, &o.update, &o.told, &o.waited} }

// updateAnswer is what UpdateDevice returns.
type updateAnswer struct {
	device schema.Device
	tell   *schema.DeviceUpdate
}

// UpdateDevice changes what patch names and returns the record as it is now,
// and what to tell the device: nil if nothing that it is told of has changed.
// Disabling revokes its tokens.
func (s *Store) UpdateDevice(ctx context.Context, sc schema.Scope, deviceID string, patch schema.DevicePatch, by string, now int64) (schema.Device, *schema.DeviceUpdate, error) {
	a, err := change(ctx, s, func(t *tx) (updateAnswer, error) {
		return t.updateDevice(sc, deviceID, patch, by, now)
	})
	return a.device, a.tell, err
}

// updateDevice reads, patches and writes in one transaction of the one writer:
// two changes at once cannot lose one another's members.
func (t *tx) updateDevice(sc schema.Scope, deviceID string, patch schema.DevicePatch, by string, now int64) (a updateAnswer, err error) {
	var o owned
	old, err := deviceIn(t, sc, deviceID, o.dest()...)
	if err != nil {
		return a, err
	}
	d := patched(old, patch)
	was, err := describe(old)
	if err != nil {
		return a, err
	}
	is, err := describe(d)
	if err != nil {
		return a, err
	}
	if is == was && d.Enabled == old.Enabled {
		return updateAnswer{device: old}, nil
	}
	if is != was {
		o.update++
	}
	d.UpdatedTime = now
	_, err = t.exec(`UPDATE devices SET name = $2, name_folded = $3, type = $4, description = $5, software = $6,
			business_software = $7, nic = $8, enabled = $9, updated_time = $10, update_version = $11 WHERE device_id = $1`,
		deviceID, is.name, is.folded, is.kind, is.description, is.software, is.business, is.nic, d.Enabled, now, o.update)
	if err == nil && is.folded != was.folded {
		err = t.pageNames()
	}
	if err != nil {
		return a, err
	}
	a.device = d
	if is != was {
		a.tell = updateOf(d, o.update)
		t.updated(deviceID, by, "update", now)
	}
	return a, t.enabled(old, d, by, now)
}

// enabled carries out a change of Enabled, if there is one.
func (t *tx) enabled(old, d schema.Device, by string, now int64) error {
	switch {
	case old.Enabled == d.Enabled:
		return nil
	case d.Enabled:
		t.updated(d.DeviceID, by, "enable", now)
		return nil
	}
	t.updated(d.DeviceID, by, "disable", now)
	return t.revoke(d.DeviceID)
}

// revoke ends what a login goes by: it makes the device's tokens, and claims on its present credential, void.
func (t *tx) revoke(deviceID string) error {
	_, err := t.exec(`UPDATE devices SET credential_version = credential_version + 1, token = '', old_token = ''
		WHERE device_id = $1`, deviceID)
	return err
}

// patched is d with the members that p names.
func patched(d schema.Device, p schema.DevicePatch) schema.Device {
	set(&d.Name, p.Name)
	set(&d.Type, p.Type)
	set(&d.Description, p.Description)
	set(&d.Enabled, p.Enabled)
	d.Software = replaced(d.Software, p.Software)
	d.BusinessSoftware = replaced(d.BusinessSoftware, p.BusinessSoftware)
	if p.NIC != nil {
		d.NIC = slices.Clone(*p.NIC)
		if d.NIC == nil {
			d.NIC = []schema.NIC{}
		}
	}
	return d
}

func set[T any](member *T, to *T) {
	if to != nil {
		*member = *to
	}
}

// replaced is a pointer member after a patch: the zero value clears it.
func replaced(old, to *schema.Software) *schema.Software {
	switch {
	case to == nil:
		return old
	case *to == schema.Software{}:
		return nil
	}
	kept := *to
	return &kept
}

// updateOf is what the device is told.
func updateOf(d schema.Device, version int64) *schema.DeviceUpdate {
	return &schema.DeviceUpdate{
		DeviceID: d.DeviceID, Name: d.Name, Type: d.Type, Description: d.Description, Software: d.Software,
		BusinessSoftware: d.BusinessSoftware, NIC: d.NIC, UpdatedTime: d.UpdatedTime, Version: version,
	}
}

// SetPassword replaces the password and revokes the device's tokens.
func (s *Store) SetPassword(ctx context.Context, sc schema.Scope, deviceID, passwordHash, by string, now int64) error {
	_, err := change(ctx, s, func(t *tx) (struct{}, error) {
		if err := visible(t, sc, deviceID); err != nil {
			return struct{}{}, err
		}
		if _, err := t.exec("UPDATE devices SET password = $2, updated_time = $3 WHERE device_id = $1",
			deviceID, passwordHash, now); err != nil {
			return struct{}{}, err
		}
		t.updated(deviceID, by, "password", now)
		return struct{}{}, t.revoke(deviceID)
	})
	return err
}

// DeleteDevice removes the device, its relations, its credential and what is
// known of its files. Its log and its orders stay; those that wait are cancelled,
// and the log says why.
func (s *Store) DeleteDevice(ctx context.Context, sc schema.Scope, deviceID, by string, now int64) error {
	_, err := change(ctx, s, func(t *tx) (struct{}, error) {
		return struct{}{}, t.deleteDevice(sc, deviceID, by, now)
	})
	return err
}

// deleteDevice keeps event_seq's row too: should the id come back, its log goes
// on where it ended. Its reports are many, and left to RemoveDeleted.
func (t *tx) deleteDevice(sc schema.Scope, deviceID, by string, now int64) error {
	var o owned
	d, err := deviceIn(t, sc, deviceID, o.dest()...)
	if err != nil {
		return err
	}
	// The live session ends a moment later, and then finds no row to mark.
	if d.State != schema.Offline {
		t.disconnected(deviceID, "deleted", o.epoch, now)
	}
	t.updated(deviceID, by, "delete", now)
	if _, err := t.cancelWaiting("device_id", deviceID, schema.ReasonDeleted, by, now); err != nil {
		return err
	}
	if _, err := t.exec("DELETE FROM logfiles WHERE device_id = $1", deviceID); err != nil {
		return err
	}
	rows, err := t.rows("DELETE FROM devices WHERE device_id = $1 RETURNING name_page", deviceID) // relations go with it
	pages, err := collect(rows, err, number)
	if err != nil {
		return err
	}
	return t.leavePages(pages)
}
