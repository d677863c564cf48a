package conform

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgetether/tether/schema"
)

// ServerOptions say which server a run tests, and as whom. URL and Device.ID
// and Device.Password are required.
type ServerOptions struct {
	URL    string // ws:// or wss://, with the path
	Device Identity

	// API and Key are the server's other side, for orders. Default: none are
	// given, and what they would have shown is not exercised.
	API, Key string
	// Slow has the probe wait for what takes its time: 5, 10 and 18.5 s.
	Slow  bool
	Slack Slack

	NetDial func(ctx context.Context, network, addr string) (net.Conn, error) // in place of the network
	Only    []string
	Say     func(format string, args ...any)
}

func (o ServerOptions) withDefaults() (ServerOptions, error) {
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	if o.NetDial == nil {
		o.NetDial = (&net.Dialer{Timeout: answerWithin}).DialContext
	}
	u, err := url.Parse(o.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "ws" && u.Scheme != "wss":
		return o, errors.New("conform: URL: must be ws://host:port/path or wss://host/path")
	case schema.CheckID("", o.Device.ID) != nil:
		return o, errors.New("conform: Device.ID: must be decimal digits")
	case o.Device.Password == "":
		return o, errors.New("conform: Device.Password: required")
	case (o.Device.SN == "") != (o.Device.Model == ""):
		return o, errors.New("conform: Device: SN and Model go together")
	case (o.API == "") != (o.Key == ""):
		return o, errors.New("conform: API and Key go together")
	}
	return o, checkNames(o.Only, serverScenarios())
}

// serverScenarios are all that a server is tested with, in their order.
func serverScenarios() []scenario[*probe] {
	return slices.Concat(entryScenarios, messageScenarios, frameScenarios, businessScenarios, slowScenarios)
}

// probe is a scenario of a server at work: a device that does as it is told.
type probe struct {
	*sheet
	o    ServerOptions
	ctx  context.Context
	http *http.Client
}

// answerWithin is how long an answer is waited for.
const answerWithin = 10 * time.Second

// RunServer holds a server against the device's side of the contract. It logs
// in as the device, which must not be online elsewhere meanwhile.
func RunServer(ctx context.Context, o ServerOptions) (*Report, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{DialContext: o.NetDial}
	defer transport.CloseIdleConnections()
	r := &Report{Of: "the server " + o.URL, Tolerance: "Answers are awaited " + answerWithin.String() + ".", Started: time.Now()}
	for _, s := range serverScenarios() {
		if len(o.Only) > 0 && !slices.Contains(o.Only, s.name) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return r, err
		}
		p := &probe{sheet: newSheet(s.rules), o: o, ctx: ctx, http: &http.Client{Transport: transport}}
		result := perform(ctx, s, p, p.sheet)
		r.Results = append(r.Results, result)
		o.Say("%-13s  %s", result.outcome(), s.name)
	}
	return r, nil
}

// link is one connection of the probe. Its reader ends with it.
type link struct {
	ctx    context.Context
	ws     *websocket.Conn
	frames chan []message // closed at the end
	pongs  chan string
	ending *ending
	queue  []message // requests of the server that nobody has looked at
	lastID int
	opened time.Time
}

// dial makes a connection. header may be nil.
func (p *probe) dial(header http.Header, subprotocols ...string) (*link, *http.Response, error) {
	d := websocket.Dialer{NetDialContext: p.o.NetDial, HandshakeTimeout: answerWithin, Subprotocols: subprotocols}
	ws, resp, err := d.DialContext(p.ctx, p.o.URL, header)
	if err != nil {
		return nil, resp, err
	}
	l := &link{ctx: p.ctx, ws: ws, frames: make(chan []message, maxEvents), pongs: make(chan string, 1), opened: time.Now()}
	ws.SetReadLimit(readLimit)
	ws.SetPongHandler(func(text string) error {
		select {
		case l.pongs <- text:
		default:
		}
		return nil
	})
	go l.read()
	return l, resp, nil
}

func (l *link) read() {
	defer close(l.frames)
	for {
		_, raw, err := l.ws.ReadMessage()
		if err != nil {
			l.ending = newEnding(err)
			return
		}
		messages, _ := parse(raw, time.Now())
		select {
		case l.frames <- messages:
		default:
			l.ending = newEnding(errTooMuch)
			return
		}
	}
}

// drop ends the connection and waits for its reader.
func (l *link) drop() {
	l.ws.Close() //nolint:errcheck // the server may have been first
	for range l.frames {
	}
}

func (l *link) send(text string) error { return l.write(websocket.TextMessage, text) }

func (l *link) write(kind int, text string) error {
	if err := l.ws.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	return l.ws.WriteMessage(kind, []byte(text))
}

// raw writes bytes below the WebSocket library.
func (l *link) raw(b []byte) error {
	conn := l.ws.NetConn()
	if err := conn.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	_, err := conn.Write(b)
	return err
}

// next is the next frame's messages.
func (l *link) next(limit time.Duration) ([]message, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case messages, open := <-l.frames:
		if !open {
			return nil, &broken{"an answer", "the server closed: " + l.ending.said()}
		}
		return messages, nil
	case <-timer.C:
		return nil, &broken{"an answer", fmt.Sprintf("none within %v", limit)}
	case <-l.ctx.Done():
		return nil, l.ctx.Err()
	}
}

// said is an ending in a report about a server.
func (e *ending) said() string {
	if e.code == 0 {
		return "without a close frame: " + excerpt([]byte(e.text))
	}
	return fmt.Sprintf("%d %s", e.code, excerpt([]byte(e.text)))
}

// ask sends a text and waits for a response; requests of the server are kept.
func (l *link) ask(text string) (message, error) {
	if err := l.send(text); err != nil {
		return message{}, err
	}
	return l.response()
}

func (l *link) response() (message, error) {
	for {
		messages, err := l.next(answerWithin)
		if err != nil {
			return message{}, err
		}
		for _, m := range messages {
			if m.kind == response || m.kind == invalid {
				return m, nil
			}
			l.queue = append(l.queue, m)
		}
	}
}

// call makes a request; params is JSON.
func (l *link) call(method, params string) (message, error) {
	l.lastID++
	return l.ask(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, l.lastID, method, params))
}

// request waits for a request or notification of the server.
func (l *link) request(method string, limit time.Duration) (message, error) {
	until := time.Now().Add(limit)
	for {
		for i, m := range l.queue {
			if m.method == method {
				l.queue = slices.Delete(l.queue, i, i+1)
				return m, nil
			}
		}
		messages, err := l.next(time.Until(until))
		if err != nil {
			return message{}, &broken{method, err.Error()}
		}
		for _, m := range messages {
			if m.kind == request || m.kind == notification {
				l.queue = append(l.queue, m)
			}
		}
	}
}

// closed waits for the server's close.
func (l *link) closed(limit time.Duration) (*ending, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case _, open := <-l.frames:
			if !open {
				return l.ending, nil
			}
		case <-timer.C:
			return nil, &broken{"the server closes", fmt.Sprintf("not within %v", limit)}
		case <-l.ctx.Done():
			return nil, l.ctx.Err()
		}
	}
}

// closes checks the code that a connection is closed with.
func (p *probe) closes(key string, l *link, code schema.CloseCode) error {
	end, err := l.closed(answerWithin)
	if err != nil {
		p.check(key, false, fmt.Sprintf("closed with %d", code), "%v", err)
		return p.ctx.Err()
	}
	p.check(key, end.code == code, fmt.Sprintf("closed with %d", code), "%s", end.said())
	return nil
}

// errs checks that a response is an error of a code.
func (p *probe) errs(key string, m message, err error, code int) {
	p.check(key, err == nil && m.err != nil && m.err.Code == code, fmt.Sprint(code), "%s", why(err, m.String()))
}

// pings checks that a connection lives.
func (p *probe) pings(key string, l *link) error {
	m, err := l.call(schema.MethodPing, "{}")
	p.check(key, err == nil && string(m.result) == `"pong"`, `"pong"`, "%s", why(err, m.String()))
	return p.ctx.Err()
}

// login makes a connection and logs in by the password.
func (p *probe) login() (*link, schema.LoginResult, error) {
	return p.loginAs(p.password())
}

func (p *probe) password() string {
	return fmt.Sprintf(`{"device_id":%q,"password":%q,"boot_id":"conform"}`, p.o.Device.ID, p.o.Device.Password)
}

func (p *probe) loginAs(params string) (*link, schema.LoginResult, error) {
	var r schema.LoginResult
	l, _, err := p.dial(nil)
	if err != nil {
		return nil, r, err
	}
	m, err := l.call(schema.MethodLogin, params)
	if err == nil && m.err != nil {
		err = &broken{"the login succeeds", m.String()}
	}
	if err == nil {
		err = decode(m.result, &r)
	}
	if err != nil {
		l.drop()
		return nil, r, err
	}
	return l, r, nil
}
