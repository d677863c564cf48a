package northapi

import (
	"cmp"
	"context"

	"github.com/edgetether/tether/schema"
)

// deviceID is a request for one device by its path.
type deviceID struct{ id string }

func (q *deviceID) bind(p *params) { q.id = p.id("device_id") }

// deviceRef is a body that names a device and says nothing else.
type deviceRef struct {
	DeviceID string `json:"device_id"`
}

func (q deviceRef) check() error { return schema.CheckID("device_id", q.DeviceID) }

type deviceAdd struct {
	Name             string           `json:"device_name"`
	Type             string           `json:"device_type"`
	Description      string           `json:"dev_description"`
	Hardware         schema.Hardware  `json:"hardware"`
	Software         *schema.Software `json:"software"`
	BusinessSoftware *schema.Software `json:"business_software"`
	NIC              []schema.NIC     `json:"nic"`
	Enabled          *bool            `json:"enabled"` // absent: true
	Password         *secret          `json:"password"`
}

func (q deviceAdd) check() error {
	return cmp.Or(q.device().Validate(), checkPassword(q.Password))
}

func (q deviceAdd) device() schema.Device {
	return schema.Device{
		Name: q.Name, Type: q.Type, Description: q.Description, Hardware: q.Hardware,
		Software: q.Software, BusinessSoftware: q.BusinessSoftware, NIC: q.NIC,
		Enabled: q.Enabled == nil || *q.Enabled, State: schema.Offline,
	}
}

// credential answers who is given a password: the one time that it is shown.
type credential struct {
	DeviceID string `json:"device_id"`
	Password string `json:"password"`
}

func (a *api) deviceAdd(ctx context.Context, who caller, q deviceAdd) (credential, error) {
	password, hash, err := a.password(ctx, q.Password)
	if err != nil {
		return credential{}, err
	}
	d := q.device()
	d.DeviceID = a.NewID()
	d.CreatedTime = a.millis()
	d.UpdatedTime = d.CreatedTime
	if err := a.Devices.AddDevice(ctx, d, hash, who.by); err != nil {
		return credential{}, err
	}
	return credential{d.DeviceID, password}, nil
}

// password is the one that was given, or else a new one, with its hash. Those
// that were given are hashed one at a time: each costs a quarter of a second
// of processor time, which the devices' liveness must not wait for.
func (a *api) password(ctx context.Context, given *secret) (password, hash string, err error) {
	if given == nil {
		password = a.Secrets.NewPassword()
		hash, err = a.Secrets.HashPassword(password)
		return password, hash, err
	}
	select {
	case a.hashing <- struct{}{}:
	case <-ctx.Done():
		return "", "", errNotHashed
	}
	defer func() { <-a.hashing }()
	hash, err = a.Secrets.HashPassword(string(*given))
	return string(*given), hash, err
}

func (a *api) deviceQuery(ctx context.Context, who caller, q deviceID) (schema.Device, error) {
	d, err := a.Devices.Device(ctx, who.scope, q.id)
	if err != nil {
		return schema.Device{}, err
	}
	return a.asLive(ctx, d)
}

type deviceList struct {
	filter schema.DeviceFilter
	page   schema.Page
}

func (q *deviceList) bind(p *params) {
	q.filter = schema.DeviceFilter{
		State:   schema.DevState(p.text("dev_state", schema.MaxType)),
		Type:    p.text("device_type", schema.MaxType),
		Model:   p.text("model", schema.MaxHardware),
		SN:      p.text("sn", schema.MaxHardware),
		GroupID: p.text("group_id", schema.MaxIdentifier),
		Name:    p.text("name", schema.MaxName),
	}
	if s := q.filter.State; s != "" && !s.Valid() {
		p.refuse(schema.InvalidMember("dev_state", "must be %s, %s or %s", schema.Online, schema.Unknown, schema.Offline))
	}
	if q.filter.GroupID != "" {
		p.refuse(schema.CheckID("group_id", q.filter.GroupID))
	}
	q.page = p.page()
}

func (a *api) deviceQueryAll(ctx context.Context, who caller, q deviceList) (schema.List[schema.Device], error) {
	list, err := a.Devices.ListDevices(ctx, who.scope, q.filter, q.page)
	if err != nil {
		return list, err
	}
	return list, a.overlay(ctx, list.Items)
}

type deviceUpdate struct {
	DeviceID         string                    `json:"device_id"`
	Name             optional[string]          `json:"device_name"`
	Type             optional[string]          `json:"device_type"`
	Description      optional[string]          `json:"dev_description"`
	Software         optional[schema.Software] `json:"software"`
	BusinessSoftware optional[schema.Software] `json:"business_software"`
	NIC              optional[[]schema.NIC]    `json:"nic"`
	Enabled          optional[bool]            `json:"enabled"`
}

func (q deviceUpdate) check() error {
	return cmp.Or(
		schema.CheckID("device_id", q.DeviceID),
		q.Name.notNull("device_name"),
		q.Enabled.notNull("enabled"),
		q.patch().Validate(),
	)
}

func (q deviceUpdate) patch() schema.DevicePatch {
	return schema.DevicePatch{
		Name: q.Name.change(), Type: q.Type.change(), Description: q.Description.change(),
		Software: q.Software.change(), BusinessSoftware: q.BusinessSoftware.change(),
		NIC: q.NIC.change(), Enabled: q.Enabled.change(),
	}
}

// deviceUpdate stores the change, and then makes it effective: a device that
// was disabled loses its session, another is told.
func (a *api) deviceUpdate(ctx context.Context, who caller, q deviceUpdate) (schema.Device, error) {
	ctx = carriedThrough(ctx)
	d, update, err := a.Devices.UpdateDevice(ctx, who.scope, q.DeviceID, q.patch(), who.by, a.millis())
	if err != nil {
		return schema.Device{}, err
	}
	if q.Enabled.given && !q.Enabled.value {
		if err := a.Sessions.End(ctx, q.DeviceID, endDisabled); err != nil {
			return schema.Device{}, err
		}
	} else if update != nil {
		// Who cannot be told now is told at the next login: the store knows.
		if err := a.Sessions.Tell(ctx, *update); err != nil {
			a.Log("device_update", err)
		}
	}
	return a.asLive(ctx, d)
}

type passwordUpdate struct {
	DeviceID string  `json:"device_id"`
	Password *secret `json:"password"`
}

func (q passwordUpdate) check() error {
	return cmp.Or(schema.CheckID("device_id", q.DeviceID), checkPassword(q.Password))
}

func (a *api) devicePasswordUpdate(ctx context.Context, who caller, q passwordUpdate) (credential, error) {
	ctx = carriedThrough(ctx)
	password, hash, err := a.password(ctx, q.Password)
	if err != nil {
		return credential{}, err
	}
	if err := a.Devices.SetPassword(ctx, who.scope, q.DeviceID, hash, who.by, a.millis()); err != nil {
		return credential{}, err
	}
	if err := a.Sessions.End(ctx, q.DeviceID, endPassword); err != nil {
		return credential{}, err
	}
	return credential{q.DeviceID, password}, nil
}

func (a *api) deviceDelete(ctx context.Context, who caller, q deviceRef) (deviceRef, error) {
	ctx = carriedThrough(ctx)
	err := a.Devices.DeleteDevice(ctx, who.scope, q.DeviceID, who.by, a.millis())
	// One that is not there may have been deleted by a request that was told otherwise:
	// the store did not know yet. Whoever asks again ends its session (T12).
	if err == nil || schema.KindOf(err) == schema.DeviceNotFound && who.scope.Groups == nil {
		err = cmp.Or(err, a.Sessions.End(ctx, q.DeviceID, endDeleted))
	}
	return q, err
}
