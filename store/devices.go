package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/edgetether/tether/schema"
)

// deviceColumns are what scanDevice reads.
const deviceColumns = `d.device_id, d.name, d.type, d.description, d.sn, d.model, d.software, d.business_software, d.nic,
	d.enabled, d.state, d.last_seen_time, d.state_reason, d.created_time, d.updated_time`

// scanDevice reads deviceColumns, and into more what follows them.
func scanDevice(r scanner, more ...any) (schema.Device, error) {
	var d schema.Device
	var software, business sql.NullString
	var nic string
	dest := []any{&d.DeviceID, &d.Name, &d.Type, &d.Description, &d.Hardware.SN, &d.Hardware.Model,
		&software, &business, &nic, &d.Enabled, &d.State, &d.LastSeenTime, &d.StateReason, &d.CreatedTime, &d.UpdatedTime}
	err := r.Scan(append(dest, more...)...)
	if err != nil {
		return schema.Device{}, err
	}
	if d.Software, err = parseOptional[schema.Software](software); err != nil {
		return schema.Device{}, err
	}
	if d.BusinessSoftware, err = parseOptional[schema.Software](business); err != nil {
		return schema.Device{}, err
	}
	if err := json.Unmarshal([]byte(nic), &d.NIC); err != nil {
		return schema.Device{}, fmt.Errorf("store: stored JSON: %w", err)
	}
	return d, nil
}

// plainDevice is scanDevice for lists.
func plainDevice(r scanner) (schema.Device, error) { return scanDevice(r) }

// described is comparable, so that a change can be told from none. It holds
// the columns of a device that business may change, as they are kept.
type described struct {
	name, folded, kind, description string
	software, business              sql.NullString
	nic                             string
}

func describe(d schema.Device) (c described, err error) {
	c.name, c.folded, c.kind, c.description = d.Name, fold(d.Name), d.Type, d.Description
	if c.software, err = optionalJSON(d.Software); err != nil {
		return c, err
	}
	if c.business, err = optionalJSON(d.BusinessSoftware); err != nil {
		return c, err
	}
	if d.NIC == nil {
		d.NIC = []schema.NIC{}
	}
	c.nic, err = jsonText(d.NIC)
	return c, err
}

// AddDevice stores d as offline, with its hashed password. A taken (sn, model),
// or device id, is DeviceConflict.
func (s *Store) AddDevice(ctx context.Context, d schema.Device, passwordHash, by string) error {
	answers, err := s.AddDevices(ctx, []schema.NewDevice{{Device: d, PasswordHash: passwordHash}}, by)
	if err != nil {
		return err
	}
	return answers[0]
}

var errDeviceExists = schema.Errorf(schema.DeviceConflict, "device_exists",
	"hardware: a device with this sn and model is there already")

// updated leaves the event of a change that business made.
func (t *tx) updated(deviceID, by, change string, now int64) {
	t.event(schema.Event{
		DeviceID: deviceID, Time: now, Kind: schema.EventUpdate, Outcome: outcomeSuccess, By: by,
		Detail: schema.Detail("change", change),
	})
}

// Device finds one device.
func (s *Store) Device(ctx context.Context, sc schema.Scope, deviceID string) (schema.Device, error) {
	return read(ctx, s, func(q querier) (schema.Device, error) {
		return deviceIn(q, sc, deviceID)
	})
}

// deviceIn reads a device of the scope; with more, its ownerColumns as well.
func deviceIn(r querier, sc schema.Scope, deviceID string, more ...any) (schema.Device, error) {
	var q query
	q.add("SELECT " + deviceColumns)
	if len(more) > 0 {
		q.add(", " + ownerColumns)
	}
	q.add(" FROM devices d WHERE d.device_id = ?", deviceID)
	q.within(sc, "d.device_id")
	d, err := scanDevice(r.row(q.text.String(), q.args...), more...)
	return one(d, err, schema.ErrDeviceNotFound)
}

// visible is deviceIn where only existence matters.
func visible(r querier, sc schema.Scope, deviceID string) error {
	var q query
	q.add("SELECT 1 FROM devices d WHERE d.device_id = ?", deviceID)
	q.within(sc, "d.device_id")
	var found int64
	_, err := one(found, r.row(q.text.String(), q.args...).Scan(&found), schema.ErrDeviceNotFound)
	return err
}

// ListDevices lists devices by their identifier.
func (s *Store) ListDevices(ctx context.Context, sc schema.Scope, f schema.DeviceFilter, p schema.Page) (schema.List[schema.Device], error) {
	return read(ctx, s, func(r querier) (schema.List[schema.Device], error) {
		if f.GroupID != "" {
			if _, err := groupIn(r, sc, f.GroupID); err != nil {
				return schema.List[schema.Device]{}, err
			}
		}
		q, id := listed(sc, f, deviceColumns)
		return list(r, q, p, order{kind: 'd', id: id}, plainDevice,
			func(d schema.Device) cursor { return cursor{id: d.DeviceID} })
	})
}

// listed is the query of ListDevices, for some columns of d, and the column that orders it. A page is
// to read what it shows, and SQLite, which knows nothing of how many rows there
// are, reads first the table whose column that is: a group's devices are found
// by the group, and names that nothing else narrows in an index of little else.
func listed(sc schema.Scope, f schema.DeviceFilter, columns string) (*query, string) {
	var q query
	id, name, group := "d.device_id", "d.name_folded", f.GroupID
	if group == "" && len(sc.Groups) == 1 {
		group = sc.Groups[0]
	}
	q.add("SELECT " + columns)
	switch {
	case group != "":
		id = "g.device_id"
		q.add(" FROM relations g JOIN devices d ON d.device_id = g.device_id WHERE g.group_id = ?", group)
	case f == schema.DeviceFilter{Name: f.Name} && f.Name != "":
		id, name = "n.device_id", "n.name_folded"
		q.add(" FROM devices n CROSS JOIN devices d WHERE d.device_id = n.device_id")
	default:
		q.add(" FROM devices d WHERE TRUE")
	}
	q.equal("d.state", string(f.State))
	q.equal("d.type", f.Type)
	q.equal("d.model", f.Model)
	q.equal("d.sn", f.SN)
	if f.Name != "" {
		q.add(" AND "+name+` LIKE ? ESCAPE '\'`, containing(f.Name))
	}
	if group == "" { // else the scope has it
		q.within(sc, id)
	}
	return &q, id
}
