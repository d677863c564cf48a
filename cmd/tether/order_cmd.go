package main

import (
	"context"
	"os"

	"github.com/edgetether/tether/schema"
)

type orderCmd struct {
	Give    orderGiveCmd    `cmd:"" help:"Give a device an order, and wait for its outcome."`
	Show    orderShowCmd    `cmd:"" help:"Show an order."`
	List    orderListCmd    `cmd:"" help:"List a device's orders."`
	Cancel  orderCancelCmd  `cmd:"" help:"Cancel an order that waits."`
	Logfile orderLogfileCmd `cmd:"" help:"Print the log that an upload_log order has brought."`
}

// oneOrder is the argument of commands about one order.
type oneOrder struct {
	Order string `arg:"" help:"The order's id."`
}

type orderShowCmd struct {
	remote
	oneOrder
}

// Help is printed below the flags.
func (c *orderShowCmd) Help() string { return "Examples:\n  tether order show 2124685232438247424" }

// Run is the command.
func (c *orderShowCmd) Run(ctx context.Context, a *asking) error {
	o, err := a.OrderQuery(ctx, c.Order)
	if err != nil {
		return err
	}
	return showOrder(a, o)
}

func showOrder(a *asking, o schema.Order) error {
	state := string(o.State)
	if o.Reason != nil {
		state += ", " + *o.Reason
	}
	if o.Late {
		state += ", late"
	}
	verified := ""
	if o.Verified != nil {
		verified = map[bool]string{true: "by a new boot", false: "no: no new boot came in time"}[*o.Verified]
	}
	return a.record(o, "order_id", o.OrderID, "device_id", o.DeviceID, "order", o.Order, "params", string(o.Params),
		"state", state, "verified", verified, "message", o.Message, "data", dataText(o.Data), "by", o.By,
		"given", moment(o.CreatedTime), "sent", momentOr(o.SentTime, ""), "ended", momentOr(o.EndedTime, ""))
}

// dataText is an order's data; empty if there is none.
func dataText(data schema.RawObject) string {
	if string(data) == "null" {
		return ""
	}
	return string(data)
}

type orderListCmd struct {
	remote
	oneDevice
	Limit int `default:"20" help:"The newest so many; 0: all that are kept."`
}

// Help is printed below the flags.
func (c *orderListCmd) Help() string {
	return "The newest is the first.\n\nExamples:\n  tether order list press-7\n  tether order list press-7 --limit 0 --json"
}

// Run is the command.
func (c *orderListCmd) Run(ctx context.Context, a *asking) error {
	id, err := a.device(ctx, c.Device)
	if err != nil {
		return err
	}
	head := []string{"ID", "ORDER", "STATE", "GIVEN", "ENDED", "BY", "MESSAGE"}
	return list(a, a.DeviceOrders(ctx, id), c.Limit, head, func(o schema.Order) []string {
		return []string{o.OrderID, o.Order, string(o.State), moment(o.CreatedTime), momentOr(o.EndedTime, ""), o.By, o.Message}
	})
}

type orderCancelCmd struct {
	remote
	oneOrder
}

// Help is printed below the flags.
func (c *orderCancelCmd) Help() string {
	return "One that was sent already, or has ended, is not cancelled: exit code 1.\n\nExamples:\n  tether order cancel 2124685232438247424"
}

// Run is the command.
func (c *orderCancelCmd) Run(ctx context.Context, a *asking) error {
	o, err := a.OrderCancel(ctx, c.Order)
	if err != nil {
		return err
	}
	return a.done(o, "order %s (%s) was cancelled", o.OrderID, o.Order)
}

type orderLogfileCmd struct {
	connection
	oneOrder
	To string `placeholder:"FILE" help:"Write it to this file, which must not be there yet. Default: standard output."`
}

// Help is printed below the flags.
func (c *orderLogfileCmd) Help() string {
	return `The log is compared with the SHA-256 that its device has told. It is what the device wrote, byte for byte.

Examples:
  tether device logfiles press-7
  tether order logfile 2124685238176055296 --to press-7.log`
}

// Run is the command.
func (c *orderLogfileCmd) Run(ctx context.Context, a *asking) error {
	if c.To == "" {
		_, err := a.DeviceLogfile(ctx, c.Order, a.raw())
		return err
	}
	f, err := os.OpenFile(c.To, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = a.DeviceLogfile(ctx, c.Order, f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = os.Remove(c.To) // half a log is none
	}
	return err
}
