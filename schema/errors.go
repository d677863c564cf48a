package schema

import (
	"errors"
	"fmt"
	"time"
)

// Kind is the class of an error: what a program decides by. Each edge has one
// total map of kinds, to JSON-RPC codes (rpc) and to HTTP statuses (northapi).
// The zero Kind is Internal, whose text never leaves the process.
type Kind uint8

// The kinds. A new one needs a row in both edges' maps; a test walks them all.
const (
	Internal         Kind = iota // something inside failed; nothing of it is told
	ParseError                   // no JSON
	InvalidRequest               // JSON, but no request
	MethodNotFound               // no such method
	Invalid                      // a member is unknown, missing, or wrong; the message names it
	TooLarge                     // a message or body is over its limit
	NotFound                     // no such route or thing
	MethodNotAllowed             // the route exists for other HTTP methods
	Unauthenticated              // no key, or an unknown or revoked one
	Forbidden                    // the key's role does not allow it
	LoginFailed                  // unknown or disabled device, or wrong secret: one answer for all
	LoginRequired                // a request before login
	AlreadyLoggedIn              // a second login on a connection
	Overloaded                   // refused for now; RetryAfter says when to come back
	DeviceNotFound
	DeviceConflict // the device's present state or uniqueness forbids it
	GroupNotFound
	GroupConflict
	RelationNotFound
	RelationConflict
	KeyNotFound
	OrderNotFound
	OrderRefused     // nothing was sent; it may be given again
	OrderConflict    // what the order is, or became, forbids it
	OrderFailed      // the device said fail
	OrderUnknown     // bytes may have reached the device and no outcome came
	Draining         // the server is stopping
	StoreUnavailable // the store did not answer, or did not commit
	Fenced           // a newer epoch owns the device; the caller must not act for it
	kindEnd
)

// Kinds returns every kind, for tables that must be total.
func Kinds() []Kind {
	ks := make([]Kind, 0, kindEnd)
	for k := Internal; k < kindEnd; k++ {
		ks = append(ks, k)
	}
	return ks
}

// Error is the only error whose text may be shown outside the process.
type Error struct {
	Kind    Kind
	Code    string // a stable snake_case word that a program can switch on
	Message string // for people; names the member at fault
	// RetryAfter is how long to wait before trying again; 0 says nothing.
	RetryAfter time.Duration
	// Data is what the answer carries beside the message: an order record, the
	// holder of a busy device. It is encoded as JSON; nil is left out.
	Data any
}

// Error is the code, for programs, and the message, for people.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Is makes errors.Is compare by kind and, where the target has one, by code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind && (t.Code == "" || t.Code == e.Code)
}

// Errorf makes an Error. The text is for people outside: no internals.
func Errorf(kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Message: fmt.Sprintf(format, args...)}
}

// InvalidMember is the error for one wrong member: "nic[0].mac: must be …".
func InvalidMember(member, format string, args ...any) *Error {
	return Errorf(Invalid, "invalid_member", "%s: %s", member, fmt.Sprintf(format, args...))
}

// Public returns what may be shown of err: err itself if it is an Error,
// otherwise a fixed text without any of err's.
func Public(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Kind: Internal, Code: "internal", Message: "internal error"}
}

// KindOf is the kind of err; Internal for errors of other types.
func KindOf(err error) Kind { return Public(err).Kind }

// Errors that are always the same.
var (
	ErrLoginFailed      = Errorf(LoginFailed, "login_failed", "login failed")
	ErrLoginRequired    = Errorf(LoginRequired, "login_required", "login first")
	ErrAlreadyLoggedIn  = Errorf(AlreadyLoggedIn, "already_logged_in", "already logged in on this connection")
	ErrFenced           = Errorf(Fenced, "fenced", "a newer login of this device took over")
	ErrDeviceNotFound   = Errorf(DeviceNotFound, "device_not_found", "no such device")
	ErrGroupNotFound    = Errorf(GroupNotFound, "group_not_found", "no such group")
	ErrRelationNotFound = Errorf(RelationNotFound, "relation_not_found", "the device is not in the group")
	ErrOrderNotFound    = Errorf(OrderNotFound, "order_not_found", "no such order")
	ErrNotFirst         = Errorf(OrderConflict, "order_not_first", "the order is not the first that waits, or does not wait any more")
	ErrOrderKnown       = Errorf(OrderConflict, "order_known", "an order was given with this Idempotency-Key already")
	ErrOtherOrder       = Errorf(OrderConflict, "idempotency_conflict", "Idempotency-Key: was used for an order with another body")
	ErrOrderExists      = Errorf(OrderRefused, "order_exists", "an order with this id is there already")
	ErrJobNotFound      = Errorf(OrderNotFound, "job_not_found", "no such job")
	ErrJobOver          = Errorf(OrderRefused, "job_over", "the job was cancelled or stopped before it was the device's turn")
	ErrJobRunning       = Errorf(OrderConflict, "job_running", "job_id: the job has not ended; wait for its end, or cancel it first")
	ErrNoDevices        = Errorf(OrderConflict, "no_devices", "there is no device that the order would be for")
	ErrTooManyJobs      = &Error{
		Kind: Overloaded, Code: "too_many_jobs", RetryAfter: 10 * time.Second,
		Message: fmt.Sprintf("%d jobs have not ended; wait for one, or cancel it", MaxJobs),
	}
	ErrQueueFull        = Errorf(OrderRefused, "queue_full", "%d orders wait for the device already", MaxQueued)
	ErrKeyNotFound      = Errorf(KeyNotFound, "key_not_found", "no such key")
	ErrFileNotFound     = Errorf(NotFound, "logfile_not_found", "no log file of this order")
	ErrDraining         = Errorf(Draining, "draining", "the server is stopping; give the order again later")
	ErrStoreUnavailable = Errorf(StoreUnavailable, "store_unavailable", "the store is not available now; try again")
)
