package northapi

import (
	"cmp"
	"context"

	"github.com/edgetether/tether/schema"
)

// groupID is a request for one group by its path.
type groupID struct{ id string }

func (q *groupID) bind(p *params) { q.id = p.id("group_id") }

// groupPage is a request for a part of what is in a group.
type groupPage struct {
	id   string
	page schema.Page
}

func (q *groupPage) bind(p *params) { q.id, q.page = p.id("group_id"), p.page() }

// pageOf is a request for a part of a list.
type pageOf struct{ page schema.Page }

func (q *pageOf) bind(p *params) { q.page = p.page() }

// groupRef is a body, or an answer, that names a group and says nothing else.
type groupRef struct {
	GroupID string `json:"group_id"`
}

func (q groupRef) check() error { return schema.CheckID("group_id", q.GroupID) }

type groupAdd struct {
	Name        string `json:"group_name"`
	Description string `json:"group_description"`
}

func (q groupAdd) check() error {
	return schema.Group{Name: q.Name, Description: q.Description}.Validate()
}

func (a *api) groupAdd(ctx context.Context, _ caller, q groupAdd) (groupRef, error) {
	now := a.millis()
	g := schema.Group{GroupID: a.NewID(), Name: q.Name, Description: q.Description, CreatedTime: now, UpdatedTime: now}
	if err := a.Groups.AddGroup(ctx, g); err != nil {
		return groupRef{}, err
	}
	return groupRef{g.GroupID}, nil
}

func (a *api) groupQuery(ctx context.Context, who caller, q groupID) (schema.Group, error) {
	return a.Groups.Group(ctx, who.scope, q.id)
}

func (a *api) groupQueryAll(ctx context.Context, who caller, q pageOf) (schema.List[schema.Group], error) {
	return a.Groups.ListGroups(ctx, who.scope, q.page)
}

type groupUpdate struct {
	GroupID     string           `json:"group_id"`
	Name        optional[string] `json:"group_name"`
	Description optional[string] `json:"group_description"` // null clears
}

func (q groupUpdate) check() error {
	return cmp.Or(schema.CheckID("group_id", q.GroupID), q.Name.notNull("group_name"), q.patch().Validate())
}

func (q groupUpdate) patch() schema.GroupPatch {
	return schema.GroupPatch{Name: q.Name.change(), Description: q.Description.change()}
}

func (a *api) groupUpdate(ctx context.Context, who caller, q groupUpdate) (schema.Group, error) {
	return a.Groups.UpdateGroup(ctx, who.scope, q.GroupID, q.patch(), a.millis())
}

func (a *api) groupDelete(ctx context.Context, who caller, q groupRef) (groupRef, error) {
	return q, a.Groups.DeleteGroup(ctx, who.scope, q.GroupID)
}

func (a *api) groupDevicesQuery(ctx context.Context, who caller, q groupPage) (schema.List[schema.Device], error) {
	return a.deviceQueryAll(ctx, who, deviceList{schema.DeviceFilter{GroupID: q.id}, q.page})
}

type groupEmpty struct {
	GroupID       string `json:"group_id"`
	DeleteDevices bool   `json:"delete_devices"`
}

func (q groupEmpty) check() error { return schema.CheckID("group_id", q.GroupID) }

// emptied says which devices were taken out of a group, or deleted.
type emptied struct {
	GroupID   string   `json:"group_id"`
	DeviceIDs []string `json:"device_ids"`
}

// groupDevicesDelete ends all sessions that it has to, also when one of them
// cannot be ended; the first error is told.
func (a *api) groupDevicesDelete(ctx context.Context, who caller, q groupEmpty) (emptied, error) {
	ctx = carriedThrough(ctx)
	ids, err := a.Relations.EmptyGroup(ctx, who.scope, q.GroupID, q.DeleteDevices, who.by, a.millis())
	if q.DeleteDevices {
		for _, id := range ids { // also if it was not all of them
			err = cmp.Or(err, a.Sessions.End(ctx, id, endDeleted))
		}
	}
	return emptied{q.GroupID, ids}, err
}
