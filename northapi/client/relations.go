package client

import (
	"context"
	"net/http"

	"github.com/edgetether/tether/schema"
)

// Relation is a device's place in a group.
type Relation struct {
	DeviceID    string `json:"device_id"`
	GroupID     string `json:"group_id"`
	CreatedTime int64  `json:"created_time"`
	UpdatedTime int64  `json:"updated_time"`
}

// relationRef names a device and a group.
type relationRef struct {
	DeviceID string `json:"device_id"`
	GroupID  string `json:"group_id"`
}

// DeviceGroupsQuery is a page of the groups that a device is in.
func (c *Client) DeviceGroupsQuery(ctx context.Context, deviceID string, p schema.Page) (schema.List[schema.Group], error) {
	return get[schema.List[schema.Group]](ctx, c, "device_groups_query", parameters{}.page(p), deviceID)
}

// DeviceGroupsUpdate makes these the groups that a device is in.
func (c *Client) DeviceGroupsUpdate(ctx context.Context, deviceID string, groupIDs []string) error {
	if groupIDs == nil {
		groupIDs = []string{} // not null
	}
	_, err := send[deviceRef](ctx, c, http.MethodPut, "device_groups_update", map[string]any{"device_id": deviceID, "group_ids": groupIDs})
	return err
}

// DeviceGroupsDelete takes a device out of all groups.
func (c *Client) DeviceGroupsDelete(ctx context.Context, deviceID string) error {
	_, err := send[deviceRef](ctx, c, http.MethodDelete, "device_groups_delete", deviceRef{deviceID})
	return err
}

// RelationQuery says whether a device is in a group.
func (c *Client) RelationQuery(ctx context.Context, deviceID, groupID string) (bool, error) {
	type related struct {
		Related bool `json:"related"`
	}
	r, err := get[related](ctx, c, "relation_query", nil, deviceID, groupID)
	return r.Related, err
}

// RelationAdd puts a device into a group.
func (c *Client) RelationAdd(ctx context.Context, deviceID, groupID string) (Relation, error) {
	return send[Relation](ctx, c, http.MethodPost, "relation_add", relationRef{deviceID, groupID})
}

// RelationDelete takes a device out of a group.
func (c *Client) RelationDelete(ctx context.Context, deviceID, groupID string) error {
	_, err := send[relationRef](ctx, c, http.MethodDelete, "relation_delete", relationRef{deviceID, groupID})
	return err
}
