package client

import (
	"context"
	"net/http"
	"time"

	"github.com/edgetether/tether/schema"
)

// NewOrder is an order to give (northbound section 4). DeviceID and Order are
// required; an order of your own needs Params, which become a JSON object.
type NewOrder struct {
	DeviceID string
	Order    string
	Params   any
	Wait     *time.Duration // for the outcome; nil: as long as the device has
	Queue    bool           // the device is not there: the order waits for it
	WaitTurn bool           // another order is in flight: it waits its turn
	TTL      time.Duration  // how long it may wait, whole seconds; 0: schema.QueueTTL
	// IdempotencyKey makes the order one, however often it is given. With it
	// the client gives it again after a lost connection.
	IdempotencyKey string
}

// orderBody are the members of an order that is given, to one device or to many.
type orderBody struct {
	Order     string `json:"order"`
	Params    any    `json:"params,omitempty"`
	IfOffline string `json:"if_offline,omitzero"`
	IfBusy    string `json:"if_busy,omitzero"`
	TTL       int64  `json:"ttl_s,omitzero"`
}

func newOrderBody(order string, params any, queue, waitTurn bool, ttl time.Duration) orderBody {
	b := orderBody{Order: order, Params: params, TTL: int64(ttl / time.Second)}
	if queue {
		b.IfOffline = "queue"
	}
	if waitTurn {
		b.IfBusy = "wait"
	}
	return b
}

// GiveOrder gives an order and waits for its outcome. Without error its device
// said success, or the wait is over and it is still queued or sent. The record
// is what is known of the order, beside an error too; its OrderID is empty if
// there is none: then nothing was sent, or nobody knows (schema.OrderUnknown,
// schema.StoreUnavailable, and errors that are no *schema.Error).
func (c *Client) GiveOrder(ctx context.Context, o NewOrder) (schema.Order, error) {
	body := struct {
		DeviceID string `json:"device_id"`
		WaitMS   *int64 `json:"wait_ms,omitzero"`
		orderBody
	}{DeviceID: o.DeviceID, orderBody: newOrderBody(o.Order, o.Params, o.Queue, o.WaitTurn, o.TTL)}
	if o.Wait != nil {
		body.WaitMS = new(o.Wait.Milliseconds())
	}
	return withRecord(call[schema.Order](ctx, c, request{method: http.MethodPost, service: "give_order", body: body, once: o.IdempotencyKey}))
}

// withRecord is o, or the record that err carries.
func withRecord(o schema.Order, err error) (schema.Order, error) {
	if told, ok := Record(err); ok {
		o = told
	}
	return o, err
}

// orderRef names an order.
type orderRef struct {
	OrderID string `json:"order_id"`
}

// OrderCancel cancels an order that waits. One that was sent or has ended is an
// OrderConflict with the code order_not_cancellable; the record is beside it.
func (c *Client) OrderCancel(ctx context.Context, orderID string) (schema.Order, error) {
	return withRecord(send[schema.Order](ctx, c, http.MethodPost, "order_cancel", orderRef{orderID}))
}

// OrderQuery is one order's record.
func (c *Client) OrderQuery(ctx context.Context, orderID string) (schema.Order, error) {
	return get[schema.Order](ctx, c, "order_query", nil, orderID)
}

// DeviceOrdersQuery is a page of a device's orders, newest first.
func (c *Client) DeviceOrdersQuery(ctx context.Context, deviceID string, p schema.Page) (schema.List[schema.Order], error) {
	return get[schema.List[schema.Order]](ctx, c, "device_orders_query", parameters{}.page(p), deviceID)
}
