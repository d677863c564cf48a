package session

import "github.com/edgetether/tether/schema"

// effect is what a core wants done. The set is sealed: the types of this file,
// each carried out by Session.do, and pingRequest, which is to be answered.
type effect interface{ isEffect() }

// Toward the device.
type (
	reply struct {
		to     responder
		result any
	}
	fail struct {
		to  responder
		err error
	}
	// call sends a request; its answer comes back as replied with the number, or
	// callFailed if it cannot be sent.
	call struct {
		number uint64
		method string
		params any
	}
	// callOrder sends give_order likewise, with a credential for an upload.
	callOrder struct {
		number uint64
		order  schema.GiveOrder
		upload bool
	}
	// forget gives a call up; an answer may still come.
	forget  struct{ call uint64 }
	confirm struct{ orderID string }
	hangUp  struct {
		code schema.CloseCode
		text string
	}
)

// Toward the login, the hub, and business.
type (
	authenticate struct{ params schema.LoginParams }
	claimDevice  struct {
		cred   schema.Credential
		params schema.LoginParams
	}
	// publish shows the session's state and report to readers in other goroutines.
	publish struct{ live *schema.Live }
	// release gives the device up in the hub.
	release struct {
		deviceID string
		epoch    int64
	}
	// accept tells an order's caller that the order is on its way.
	accept struct {
		ticket *ticket
		order  schema.Order
	}
	// settle tells it how the order ended, or why it was refused.
	settle struct {
		ticket *ticket
		order  *schema.Order // nil: there is no record
		err    error
	}
)

// Toward the store and the receiver of uploads.
type (
	// findWaiting asks the store which orders wait for the device longest.
	findWaiting struct{ deviceID string }
	beginOrder  struct{ in schema.Intent }
	endOrder    struct {
		out schema.Outcome
		to  responder
	}
	// retryOutcome hands an outcome that could not be stored to the clerk.
	retryOutcome struct {
		out      schema.Outcome
		handedIn bool // by the device, which was told that it is not stored
	}
	// handOn tells the device's owner, another session by now, of an order that waits.
	handOn      struct{ order schema.Order }
	checkUpload struct {
		out  schema.Outcome
		to   responder
		data schema.UploadData
	}
	record   struct{ event schema.Event }
	presence struct{ p schema.Presence }
	sample   struct{ s schema.Sample }
	told     struct {
		deviceID string
		version  int64
	}
)

func (pingRequest) isEffect()  {}
func (reply) isEffect()        {}
func (fail) isEffect()         {}
func (call) isEffect()         {}
func (callOrder) isEffect()    {}
func (forget) isEffect()       {}
func (confirm) isEffect()      {}
func (hangUp) isEffect()       {}
func (authenticate) isEffect() {}
func (claimDevice) isEffect()  {}
func (publish) isEffect()      {}
func (release) isEffect()      {}
func (accept) isEffect()       {}
func (settle) isEffect()       {}
func (findWaiting) isEffect()  {}
func (beginOrder) isEffect()   {}
func (endOrder) isEffect()     {}
func (retryOutcome) isEffect() {}
func (handOn) isEffect()       {}
func (checkUpload) isEffect()  {}
func (record) isEffect()       {}
func (presence) isEffect()     {}
func (sample) isEffect()       {}
func (told) isEffect()         {}
