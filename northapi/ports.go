package northapi

import (
	"context"
	"io"
	"time"

	"github.com/edgetether/tether/schema"
)

// The stores below are what the routes need of package store. Every call made
// on behalf of a key takes the key's scope: what lies outside it does not
// exist for the caller (schema.ErrDeviceNotFound, never Forbidden). by names
// who caused a change, for the device's log. now is in milliseconds.

// Imports is what a stream of many devices needs.
type Imports interface {
	// AddDevices adds several devices as AddDevice does, each with its own
	// answer in their order; the error is that none is known to be stored.
	AddDevices(ctx context.Context, devices []schema.NewDevice, by string) ([]error, error)
	// Registered says of each hardware if a device has it.
	Registered(ctx context.Context, hardware []schema.Hardware) ([]bool, error)
}

// Devices keeps devices.
type Devices interface {
	Imports
	// AddDevice stores d (its DeviceID and times set by the caller) with its
	// hashed password; a taken (sn, model) is DeviceConflict.
	AddDevice(ctx context.Context, d schema.Device, passwordHash, by string) error
	Device(ctx context.Context, sc schema.Scope, deviceID string) (schema.Device, error)
	// ListDevices lists by identifier; an unknown f.GroupID is GroupNotFound.
	ListDevices(ctx context.Context, sc schema.Scope, f schema.DeviceFilter, p schema.Page) (schema.List[schema.Device], error)
	// UpdateDevice returns the record as it is now, and what to tell the device
	// (nil if nothing that it is told of has changed).
	UpdateDevice(ctx context.Context, sc schema.Scope, deviceID string, patch schema.DevicePatch, by string, now int64) (schema.Device, *schema.DeviceUpdate, error)
	// SetPassword replaces the password and revokes all tokens.
	SetPassword(ctx context.Context, sc schema.Scope, deviceID, passwordHash, by string, now int64) error
	DeleteDevice(ctx context.Context, sc schema.Scope, deviceID, by string, now int64) error
}

// Groups keeps groups. A scope limited to groups sees only those groups, and
// only an unlimited one may add a group.
type Groups interface {
	AddGroup(ctx context.Context, g schema.Group) error // taken name: GroupConflict
	Group(ctx context.Context, sc schema.Scope, groupID string) (schema.Group, error)
	ListGroups(ctx context.Context, sc schema.Scope, p schema.Page) (schema.List[schema.Group], error)
	UpdateGroup(ctx context.Context, sc schema.Scope, groupID string, patch schema.GroupPatch, now int64) (schema.Group, error)
	DeleteGroup(ctx context.Context, sc schema.Scope, groupID string) error
	// CountStates counts a group's devices by state.
	CountStates(ctx context.Context, sc schema.Scope, groupID string) (map[schema.DevState]int, error)
}

// Relations keeps who is in which group.
type Relations interface {
	Related(ctx context.Context, sc schema.Scope, deviceID, groupID string) (bool, error) // unknown device or group: not found
	AddRelation(ctx context.Context, sc schema.Scope, deviceID, groupID string, now int64) error
	DeleteRelation(ctx context.Context, sc schema.Scope, deviceID, groupID string) error
	DeviceGroups(ctx context.Context, sc schema.Scope, deviceID string, p schema.Page) (schema.List[schema.Group], error)
	// SetDeviceGroups replaces a device's groups (within the scope) in one
	// transaction; an unknown group is GroupNotFound and nothing changes. nil
	// takes the device out of all groups.
	SetDeviceGroups(ctx context.Context, sc schema.Scope, deviceID string, groupIDs []string, now int64) error
	// EmptyGroup takes every device out of the group; with deleteDevices it
	// deletes the devices. It returns the devices that it touched, also those
	// before an error.
	EmptyGroup(ctx context.Context, sc schema.Scope, groupID string, deleteDevices bool, by string, now int64) ([]string, error)
}

// Records reads orders, logs, history and uploaded files of devices. For an unlimited
// scope, the lists also know devices that were deleted.
type Records interface {
	Order(ctx context.Context, sc schema.Scope, orderID string) (schema.Order, error)
	ListOrders(ctx context.Context, sc schema.Scope, deviceID string, p schema.Page) (schema.List[schema.Order], error) // newest first
	ListEvents(ctx context.Context, sc schema.Scope, f schema.EventFilter, p schema.Page) (schema.List[schema.Event], error)
	// History lists a device's reports, newest first, averaged over f.Step.
	History(ctx context.Context, sc schema.Scope, f schema.HistoryFilter, p schema.Page) (schema.List[schema.HistoryPoint], error)
	ListLogFiles(ctx context.Context, sc schema.Scope, deviceID string, p schema.Page) (schema.List[schema.LogFile], error)
	LogFile(ctx context.Context, sc schema.Scope, orderID string) (schema.LogFile, error)
}

// Orders are the store's orders, as business acts on them.
type Orders interface {
	// OrderByKey finds the order that was given with an Idempotency-Key after a
	// time; OrderNotFound: none, or it was never sent and the key is free again;
	// ErrOtherOrder: it was another.
	OrderByKey(ctx context.Context, once schema.Once, after int64) (schema.Order, error)
	// CancelOrder ends an order that waits; OrderConflict, with the record: it
	// was sent or has ended.
	CancelOrder(ctx context.Context, sc schema.Scope, orderID, by string, now int64) (schema.Order, error)
}

// Keys keeps API keys.
type Keys interface {
	// KeyByHash finds an unrevoked key; otherwise schema.ErrKeyNotFound.
	KeyByHash(ctx context.Context, hash string) (schema.Key, error)
	AddKey(ctx context.Context, k schema.Key, hash string) error // one of its groups unknown: GroupNotFound
	ListKeys(ctx context.Context, p schema.Page) (schema.List[schema.Key], error)
	RevokeKey(ctx context.Context, keyID string, now int64) error // and its log-ins
	UsedKey(keyID string, now int64)                              // notes that a key was used; it does not wait
}

// Sessions is what the routes need of the devices that are connected. It
// takes contexts and returns errors because a device may be on another node.
type Sessions interface {
	// GiveOrder carries ask.Order (its id, device, order, params, by and created
	// time set) to the device, for a caller who waits up to ask.Wait for the
	// outcome; a wait of schema.OrderTimeout or more waits for the outcome itself of
	// one that is not queued. Refusals are errors of kind OrderRefused
	// (device_offline, device_unknown, device_busy, queue_full), Draining,
	// StoreUnavailable or ErrOrderKnown; outcomes are OrderFailed, OrderUnknown
	// (order_timeout, device_disconnected) and OrderRefused (order_expired,
	// order_cancelled). A caller who leaves does not cancel an order that is stored.
	GiveOrder(ask schema.Ask) schema.Giving
	// AwaitOrder is GiveOrder for an order that was given before.
	AwaitOrder(orderID string, wait time.Duration) schema.Giving
	// JobChanged has a job carried out that was added, or heeds that it was
	// cancelled. It does not block.
	JobChanged(jobID string)
	// Live tells of those of the devices that are connected; others are absent.
	Live(ctx context.Context, deviceIDs []string) (map[string]schema.Live, error)
	// End closes a device's session, if there is one, because of a change
	// that business made: "deleted", "disabled" (4410) or "password" (4401).
	End(ctx context.Context, deviceID, reason string) error
	// Tell sends the device its changed record, if it is connected.
	Tell(ctx context.Context, u schema.DeviceUpdate) error
}

// Files opens uploaded device logs.
type Files interface {
	OpenLog(f schema.LogFile) (io.ReadSeekCloser, error)
}

// Secrets makes and hashes credentials.
type Secrets interface {
	// NewPassword makes a server-made password ("tp_…").
	NewPassword() string
	// NewKey makes an API key ("tk_…").
	NewKey() string
	// NewSession makes what the cookie of a log-in holds ("ts_…").
	NewSession() string
	// HashPassword hashes a device password in the way its form asks for:
	// bcrypt for one that a person chose, SHA-256 for a server-made one.
	HashPassword(password string) (string, error)
	// HashToken hashes a server-made random secret with SHA-256.
	HashToken(secret string) string
}
