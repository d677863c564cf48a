package sim

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// receive takes one message. raw is not kept.
func (d *lean) receive(l *link, raw []byte) {
	m, ok := parseShort(raw)
	if !ok {
		m, ok = parse(raw)
	}
	now := d.fleet.clock.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.link != l || d.phase == leaving:
	case isBatch(raw):
		d.send(l, replyError(jsontext.Value("null"), schema.Errorf(schema.InvalidRequest, "invalid_request", "a device takes no batch")))
	case !ok:
		d.fleet.stats.garbled.Add(1)
	case m.Method != nil:
		d.request(l, &m, now)
	default:
		d.replied(l, &m, now)
	}
}

// replied takes a reply. One that is not awaited, or not any more, is none.
func (d *lean) replied(l *link, m *message, now moment) {
	s := &d.fleet.stats
	switch n := m.number; {
	case n == 0:
	case n == l.login:
		l.login = 0
		d.loginReplied(l, m, now)
	case n == l.ping:
		l.ping = 0
		s.ping.Add(now.since(l.pingAt))
		l.cadence.answered(&l.cadence.ping)
		d.turn(now)
	case n == l.report:
		l.report = 0
		s.report.Add(now.since(l.reportAt))
		l.cadence.answered(&l.cadence.report)
		d.turn(now)
	case n == l.hand:
		l.hand = 0
		d.handIn(l)
	}
}

func (d *lean) loginReplied(l *link, m *message, now moment) {
	if m.Error != nil { // the server's close follows, and says the rest
		l.end.refused, l.end.retry = m.Error.kind(), m.Error.retryAfter()
		l.end.reason = "login refused: " + m.Error.Message
		return
	}
	var r schema.LoginResult
	if rpc.Decode(m.Result, &r) != nil || schema.CheckID("device_id", r.DeviceID) != nil {
		d.leave(schema.CloseLiveness, "login reply not understood")
		return
	}
	a := d.account
	a.DeviceID, a.Token, a.TokenExpires = r.DeviceID, r.Token, r.TokenExpires
	d.orders.clock = r.ServerTime - time.Now().UnixMilli()
	l.end.loggedIn = true
	d.phase = present
	d.loggedIn(l.form)
	l.cadence = newCadence(r.Heartbeat, now)
	l.handing = r.Unsettled[:min(len(r.Unsettled), schema.MaxUnsettled)]
	d.turn(now)
	d.handIn(l)
}

// request takes a request or a notification of the server.
func (d *lean) request(l *link, m *message, now moment) {
	answer, err := d.handle(l, m, now)
	switch {
	case len(m.ID) == 0: // a notification
	case err != nil:
		d.send(l, replyError(m.ID, schema.Public(err)))
	case answer != nil:
		d.send(l, reply(m.ID, answer))
	}
}

// handle carries a request out; a nil answer comes later.
func (d *lean) handle(l *link, m *message, now moment) (answer any, err error) {
	if d.phase != present {
		return nil, schema.ErrLoginRequired
	}
	switch *m.Method {
	case schema.MethodGiveOrder:
		if len(m.ID) == 0 {
			return nil, nil // nobody would learn how it ended
		}
		return d.giveOrder(l, m, now)
	case schema.MethodRestartConfirm:
		var p schema.RestartConfirm
		if err := rpc.Decode(m.Params, &p); err != nil {
			return nil, err
		}
		d.confirmRestart(p.OrderID, now)
		return struct{}{}, nil
	case schema.MethodDeviceUpdate:
		var p schema.DeviceUpdate
		return struct{}{}, rpc.Decode(m.Params, &p)
	}
	return nil, schema.Errorf(schema.MethodNotFound, "method_not_found", "no such method")
}
