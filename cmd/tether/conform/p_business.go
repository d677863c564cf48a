package conform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
)

var businessScenarios = []scenario[*probe]{
	{"order", "An order that succeeds, one that fails, one whose answer is an error", []rule{
		{"params", "southbound 3", "give_order has order_id, order_type, is_inner, device_id, params, deadline_time"},
		{"success", "southbound 3", "success is success"},
		{"fail", "southbound 3", "fail is fail, with its message"},
		{"error", "southbound 3", "A JSON-RPC error in place of a result also means fail"},
	}, serverOrder},
	{"order-lost", "The connection breaks before the answer", []rule{
		{"unknown", "southbound 2", "The server does not know the outcome: the order is unknown"},
		{"named", "southbound 2", "unsettled_orders of the next login names it"},
		{"handed-in", "southbound 2", "upload_instruction_result: {} once it is durably recorded"},
		{"twice", "southbound 2", "sending it twice is harmless"},
		{"settled", "southbound 2", "The order has the outcome, and is named no more"},
	}, serverLost},
	{"restart", "The restart dialogue", []rule{
		{"inner", "southbound 3", "is_inner orders belong to the framework"},
		{"confirm", "southbound 3", "restart_confirm after the device's reply, a notification with its order_id"},
		{"verified", "southbound 3", "The next login carries a new boot_id: only then is the order marked verified"},
	}, serverRestart},
	{"order-late", "An answer that comes after 10 s", []rule{
		{"timeout", "southbound 3", "The reply is awaited 10 s"},
		{"late", "southbound 3", "A reply after that is kept as the order's late result"},
	}, serverLate},
}

// probeOrder is the type of the orders that the probe gives itself.
const probeOrder = "conform_echo"

// verdict is what the business side says of an order.
type verdict struct {
	status int
	Data   schema.Order `json:"data"`
	Code   string       `json:"code"`
	err    error
}

func (v verdict) String() string {
	if v.err != nil {
		return v.err.Error()
	}
	return fmt.Sprintf("HTTP %d %s, state %s, message %q", v.status, v.Code, v.Data.State, excerpt([]byte(v.Data.Message)))
}

// business asks the server's other side.
func (p *probe) business(method, path string, body any) (v verdict) {
	raw, err := json.Marshal(body)
	if err != nil {
		return verdict{err: err}
	}
	req, err := http.NewRequestWithContext(p.ctx, method, p.o.API+northapi.Base+"/"+path, bytes.NewReader(raw))
	if err != nil {
		return verdict{err: err}
	}
	req.Header.Set("Authorization", "Bearer "+p.o.Key)
	if method != http.MethodGet {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return verdict{err: err}
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	v.status = resp.StatusCode
	v.err = json.NewDecoder(http.MaxBytesReader(nil, resp.Body, readLimit)).Decode(&v)
	return v
}

// give gives an order, and hands the device's side its request.
func (p *probe) give(l *link, order string, params any) (given message, o schema.GiveOrder, answer <-chan verdict, err error) {
	body := map[string]any{"device_id": p.o.Device.ID, "order": order}
	if params != nil {
		body["params"] = params
	}
	answers := make(chan verdict, 1)
	go func() { answers <- p.business(http.MethodPost, "give_order", body) }()
	given, err = l.request(schema.MethodGiveOrder, answerWithin)
	if err != nil {
		return given, o, answers, p.orWhy(err, answers)
	}
	return given, o, answers, decode(given.params, &o)
}

// orWhy prefers what the business side said to that nothing came.
func (p *probe) orWhy(err error, answers <-chan verdict) error {
	select {
	case v := <-answers:
		return &broken{"give_order reaches the device", v.String()}
	case <-time.After(time.Second):
		return err
	}
}

// online logs in, as one that may be given orders: it has been seen.
func (p *probe) online(boot string) (*link, schema.LoginResult, error) {
	if p.o.API == "" {
		return nil, schema.LoginResult{}, &unexercised{"orders are given by the server's other side: --api, --key"}
	}
	return p.loginAs(fmt.Sprintf(`{"device_id":%q,"password":%q,"boot_id":%q}`, p.o.Device.ID, p.o.Device.Password, boot))
}

func (l *link) result(id, result string) error {
	return l.send(`{"jsonrpc":"2.0","id":` + id + `,"result":` + result + `}`)
}

func serverOrder(p *probe) error {
	l, _, err := p.online("conform")
	if err != nil {
		return err
	}
	defer l.drop()
	for _, c := range []struct{ key, member, answer, state string }{
		{"success", "result", `{"status":"success","message":"done","data":{"n":3}}`, "succeeded"},
		{"fail", "result", `{"status":"fail","message":"lamp is hot"}`, "failed"},
		{"error", "error", `{"code":-32602,"message":"lamp is hot"}`, "failed"},
	} {
		given, o, answer, err := p.give(l, probeOrder, map[string]any{"text": echoText})
		if err != nil {
			return err
		}
		ok := o.OrderID != "" && o.OrderType == probeOrder && !o.IsInner && o.DeviceID == p.o.Device.ID &&
			contains(o.Params, echoText) && o.Deadline > 0 && given.kind == request
		p.check("params", ok, "all of them", "%s", excerpt(given.params))
		if err := l.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,%q:%s}`, given.id, c.member, c.answer)); err != nil {
			return err
		}
		v := <-answer
		p.check(c.key, string(v.Data.State) == c.state, c.state, "%s", v)
	}
	return nil
}

func (p *probe) lookUp(id string) verdict {
	return p.business(http.MethodGet, "order_query/"+id, nil)
}

func serverLost(p *probe) error {
	l, _, err := p.online("conform")
	if err != nil {
		return err
	}
	_, o, answer, err := p.give(l, probeOrder, map[string]any{"text": echoText})
	l.drop()
	if err != nil {
		return err
	}
	v := <-answer
	p.check("unknown", v.Data.State == schema.OrderStateLost, "unknown", "%s", v)
	l, r, err := p.online("conform")
	if err != nil {
		return err
	}
	defer l.drop()
	p.check("named", len(r.Unsettled) > 0 && has(r.Unsettled, o.OrderID), o.OrderID, "%v", r.Unsettled)
	for _, key := range []string{"handed-in", "twice"} {
		m, err := l.call(schema.MethodUploadResult, fmt.Sprintf(`{"order_id":%q,"status":"success","message":"done"}`, o.OrderID))
		p.check(key, err == nil && string(m.result) == "{}", "{}", "%s", why(err, m.String()))
	}
	v = p.lookUp(o.OrderID)
	p.check("settled", v.Data.State == schema.OrderSucceeded && v.Data.Late, "succeeded, late", "%s", v)
	again, r, err := p.online("conform")
	if err != nil {
		return err
	}
	again.drop()
	p.check("settled", !has(r.Unsettled, o.OrderID), "no such order", "%v", r.Unsettled)
	return nil
}

func has(ids []string, id string) bool {
	for _, one := range ids {
		if one == id {
			return true
		}
	}
	return false
}

func serverRestart(p *probe) error {
	l, _, err := p.online("conform-1")
	if err != nil {
		return err
	}
	given, o, answer, err := p.give(l, schema.OrderRestart, nil)
	if err != nil {
		l.drop()
		return err
	}
	p.check("inner", o.IsInner, "is_inner true", "%s", excerpt(given.params))
	err = l.result(given.id, `{"status":"success","message":"wait Server Confirm"}`)
	var confirm message
	if err == nil {
		confirm, err = l.request(schema.MethodRestartConfirm, answerWithin)
	}
	l.drop()
	var c schema.RestartConfirm
	ok := err == nil && confirm.kind == notification && decode(confirm.params, &c) == nil && c.OrderID == o.OrderID
	p.check("confirm", ok, "restart_confirm of "+o.OrderID, "%s", why(err, confirm.String()))
	v := <-answer
	p.check("verified", v.Data.Verified == nil, "not verified before the new boot", "%s", v)
	if l, _, err = p.online("conform-2"); err != nil {
		return err
	}
	defer l.drop()
	// The mark is made beside the login's answer.
	for until := time.Now().Add(answerWithin); ; {
		v = p.lookUp(o.OrderID)
		if v.Data.Verified != nil || !time.Now().Before(until) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.check("verified", v.Data.Verified != nil && *v.Data.Verified, "verified", "%s", v)
	return nil
}

func serverLate(p *probe) error {
	if !p.o.Slow {
		return &unexercised{"it takes 10 s: --slow"}
	}
	l, _, err := p.online("conform")
	if err != nil {
		return err
	}
	defer l.drop()
	given, o, answer, err := p.give(l, probeOrder, map[string]any{"text": echoText})
	if err != nil {
		return err
	}
	began := time.Now()
	var v verdict
	for waiting := true; waiting; {
		select {
		case v = <-answer:
			waiting = false
		case <-time.After(schema.PingInterval):
			if err := p.pings("timeout", l); err != nil {
				return err
			}
		}
	}
	took := time.Since(began)
	ok := v.Data.State == schema.OrderStateLost && took >= p.o.Slack.early(schema.OrderTimeout) && took <= p.o.Slack.late(schema.OrderTimeout)
	p.check("timeout", ok, "unknown after 10 s", "%s after %v", v, round(took))
	if err := l.result(given.id, `{"status":"success","message":"at last"}`); err != nil {
		return err
	}
	if err := p.pings("late", l); err != nil { // the answer is behind it
		return err
	}
	for until := time.Now().Add(answerWithin); time.Now().Before(until) && v.Data.State == schema.OrderStateLost; {
		time.Sleep(10 * time.Millisecond)
		v = p.lookUp(o.OrderID)
	}
	p.check("late", v.Data.State == schema.OrderSucceeded && v.Data.Late, "succeeded, late", "%s", v)
	return nil
}
