package store

import (
	"context"

	"github.com/edgetether/tether/schema"
)

// insertDevices is the head of the statement that adds devices.
const insertDevices = `INSERT INTO devices (device_id, name, name_folded, type, description, sn, model,
	software, business_software, nic, enabled, created_time, updated_time, password) VALUES `

// AddDevices adds several devices as AddDevice adds one, in one change of few
// statements. Each has its own answer, in their order: nil, or DeviceConflict
// where (sn, model) or the id is taken, by an earlier one of them too. The error
// is that none is known to be stored.
func (s *Store) AddDevices(ctx context.Context, devices []schema.NewDevice, by string) ([]error, error) {
	answers, err := write(ctx, s, func(t *tx) ([]error, error) { return t.addDevices(devices, by) })
	if faultOf(err) != badRow || len(devices) < 2 {
		return answers, err
	}
	// One of them the database cannot take: it must not spoil its neighbours.
	answers = make([]error, len(devices))
	for i := range devices {
		one, err := s.AddDevices(ctx, devices[i:i+1], by)
		switch {
		case schema.KindOf(err) == schema.StoreUnavailable:
			return nil, err
		case err != nil:
			answers[i] = err
		default:
			answers[i] = one[0]
		}
	}
	return answers, nil
}

// addDevices learns from the identifiers that come back which were inserted.
func (t *tx) addDevices(devices []schema.NewDevice, by string) ([]error, error) {
	rows := make([][]any, len(devices))
	for i, d := range devices {
		c, err := describe(d.Device)
		if err != nil {
			return nil, err
		}
		rows[i] = []any{d.DeviceID, c.name, c.folded, c.kind, c.description, d.Hardware.SN, d.Hardware.Model,
			c.software, c.business, c.nic, d.Enabled, d.CreatedTime, d.UpdatedTime, d.PasswordHash}
	}
	added := make(map[string]bool, len(rows))
	for part := range parts(rows) {
		text, args := values(insertDevices, " ON CONFLICT DO NOTHING RETURNING device_id", part)
		found, err := t.rows(text, args...)
		ids, err := collect(found, err, scanID)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			added[id] = true
		}
	}
	answers := make([]error, len(devices))
	for i, d := range devices {
		if !added[d.DeviceID] {
			answers[i] = errDeviceExists
			continue
		}
		delete(added, d.DeviceID) // an id that is given twice was inserted once
		t.updated(d.DeviceID, by, "add", d.CreatedTime)
	}
	return answers, t.pageNames()
}

const registered = "SELECT sn, model FROM devices WHERE (sn, model) IN (VALUES "

// Registered says of each hardware if a device has it.
func (s *Store) Registered(ctx context.Context, hardware []schema.Hardware) ([]bool, error) {
	rows := make([][]any, len(hardware))
	for i, h := range hardware {
		rows[i] = []any{h.SN, h.Model}
	}
	return read(ctx, s, func(r querier) ([]bool, error) {
		known := map[schema.Hardware]bool{}
		for part := range parts(rows) {
			text, args := values(registered, ")", part)
			found, err := r.rows(text, args...)
			list, err := collect(found, err, func(r scanner) (h schema.Hardware, err error) { return h, r.Scan(&h.SN, &h.Model) })
			if err != nil {
				return nil, err
			}
			for _, h := range list {
				known[h] = true
			}
		}
		there := make([]bool, len(hardware))
		for i, h := range hardware {
			there[i] = known[h]
		}
		return there, nil
	})
}
