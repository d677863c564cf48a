package session

import (
	"context"
	"time"

	"github.com/edgetether/tether/schema"
)

// Logins is what a login needs of the store. Both wait for the store and are
// called from goroutines that no device's liveness depends on.
type Logins interface {
	// Credential finds the device that p names, by device_id or by the pair of
	// SN and model. An unknown device is schema.ErrDeviceNotFound; a store that
	// does not answer is of kind StoreUnavailable.
	Credential(ctx context.Context, p schema.LoginParams, now int64) (schema.Credential, error)
	// Claim makes c.Epoch the owner of the device, keeps its token as the
	// newest of two, writes the older session's disconnect if that is still
	// outstanding, connect and login to the log, and marks restarts that
	// c.BootID proves. It returns once that is durable.
	Claim(ctx context.Context, c schema.Claim) (schema.Claimed, error)
}

// Orders is what orders need of the store. A call never blocks; done is called
// once, from another goroutine, when the outcome is durable or has failed.
type Orders interface {
	BeginOrder(in schema.Intent, done func(error))
	// EndOrder's done gets the record as it now is: another outcome than the
	// one given if the order had one already.
	EndOrder(out schema.Outcome, done func(schema.Order, error))
}

// Journal takes what nobody waits for. Its calls never block; what a store
// that is down for long makes it drop is counted and told as events_lost.
type Journal interface {
	Record(e schema.Event)
	Presence(p schema.Presence)
	Sample(s schema.Sample)
	// Told remembers that the device knows its record up to version.
	Told(deviceID string, version int64)
}

// Uploads is the node's receiver of device logs.
type Uploads interface {
	// Issue makes a write-only credential for one upload_log order.
	Issue(orderID, deviceID string, now time.Time) (schema.SFTPTarget, error)
	// Complete checks that the upload is whole and puts it under its final
	// name, durably. It may take as long as the disk does.
	Complete(ctx context.Context, orderID string, data schema.UploadData, now time.Time) error
}

// Settler settles what no session owns: overdue orders, restarts that no new
// boot has proven.
type Settler interface {
	Settle(ctx context.Context, now int64, grace, restartWindow time.Duration) error
}
