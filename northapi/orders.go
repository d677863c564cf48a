package northapi

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/edgetether/tether/schema"
)

// giveOrder is the body of give_order, and its key.
type giveOrder struct {
	DeviceID  string           `json:"device_id"`
	Order     string           `json:"order"`
	Params    schema.RawObject `json:"params"`
	WaitMS    *int64           `json:"wait_ms"`
	IfOffline string           `json:"if_offline"`
	IfBusy    string           `json:"if_busy"`
	TTL       *int64           `json:"ttl_s"`
	key       string           // the header Idempotency-Key
}

func (q *giveOrder) useOnce(key string) { q.key = key }

// The words of if_offline and if_busy.
const (
	fail      = schema.IfFail
	queueIt   = schema.IfQueue
	waitForIt = schema.IfWait
)

func (q giveOrder) check() error {
	if w := q.WaitMS; w != nil && (*w < 0 || *w > schema.OrderTimeout.Milliseconds()) {
		return schema.InvalidMember("wait_ms", "must be an integer from 0 to %d", schema.OrderTimeout.Milliseconds())
	}
	return cmp.Or(
		schema.CheckID("device_id", q.DeviceID),
		schema.CheckOrder("order", q.Order),
		schema.CheckParams("params", q.Order, q.Params),
		oneOf("if_offline", q.IfOffline, fail, queueIt),
		oneOf("if_busy", q.IfBusy, fail, waitForIt),
		q.checkTTL(),
	)
}

func oneOf(member, word, one, other string) error {
	if word != "" && word != one && word != other {
		return schema.InvalidMember(member, "must be %s or %s", one, other)
	}
	return nil
}

func (q giveOrder) checkTTL() error {
	most := int64(schema.MaxQueueTTL.Seconds())
	switch {
	case q.TTL == nil:
		return nil
	case *q.TTL < 1 || *q.TTL > most:
		return schema.InvalidMember("ttl_s", "must be an integer from 1 to %d", most)
	case q.IfOffline != queueIt && q.IfBusy != waitForIt:
		return schema.InvalidMember("ttl_s", "needs if_offline %s or if_busy %s", queueIt, waitForIt)
	}
	return nil
}

// ttl is how long an order may wait for its device.
func (q giveOrder) ttl() time.Duration {
	if q.TTL == nil {
		return schema.QueueTTL
	}
	return time.Duration(*q.TTL) * time.Second
}

// wait is how long the caller waits; all of OrderTimeout is the outcome itself.
func (q giveOrder) wait() time.Duration {
	if q.WaitMS == nil {
		return schema.OrderTimeout
	}
	return time.Duration(*q.WaitMS) * time.Millisecond
}

// params as the device is given them: an object always.
func (q giveOrder) params() schema.RawObject {
	if len(q.Params) == 0 || string(q.Params) == "null" {
		return schema.RawObject(`{}`)
	}
	return q.Params
}

// outcome is an order's record as give_order answers it.
type outcome schema.Order

// status is 202 as long as the order may still be done.
func (o outcome) status() int {
	if o.State.Ended() {
		return http.StatusOK
	}
	return http.StatusAccepted
}

// giveOrder asks the store for the device first, which knows whether the
// caller may see it; whether it can be reached is the sessions' to say.
func (a *api) giveOrder(ctx context.Context, who caller, q giveOrder) (schema.Giving, error) {
	d, err := a.Devices.Device(ctx, who.scope, q.DeviceID)
	if err != nil {
		return nil, err
	}
	ask := a.ask(who, q)
	if q.key != "" {
		return a.giveOnce(ask, d)
	}
	return a.give(ask, d), nil
}

// ask is what the sessions are asked for.
func (a *api) ask(who caller, q giveOrder) schema.Ask {
	now := a.millis()
	ask := schema.Ask{
		Order: schema.Order{
			OrderID: a.NewID(), DeviceID: q.DeviceID, Order: q.Order, IsInner: schema.IsInner(q.Order), Params: q.params(),
			State: schema.OrderQueued, By: who.by, CreatedTime: now,
		},
		Wait: q.wait(), IfBusy: q.IfBusy == waitForIt, IfOffline: q.IfOffline == queueIt, Expires: now + q.ttl().Milliseconds(),
	}
	if q.key != "" {
		ask.Once = schema.Once{Owner: who.key, Key: q.key, Hash: q.hash()}
	}
	return ask
}

// give has an order carried out.
func (a *api) give(ask schema.Ask, d schema.Device) schema.Giving {
	return orderCall{a.Sessions.GiveOrder(ask), ask.Order.OrderID, d.LastSeenTime}
}

// await is for an order that was given before.
func (a *api) await(orderID string, patience time.Duration) schema.Giving {
	return orderCall{a.Sessions.AwaitOrder(orderID, patience), orderID, nil}
}

// orderCall is a schema.Giving whose errors have beside them what helps to go on.
type orderCall struct {
	schema.Giving
	orderID  string
	lastSeen *int64
}

// Result adds that.
func (c orderCall) Result() (*schema.Order, error) {
	record, err := c.Giving.Result()
	if err != nil {
		err = c.besides(err, record)
	}
	return record, err
}

// orderRef names an order whose record could not be read.
type orderRef struct {
	OrderID string `json:"order_id"`
}

// besides puts into the error what northbound section 4 has beside it: the
// record if there is one, otherwise what helps to go on.
func (c orderCall) besides(err error, record *schema.Order) error {
	var e *schema.Error
	if !errors.As(err, &e) {
		return err
	}
	with := *e // the error may be one that is always the same
	switch {
	case record != nil:
		with.Data = record
	case with.Data != nil:
	case with.Code == "device_offline":
		with.Data = lastSeen{c.lastSeen}
	case with.Kind == schema.StoreUnavailable:
		with.Data = orderRef{c.orderID}
	}
	return &with
}

// orderID is a request for one order by its path.
type orderID struct{ id string }

func (q *orderID) bind(p *params) { q.id = p.id("order_id") }

func (a *api) orderQuery(ctx context.Context, who caller, q orderID) (schema.Order, error) {
	return a.Records.Order(ctx, who.scope, q.id)
}

func (a *api) deviceOrdersQuery(ctx context.Context, who caller, q devicePage) (schema.List[schema.Order], error) {
	return a.Records.ListOrders(ctx, who.scope, q.id, q.page)
}

// orderCancel is the body of order_cancel.
type orderCancel struct {
	OrderID string `json:"order_id"`
}

func (q orderCancel) check() error { return schema.CheckID("order_id", q.OrderID) }

func (a *api) orderCancel(ctx context.Context, who caller, q orderCancel) (schema.Order, error) {
	return a.Orders.CancelOrder(ctx, who.scope, q.OrderID, who.by, a.millis())
}
