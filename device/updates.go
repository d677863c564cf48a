package device

import (
	"context"

	"golang.org/x/time/rate"

	"github.com/edgetether/tether/schema"
)

// updates tells the program of device_update, one after the other and aside
// from the connection: a slow program does not cost it its heartbeat.
type updates struct {
	tell  func(schema.DeviceUpdate) // nil: nobody wants to know
	queue chan update
}

type update struct {
	record schema.DeviceUpdate
	told   func()
}

// updatesWaiting is how many may queue up behind a slow program.
const updatesWaiting = 16

func newUpdates(tell func(schema.DeviceUpdate)) *updates {
	return &updates{tell: tell, queue: make(chan update, updatesWaiting)}
}

// put takes an update; told is called when the program was. False: too many
// wait already.
func (u *updates) put(record schema.DeviceUpdate, told func()) bool {
	select {
	case u.queue <- update{record, told}:
		return true
	default:
		return false
	}
}

func (u *updates) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case next := <-u.queue:
			if u.tell != nil {
				u.tell(next.record)
			}
			next.told()
		}
	}
}

// What a server may send: far above what the contract makes it send, far below
// what would cost a small device its processor (reliability T42).
const (
	serverRate  = 50 // messages a second
	serverBurst = 250
)

// newAdmission is rpc.Options.Admit for one connection.
func newAdmission() func() bool {
	return rate.NewLimiter(serverRate, serverBurst).Allow
}
