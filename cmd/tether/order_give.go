package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
)

type orderGiveCmd struct {
	remote
	oneDevice
	givenOrder
	Wait           time.Duration `default:"10s" help:"How long to wait for the outcome; 0: not at all."`
	Queue          bool          `help:"The device is not there: the order waits for it."`
	WaitTurn       bool          `help:"Another order is under way: it waits its turn."`
	TTL            time.Duration `name:"ttl" placeholder:"TIME" help:"How long it may wait in all, with --queue or --wait-turn. Default: 1h."`
	IdempotencyKey string        `placeholder:"TEXT" help:"However often the order is given with this key, it is one. With it a lost connection is tried again."`
}

// givenOrder is an order as a command line has it.
type givenOrder struct {
	Order  string   `arg:"" help:"restart, upload_log, or one of your own."`
	Values []string `arg:"" optional:"" name:"name=value" help:"Members of its params. A value that is JSON is taken as that, else as text."`
	Params string   `placeholder:"JSON" help:"All of its params, an object."`
}

// Help is printed below the flags.
func (c *orderGiveCmd) Help() string {
	return `Prints the outcome, and the data that the device has answered. The exit code is

  0   the device says success; with --wait 0, the order was given
  1   it says failure, or the order was refused, cancelled or expired: message and code say which
  2   a wrong call
  3   there is no outcome: the wait is over, also by Ctrl-C, or nobody knows ("tether order show" may know more later)

Examples:
  tether order give press-7 restart
  tether order give press-7 say text=hello n=3
  tether order give press-7 set_volume --params '{"level":3}' --queue --ttl 24h --wait 0
  tether order give press-7 refill --idempotency-key refill-2026-11-23`
}

// Times of the wait for an outcome.
const (
	giveWait  = time.Second            // in the request that gives the order
	giveLook  = 250 * time.Millisecond // between two looks at it, afterwards
	giveGrace = time.Second            // for an outcome that is just being stored
)

// Validate finds a wrong call.
func (c *orderGiveCmd) Validate() error {
	if c.Wait < 0 || c.TTL < 0 || c.TTL%time.Second != 0 {
		return errors.New("--wait and --ttl are at least 0, and --ttl is whole seconds")
	}
	_, err := c.params()
	return err
}

// params are what the order carries; nil: nothing.
func (o givenOrder) params() (any, error) {
	if o.Params != "" {
		var object map[string]json.RawMessage
		if len(o.Values) > 0 {
			return nil, errors.New("--params has all params: leave it out, or the others")
		}
		if err := json.Unmarshal([]byte(o.Params), &object); err != nil || object == nil {
			return nil, errors.New(`--params: must be a JSON object, such as '{"level":3}'`)
		}
		return json.RawMessage(o.Params), nil
	}
	if len(o.Values) == 0 && schema.IsInner(o.Order) {
		return nil, nil
	}
	object := map[string]any{}
	for _, pair := range o.Values {
		name, value, ok := strings.Cut(pair, "=")
		if _, twice := object[name]; !ok || name == "" || twice {
			return nil, fmt.Errorf("%q: must be name=value, each name once", pair)
		}
		object[name] = value
		if json.Valid([]byte(value)) {
			object[name] = json.RawMessage(value)
		}
	}
	return object, nil
}

// Run is the command.
func (c *orderGiveCmd) Run(ctx context.Context, a *asking) error {
	id, err := a.device(ctx, c.Device)
	if err != nil {
		return err
	}
	params, err := c.params()
	if err != nil {
		return wrong("%w", err)
	}
	until := time.Now().Add(c.Wait + giveGrace)
	o, err := a.GiveOrder(ctx, client.NewOrder{
		DeviceID: id, Order: c.Order, Params: params, Wait: new(min(c.Wait, giveWait)),
		Queue: c.Queue, WaitTurn: c.WaitTurn, TTL: c.TTL, IdempotencyKey: c.IdempotencyKey,
	})
	switch {
	case o.OrderID != "":
	case ctx.Err() != nil:
		return ended{codeUnknown, fmt.Errorf("interrupted; \"tether order list %s\" knows whether the order was given", id)}
	default:
		return notGiven(err)
	}
	if c.Wait > 0 {
		if o, err = c.await(ctx, a, o, until); err != nil {
			return ended{codeUnknown, fmt.Errorf("%w; order %s goes on: \"tether order show %s\" knows what became of it", explained(err), o.OrderID, o.OrderID)}
		}
	}
	return c.outcome(a, o)
}

// notGiven is why there is no order. Without a word of the service nobody knows.
func notGiven(err error) error {
	var dialled *net.OpError
	if errors.As(err, &dialled) && dialled.Op == "dial" || errors.As(err, new(*tls.CertificateVerificationError)) {
		return err // nothing was sent
	}
	switch schema.Public(err).Code {
	case "device_offline", "device_unknown":
		return fmt.Errorf("%w; --queue lets the order wait for it", err)
	case "device_busy":
		return fmt.Errorf("%w; --wait-turn lets this one wait for its turn", err)
	}
	switch schema.KindOf(err) {
	case schema.OrderUnknown, schema.StoreUnavailable, schema.Internal:
		if ref, ok := client.Data[struct {
			OrderID string `json:"order_id"`
		}](err); ok && ref.OrderID != "" {
			err = fmt.Errorf("%w; whether it was sent is not known: \"tether order show %s\" may know", err, ref.OrderID)
		}
		return ended{codeUnknown, err}
	}
	return err
}

// await waits for the order's end, and shows how it is meanwhile.
func (c *orderGiveCmd) await(ctx context.Context, a *asking, o schema.Order, until time.Time) (schema.Order, error) {
	show := newBar(a.err, isTerminal(a.err))
	defer show.clear()
	begun := time.Now()
	for !o.State.Ended() && time.Now().Before(until) {
		if show.due() {
			show.show(-1, fmt.Sprintf("order %s is %s, %.0f s", o.OrderID, o.State, time.Since(begun).Seconds()))
		}
		select {
		case <-time.After(giveLook):
		case <-ctx.Done():
			return o, ctx.Err()
		}
		next, err := a.OrderQuery(ctx, o.OrderID)
		if err != nil {
			return o, err
		}
		o = next
	}
	return o, nil
}

// outcome shows the order's end in a line, and its data as JSON.
func (c *orderGiveCmd) outcome(a *asking, o schema.Order) error {
	text := fmt.Sprintf("order %s (%s): %s", o.OrderID, o.Order, o.State)
	if o.Reason != nil {
		text += ", " + *o.Reason
	}
	if o.Message != "" {
		text += ": " + o.Message
	}
	if err := a.done(o, "%s", text); err != nil {
		return err
	}
	if data := dataText(o.Data); data != "" && !a.json {
		if err := writeJSON(a.out, o.Data); err != nil {
			return err
		}
	}
	switch o.State {
	case schema.OrderSucceeded:
		return nil
	case schema.OrderQueued, schema.OrderSent:
		if c.Wait == 0 {
			return nil
		}
		return ended{codeUnknown, fmt.Errorf("no outcome after %v; \"tether order show %s\" knows what becomes of it", c.Wait, o.OrderID)}
	case schema.OrderStateLost:
		return ended{codeUnknown, fmt.Errorf("the order may have been carried out; a late result would show in \"tether order show %s\"", o.OrderID)}
	}
	return fmt.Errorf("the order %s", map[schema.OrderState]string{
		schema.OrderStateFail: "failed", schema.OrderCancelled: "was cancelled; nothing was sent", schema.OrderExpired: "expired; nothing was sent",
	}[o.State])
}
