package device

import (
	"errors"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// methods is all that a server may ask of a device. Each runs on the reader's
// goroutine and does not wait.
var methods = map[string]func(*conn, *rpc.Request){
	schema.MethodGiveOrder:      (*conn).giveOrder,
	schema.MethodRestartConfirm: (*conn).restartConfirm,
	schema.MethodDeviceUpdate:   (*conn).deviceUpdate,
}

// Request is called by the peer for each request, in order.
func (c *conn) Request(r *rpc.Request) {
	do, known := methods[r.Method]
	switch {
	case !known:
		r.Fail(schema.Errorf(schema.MethodNotFound, "method_not_found", "no such method"))
	case c.id == "":
		r.Fail(schema.ErrLoginRequired)
	default:
		do(c, r)
	}
}

// Late is a reply that came when its wait was over: it counts as missed.
func (c *conn) Late(uint64, rpc.Response) {}

func (c *conn) giveOrder(r *rpc.Request) {
	var o schema.GiveOrder
	if r.IsNotification() {
		return // nobody would learn how it ended
	}
	if err := r.Decode(&o); err != nil {
		r.Fail(err)
		return
	}
	if err := c.checkOrder(o); err != nil {
		r.Fail(err)
		return
	}
	o.DeviceID = c.id
	c.orders.give(o, func(result schema.OrderResult) { r.Reply(result) })
}

func (c *conn) checkOrder(o schema.GiveOrder) error {
	if err := schema.CheckID("order_id", o.OrderID); err != nil {
		return err
	}
	if len(o.Params) > 0 && o.Params[0] != '{' && string(o.Params) != "null" {
		return schema.InvalidMember("params", "must be an object")
	}
	return c.checkDevice(o.DeviceID)
}

// checkDevice refuses what is meant for another device.
func (c *conn) checkDevice(id string) error {
	if id != "" && id != c.id {
		return schema.InvalidMember("device_id", "is another device's")
	}
	return nil
}

func (c *conn) restartConfirm(r *rpc.Request) {
	var p schema.RestartConfirm
	if err := r.Decode(&p); err != nil {
		r.Fail(err)
		return
	}
	c.orders.confirmRestart(p.OrderID)
	r.Reply(struct{}{}) // it is a notification; as a request it is answered too
}

func (c *conn) deviceUpdate(r *rpc.Request) {
	var record schema.DeviceUpdate
	if err := r.Decode(&record); err != nil {
		r.Fail(err)
		return
	}
	if err := c.checkDevice(record.DeviceID); err != nil {
		r.Fail(err)
		return
	}
	c.log.add("update", "received", "device_name", record.Name)
	if !c.updates.put(record, func() { r.Reply(struct{}{}) }) {
		r.Fail(schema.Errorf(schema.Overloaded, "overloaded", "too many updates wait"))
	}
}

// handIn tells the server, one after the other, what the journal says of orders
// whose outcome it does not know (reliability F51). What fails here is asked
// for again at the next login. It runs on the loop.
func (c *conn) handIn(ids []string) {
	for i, id := range ids {
		result := c.orders.outcome(id, func(later schema.OrderResult) {
			c.post(func() { c.upload(id, later, nil) })
		})
		if result != nil {
			c.upload(id, *result, ids[i+1:])
			return
		}
	}
}

// upload hands one result in, and the rest when it is answered.
func (c *conn) upload(id string, result schema.OrderResult, rest []string) {
	params := schema.UploadResult{OrderID: id, Status: result.Status, Message: result.Message, Data: result.Data}
	_, err := c.peer.Call(schema.MethodUploadResult, params, func(resp rpc.Response) {
		c.post(func() {
			if resp.Err != nil {
				c.log.add("order", "hand_in_failed", "order_id", id, "cause", resp.Err.Message)
			} else {
				c.log.add("order", "handed_in", "order_id", id)
			}
			c.handIn(rest)
		})
	})
	if err != nil && !errors.Is(err, rpc.ErrClosed) {
		c.log.add("order", "hand_in_failed", "order_id", id, "cause", err)
		c.handIn(rest)
	}
}
