package client

import (
	"context"
	"net/http"

	"github.com/edgetether/tether/schema"
)

// NewDevice is a device to register. Name and Hardware are required.
type NewDevice struct {
	Name             string           `json:"device_name"`
	Type             string           `json:"device_type,omitzero"`
	Description      string           `json:"dev_description,omitzero"`
	Hardware         schema.Hardware  `json:"hardware"`
	Software         *schema.Software `json:"software,omitzero"`
	BusinessSoftware *schema.Software `json:"business_software,omitzero"`
	NIC              []schema.NIC     `json:"nic,omitzero"`
	Enabled          *bool            `json:"enabled,omitzero"`  // nil: it is
	Password         string           `json:"password,omitzero"` // empty: the service makes one
}

// Credential answers who is given a password: the one time that it is shown.
type Credential struct {
	DeviceID string `json:"device_id"`
	Password string `json:"password"`
}

// DeviceStatus is a device's state and last report.
type DeviceStatus struct {
	DeviceID     string             `json:"device_id"`
	State        schema.DevState    `json:"dev_state"`
	LastSeenTime *int64             `json:"last_seen_time"` // nil: never
	ReportTime   *int64             `json:"report_time"`    // nil: no report since the login
	Report       *schema.StatusInfo `json:"report"`
}

// deviceRef names a device and says nothing else.
type deviceRef struct {
	DeviceID string `json:"device_id"`
}

// DeviceAdd registers a device.
func (c *Client) DeviceAdd(ctx context.Context, d NewDevice) (Credential, error) {
	return send[Credential](ctx, c, http.MethodPost, "device_add", d)
}

// DeviceQuery is one device's record.
func (c *Client) DeviceQuery(ctx context.Context, deviceID string) (schema.Device, error) {
	return get[schema.Device](ctx, c, "device_query", nil, deviceID)
}

// DeviceQueryAll is a page of the devices that match.
func (c *Client) DeviceQueryAll(ctx context.Context, f schema.DeviceFilter, p schema.Page) (schema.List[schema.Device], error) {
	q := parameters{}.text("dev_state", string(f.State)).text("device_type", f.Type).text("model", f.Model).
		text("sn", f.SN).text("group_id", f.GroupID).text("name", f.Name)
	return get[schema.List[schema.Device]](ctx, c, "device_query_all", q.page(p))
}

// devicePatch is a schema.DevicePatch on its way.
type devicePatch struct {
	DeviceID         string           `json:"device_id"`
	Name             *string          `json:"device_name,omitzero"`
	Type             *string          `json:"device_type,omitzero"`
	Description      *string          `json:"dev_description,omitzero"`
	Software         *schema.Software `json:"software,omitzero"`
	BusinessSoftware *schema.Software `json:"business_software,omitzero"`
	NIC              *[]schema.NIC    `json:"nic,omitzero"`
	Enabled          *bool            `json:"enabled,omitzero"`
}

// DeviceUpdate changes a device, and is its record then. One that is disabled
// loses its session.
func (c *Client) DeviceUpdate(ctx context.Context, deviceID string, p schema.DevicePatch) (schema.Device, error) {
	return send[schema.Device](ctx, c, http.MethodPut, "device_update", devicePatch{
		deviceID, p.Name, p.Type, p.Description, p.Software, p.BusinessSoftware, p.NIC, p.Enabled,
	})
}

// DevicePasswordUpdate gives a device a new password; one that is empty the
// service makes. The device's tokens are revoked and its session ends.
func (c *Client) DevicePasswordUpdate(ctx context.Context, deviceID, password string) (Credential, error) {
	body := map[string]string{"device_id": deviceID}
	if password != "" {
		body["password"] = password
	}
	return send[Credential](ctx, c, http.MethodPut, "device_password_update", body)
}

// DeviceDelete deletes a device and ends its session. Its log stays for a while.
func (c *Client) DeviceDelete(ctx context.Context, deviceID string) error {
	_, err := send[deviceRef](ctx, c, http.MethodDelete, "device_delete", deviceRef{deviceID})
	return err
}

// DeviceLogQuery is a page of a device's log, newest first.
func (c *Client) DeviceLogQuery(ctx context.Context, f schema.EventFilter, p schema.Page) (schema.List[schema.Event], error) {
	q := parameters{}.number("since", f.Since).number("until", f.Until).text("kind", string(f.Kind))
	return get[schema.List[schema.Event]](ctx, c, "device_log_query", q.page(p), f.DeviceID)
}

// DeviceStatusInfoQuery is a device's last report. One that is offline is a
// DeviceConflict with the code device_offline.
func (c *Client) DeviceStatusInfoQuery(ctx context.Context, deviceID string) (DeviceStatus, error) {
	return get[DeviceStatus](ctx, c, "device_statusInfo_query", nil, deviceID)
}

// DeviceStatusInfoHistory is a page of a device's reports that were kept, newest first.
func (c *Client) DeviceStatusInfoHistory(ctx context.Context, f schema.HistoryFilter, p schema.Page) (schema.List[schema.HistoryPoint], error) {
	q := parameters{}.number("since", f.Since).number("until", f.Until).number("step", f.Step)
	return get[schema.List[schema.HistoryPoint]](ctx, c, "device_statusInfo_history", q.page(p), f.DeviceID)
}
