package session

import (
	"time"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// flight is the one order that may be under way to a device.
type flight struct {
	order  schema.Order
	ask    schema.Ask // as it was given; zero if it has waited
	ticket *ticket    // nil: its caller has been answered, or waits elsewhere
	upload bool       // its file goes to this node's receiver
	waited bool       // it was taken from the queue
	missed bool       // nobody counts on its being sent any more
	stage  stage
	call   uint64
	due    time.Time // when the present stage is over; zero: it ends by an answer that is owed
}

type stage uint8

const (
	looking   stage = iota // the store is asked which order is the next (waiting.go)
	intending              // the intent is being committed; nothing was sent
	sent                   // the device is to answer
	settling               // the outcome is being committed
)

// lostCall is a call whose answer is not waited for any more.
type lostCall struct{ orderID, order string }

// maxGivenUp bounds the calls of a connection that may still bring a late
// result; older ones come in through upload_instruction_result.
const maxGivenUp = 16

// onOrder takes the slot for an order, or refuses it. Single flight is
// reserved here, before anything is written.
func (c *core) onOrder(ev orderRequest, now time.Time) {
	if err := c.refusal(now); err != nil {
		c.refuseOrder(ev, err, now)
		return
	}
	c.begin(&flight{order: ev.ask.Order, ask: ev.ask, ticket: ev.ticket, upload: ev.upload}, now)
}

// begin has the intent of an order committed. No two claims of a session have
// one time: by that they are told apart, also where the clock was set back. A job's order has nobody who would be
// told that the store is slow, and waits for it.
func (c *core) begin(f *flight, now time.Time) {
	at := max(now.UnixMilli(), c.line.claimed+1)
	c.line.claimed = at
	f.order.State, f.order.SentTime = schema.OrderSent, &at
	f.stage = intending
	if f.order.JobID == nil {
		f.due = now.Add(c.set.IntentTimeout)
	}
	c.slot = f
	due := now.Add(c.set.IntentTimeout + c.set.OrderTimeout)
	c.owe(beginOrder{schema.Intent{
		Order: f.order, Waited: f.waited, Once: f.ask.Once,
		Epoch: c.epoch, Node: c.node, BootID: c.bootID, Due: due.UnixMilli(), Now: now.UnixMilli(),
	}})
}

// refusal says why no order can be taken now; nil if one can.
func (c *core) refusal(now time.Time) *schema.Error {
	switch {
	case c.drain != nil:
		return schema.ErrDraining
	case c.phase != open:
		return errOffline
	case c.state == schema.Unknown:
		return schema.Errorf(schema.OrderRefused, "device_unknown", "the device has been silent; wait until it is online again")
	case c.slot != nil:
		return schema.Busy(c.slot.order, now.UnixMilli())
	case c.line.next != nil: // it comes first
		return schema.Busy(*c.line.next, now.UnixMilli())
	}
	return nil
}

var errOffline = schema.Errorf(schema.OrderRefused, "device_offline", "the device is offline")

// refuseOrder leaves the line in the log, unless the order is to wait instead.
func (c *core) refuseOrder(ev orderRequest, err *schema.Error, now time.Time) {
	c.emit(settle{ev.ticket, nil, err})
	if !ev.ask.Queues(err) {
		c.emit(record{refusedOrder(ev.ask.Order, err, now)})
	}
}

// refusedOrder is the line that a refused order leaves; it has no record.
func refusedOrder(o schema.Order, err *schema.Error, now time.Time) schema.Event {
	return schema.Event{
		DeviceID: o.DeviceID, Time: now.UnixMilli(), Kind: schema.EventOrder, Outcome: "refused", By: o.By,
		Detail: schema.OrderDetail(o, "order", o.Order, "reason", err.Code),
	}
}

// onIntentDone sends the order, now that its intent is durable, unless there
// is nobody to send it to any more.
func (c *core) onIntentDone(ev intentDone, now time.Time) {
	f := c.slot
	if f == nil || f.order.OrderID != ev.orderID || f.stage != intending {
		return
	}
	switch {
	case ev.err != nil:
		c.intentFailed(f, ev.err, now)
	case c.phase != open || f.missed:
		c.settleAs(f, notSent(f), now)
	default:
		c.send(f, now)
	}
}

// notSent is the outcome of an order of which no byte was sent: one that may
// wait, waits again.
func notSent(f *flight) schema.Outcome {
	if f.waited || f.ask.IfOffline && !f.missed {
		return schema.Outcome{State: schema.OrderQueued, Reason: schema.ReasonNotSent, Sent: *f.order.SentTime, Expires: f.ask.Expires}
	}
	return schema.Outcome{State: schema.OrderCancelled, Reason: schema.ReasonNotSent, Sent: *f.order.SentTime}
}

// intentFailed frees the slot: nothing was sent. A commit that may have
// happened all the same, the clerk takes back.
func (c *core) intentFailed(f *flight, err error, now time.Time) {
	pub := schema.Public(err)
	switch pub.Kind {
	case schema.Fenced:
		pub = errOffline
	case schema.OrderRefused, schema.OrderConflict, schema.DeviceNotFound:
	default:
		pub = storeUnavailable(f.order)
		f.missed = true
		c.emit(retryOutcome{out: c.outcome(f, notSent(f), now)})
	}
	if pub.Kind != schema.StoreUnavailable && pub.Kind != schema.OrderConflict && !f.waited && !f.ask.Queues(pub) {
		c.emit(record{refusedOrder(f.order, pub, now)})
	}
	c.answer(f, nil, pub)
	c.claimFailed(f, pub, now)
	c.free(now)
	if schema.KindOf(err) == schema.Fenced { // somebody newer owns the device
		c.hangUp(schema.CloseTakeover, "a newer login took over", "takeover", now)
	}
}

// storeUnavailable tells an order's caller that the store holds things up, and
// what to ask for later.
func storeUnavailable(o schema.Order) *schema.Error {
	e := *schema.ErrStoreUnavailable
	e.Message = "the store did not take it in time; ask for the order by its order_id before giving it again"
	e.Data = map[string]any{"order_id": o.OrderID}
	return &e
}

func (c *core) send(f *flight, now time.Time) {
	c.calls++
	f.stage, f.call, f.due = sent, c.calls, now.Add(c.set.OrderTimeout)
	if f.ticket != nil {
		c.emit(accept{f.ticket, f.order})
	}
	c.emit(callOrder{f.call, wireOrder(f), f.upload})
}

// onCallFailed settles what a call was for that could not be sent.
func (c *core) onCallFailed(ev callFailed, now time.Time) {
	f := c.slot
	switch {
	case ev.call == c.telling.call:
		c.nextTelling(now)
	case f != nil && f.stage == sent && f.call == ev.call:
		c.settleAs(f, notSent(f), now)
	}
}

func wireOrder(f *flight) schema.GiveOrder {
	g := schema.GiveOrder{
		OrderID: f.order.OrderID, OrderType: f.order.Order, IsInner: f.order.IsInner, DeviceID: f.order.DeviceID,
		Params: f.order.Params, Deadline: f.due.UnixMilli(),
	}
	if len(g.Params) == 0 {
		g.Params = schema.RawObject(`{}`)
	}
	if f.order.Order == schema.OrderUploadLog {
		g.RemoteDir = schema.RemoteDir
	}
	return g
}

// onReplied takes an answer of the device: to the order in flight, to a call
// that was given up, or to device_update.
func (c *core) onReplied(ev replied, now time.Time) {
	switch f := c.slot; {
	case ev.call == c.telling.call && ev.call != 0:
		c.onTold(ev, now)
	case f != nil && f.stage == sent && f.call == ev.call:
		if !now.Before(f.due) { // the deadline wins (reliability F41)
			c.timeOut(f, now)
			c.onLate(ev, now)
			return
		}
		c.onResultOf(f, ev.resp, now)
	default:
		c.onLate(ev, now)
	}
}

// onResultOf settles the order in flight by the device's word.
func (c *core) onResultOf(f *flight, resp rpc.Response, now time.Time) {
	out := verdict(resp)
	if f.order.Order == schema.OrderRestart && out.State == schema.OrderSucceeded {
		c.confirmRestart(f.order.OrderID, now)
	}
	if data, ok := uploadOf(f.order.Order, out); ok && f.upload {
		f.stage, f.due = settling, time.Time{}
		c.owe(checkUpload{out: c.outcome(f, out, now), data: data})
		return
	}
	c.settleAs(f, out, now)
}

// onLate takes the answer to a call that was given up. It can never be taken
// for another order's: calls are told apart by number (reliability F39, F42).
func (c *core) onLate(ev replied, now time.Time) {
	lost, ok := c.givenUp[ev.call]
	if !ok {
		return
	}
	delete(c.givenUp, ev.call)
	out := verdict(ev.resp)
	if lost.order == schema.OrderRestart && out.State == schema.OrderSucceeded {
		c.confirmRestart(lost.orderID, now)
	}
	out.OrderID, out.DeviceID, out.Epoch, out.Late, out.Now = lost.orderID, c.deviceID, c.epoch, true, now.UnixMilli()
	c.settleLate(out, lost.order, nil)
}

// onResult takes a result that lost its way (upload_instruction_result).
func (c *core) onResult(ev resultRequest, now time.Time) {
	if c.owed >= schema.MaxUnsettled {
		c.emit(fail{ev.to, overloaded(retryAfterStore)})
		return
	}
	out := outcomeOf(schema.OrderResult{Status: ev.result.Status, Message: ev.result.Message, Data: ev.result.Data})
	out.OrderID, out.DeviceID, out.Epoch, out.Late, out.Now = ev.result.OrderID, c.deviceID, c.epoch, true, now.UnixMilli()
	c.settleLate(out, "", ev.to)
}

// settleLate commits a late outcome; an upload's file is checked first. An
// empty order means that the kind of order is not known here.
func (c *core) settleLate(out schema.Outcome, order string, to responder) {
	if data, ok := uploadOf(order, out); ok {
		c.owe(checkUpload{out: out, to: to, data: data})
		return
	}
	c.owe(endOrder{out, to})
}

// uploadOf reads the data of an upload_log that succeeded.
func uploadOf(order string, out schema.Outcome) (schema.UploadData, bool) {
	var data schema.UploadData
	if order != schema.OrderUploadLog && order != "" || out.State != schema.OrderSucceeded || len(out.Data) == 0 {
		return data, order == schema.OrderUploadLog && out.State == schema.OrderSucceeded
	}
	err := rpc.Decode(out.Data, &data)
	return data, order == schema.OrderUploadLog || err == nil && data.SHA256 != ""
}

// onUploadChecked commits the outcome of an upload: the device's success
// stands only if the file arrived whole. What cannot be said now, the device
// is asked at its next login: until then the outcome is unknown.
func (c *core) onUploadChecked(ev uploadChecked, now time.Time) {
	switch {
	case ev.err == nil:
	case isVerdict(ev.err):
		ev.out.State, ev.out.Message = schema.OrderStateFail, schema.Public(ev.err).Message
	case ev.to != nil:
		c.emit(fail{ev.to, overloaded(retryAfterStore)})
		return
	case ev.out.Late:
		return
	default:
		ev.out.State, ev.out.Reason = schema.OrderStateLost, schema.ReasonTimeout
		ev.out.Message, ev.out.Data = "", nil
	}
	c.owe(endOrder{ev.out, ev.to})
}

// isVerdict says whether an error of the receiver is about the file, and not
// about the store or the disk.
func isVerdict(err error) bool {
	k := schema.KindOf(err)
	return k == schema.Invalid || k == schema.NotFound
}

// loseOrder settles the order of a connection that is gone, at once.
func (c *core) loseOrder(now time.Time) {
	if f := c.slot; f != nil && f.stage == sent {
		c.settleAs(f, schema.Outcome{State: schema.OrderStateLost, Reason: schema.ReasonDisconnected}, now)
	}
}

// checkSlot acts when a stage has lasted too long.
func (c *core) checkSlot(now time.Time) {
	f := c.slot
	if f == nil || f.due.IsZero() || now.Before(f.due) {
		return
	}
	switch f.stage {
	case intending: // the slot stays taken until the store has answered
		c.answer(f, nil, storeUnavailable(f.order))
		f.due, f.missed = time.Time{}, true
	case sent:
		c.timeOut(f, now)
	}
}

func (c *core) timeOut(f *flight, now time.Time) {
	c.emit(forget{f.call})
	c.giveUpCall(f)
	c.settleAs(f, schema.Outcome{State: schema.OrderStateLost, Reason: schema.ReasonTimeout}, now)
}

func (c *core) giveUpCall(f *flight) {
	if c.givenUp == nil {
		c.givenUp = make(map[uint64]lostCall)
	}
	if len(c.givenUp) >= maxGivenUp {
		oldest := f.call
		for n := range c.givenUp {
			oldest = min(oldest, n)
		}
		delete(c.givenUp, oldest)
	}
	c.givenUp[f.call] = lostCall{f.order.OrderID, f.order.Order}
}

// settleAs has the outcome of the order in flight committed; its caller is told after that.
func (c *core) settleAs(f *flight, out schema.Outcome, now time.Time) {
	f.stage, f.due = settling, time.Time{}
	c.owe(endOrder{out: c.outcome(f, out, now)})
}

func (c *core) outcome(f *flight, out schema.Outcome, now time.Time) schema.Outcome {
	out.OrderID, out.DeviceID, out.Epoch, out.Now = f.order.OrderID, c.deviceID, c.epoch, now.UnixMilli()
	return out
}

// onOutcomeDone answers who waited for the outcome: the order's caller, or the
// device that handed it in.
func (c *core) onOutcomeDone(ev outcomeDone, now time.Time) {
	if ev.err != nil && schema.KindOf(ev.err) != schema.OrderNotFound {
		c.emit(retryOutcome{ev.out, ev.to != nil})
	}
	if ev.to != nil {
		c.answerDevice(ev)
		return
	}
	f := c.slot
	if f == nil || f.order.OrderID != ev.out.OrderID || ev.out.Late {
		return
	}
	if ev.err != nil {
		c.answer(f, nil, storeUnavailable(f.order))
	} else {
		c.answer(f, &ev.record, orderError(ev.record))
	}
	c.waitAgain(f, ev, now)
	c.free(now)
}

func (c *core) answerDevice(ev outcomeDone) {
	switch {
	case ev.err == nil:
		c.emit(reply{ev.to, struct{}{}})
	case schema.KindOf(ev.err) == schema.OrderNotFound:
		c.emit(fail{ev.to, schema.InvalidMember("order_id", "is no order of this device")})
	default:
		c.emit(fail{ev.to, overloaded(retryAfterStore)})
	}
}

// overloaded refuses for now.
func overloaded(retry time.Duration) *schema.Error {
	e := schema.Errorf(schema.Overloaded, "overloaded", "come back later")
	e.RetryAfter = retry
	return e
}

// answer tells the order's caller, once.
func (c *core) answer(f *flight, o *schema.Order, err error) {
	if f.ticket != nil {
		c.emit(settle{f.ticket, o, err})
		f.ticket = nil
	}
}

func (c *core) free(now time.Time) {
	c.slot = nil
	c.drainIfFree(now)
}

// verdict reads the device's answer to give_order. A JSON-RPC error means
// fail, with its message; so does what is no result.
func verdict(resp rpc.Response) schema.Outcome {
	if resp.Err != nil {
		return schema.Outcome{State: schema.OrderStateFail, Message: resp.Err.Message}
	}
	var res schema.OrderResult
	if err := rpc.Decode(resp.Result, &res); err != nil {
		return schema.Outcome{State: schema.OrderStateFail, Message: "the device's answer is no result: " + schema.Public(err).Message}
	}
	return outcomeOf(res)
}

func outcomeOf(res schema.OrderResult) schema.Outcome {
	out := schema.Outcome{State: schema.OrderStateFail, Message: res.Message, Data: res.Data}
	switch res.Status {
	case schema.ResultSuccess:
		out.State = schema.OrderSucceeded
	case schema.ResultFail:
	default:
		out.Message = `the device's answer is no result: status: must be "success" or "fail"`
	}
	return out
}

// orderError is what an order's record means to its caller (northbound section 4).
func orderError(o schema.Order) error {
	var e *schema.Error
	switch o.State {
	case schema.OrderSucceeded, schema.OrderSent, schema.OrderQueued:
		return nil
	case schema.OrderStateFail:
		e = schema.Errorf(schema.OrderFailed, "order_failed", "the device says: %s", o.Message)
	case schema.OrderCancelled:
		e = schema.Errorf(schema.OrderRefused, "order_cancelled", "the order was cancelled before it was sent")
		if o.Reason != nil && *o.Reason == schema.ReasonNotSent {
			e = schema.Errorf(schema.OrderRefused, "device_offline", "the device went offline before the order was sent")
		}
	case schema.OrderExpired:
		e = schema.Errorf(schema.OrderRefused, "order_expired", "the order waited for the device until its time was over; it was not sent")
	case schema.OrderStateLost:
		e = schema.Errorf(schema.OrderUnknown, "device_disconnected", "the connection was lost before the device answered; order_query shows a result that comes later")
		if o.Reason != nil && *o.Reason == schema.ReasonTimeout {
			e = schema.Errorf(schema.OrderUnknown, "order_timeout", "the device did not answer in time; order_query shows a result that comes later")
		}
	default:
		e = schema.Errorf(schema.OrderUnknown, "order_"+string(o.State), "the order is %s", o.State)
	}
	e.Data = o
	return e
}
