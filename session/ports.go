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

// Queue is the store's queue of orders that wait for their devices. All three
// wait for the store.
type Queue interface {
	// Enqueue stores an order behind those that wait for its device. MaxQueued
	// are there already: schema.ErrQueueFull; its Once was used: schema.ErrOrderKnown.
	Enqueue(ctx context.Context, q schema.Queued) (schema.Order, error)
	// NextOrders are the orders that wait for a device longest, two at most,
	// without those whose time is over.
	NextOrders(ctx context.Context, deviceID string, now int64) ([]schema.Order, error)
	// Order is an order's record as it now is.
	Order(ctx context.Context, sc schema.Scope, orderID string) (schema.Order, error)
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

// Settler settles what no session owns.
type Settler interface {
	// Settle ends overdue orders and restarts that no new boot has proven.
	Settle(ctx context.Context, now int64, grace, restartWindow time.Duration) error
	// ExpireOrders ends the orders that have waited for too long, and says when
	// the next one will have; 0 is never.
	ExpireOrders(ctx context.Context, now int64) (next int64, err error)
	// HandOver lists orders that wait though this node has their device online
	// and carrying out nothing, one a device.
	HandOver(ctx context.Context, node, now int64) ([]schema.Order, error)
}

// Jobs are the store's group orders, for who carries them out. All of them wait
// for the store.
type Jobs interface {
	// RunningJobs are those that have not ended, oldest first.
	RunningJobs(ctx context.Context) ([]string, error)
	// Job is one with its counts as they are now.
	Job(ctx context.Context, sc schema.Scope, jobID string) (schema.Job, error)
	// PendingOrders are those that have not been given, behind a place.
	PendingOrders(ctx context.Context, jobID string, after int64, limit int) ([]schema.JobOrder, error)
	// RefuseOrder keeps why a device was not sent its order, unless it was.
	RefuseOrder(ctx context.Context, jobID string, place int64, reason, message string) error
	// StopJob has no order of the job begin any more: schema.ErrJobOver.
	StopJob(ctx context.Context, jobID string) error
	// SettleJob ends a job all of whose devices have their outcome, and says if
	// it has ended; of one that begins nothing more it ends orders that wait.
	SettleJob(ctx context.Context, jobID string, now int64) (ended bool, err error)
}
