package northapi

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/edgetether/tether/schema"
	"github.com/go-json-experiment/json/jsontext"
)

// giveOrder is the body of give_order. Of the options this server has
// "fail" alone, which is also the default.
type giveOrder struct {
	DeviceID  string           `json:"device_id"`
	Order     string           `json:"order"`
	Params    schema.RawObject `json:"params"`
	WaitMS    *int64           `json:"wait_ms"`
	IfOffline string           `json:"if_offline"`
	IfBusy    string           `json:"if_busy"`
	TTL       jsontext.Value   `json:"ttl_s"`
}

func (q giveOrder) check() error {
	if w := q.WaitMS; w != nil && (*w < 0 || *w > schema.OrderTimeout.Milliseconds()) {
		return schema.InvalidMember("wait_ms", "must be an integer from 0 to %d", schema.OrderTimeout.Milliseconds())
	}
	if q.TTL != nil {
		return notOffered("ttl_s")
	}
	return cmp.Or(
		schema.CheckID("device_id", q.DeviceID),
		schema.CheckOrder("order", q.Order),
		schema.CheckParams("params", q.Order, q.Params),
		onlyFail("if_offline", q.IfOffline, "queue"),
		onlyFail("if_busy", q.IfBusy, "wait"),
	)
}

// onlyFail takes "fail" and nothing; other is what the contract has besides.
func onlyFail(member, word, other string) error {
	switch word {
	case "", "fail":
		return nil
	case other:
		return notOffered(member + " " + other)
	}
	return schema.InvalidMember(member, "must be fail")
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
func (a *api) giveOrder(ctx context.Context, who caller, q giveOrder) (outcome, error) {
	d, err := a.Devices.Device(ctx, who.scope, q.DeviceID)
	if err != nil {
		return outcome{}, err
	}
	o := schema.Order{
		OrderID: a.NewID(), DeviceID: q.DeviceID, Order: q.Order, IsInner: schema.IsInner(q.Order), Params: q.params(),
		State: schema.OrderQueued, By: who.by, CreatedTime: a.millis(),
	}
	record, err := a.Sessions.GiveOrder(ctx, o, q.wait())
	if err != nil {
		return outcome{}, besides(err, record, o, d)
	}
	return outcome(*record), nil
}

// orderRef names an order whose record could not be read.
type orderRef struct {
	OrderID string `json:"order_id"`
}

// besides puts into the error what northbound section 4 has beside it: the
// record if there is one, otherwise what helps to go on.
func besides(err error, record *schema.Order, o schema.Order, d schema.Device) error {
	var e *schema.Error
	if !errors.As(err, &e) {
		return err
	}
	told := *e // the error may be one that is always the same
	switch {
	case record != nil:
		told.Data = record
	case told.Data != nil:
	case told.Code == "device_offline":
		told.Data = lastSeen{d.LastSeenTime}
	case told.Kind == schema.StoreUnavailable:
		told.Data = orderRef{o.OrderID}
	}
	return &told
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
