package store

import (
	"context"

	"github.com/edgetether/tether/schema"
)

var errRelationExists = schema.Errorf(schema.RelationConflict, "relation_exists", "the device is in the group already")

// both finds out whether the scope holds the device and the group.
func both(r querier, sc schema.Scope, deviceID, groupID string) error {
	if err := visible(r, sc, deviceID); err != nil {
		return err
	}
	_, err := groupIn(r, sc, groupID)
	return err
}

// Related says whether the device is in the group.
func (s *Store) Related(ctx context.Context, sc schema.Scope, deviceID, groupID string) (bool, error) {
	return read(ctx, s, func(r querier) (bool, error) {
		if err := both(r, sc, deviceID, groupID); err != nil {
			return false, err
		}
		var n int64
		err := r.row("SELECT COUNT(*) FROM relations WHERE device_id = $1 AND group_id = $2", deviceID, groupID).Scan(&n)
		return n > 0, err
	})
}

// AddRelation puts the device into the group; one that is there is RelationConflict.
func (s *Store) AddRelation(ctx context.Context, sc schema.Scope, deviceID, groupID string, now int64) error {
	_, err := change(ctx, s, func(t *tx) (struct{}, error) {
		if err := both(t, sc, deviceID, groupID); err != nil {
			return struct{}{}, err
		}
		n, err := t.relate(deviceID, groupID, now)
		return struct{}{}, touched(n, err, errRelationExists)
	})
	return err
}

// relate adds the pair if it is not there, and says how many rows that was.
func (t *tx) relate(deviceID, groupID string, now int64) (int64, error) {
	return t.exec("INSERT INTO relations (device_id, group_id, created_time) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
		deviceID, groupID, now)
}

// DeleteRelation takes the device out of the group; one that is not in it is
// RelationNotFound.
func (s *Store) DeleteRelation(ctx context.Context, sc schema.Scope, deviceID, groupID string) error {
	_, err := change(ctx, s, func(t *tx) (struct{}, error) {
		if err := both(t, sc, deviceID, groupID); err != nil {
			return struct{}{}, err
		}
		n, err := t.exec("DELETE FROM relations WHERE device_id = $1 AND group_id = $2", deviceID, groupID)
		return struct{}{}, touched(n, err, schema.ErrRelationNotFound)
	})
	return err
}

// DeviceGroups lists the groups of a device, within the scope.
func (s *Store) DeviceGroups(ctx context.Context, sc schema.Scope, deviceID string, p schema.Page) (schema.List[schema.Group], error) {
	var q query
	q.add("SELECT "+groupColumns+` FROM relations r JOIN group_info g ON g.group_id = r.group_id
		WHERE r.device_id = ?`, deviceID)
	q.withinGroups(sc, "g.group_id")
	return read(ctx, s, func(r querier) (schema.List[schema.Group], error) {
		if err := visible(r, sc, deviceID); err != nil {
			return schema.List[schema.Group]{}, err
		}
		return listGroups(r, &q, p)
	})
}

// SetDeviceGroups replaces the device's groups, as far as the scope sees them.
// An unknown group is GroupNotFound, and nothing changes. A relation that
// stays keeps the time at which it was made.
func (s *Store) SetDeviceGroups(ctx context.Context, sc schema.Scope, deviceID string, groupIDs []string, now int64) error {
	_, err := change(ctx, s, func(t *tx) (struct{}, error) {
		if err := visible(t, sc, deviceID); err != nil {
			return struct{}{}, err
		}
		for _, id := range groupIDs {
			if _, err := groupIn(t, sc, id); err != nil {
				return struct{}{}, err
			}
		}
		if err := t.leaveOthers(sc, deviceID, groupIDs); err != nil {
			return struct{}{}, err
		}
		for _, id := range groupIDs {
			if _, err := t.relate(deviceID, id, now); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, nil
	})
	return err
}

// leaveOthers takes the device out of the scope's groups that are not in keep.
func (t *tx) leaveOthers(sc schema.Scope, deviceID string, keep []string) error {
	var q query
	q.add("DELETE FROM relations WHERE device_id = ?", deviceID)
	q.withinGroups(sc, "group_id")
	if len(keep) > 0 {
		q.add(" AND NOT ")
		in(&q, "group_id", keep)
	}
	_, err := t.exec(q.text.String(), q.args...)
	return err
}

// emptyBatch is the most devices that one change takes out of a group.
const emptyBatch = 100

// EmptyGroup takes every device out of the group; with deleteDevices it
// deletes the devices. It returns the devices that it touched, also those
// before an error: it is many changes, of a few devices each.
func (s *Store) EmptyGroup(ctx context.Context, sc schema.Scope, groupID string, deleteDevices bool, by string, now int64) ([]string, error) {
	devices := []string{}
	for {
		some, err := change(ctx, s, func(t *tx) ([]string, error) { return t.emptyGroup(sc, groupID, deleteDevices, by, now) })
		if err != nil {
			return devices, err
		}
		if devices = append(devices, some...); len(some) < emptyBatch {
			return devices, nil
		}
	}
}

// emptyGroup is a batch of EmptyGroup.
func (t *tx) emptyGroup(sc schema.Scope, groupID string, deleteDevices bool, by string, now int64) ([]string, error) {
	if _, err := groupIn(t, sc, groupID); err != nil {
		return nil, err
	}
	rows, err := t.rows("SELECT device_id FROM relations WHERE group_id = $1 ORDER BY device_id LIMIT $2", groupID, emptyBatch)
	devices, err := collect(rows, err, scanID)
	if err != nil || len(devices) == 0 {
		return nil, err
	}
	if deleteDevices {
		for _, id := range devices {
			if err := t.deleteDevice(sc, id, by, now); err != nil {
				return nil, err
			}
		}
	}
	_, err = t.exec("DELETE FROM relations WHERE group_id = $1 AND device_id <= $2", groupID, devices[len(devices)-1])
	return devices, err
}
