package session

import (
	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// event is what a core can be told. The set is sealed: the types of this file.
type event interface{ isEvent() }

// responder answers one request of the device; *rpc.Request in the service.
// The core passes it through and never calls it.
type responder interface {
	Reply(result any)
	Fail(err error)
}

// From the device.
type (
	// loginRequest asks to log in; err says what is wrong with its params.
	loginRequest struct {
		to     responder
		params schema.LoginParams
		err    error
	}
	// pingRequest has a pointer and nothing else: it then is an event without taking
	// memory. It is the effect as well, that the ping be answered.
	pingRequest   struct{ to *rpc.Request }
	statusRequest struct {
		to   responder
		info *schema.StatusInfo // the core's from now on
	}
	// resultRequest is upload_instruction_result.
	resultRequest struct {
		to     responder
		result schema.UploadResult
	}
	discoverRequest struct{ to responder }
	// badRequest is a valid message that cannot be served: an unknown method, or
	// params that do not fit.
	badRequest struct {
		to  responder
		err error
	}
	// replied is the device's answer to a call of the core's.
	replied struct {
		call uint64
		resp rpc.Response
	}
	// callFailed says that a call could not be sent: no byte of it was.
	callFailed struct{ call uint64 }
	// ended says that the connection is gone.
	ended struct{ reason string }
)

// From the login's goroutine.
type (
	authenticated struct {
		cred schema.Credential
	}
	// refused: LoginFailed, Overloaded, or a store that does not answer.
	// deviceID is empty if no such device is known.
	refused struct {
		deviceID string
		err      error
		note     bool // to be written to the device's log
	}
	claimed struct {
		epoch   int64
		token   string
		expires int64
		answer  schema.Claimed
	}
	claimRefused struct{ err error }
)

// From the hub and from business.
type (
	orderRequest struct {
		ticket *ticket
		ask    schema.Ask
		upload bool // the device is to send a file to this node's receiver
	}
	// orderWaits tells of an order in the store's queue; nil: of none.
	orderWaits    struct{ order *schema.Order }
	updateRequest struct{ update schema.DeviceUpdate }
	// stopRequest ends the session: takeover, deleted, disabled, password.
	stopRequest struct {
		code   schema.CloseCode
		reason string // for the log
		text   string // for the close frame
	}
	// drainRequest ends it once no order is in flight.
	drainRequest struct{ text string }
)

// From the store and the receiver of uploads.
type (
	// found are the orders that wait longest, at most two. upload says that the
	// device is to send the first one's file to this node's receiver.
	found struct {
		orders []schema.Order
		upload bool
		err    error
	}
	intentDone struct {
		orderID string
		err     error
	}
	outcomeDone struct {
		out    schema.Outcome
		to     responder // the upload_instruction_result that brought it, or nil
		record schema.Order
		err    error
	}
	uploadChecked struct {
		out schema.Outcome
		to  responder
		err error
	}
)

// tick says that a time which the core asked for has come.
type tick struct{}

func (loginRequest) isEvent()    {}
func (pingRequest) isEvent()     {}
func (statusRequest) isEvent()   {}
func (resultRequest) isEvent()   {}
func (discoverRequest) isEvent() {}
func (badRequest) isEvent()      {}
func (replied) isEvent()         {}
func (callFailed) isEvent()      {}
func (ended) isEvent()           {}
func (authenticated) isEvent()   {}
func (refused) isEvent()         {}
func (claimed) isEvent()         {}
func (claimRefused) isEvent()    {}
func (orderRequest) isEvent()    {}
func (orderWaits) isEvent()      {}
func (updateRequest) isEvent()   {}
func (stopRequest) isEvent()     {}
func (drainRequest) isEvent()    {}
func (found) isEvent()           {}
func (intentDone) isEvent()      {}
func (outcomeDone) isEvent()     {}
func (uploadChecked) isEvent()   {}
func (tick) isEvent()            {}
