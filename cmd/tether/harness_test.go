package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/edgetether/tether/device"
	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
)

func TestMain(m *testing.M) {
	if runAsProgram() {
		return
	}
	goleak.VerifyTestMain(m)
}

// programEnv makes the test binary be a program, for tests of processes.
const programEnv = "TETHER_TEST_PROGRAM"

// programs are those that it can be.
var programs = map[string]func(){"tether": main}

// besideProgram runs beside the program in a process of a test's; nil: nothing.
var besideProgram func()

func runAsProgram() bool {
	program, ok := programs[os.Getenv(programEnv)]
	if !ok {
		return false
	}
	if besideProgram != nil {
		go besideProgram()
	}
	program()
	return true
}

// memory is a listener in memory: its connections are pipes, which virtual
// time can see.
type memory struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemory() *memory {
	return &memory{conns: make(chan net.Conn), closed: make(chan struct{})}
}

type memoryAddr string

func (memoryAddr) Network() string  { return "tcp" }
func (a memoryAddr) String() string { return string(a) }

// memoryConn has the addresses that a socket would have.
type memoryConn struct {
	net.Conn
	remote memoryAddr
}

func (c memoryConn) RemoteAddr() net.Addr { return c.remote }
func (c memoryConn) LocalAddr() net.Addr  { return memoryAddr("10.0.0.1:9090") }

func (l *memory) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memory) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *memory) Addr() net.Addr { return memoryAddr("10.0.0.1:9090") }

// dialFrom connects as if from an address.
func (l *memory) dialFrom(source string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		near, far := net.Pipe()
		select {
		case l.conns <- memoryConn{far, memoryAddr(source + ":40000")}:
			return near, nil
		case <-l.closed:
		case <-ctx.Done():
		}
		return nil, net.ErrClosed
	}
}

// world is a whole service over a listener in memory, with real SQLite, in
// virtual time: make it inside a synctest bubble.
type world struct {
	t        testing.TB
	dir      string
	config   serviceConfig
	svc      *service
	listener *memory
	address  string // of a real socket
	stop     context.CancelFunc
	served   chan error
	key      string // of an admin
	http     *http.Client
	mu       sync.Mutex
	events   []schema.Event    // as committed
	secrets  map[string]string // passwords of devices
}

var testIDs atomic.Int64 // ids are counted: the year in a bubble is 2000

func newWorld(t *testing.T, change ...func(*serviceConfig)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	w.config = serviceConfig{
		database: "sqlite:" + filepath.Join(w.dir, "tether.db"), node: "test", bcryptCost: 4,
		statusSample: time.Minute, log: slog.New(slog.DiscardHandler),
		newID:    func() string { return fmt.Sprint(1000 + testIDs.Add(1)) },
		onEvents: w.committed,
	}
	for _, c := range change {
		c(&w.config)
	}
	seed(t, w.config.database)
	w.start()
	t.Cleanup(w.end)
	var err error
	if w.key, err = w.svc.addKey(t.Context(), "test", schema.Admin); err != nil {
		t.Fatal(err)
	}
	return w
}

// start starts the service on what is stored.
func (w *world) start() {
	w.t.Helper()
	svc, err := newService(context.Background(), w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	listener := newMemory()
	ctx, stop := context.WithCancel(context.Background())
	w.mu.Lock()
	w.svc, w.listener, w.served, w.stop = svc, listener, make(chan error, 1), stop
	w.mu.Unlock()
	w.http = &http.Client{Transport: &http.Transport{DialContext: w.dialFrom("10.0.0.9"), ExpectContinueTimeout: time.Second}}
	go func() { w.served <- svc.serve(ctx, listener) }()
}

// dialFrom connects as if from an address, to the service as it then is.
func (w *world) dialFrom(source string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		w.mu.Lock()
		l := w.listener
		w.mu.Unlock()
		return l.dialFrom(source)(ctx, network, address)
	}
}

// end stops it in good order.
func (w *world) end() {
	if w.stop == nil {
		return
	}
	w.http.CloseIdleConnections()
	w.stop()
	w.stop = nil
	if err := <-w.served; err != nil {
		w.t.Error("serve:", err)
	}
	w.listener.Close()
	if err := w.svc.close(); err != nil {
		w.t.Error("close:", err)
	}
}

func (w *world) committed(events []schema.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, events...)
}

// said lists what was logged, as "kind outcome reason", of one device, without
// kinds that are named in except.
func (w *world) said(deviceID string, except ...schema.EventKind) []string {
	w.settle()
	w.mu.Lock()
	defer w.mu.Unlock()
	var lines []string
	for _, e := range w.events {
		skip := e.DeviceID != deviceID
		for _, k := range except {
			skip = skip || e.Kind == k
		}
		if skip {
			continue
		}
		var d struct{ Reason string }
		_ = json.Unmarshal(e.Detail, &d)
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Kind, e.Outcome, d.Reason)))
	}
	return lines
}

// settle lets everything happen that can happen without time going on.
func (w *world) settle() { synctest.Wait() }

// answer is the envelope of northbound section 1.
type answer struct {
	Status  string          `json:"status"`
	Data    json.RawMessage `json:"data"`
	Code    string          `json:"code"`
	Message string          `json:"message"`
}

// reply is one answer of the API.
type apiReply struct {
	HTTP int
	answer
	Type string
}

// ask makes a request; body is JSON text or empty, header names and values.
func (w *world) ask(method, path, body string, header ...string) apiReply {
	w.t.Helper()
	a, err := w.try(method, path, body, header...)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// try is ask of a service that may be gone.
func (w *world) try(method, path, body string, header ...string) (apiReply, error) {
	var content io.Reader
	if body != "" {
		content = bytes.NewReader([]byte(body))
	}
	req, err := http.NewRequest(method, "http://tether"+northapi.Base+"/"+path, content)
	if err != nil {
		return apiReply{}, err
	}
	req.Header.Set("Authorization", "Bearer "+w.key)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := w.http.Do(req)
	if err != nil {
		return apiReply{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return apiReply{}, err
	}
	a := apiReply{HTTP: resp.StatusCode}
	var whole struct {
		answer
		Type string `json:"type"`
	}
	if err := json.Unmarshal(raw, &whole); err != nil {
		return a, fmt.Errorf("%w in %q", err, raw)
	}
	a.answer, a.Type = whole.answer, whole.Type
	return a, nil
}

// must is ask for a request that has to succeed; its data goes into v.
func (w *world) must(method, path, body string, v any) {
	w.t.Helper()
	a := w.ask(method, path, body)
	if a.Status != "success" {
		w.t.Fatalf("%s %s: %d %s: %s", method, path, a.HTTP, a.Code, a.Message)
	}
	if v != nil {
		if err := json.Unmarshal(a.Data, v); err != nil {
			w.t.Fatal(err)
		}
	}
}

// addDevice registers a device with a password that the server makes.
func (w *world) addDevice(name string) (id, password string) {
	w.t.Helper()
	var added struct {
		DeviceID string `json:"device_id"`
		Password string `json:"password"`
	}
	w.must("POST", "device_add", fmt.Sprintf(`{"device_name":%q,"hardware":{"sn":"SN-%s","model":"M"}}`, name, name), &added)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.secrets == nil {
		w.secrets = map[string]string{}
	}
	w.secrets[added.DeviceID] = added.Password
	return added.DeviceID, added.Password
}

// passwordOf is the password that the server made for a device.
func (w *world) passwordOf(id string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.secrets[id]
}

func (w *world) device(id string) schema.Device {
	w.t.Helper()
	var d schema.Device
	w.must("GET", "device_query/"+id, "", &d)
	return d
}

func (w *world) order(id string) schema.Order {
	w.t.Helper()
	var o schema.Order
	w.must("GET", "order_query/"+id, "", &o)
	return o
}

// giveOrder gives an order in a goroutine of its own.
func (w *world) giveOrder(deviceID, order, rest string, header ...string) <-chan apiReply {
	got := make(chan apiReply, 1)
	go func() {
		got <- w.ask("POST", "give_order", fmt.Sprintf(`{"device_id":%q,"order":%q%s}`, deviceID, order, rest), header...)
	}()
	return got
}

// run runs a device of the library until the test ends or stop is called.
func (w *world) run(cfg device.Config, orders map[string]func(context.Context, json.RawMessage) (any, error)) (stop func() error) {
	w.t.Helper()
	cfg.URL = "ws://tether/ws"
	if cfg.NetDial == nil {
		cfg.NetDial = w.dialFrom("10.0.0.7")
	}
	if cfg.StateDir == "" {
		cfg.StateDir = w.t.TempDir()
	}
	d, err := device.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	for name, h := range orders {
		d.On(name, h)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	var once sync.Once
	var result error
	stop = func() error {
		once.Do(func() { cancel(); result = <-ended })
		return result
	}
	w.t.Cleanup(func() { _ = stop() })
	return stop
}

// wire is a raw WebSocket client: it does what it is told and nothing else.
type wire struct {
	t    testing.TB
	conn *websocket.Conn
	in   chan string // messages
	end  chan websocket.CloseError
	ids  int
}

// connect opens a raw connection from an address.
func (w *world) connect(source string) *wire {
	w.t.Helper()
	d := websocket.Dialer{NetDialContext: w.dialFrom(source)}
	conn, _, err := d.Dial("ws://tether/ws", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	c := &wire{t: w.t, conn: conn, in: make(chan string, 100), end: make(chan websocket.CloseError, 1)}
	go c.read()
	w.t.Cleanup(func() { conn.Close() })
	return c
}

func (c *wire) read() {
	for {
		_, msg, err := c.conn.ReadMessage()
		if err != nil {
			e := websocket.CloseError{Code: websocket.CloseAbnormalClosure, Text: err.Error()}
			if ce, ok := err.(*websocket.CloseError); ok {
				e = *ce
			}
			c.end <- e
			return
		}
		c.in <- string(msg)
	}
}

func (c *wire) send(msg string) {
	c.t.Helper()
	if err := c.conn.WriteMessage(websocket.TextMessage, []byte(msg)); err != nil {
		c.t.Fatal("send:", err)
	}
}

// message is what a raw client looks at.
type message struct {
	ID     json.RawMessage
	Method string
	Params json.RawMessage
	Result json.RawMessage
	Error  *struct {
		Code    int
		Message string
	}
}

// next is the next message; the test fails if none comes within a minute.
func (c *wire) next() message {
	c.t.Helper()
	select {
	case raw := <-c.in:
		return c.parsed(raw)
	case e := <-c.end:
		select {
		case raw := <-c.in: // it was said before the end
			c.end <- e
			return c.parsed(raw)
		default:
			c.t.Fatalf("closed with %d %q in place of a message", e.Code, e.Text)
		}
	case <-time.After(time.Minute):
		c.t.Fatal("no message within a minute")
	}
	return message{}
}

func (c *wire) parsed(raw string) (m message) {
	c.t.Helper()
	if err := json.Unmarshal([]byte(raw), &m); err != nil {
		c.t.Fatal(err, raw)
	}
	return m
}

// closed is how the server closed; the test fails if it does not within a minute.
func (c *wire) closed() websocket.CloseError {
	c.t.Helper()
	select {
	case e := <-c.end:
		return e
	case <-time.After(time.Minute):
		c.t.Fatal("not closed within a minute")
	}
	return websocket.CloseError{}
}

// mustBeSilent: the server has sent nothing that was not taken.
func (c *wire) mustBeSilent() {
	c.t.Helper()
	select {
	case m := <-c.in:
		c.t.Errorf("the server sent %s", m)
	default:
	}
}

// call sends a request and waits for its answer; orders that come in between
// are not expected.
func (c *wire) call(method, params string) message {
	c.t.Helper()
	c.ids++
	c.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, c.ids, method, params))
	return c.next()
}

// login logs in and returns the result.
func (c *wire) login(id, password, bootID string) schema.LoginResult {
	c.t.Helper()
	m := c.call("login", fmt.Sprintf(`{"device_id":%q,"password":%q,"boot_id":%q}`, id, password, bootID))
	if m.Error != nil {
		c.t.Fatalf("login: %d %s", m.Error.Code, m.Error.Message)
	}
	var res schema.LoginResult
	if err := json.Unmarshal(m.Result, &res); err != nil {
		c.t.Fatal(err)
	}
	return res
}

// answer replies to a call of the server.
func (c *wire) answer(id json.RawMessage, result string) {
	c.t.Helper()
	c.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, id, result))
}

// drop cuts the connection without a close frame.
func (c *wire) drop() { c.conn.NetConn().Close() }
