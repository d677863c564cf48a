package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/edgetether/tether/schema"
)

// phase is where a lean device is between two connections.
type phase uint8

const (
	away     phase = iota // it connects at due
	dialling              // its goroutine is on the way to a connection
	entering              // login is sent; its reply is awaited until due
	present               // logged in; the cadence is due
	leaving               // its close frame is out; the socket is closed at due
	stopped
)

// lean is a device as small as it can be that keeps the contract to the
// instant: some hundred bytes, and while it has a connection one goroutine, which
// reads. All that waits for a time waits on the fleet's clock. What has to be
// written is written by a goroutine that ends when nothing is left.
type lean struct {
	unit
	slow    bool // it never hangs up, and asks for more than it could read
	patient bool // it never hangs up

	mu     sync.Mutex // guards what follows; never held across a wait
	phase  phase
	due    moment // of the phase; 0: nothing is
	alarm  alarm  // due, or the order's, whichever is sooner
	boots  int
	reboot bool // this connection ends for a restart
	quits  bool // and this one for good
	link   *link
	orders orders
}

// link is one connection of a lean device.
type link struct {
	ws       *websocket.Conn
	out      []outgoing // waits to be written
	writing  bool       // a goroutine writes
	ids      uint64     // the last that was used
	login    uint64     // ids of what is awaited; 0: not
	ping     uint64
	report   uint64
	pingAt   moment
	reportAt moment
	form     string
	cadence  cadence
	end      ending
	handing  []string // orders that the server asked for, not handed in yet
	hand     uint64   // the one that is being handed in
}

// outgoing is a message, or with a code the close frame.
type outgoing struct {
	text []byte
	code schema.CloseCode
}

// maxOut is how many messages wait to be written before the connection is
// given up: its server reads nothing.
const maxOut = 256

func newLean(f *fleet, a *Account, index int, slow bool) *lean {
	d := &lean{unit: unit{fleet: f, account: a, id: a.DeviceID, index: index}, slow: slow, patient: slow || f.options.Patient}
	d.alarm.wake = d.tick
	return d
}

func (d *lean) start(at moment) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.setDue(at)
}

func (d *lean) restart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.beginReboot()
}

func (d *lean) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.quits = true
	switch d.phase {
	case away:
		d.halt()
	case entering, present:
		d.line.Load().hurt(ended)
		d.leave(schema.CloseDone, "stopped")
	}
}

// setDue sets the phase's time, and the alarm to the first that is due.
func (d *lean) setDue(at moment) {
	d.due = at
	d.rearm()
}

func (d *lean) rearm() {
	first := d.due
	if o := d.orders.due(); o != 0 && (first == 0 || o < first) {
		first = o
	}
	switch {
	case first != 0 && d.phase != stopped:
		d.fleet.clock.set(&d.alarm, first)
	default:
		d.fleet.clock.clear(&d.alarm)
	}
}

// tick is the clock's call.
func (d *lean) tick(now moment) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if o := d.orders.due(); o != 0 && o <= now {
		d.finishOrder(now)
	}
	if d.due == 0 || d.due > now {
		d.rearm()
		return
	}
	d.due = 0
	switch d.phase {
	case away:
		d.phase = dialling
		d.fleet.tasks.Go(d.connect)
	case entering:
		d.leave(schema.CloseLiveness, "no reply to login")
		return
	case present:
		d.turn(now)
		return
	case leaving:
		_ = d.link.ws.Close() // the reader sees it
	}
	d.rearm()
}

// turn does what the cadence says.
func (d *lean) turn(now moment) {
	l := d.link
	if missed := l.cadence.miss(now); missed > 0 && d.sound() {
		d.fleet.stats.missed.Add(int64(missed))
	}
	if d.patient {
		l.cadence.missed = 0
	}
	for {
		do, wake := l.cadence.next(now)
		switch do {
		case sendPing:
			d.ping(l, now)
		case sendReport:
			l.report, l.reportAt = l.id(), now
			d.send(l, request(l.report, reportTail))
			d.fleet.stats.reports.Add(1)
		case hangUp:
			d.leave(schema.CloseLiveness, "no replies")
			return
		case rest:
			d.setDue(wake)
			return
		}
	}
}

// asked is how often a slow device asks for the contract with each ping: 17 KB a
// second that it does not read.
const asked = 4

func (d *lean) ping(l *link, now moment) {
	l.ping, l.pingAt = l.id(), now
	d.send(l, request(l.ping, pingTail))
	d.fleet.stats.pings.Add(1)
	if d.slow {
		for range asked {
			d.send(l, request(l.id(), aboutTail))
		}
	}
}

func (d *lean) sound() bool { return d.line.Load().is() == sound }

func (l *link) id() uint64 {
	l.ids++
	return l.ids
}

// leave closes the connection. If the server does not close it within a second,
// we do.
func (d *lean) leave(code schema.CloseCode, reason string) {
	l := d.link
	l.end.reason = reason
	l.out = append(l.out, outgoing{[]byte(reason), code})
	d.phase = leaving
	d.setDue(d.fleet.clock.now().in(closeWait))
	d.write(l)
}

// beginReboot is a restart of the device: a new boot_id, over a new connection.
// An order that was being carried out is lost with the process.
func (d *lean) beginReboot() {
	d.boots++
	d.orders.running = nil
	switch d.phase {
	case away:
		d.setDue(d.fleet.clock.now())
	case entering, present:
		d.reboot = true
		d.line.Load().hurt(ended)
		d.leave(schema.CloseDone, "restart")
	case leaving:
		d.reboot = true
	}
}

// connect makes a connection and logs in. The goroutine that stays is a new one:
// this one's stack has grown with what a handshake needs.
func (d *lean) connect() {
	l, err := d.open()
	if err != nil {
		d.ended(&link{end: ending{reason: "connect: " + dialCause(err)}}, err)
		return
	}
	if err := d.readOne(l); err != nil {
		d.ended(l, err)
		return
	}
	d.fleet.tasks.Go(func() { d.ended(l, d.read(l)) })
}

// open dials and logs in.
func (d *lean) open() (*link, error) {
	ctx, cancel := context.WithTimeout(d.fleet.ctx, dialTimeout)
	defer cancel()
	dialer := websocket.Dialer{
		NetDialContext: d.dial, Subprotocols: []string{schema.Subprotocol},
		ReadBufferSize: readBuffer, WriteBufferSize: writeBuffer, WriteBufferPool: &writeBuffers,
	}
	ws, resp, err := dialer.DialContext(ctx, d.fleet.url, nil)
	if errors.Is(err, websocket.ErrBadHandshake) {
		return nil, fmt.Errorf("handshake refused: %s", resp.Status)
	}
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(schema.MaxMessage)
	l := &link{ws: ws}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.link, d.phase = l, entering
	if d.quits {
		d.line.Load().hurt(ended)
		d.leave(schema.CloseDone, "stopped")
		return l, nil
	}
	l.login = l.id()
	params := d.credentials()
	l.form = d.form(params.Token != "")
	d.send(l, requestOf(l.login, schema.MethodLogin, params))
	d.setDue(d.fleet.clock.now().in(loginTimeout))
	return l, nil
}

// credentials are the token while it is good, or else the password.
func (d *lean) credentials() schema.LoginParams {
	a := d.account
	p := schema.LoginParams{BootID: fmt.Sprintf("%s-%d-%d", d.fleet.run, d.index, d.boots), Client: clientInfo}
	switch {
	case a.Token != "" && d.serverTime() < a.TokenExpires:
		p.DeviceID, p.Token = a.DeviceID, a.Token
	case a.DeviceID != "":
		p.DeviceID, p.Password = a.DeviceID, a.Password
	default:
		p.SN, p.Model, p.Password = a.SN, a.Model, a.Password
	}
	return p
}

// ended is the end of a connection's goroutine: what follows is decided here.
func (d *lean) ended(l *link, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := &l.end
	var closed *websocket.CloseError
	switch {
	case d.phase == leaving: // it was ours, and says why
	case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure && closed.Code != websocket.CloseNoStatusReceived:
		e.code, e.reason = schema.CloseCode(closed.Code), closed.Text
	case e.reason == "":
		e.reason = lostCause(err)
	}
	if l.ws != nil {
		_ = l.ws.Close() // it is over
	}
	if e.loggedIn || !d.quits {
		d.over(*e)
	}
	d.link, d.phase = nil, away
	v := e.after(rand.Float64())
	if v.forgetToken {
		d.account.Token = ""
	}
	if d.reboot {
		v = verdict{}
	}
	if d.quits || v.stop {
		d.halt()
		return
	}
	d.reboot = false
	d.setDue(d.fleet.clock.now().in(v.wait))
}

// halt is the end of the device.
func (d *lean) halt() {
	d.phase, d.link = stopped, nil
	d.rearm()
	d.fleet.halted()
}
