package northapi

import (
	"cmp"
	"context"

	"github.com/edgetether/tether/schema"
)

// devicePage is a request for a part of what belongs to a device.
type devicePage struct {
	id   string
	page schema.Page
}

func (q *devicePage) bind(p *params) { q.id, q.page = p.id("device_id"), p.page() }

func (a *api) deviceGroupsQuery(ctx context.Context, who caller, q devicePage) (schema.List[schema.Group], error) {
	return a.Relations.DeviceGroups(ctx, who.scope, q.id, q.page)
}

// deviceGroups is the whole set of a device's groups.
type deviceGroups struct {
	DeviceID string   `json:"device_id"`
	GroupIDs []string `json:"group_ids"` // may be empty, not left out
}

func (q deviceGroups) check() error {
	if err := schema.CheckID("device_id", q.DeviceID); err != nil {
		return err
	}
	if q.GroupIDs == nil {
		return schema.InvalidMember("group_ids", "required")
	}
	return schema.CheckIDs("group_ids", q.GroupIDs)
}

func (a *api) deviceGroupsUpdate(ctx context.Context, who caller, q deviceGroups) (deviceGroups, error) {
	return q, a.Relations.SetDeviceGroups(ctx, who.scope, q.DeviceID, q.GroupIDs, a.millis())
}

func (a *api) deviceGroupsDelete(ctx context.Context, who caller, q deviceRef) (deviceRef, error) {
	return q, a.Relations.SetDeviceGroups(ctx, who.scope, q.DeviceID, nil, a.millis())
}

// pair is a request for a device and a group by its path.
type pair struct{ device, group string }

func (q *pair) bind(p *params) { q.device, q.group = p.id("device_id"), p.id("group_id") }

// related answers whether the device is in the group.
type related struct {
	Related bool `json:"related"`
}

func (a *api) relationQuery(ctx context.Context, who caller, q pair) (related, error) {
	yes, err := a.Relations.Related(ctx, who.scope, q.device, q.group)
	return related{yes}, err
}

// relationRef is a body that names a device and a group.
type relationRef struct {
	DeviceID string `json:"device_id"`
	GroupID  string `json:"group_id"`
}

func (q relationRef) check() error {
	return cmp.Or(schema.CheckID("device_id", q.DeviceID), schema.CheckID("group_id", q.GroupID))
}

// relation is one device's place in one group (northbound section 2).
type relation struct {
	DeviceID    string `json:"device_id"`
	GroupID     string `json:"group_id"`
	CreatedTime int64  `json:"created_time"`
	UpdatedTime int64  `json:"updated_time"`
}

func (a *api) relationAdd(ctx context.Context, who caller, q relationRef) (relation, error) {
	now := a.millis()
	return relation{q.DeviceID, q.GroupID, now, now}, a.Relations.AddRelation(ctx, who.scope, q.DeviceID, q.GroupID, now)
}

func (a *api) relationDelete(ctx context.Context, who caller, q relationRef) (relationRef, error) {
	return q, a.Relations.DeleteRelation(ctx, who.scope, q.DeviceID, q.GroupID)
}
