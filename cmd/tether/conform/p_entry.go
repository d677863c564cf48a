package conform

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/edgetether/tether/schema"
)

var entryScenarios = []scenario[*probe]{
	{"handshake", "The upgrade", []rule{
		{"plain", "southbound 1", "The subprotocol is optional, never required"},
		{"subprotocol", "southbound 1", "tether.v1 is selected when the client offers it"},
		{"origin", "southbound 1", "An Origin that is not on the server's list is refused with 403"},
	}, shakeHands},
	{"login-password", "login by device_id and password", []rule{
		{"result", "southbound 2", "The result has device_id, token, token_expires_time, server_time, unsettled_orders, heartbeat"},
		{"secret", "southbound 2", "Tokens that the server made begin with tt_"},
	}, serverLoginPassword},
	{"login-sn", "login by device_sn, device_model and password", []rule{
		{"same", "southbound 2", "It is the same device"},
	}, serverLoginSN},
	{"login-token", "login by token", []rule{
		{"token", "southbound 2", "The credential that an earlier login returned"},
		{"new", "southbound 2", "Every login gives a new token"},
		{"two", "southbound 2", "The newest two of a device are good"},
		{"old", "southbound 2", "and no others: -32001"},
	}, serverLoginToken},
	{"login-wrong", "A login that fails", []rule{
		{"error", "southbound 2", "A failed login is one error, -32001"},
		{"close", "southbound 2", "and then close code 4401"},
		{"same", "southbound 2", "the same in words whether the device is unknown or the secret is wrong"},
	}, serverLoginWrong},
	{"login-unusable", "A login that is none of the three forms", []rule{
		{"error", "southbound 2", "Missing members: -32602, and the message names the member"},
		{"close", "southbound 2", "then close 4400"},
	}, serverLoginUnusable},
	{"login-required", "Before the login", []rule{
		{"discover", "southbound 2", "Only rpc.discover is answered"},
		{"other", "southbound 2", "any other request gets -32002"},
		{"close", "southbound 2", "and the connection is closed with 4400"},
		{"batch", "southbound 1", "login is never in a batch"},
		{"size", "southbound 2", "A message of more than 4 KiB before the login is closed with 1009"},
	}, serverLoginRequired},
	{"login-twice", "A second login on a connection", []rule{
		{"error", "southbound 2", "A second one gets -32003"},
		{"same", "southbound 2", "and changes nothing"},
	}, serverLoginTwice},
	{"takeover", "A second connection of the same device", []rule{
		{"closed", "southbound 5", "4409: a newer login of the same device took over"},
		{"newest", "southbound 5", "The newest login always wins"},
	}, serverTakeover},
}

func shakeHands(p *probe) error {
	l, resp, err := p.dial(nil)
	p.check("plain", err == nil, "101", "%v", err)
	if err != nil {
		return err
	}
	l.drop()
	if resp.Header.Get("Sec-Websocket-Protocol") != "" {
		p.check("plain", false, "no subprotocol that was not offered", "%s", resp.Header.Get("Sec-Websocket-Protocol"))
	}
	l, _, err = p.dial(nil, schema.Subprotocol)
	if err != nil {
		return err
	}
	p.check("subprotocol", l.ws.Subprotocol() == schema.Subprotocol, schema.Subprotocol, "%q", l.ws.Subprotocol())
	l.drop()
	l, resp, err = p.dial(http.Header{"Origin": {"https://conform.invalid"}})
	if err == nil {
		l.drop()
		p.check("origin", false, "403", "101")
		return nil
	}
	refused := errors.Is(err, websocket.ErrBadHandshake) && resp.StatusCode == http.StatusForbidden
	p.check("origin", refused, "403", "%v", err)
	return nil
}

func serverLoginPassword(p *probe) error {
	l, r, err := p.login()
	if err != nil {
		return err
	}
	defer l.drop()
	h := r.Heartbeat
	ok := r.DeviceID == p.o.Device.ID && r.TokenExpires > r.ServerTime && r.ServerTime > 0 && r.Unsettled != nil &&
		h.PingIntervalMS > 0 && h.StatusIntervalMS > 0 && h.ReplyTimeoutMS > 0 && h.MaxFailures > 0
	r.Token = r.Token[:min(len(r.Token), len(schema.TokenPrefix))]
	p.check("result", ok, "all of them", "%+v", r)
	p.check("secret", r.Token == schema.TokenPrefix, schema.TokenPrefix, "%q", r.Token)
	return nil
}

func serverLoginSN(p *probe) error {
	if p.o.Device.SN == "" {
		return &unexercised{"no sn and model were given: --sn, --model"}
	}
	d := p.o.Device
	l, r, err := p.loginAs(fmt.Sprintf(`{"device_sn":%q,"device_model":%q,"password":%q}`, d.SN, d.Model, d.Password))
	if err != nil {
		return err
	}
	defer l.drop()
	p.check("same", r.DeviceID == d.ID, d.ID, "%q", r.DeviceID)
	return nil
}

func (p *probe) byToken(token string) string {
	return fmt.Sprintf(`{"device_id":%q,"token":%q}`, p.o.Device.ID, token)
}

func serverLoginToken(p *probe) error {
	l, first, err := p.login()
	if err != nil {
		return err
	}
	l.drop()
	tokens := []string{first.Token}
	for range 2 {
		l, r, err := p.loginAs(p.byToken(tokens[len(tokens)-1]))
		if err != nil {
			return err
		}
		l.drop()
		p.check("token", true, "", "")
		p.check("new", r.Token != tokens[len(tokens)-1] && r.Token != "", "another token", "the same")
		tokens = append(tokens, r.Token)
	}
	l, _, err = p.loginAs(p.byToken(tokens[1]))
	p.check("two", err == nil, "the second newest is good", "%v", err)
	if err == nil {
		l.drop()
	}
	m, _, err := p.refused(p.byToken(tokens[0]))
	p.errs("old", m, err, -32001)
	return nil
}

// refused tries a login that must not succeed.
func (p *probe) refused(params string) (message, *ending, error) {
	l, _, err := p.dial(nil)
	if err != nil {
		return message{}, nil, err
	}
	defer l.drop()
	m, err := l.call(schema.MethodLogin, params)
	if err != nil {
		return m, nil, err
	}
	end, err := l.closed(answerWithin)
	return m, end, err
}

func serverLoginWrong(p *probe) error {
	wrong, end, err := p.refused(fmt.Sprintf(`{"device_id":%q,"password":"tp_this-is-not-the-password-of-it"}`, p.o.Device.ID))
	p.errs("error", wrong, err, -32001)
	if err != nil {
		return err
	}
	p.check("close", end.code == schema.CloseLoginFailed, "4401", "%s", end.said())
	unknown, _, err := p.refused(`{"device_id":"1","password":"tp_this-is-not-the-password-of-it"}`)
	if err != nil {
		return err
	}
	p.check("same", string(unknown.raw) == string(wrong.raw), excerpt(wrong.raw), "%s", excerpt(unknown.raw))
	return nil
}

func serverLoginUnusable(p *probe) error {
	d := p.o.Device
	for _, c := range []struct{ params, names string }{
		{fmt.Sprintf(`{"device_id":%q}`, d.ID), "password"},
		{fmt.Sprintf(`{"password":%q}`, d.Password), "device_"},
		{fmt.Sprintf(`{"device_sn":"x","password":%q}`, d.Password), "device_model"},
		{`{"device_id":1860,"password":"conform-password"}`, "device_id"},
		{fmt.Sprintf(`[%q,%q]`, d.ID, d.Password), "params"},
	} {
		m, end, err := p.refused(c.params)
		p.errs("error", m, err, -32602)
		if err != nil {
			return err
		}
		if m.err != nil {
			p.check("error", strings.Contains(m.err.Message, c.names), "a message that names "+c.names, "%s", excerpt([]byte(m.err.Message)))
		}
		p.check("close", end.code == schema.CloseNoLogin, "4400", "%s", end.said())
	}
	return nil
}

func serverLoginRequired(p *probe) error {
	l, _, err := p.dial(nil)
	if err != nil {
		return err
	}
	defer l.drop()
	m, err := l.call(schema.MethodDiscover, "{}")
	p.check("discover", err == nil && m.err == nil, "the OpenRPC document", "%s", why(err, m.String()))
	m, err = l.call(schema.MethodPing, "{}")
	p.errs("other", m, err, -32002)
	if err := p.closes("close", l, schema.CloseNoLogin); err != nil {
		return err
	}
	alone, _, err := p.dial(nil)
	if err != nil {
		return err
	}
	defer alone.drop()
	m, err = alone.ask(`[{"jsonrpc":"2.0","id":1,"method":"login","params":` + p.password() + `}]`)
	p.errs("batch", m, err, -32600)
	long, _, err := p.dial(nil)
	if err != nil {
		return err
	}
	defer long.drop()
	if err := long.send(padded(`{"jsonrpc":"2.0","id":1,"method":"login","params":`+p.password()+`}`, schema.MaxLoginMessage+1)); err != nil {
		return err
	}
	return p.closes("size", long, schema.CloseTooBig)
}

// padded is a message with spaces, so that it has so many bytes.
func padded(text string, size int) string { return text + strings.Repeat(" ", size-len(text)) }

func serverLoginTwice(p *probe) error {
	l, _, err := p.login()
	if err != nil {
		return err
	}
	defer l.drop()
	m, err := l.call(schema.MethodLogin, p.password())
	p.errs("error", m, err, -32003)
	return p.pings("same", l)
}

func serverTakeover(p *probe) error {
	older, _, err := p.login()
	if err != nil {
		return err
	}
	defer older.drop()
	newer, _, err := p.login()
	if err != nil {
		return err
	}
	defer newer.drop()
	if err := p.closes("closed", older, schema.CloseTakeover); err != nil {
		return err
	}
	return p.pings("newest", newer)
}
