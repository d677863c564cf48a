package conform

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/edgetether/tether/schema"
)

var orderScenarios = []scenario[*bench]{
	{"order", "An order of the integrator's own", []rule{
		{"success", "southbound 3", `The result is {"status": "success", "message": …, "data": {…}}`},
		{"params", "southbound 3", "The integrator's orders carry params (conform_echo gives them back in data)"},
		{"second", "southbound 3", "One order at a time; the next one after it"},
	}, order},
	{"order-unknown", "An order type that the device does not know", []rule{
		{"fail", "southbound 3", `fail, "order not in config"`},
	}, orderUnknown},
	{"order-repeated", "An order id that was carried out is given again", []rule{
		{"remembered", "southbound 3", "One that it has carried out is answered with the remembered result"},
		{"once", "southbound 3", "It is not done again"},
		{"next-login", "southbound 3", "That holds on the next connection too"},
	}, orderRepeated},
	{"order-busy", "An order that takes its time", []rule{
		{"pings", "southbound 4", "Pings go on while an order is carried out"},
		{"result", "southbound 3", "The reply is awaited 10 s"},
	}, orderBusy},
	{"order-late", "An order that outlasts the 10 s", []rule{
		{"outcome", "southbound 3", "A reply after that is kept as the order's late result: it is given, or handed in"},
		{"next", "southbound 3", "and can never be taken for the next order's"},
	}, orderLate},
	{"order-expired", "An order whose deadline_time has passed", []rule{
		{"fail", "southbound 3", `A device does not begin an order after its deadline_time: fail, "expired"`},
	}, orderExpired},
	{"order-clock", "The server's clock is five hours behind, and then five hours ahead", []rule{
		{"behind", "southbound 3", "deadline_time is by the device's clock, corrected by the server_time of its login: an order in time is carried out"},
		{"behind-expired", "southbound 3", `and one that is late is not: fail, "expired"`},
		{"ahead", "southbound 3", "likewise when the server's clock is ahead: in time"},
		{"ahead-expired", "southbound 3", "and late"},
	}, orderClock},
	{"order-invalid", "Params of give_order that are wrong", []rule{
		{"no-id", "southbound 6", "-32602 invalid params, or fail: an order without order_id is not carried out"},
		{"params", "southbound 6", "nor one whose params are no object"},
		{"stays", "southbound 1", "The connection is kept"},
	}, orderInvalid},
	{"order-members", "Members that the contract does not have", []rule{
		{"login", "southbound 2", "Unknown members are ignored: of a login result"},
		{"order", "southbound 2", "and of an order"},
	}, orderMembers},
}

// echoText is what conform_echo has to give back.
const echoText = "conform: grün 蓝 42"

// give sends an order. A zero deadline is 10 s by the server's clock.
func (b *bench) give(s *session, id, orderType string, params any, deadline time.Time) (string, error) {
	if deadline.IsZero() {
		deadline = time.Now().Add(b.o.scaled(schema.OrderTimeout))
	}
	return s.call(schema.MethodGiveOrder, map[string]any{
		"order_id": id, "order_type": orderType, "is_inner": schema.IsInner(orderType), "device_id": b.o.Device.ID,
		"params": params, "deadline_time": deadline.UnixMilli(),
	})
}

// patience is how long a reply is waited for in scenarios that are not about it.
func (b *bench) patience() time.Duration {
	return b.o.Slack.late(b.o.scaled(schema.OrderTimeout)) + time.Second
}

// outcome is an order's result, or a JSON-RPC error, which also means fail.
type outcome struct {
	schema.OrderResult
	at    time.Time
	fault string // of the result
}

func (o outcome) String() string {
	if o.fault != "" {
		return o.fault
	}
	return fmt.Sprintf("%s %q %s", o.Status, excerpt([]byte(o.Message)), excerpt(o.Data))
}

func (o outcome) is(status string) bool { return o.fault == "" && o.Status == status }

func outcomeOf(m message) outcome {
	o := outcome{at: m.at}
	if m.err != nil {
		o.Status, o.Message = schema.ResultFail, m.err.Message
		return o
	}
	if err := decode(m.result, &o.OrderResult); err != nil {
		o.fault = fmt.Sprintf("a result that is none: %v: %s", err, excerpt(m.result))
		return o
	}
	switch {
	case o.Status != schema.ResultSuccess && o.Status != schema.ResultFail:
		o.fault = "status is neither success nor fail: " + excerpt(m.result)
	case len(o.Data) > 0 && o.Data[0] != '{' && string(o.Data) != "null":
		o.fault = "data is no object: " + excerpt(m.result)
	}
	return o
}

// order gives an order and waits for its reply.
func (b *bench) order(s *session, id, orderType string, params any, deadline time.Time) (outcome, error) {
	call, err := b.give(s, id, orderType, params, deadline)
	if err != nil {
		return outcome{}, err
	}
	m, err := s.await(call, b.patience())
	if errors.Is(err, errTimeUp) {
		err = &broken{"a reply to " + orderType, "none within " + round(b.patience()).String()}
	}
	return outcomeOf(m), err
}

func (b *bench) echo(s *session, id string) (outcome, error) {
	return b.order(s, id, b.o.EchoOrder, echoParams(), time.Time{})
}

func echoParams() map[string]any { return map[string]any{"text": echoText} }

// sleepParams make conform_sleep take so long.
func sleepParams(d time.Duration) map[string]any { return map[string]any{"ms": d.Milliseconds()} }

// contains looks for a text in any string of a JSON value: a program that
// prints may add to it.
func contains(raw []byte, text string) bool {
	var value any
	if json.Unmarshal(raw, &value) != nil {
		return false
	}
	return holds(value, text)
}

func order(b *bench) error {
	s, err := b.session(welcome{})
	if err != nil {
		return err
	}
	o, err := b.echo(s, b.newOrderID())
	if err != nil {
		return err
	}
	b.check("success", o.is(schema.ResultSuccess), "success", "%s", o)
	b.check("params", contains(o.Data, echoText), fmt.Sprintf("data with %q", echoText), "%s", o)
	o, err = b.echo(s, b.newOrderID())
	if err != nil {
		return err
	}
	b.check("second", o.is(schema.ResultSuccess), "success", "%s", o)
	return nil
}

func orderUnknown(b *bench) error {
	s, err := b.session(welcome{})
	if err != nil {
		return err
	}
	o, err := b.order(s, b.newOrderID(), "conform_unknown", struct{}{}, time.Time{})
	if err != nil {
		return err
	}
	b.check("fail", o.is(schema.ResultFail) && o.Message == "order not in config", `fail "order not in config"`, "%s", o)
	return nil
}

func orderRepeated(b *bench) error {
	s, err := b.session(welcome{})
	if err != nil {
		return err
	}
	id, nap := b.newOrderID(), b.o.scaled(4*time.Second)
	first, err := b.order(s, id, b.o.SleepOrder, sleepParams(nap), time.Time{})
	if err != nil {
		return err
	}
	if !first.is(schema.ResultSuccess) {
		return &broken{b.o.SleepOrder + " succeeds", first.String()}
	}
	again := func(key string) error {
		began := time.Now()
		o, err := b.order(s, id, b.o.SleepOrder, sleepParams(nap), time.Time{})
		if err != nil {
			return err
		}
		same := o.Status == first.Status && o.Message == first.Message
		b.check(key, same, first.String(), "%s", o)
		d := o.at.Sub(began)
		b.check("once", d < nap*3/4, fmt.Sprintf("an answer sooner than the order takes, %v", nap), "after %v", round(d))
		return nil
	}
	if err := again("remembered"); err != nil {
		return err
	}
	if s, err = b.session(welcome{}); err != nil {
		return err
	}
	return again("next-login")
}

func orderBusy(b *bench) error {
	const often = time.Second
	s, err := b.session(welcome{heartbeat: b.heartbeat(often, seldom)})
	if err != nil {
		return err
	}
	ping, nap := b.o.beat(often), b.o.scaled(schema.OrderTimeout)*8/10
	call, err := b.give(s, b.newOrderID(), b.o.SleepOrder, sleepParams(nap), time.Time{})
	if err != nil {
		return err
	}
	before := len(s.seen)
	m, err := s.await(call, b.patience())
	if err != nil {
		return &broken{"a reply in 10 s", err.Error()}
	}
	o := outcomeOf(m)
	b.check("result", o.is(schema.ResultSuccess), "success", "%s", o)
	if nap < b.o.Slack.late(ping) {
		b.skip("pings", "orders end before a ping is due: give a smaller heartbeat scale, or a larger time scale")
		return nil
	}
	beats := 0
	for _, m := range s.seen[before:] {
		if m.method == schema.MethodPing || m.method == schema.MethodUploadStatus {
			beats++
		}
	}
	b.check("pings", beats > 0, fmt.Sprintf("a ping or report within %v", nap), "none")
	return nil
}

func orderLate(b *bench) error {
	s, err := b.session(welcome{})
	if err != nil {
		return err
	}
	limit := b.o.scaled(schema.OrderTimeout)
	id := b.newOrderID()
	late, err := b.give(s, id, b.o.SleepOrder, sleepParams(limit*3/2), time.Time{})
	if err != nil {
		return err
	}
	err = s.pump(b.o.Slack.late(2*limit), func(message) bool { return s.settled(late, id) })
	if err != nil {
		b.check("outcome", false, "a reply, or upload_instruction_result", "%v", err)
	} else {
		b.check("outcome", true, "", "")
	}
	o, err := b.echo(s, b.newOrderID())
	if err != nil {
		return err
	}
	b.check("next", o.is(schema.ResultSuccess) && contains(o.Data, echoText), "the next order's own result", "%s", o)
	return nil
}

// settled says whether an order's outcome is known: by the reply to its call,
// or handed in.
func (s *session) settled(call, id string) bool {
	_, replied := s.answers[call]
	_, handed := s.result(id)
	return replied || handed
}

// result is what was handed in of an order.
func (s *session) result(id string) (r schema.UploadResult, found bool) {
	for _, r := range s.results {
		if r.OrderID == id {
			return r, true
		}
	}
	return r, false
}

func orderExpired(b *bench) error {
	s, err := b.session(welcome{})
	if err != nil {
		return err
	}
	return b.expired(s, "fail", time.Now().Add(-2*time.Second))
}

func (b *bench) expired(s *session, key string, deadline time.Time) error {
	o, err := b.order(s, b.newOrderID(), b.o.EchoOrder, echoParams(), deadline)
	if err != nil {
		return err
	}
	b.check(key, o.is(schema.ResultFail) && o.Message == "expired", `fail "expired"`, "%s", o)
	return nil
}

func orderClock(b *bench) error {
	for _, c := range []struct {
		key string
		off time.Duration
	}{{"behind", -5 * time.Hour}, {"ahead", 5 * time.Hour}} {
		s, err := b.session(welcome{clock: c.off})
		if err != nil {
			return err
		}
		deadline := time.Now().Add(c.off + b.o.scaled(schema.OrderTimeout))
		o, err := b.order(s, b.newOrderID(), b.o.EchoOrder, echoParams(), deadline)
		if err != nil {
			return err
		}
		b.check(c.key, o.is(schema.ResultSuccess), "success", "%s", o)
		if err := b.expired(s, c.key+"-expired", time.Now().Add(c.off-2*time.Second)); err != nil {
			return err
		}
	}
	_, err := b.session(welcome{}) // with the clock right again
	return err
}

func orderInvalid(b *bench) error {
	s, err := b.session(welcome{})
	if err != nil {
		return err
	}
	deadline := time.Now().Add(b.o.scaled(schema.OrderTimeout)).UnixMilli()
	for _, c := range []struct {
		key    string
		params map[string]any
	}{
		{"no-id", map[string]any{"order_type": b.o.EchoOrder, "is_inner": false, "params": echoParams(), "deadline_time": deadline}},
		{"params", map[string]any{"order_id": b.newOrderID(), "order_type": b.o.EchoOrder, "is_inner": false, "params": 7, "deadline_time": deadline}},
	} {
		call, err := s.call(schema.MethodGiveOrder, c.params)
		if err != nil {
			return err
		}
		m, err := s.await(call, b.patience())
		if err != nil {
			b.check(c.key, false, "-32602, or fail", "%v", err)
			return err
		}
		o := outcomeOf(m)
		b.check(c.key, o.is(schema.ResultFail), "-32602, or fail", "%s", o)
	}
	o, err := b.echo(s, b.newOrderID())
	b.check("stays", err == nil && o.is(schema.ResultSuccess), "the next order succeeds", "%v %s", err, o)
	return nil
}

func orderMembers(b *bench) error {
	s, err := b.session(welcome{extra: true})
	if err != nil {
		return err
	}
	b.firstReport(s, "login")
	call, err := s.call(schema.MethodGiveOrder, map[string]any{
		"order_id": b.newOrderID(), "order_type": b.o.EchoOrder, "is_inner": false, "device_id": b.o.Device.ID,
		"params": echoParams(), "deadline_time": time.Now().Add(b.o.scaled(schema.OrderTimeout)).UnixMilli(),
		"conform_extra": jsontext.Value(`{"of":[1,2]}`),
	})
	if err != nil {
		return err
	}
	m, err := s.await(call, b.patience())
	if err != nil {
		return err
	}
	b.check("order", outcomeOf(m).is(schema.ResultSuccess), "success", "%s", outcomeOf(m))
	return nil
}
