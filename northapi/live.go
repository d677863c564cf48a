package northapi

import (
	"context"

	"github.com/edgetether/tether/schema"
)

// Reasons for which business ends a session (Sessions.End).
const (
	endDeleted  = "deleted"
	endDisabled = "disabled"
	endPassword = "password"
)

// carriedThrough is ctx for a change that ends sessions: it goes on when its
// caller leaves, so that no revoked device keeps its connection because
// somebody hung up between the commit and the close.
func carriedThrough(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

// asLive is d as the sessions know it.
func (a *api) asLive(ctx context.Context, d schema.Device) (schema.Device, error) {
	one := []schema.Device{d}
	err := a.overlay(ctx, one)
	return one[0], err
}

// overlay lays what the sessions know over records of the store, whose word
// on presence may be a second old.
func (a *api) overlay(ctx context.Context, devices []schema.Device) error {
	live, err := a.liveOf(ctx, devices)
	if err != nil {
		return err
	}
	for i := range devices {
		d := &devices[i]
		now, connected := live[d.DeviceID]
		switch {
		case connected:
			d.State, d.StateReason, d.LastSeenTime = now.State, now.Reason, &now.LastSeenTime
		case d.State != schema.Offline:
			d.State, d.StateReason = schema.Offline, "" // the reason is still on its way to the store
		}
	}
	return nil
}

func (a *api) liveOf(ctx context.Context, devices []schema.Device) (map[string]schema.Live, error) {
	ids := make([]string, len(devices))
	for i, d := range devices {
		ids[i] = d.DeviceID
	}
	return a.Sessions.Live(ctx, ids)
}

// lastSeen goes beside the error that a device is offline.
type lastSeen struct {
	LastSeenTime *int64 `json:"last_seen_time"`
}

// deviceStatus is a device's state and last report.
type deviceStatus struct {
	DeviceID     string             `json:"device_id"`
	State        schema.DevState    `json:"dev_state"`
	LastSeenTime *int64             `json:"last_seen_time"`
	ReportTime   *int64             `json:"report_time"` // null: no report since the login
	Report       *schema.StatusInfo `json:"report"`
}

func statusOf(d schema.Device, live schema.Live, connected bool) deviceStatus {
	if !connected {
		return deviceStatus{DeviceID: d.DeviceID, State: schema.Offline, LastSeenTime: d.LastSeenTime}
	}
	s := deviceStatus{DeviceID: d.DeviceID, State: live.State, LastSeenTime: &live.LastSeenTime, Report: live.Report}
	if live.Report != nil {
		s.ReportTime = &live.ReportTime
	}
	return s
}

func (a *api) deviceStatusQuery(ctx context.Context, who caller, q deviceID) (deviceStatus, error) {
	d, err := a.Devices.Device(ctx, who.scope, q.id)
	if err != nil {
		return deviceStatus{}, err
	}
	all, err := a.Sessions.Live(ctx, []string{q.id})
	if err != nil {
		return deviceStatus{}, err
	}
	live, connected := all[q.id]
	if !connected {
		offline := schema.Errorf(schema.DeviceConflict, "device_offline", "device_id: the device is offline")
		offline.Data = lastSeen{d.LastSeenTime}
		return deviceStatus{}, offline
	}
	if live.Report == nil {
		return deviceStatus{}, schema.Errorf(schema.DeviceNotFound, "no_report", "device_id: no report has come since the device's login")
	}
	return statusOf(d, live, true), nil
}

// groupStatus is one page of a group's devices, beside the counts of all. The
// counts are the store's, and may be a second older than the page.
type groupStatus struct {
	Counts     stateCounts    `json:"counts"`
	Items      []deviceStatus `json:"items"`
	NextCursor string         `json:"next_cursor"`
}

type stateCounts struct {
	Online  int `json:"online"`
	Unknown int `json:"Unknown"`
	Offline int `json:"offline"`
}

func (a *api) groupStatusQuery(ctx context.Context, who caller, q groupPage) (groupStatus, error) {
	counts, err := a.Groups.CountStates(ctx, who.scope, q.id)
	if err != nil {
		return groupStatus{}, err
	}
	list, err := a.Devices.ListDevices(ctx, who.scope, schema.DeviceFilter{GroupID: q.id}, q.page)
	if err != nil {
		return groupStatus{}, err
	}
	live, err := a.liveOf(ctx, list.Items)
	if err != nil {
		return groupStatus{}, err
	}
	s := groupStatus{
		Counts: stateCounts{counts[schema.Online], counts[schema.Unknown], counts[schema.Offline]},
		Items:  make([]deviceStatus, len(list.Items)), NextCursor: list.NextCursor,
	}
	for i, d := range list.Items {
		now, connected := live[d.DeviceID]
		s.Items[i] = statusOf(d, now, connected)
	}
	return s, nil
}
