package schema

import "context"

import "time"

// The types in this file are spoken between rooms and never leave the process.

// Credential is what a login is checked against.
type Credential struct {
	DeviceID string
	Enabled  bool
	Version  int64    // rises with each password change, disable, delete
	Password string   // "bcrypt:…" or "sha256:…", as HashPassword in store made it
	Tokens   []string // "sha256:…", unexpired
}

// Claim asks for the ownership of a device at an epoch (architecture section 3).
// It is refused as Fenced if a newer epoch owns the device, and as LoginFailed
// if the credential's version is not Version any more or the device is disabled.
type Claim struct {
	DeviceID     string
	Epoch        int64
	Node         int64
	Version      int64 // of the Credential that was checked
	TokenHash    string
	TokenExpires int64
	BootID       string
	Client       ClientInfo
	Form         string // "id_password", "sn_password", "token"
	Address      string
	Now          int64
	// RestartWindow is how long after its end a restart may be proven by BootID.
	RestartWindow time.Duration
}

// Claimed answers a Claim.
type Claimed struct {
	Unsettled []string      // orders whose outcome is not known, oldest first
	Waiting   *Order        // the order that waits for the device longest; nil: none does
	Update    *DeviceUpdate // nil: the device was told of all changes
}

// Ask is an order as business gives it, with what it may wait for.
type Ask struct {
	Order     Order
	Wait      time.Duration // how long the caller waits for the outcome
	IfBusy    bool          // another order in flight: it waits its turn
	IfOffline bool          // device offline or silent: it waits until it is back
	Expires   int64         // when one that waits has waited for too long
	Once      Once
}

// Queues says whether an order that was refused with err waits instead.
func (a Ask) Queues(err error) bool {
	e := Public(err)
	if e.Kind != OrderRefused {
		return false
	}
	switch e.Code {
	case "device_busy":
		return a.IfBusy
	case "device_offline", "device_unknown":
		return a.IfOffline
	}
	return false
}

// Giving is an order on its way, for a caller who looks until it is over. Thousands
// of callers wait at once (reliability T27): what is told them is one token, and
// where and how they wait for it is theirs.
type Giving interface {
	// Look takes the order as far as it goes now, and has wake told when there may
	// be more to see. It is over soon once ctx has ended, which cancels no order that
	// is stored.
	Look(ctx context.Context, wake Waker) (over bool)
	// Result is the order's record whenever there is one, also beside an error;
	// without error it has succeeded, or (the wait is over) still waits or is sent.
	Result() (*Order, error)
}

// Waker holds one token while there is news.
type Waker chan struct{}

// NewWaker makes one without a token.
func NewWaker() Waker { return make(Waker, 1) }

// Wake says that there is news. It never blocks.
func (w Waker) Wake() {
	select {
	case w <- struct{}{}:
	default:
	}
}

// Follow waits for the end of g, which tells wake of news.
func Follow(ctx context.Context, g Giving, wake Waker) (*Order, error) {
	for !g.Look(ctx, wake) {
		select {
		case <-wake:
		case <-ctx.Done():
		}
	}
	return g.Result()
}

// Once is an order's Idempotency-Key: what Owner gives again with the same Key
// within OnceLifetime is the same order, or an error if Hash differs. The zero
// Once is an order without one.
type Once struct {
	Owner string // the API key's identifier
	Key   string
	Hash  string // of all that was asked for
}

// Queued is an order that is to wait for its device.
type Queued struct {
	Order   Order // its State is OrderQueued
	Expires int64
	Once    Once
}

// Intent is an order about to be sent; Order.State is OrderSent. It is
// refused as Fenced if Epoch does not own the device any more, as OrderRefused
// (device_busy) if another order of the device is sent, and as ErrOrderKnown if
// its Once was used. One that Waited is the claim of a queued order, and is
// refused as ErrNotFirst if that waits no more, or another one longer.
type Intent struct {
	Order  Order
	Waited bool
	Once   Once
	Epoch  int64
	Node   int64
	BootID string // of the device's process that it goes to
	Due    int64  // when the wait for its reply is over
	Now    int64  // by which it may have waited for too long; SentTime may be ahead
}

// Outcome settles an order by compare and set: a sent order takes any
// outcome, an unknown one takes succeeded or failed and becomes late. An order
// that has its outcome already keeps it, without error. An order of another
// device is OrderNotFound.
//
// The state OrderQueued is for one that was claimed and of which no byte was
// sent: it waits again, in the place that it had or before all others. Only
// the claim of this Epoch and Sent time is taken back, no later one. The same
// holds for OrderCancelled, if Sent is set.
type Outcome struct {
	OrderID  string
	DeviceID string
	Epoch    int64
	State    OrderState
	Reason   string // empty: null
	Late     bool
	Message  string
	Data     RawObject
	Sent     int64 // OrderQueued, OrderCancelled: the SentTime of the claim
	Expires  int64 // OrderQueued: for an order that has not waited before
	Now      int64
}

// Presence is a session's word on its device's state. It is applied only
// while Epoch owns the device, and an offline device stays offline: a stale
// session's clean-up touches nothing.
type Presence struct {
	DeviceID string
	Epoch    int64
	State    DevState
	Reason   string // "liveness", "takeover", "closed_by_device", …
	LastSeen int64
	Now      int64
}

// Sample is a report that is kept in the history.
type Sample struct {
	DeviceID string
	Time     int64
	Status   StatusInfo
}

// NewDevice is a device to be added, with its hashed password.
type NewDevice struct {
	Device
	PasswordHash string
}

// Live is what a node knows of a device that is connected to it.
type Live struct {
	State        DevState
	Reason       string
	LastSeenTime int64
	Epoch        int64
	Report       *StatusInfo // nil: none yet
	ReportTime   int64
}

// Node is one server process's place in the fleet of servers.
type Node struct {
	Name        string
	Number      int64 // snowflake number, 0 to 1023
	Incarnation int64 // rises with every start
}
