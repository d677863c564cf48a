package client

import (
	"context"
	"net/http"

	"github.com/edgetether/tether/schema"
)

// groupRef names a group and says nothing else.
type groupRef struct {
	GroupID string `json:"group_id"`
}

// groupPatch is a schema.GroupPatch on its way; without an id, a new group.
type groupPatch struct {
	GroupID     string  `json:"group_id,omitzero"`
	Name        *string `json:"group_name,omitzero"`
	Description *string `json:"group_description,omitzero"`
}

// GroupAdd makes a group and returns its id.
func (c *Client) GroupAdd(ctx context.Context, name, description string) (string, error) {
	ref, err := send[groupRef](ctx, c, http.MethodPost, "group_add", groupPatch{Name: &name, Description: &description})
	return ref.GroupID, err
}

// GroupQuery is one group's record.
func (c *Client) GroupQuery(ctx context.Context, groupID string) (schema.Group, error) {
	return get[schema.Group](ctx, c, "group_query", nil, groupID)
}

// GroupQueryAll is a page of the groups.
func (c *Client) GroupQueryAll(ctx context.Context, p schema.Page) (schema.List[schema.Group], error) {
	return get[schema.List[schema.Group]](ctx, c, "group_query_all", parameters{}.page(p))
}

// GroupUpdate changes a group, and is its record then.
func (c *Client) GroupUpdate(ctx context.Context, groupID string, p schema.GroupPatch) (schema.Group, error) {
	return send[schema.Group](ctx, c, http.MethodPut, "group_update", groupPatch{groupID, p.Name, p.Description})
}

// GroupDelete deletes a group; its devices stay.
func (c *Client) GroupDelete(ctx context.Context, groupID string) error {
	_, err := send[groupRef](ctx, c, http.MethodDelete, "group_delete", groupRef{groupID})
	return err
}

// GroupDevicesQuery is a page of a group's devices.
func (c *Client) GroupDevicesQuery(ctx context.Context, groupID string, p schema.Page) (schema.List[schema.Device], error) {
	return get[schema.List[schema.Device]](ctx, c, "group_devices_query", parameters{}.page(p), groupID)
}

// GroupDevicesDelete takes every device out of a group, or deletes them, and
// returns which they were.
func (c *Client) GroupDevicesDelete(ctx context.Context, groupID string, deleteDevices bool) ([]string, error) {
	type emptied struct {
		DeviceIDs []string `json:"device_ids"`
	}
	body := map[string]any{"group_id": groupID, "delete_devices": deleteDevices}
	done, err := send[emptied](ctx, c, http.MethodDelete, "group_devices_delete", body)
	return done.DeviceIDs, err
}

// GroupStatus is a page of a group's devices with their last reports, beside
// the counts of all by state.
type GroupStatus struct {
	Counts     map[schema.DevState]int `json:"counts"`
	Items      []DeviceStatus          `json:"items"`
	NextCursor string                  `json:"next_cursor"`
}

// GroupStatusInfoQuery is how the devices of a group are.
func (c *Client) GroupStatusInfoQuery(ctx context.Context, groupID string, p schema.Page) (GroupStatus, error) {
	return get[GroupStatus](ctx, c, "group_statusInfo_query", parameters{}.page(p), groupID)
}
