package device

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

func TestMain(m *testing.M) {
	if handled, code := child(); handled {
		exit(code)
	}
	goleak.VerifyTestMain(m)
}

// server is the other side: a real HTTP server with rpc behind it, over pipes,
// so that its time is the bubble's.
type server struct {
	t     *testing.T
	start time.Time
	conns chan net.Conn
	done  chan struct{}

	// Replaced by tests before the device runs. login nil: a good one; it is
	// called under mu.
	login  func(s *session, p schema.LoginParams) (schema.LoginResult, error)
	answer func(s *session, r *rpc.Request) // every other request
	refuse bool                             // the network
	silent bool                             // a refused login is not followed by a close

	mu       sync.Mutex
	seen     []string // "5s ping"
	logins   []schema.LoginParams
	results  []schema.UploadResult
	statuses []schema.StatusInfo
	ends     []rpc.End
	session  *session // the newest
}

// session is one connection as the server sees it.
type session struct {
	*server
	peer *rpc.Peer
}

const deviceID = "1860117402213097472"

func newServer(t *testing.T) *server {
	s := &server{t: t, start: time.Now(), conns: make(chan net.Conn), done: make(chan struct{})}
	s.answer = func(_ *session, r *rpc.Request) { r.Reply(struct{}{}) }
	web := &http.Server{Handler: http.HandlerFunc(s.serve)}
	var serving sync.WaitGroup
	serving.Go(func() { web.Serve(s) })
	t.Cleanup(func() { web.Close(); serving.Wait() })
	return s
}

// Accept, Close and Addr make the server its own listener.
func (s *server) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

func (s *server) Close() error   { close(s.done); return nil }
func (s *server) Addr() net.Addr { return &net.TCPAddr{} }

func (s *server) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	s.note("dial")
	if s.refuse {
		return nil, fmt.Errorf("connection refused")
	}
	ours, theirs := net.Pipe()
	select {
	case s.conns <- ours:
		return theirs, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	peer, err := rpc.Upgrade(w, r, rpc.Options{})
	if err != nil {
		return
	}
	ses := &session{server: s, peer: peer}
	s.mu.Lock()
	s.session = ses
	s.mu.Unlock()
	end := peer.Serve(ses)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends = append(s.ends, end)
}

func (s *session) Late(uint64, rpc.Response) {}

func (s *session) Request(r *rpc.Request) {
	switch r.Method {
	case schema.MethodLogin:
		s.logIn(r)
		return
	case schema.MethodPing:
		s.note("ping")
	case schema.MethodUploadStatus:
		s.note("report")
		s.keep(r, func(status schema.StatusInfo) { s.statuses = append(s.statuses, status) })
	case schema.MethodUploadResult:
		s.note("result")
		s.keepResult(r)
	}
	s.server.answer(s, r)
}

func (s *session) keep(r *rpc.Request, add func(schema.StatusInfo)) {
	var status schema.StatusInfo
	if err := r.Decode(&status); err != nil {
		s.t.Errorf("report: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	add(status)
}

func (s *session) keepResult(r *rpc.Request) {
	var result schema.UploadResult
	if err := r.Decode(&result); err != nil {
		s.t.Errorf("result: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.results = append(s.results, result)
}

func (s *session) logIn(r *rpc.Request) {
	var p schema.LoginParams
	if err := r.Decode(&p); err != nil {
		s.t.Errorf("login: %v", err)
	}
	s.mu.Lock()
	s.logins = append(s.logins, p)
	result, err := s.loginResult(len(s.logins)), error(nil)
	if s.login != nil {
		result, err = s.login(s, p)
	}
	s.mu.Unlock()
	if err != nil {
		r.Fail(err)
		if !s.silent {
			s.peer.Close(closeCode(err), "")
		}
		return
	}
	if result.DeviceID != "" {
		r.Reply(result)
	}
}

// closeCode is what follows a login that was refused.
func closeCode(err error) schema.CloseCode {
	switch schema.KindOf(err) {
	case schema.LoginFailed:
		return schema.CloseLoginFailed
	case schema.Overloaded:
		return schema.CloseLoginLimited
	}
	return schema.CloseNoLogin
}

// loginResult is the nth good login's.
func (s *server) loginResult(n int) schema.LoginResult {
	now := time.Now()
	return schema.LoginResult{
		DeviceID: deviceID, Token: fmt.Sprintf("tt_%d", n), ServerTime: now.UnixMilli(),
		TokenExpires: now.Add(schema.TokenLifetime).UnixMilli(), Unsettled: []string{},
	}
}

// asks makes every login ask for these orders.
func (s *server) asks(ids ...string) {
	s.login = func(*session, schema.LoginParams) (schema.LoginResult, error) {
		result := s.loginResult(1)
		result.Unsettled = ids
		return result, nil
	}
}

func (s *server) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, fmt.Sprintf("%v %s", time.Since(s.start), what))
}

// current waits until nothing moves and returns the newest session.
func (s *server) current() *session {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session
}

// firstEnd is how the first connection ended, as the server saw it.
func (s *server) firstEnd() rpc.End {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ends) == 0 {
		return rpc.End{}
	}
	return s.ends[0]
}

// want compares what was seen since the last want.
func (s *server) want(lines ...string) {
	s.t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := strings.Join(s.seen, ", "); got != strings.Join(lines, ", ") {
		s.t.Errorf("at %v\ngot  %s\nwant %s", time.Since(s.start), got, strings.Join(lines, ", "))
	}
	s.seen = nil
}

// wantSet is want of what may come in any order.
func (s *server) wantSet(lines ...string) {
	s.t.Helper()
	synctest.Wait()
	s.mu.Lock()
	slices.Sort(s.seen)
	s.mu.Unlock()
	slices.Sort(lines)
	s.want(lines...)
}

// dials returns when the device dialled.
func (s *server) dials() (at []string) {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range s.seen {
		if stamp, what, _ := strings.Cut(line, " "); what == "dial" {
			at = append(at, stamp)
		}
	}
	return at
}

// forms returns how the device logged in, login by login.
func (s *server) forms() (forms []string) {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.logins {
		forms = append(forms, p.Token+p.Password)
	}
	return forms
}

// running is a device whose Run goes on in the background.
type running struct {
	*Device
	err  error
	done chan struct{}
	stop context.CancelFunc
}

// wait returns Run's error.
func (r *running) wait() error {
	<-r.done
	return r.err
}

// device makes one that talks to the server; it spreads nothing.
func (s *server) device(change func(*Config)) *Device {
	s.t.Helper()
	cfg := Config{
		URL: "ws://server/ws", DeviceID: deviceID, Password: "canary-password", BootID: "boot-1",
		StateDir: s.t.TempDir(), NetDial: s.dial, Rand: func() float64 { return 0.5 },
	}
	if change != nil {
		change(&cfg)
	}
	d, err := New(cfg)
	must(s.t, err)
	return d
}

// run runs d until the test ends.
func (s *server) run(d *Device) *running {
	ctx, cancel := context.WithCancel(s.t.Context())
	r := &running{Device: d, done: make(chan struct{}), stop: cancel}
	go func() {
		defer close(r.done)
		r.err = d.Run(ctx)
	}()
	s.t.Cleanup(func() { cancel(); <-r.done })
	return r
}

// order gives an order and returns where its result will be.
func (s *session) order(o schema.GiveOrder) *given {
	s.t.Helper()
	if o.Deadline == 0 {
		o.Deadline = time.Now().Add(schema.OrderTimeout).UnixMilli()
	}
	if o.Params == nil {
		o.Params = schema.RawObject("{}")
	}
	o.DeviceID = deviceID
	g := &given{start: s.start}
	_, err := s.peer.Call(schema.MethodGiveOrder, o, g.take)
	must(s.t, err)
	return g
}

// given is an order on its way.
type given struct {
	start time.Time
	mu    sync.Mutex
	text  string
	data  string
}

func (g *given) take(resp rpc.Response) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := time.Since(g.start)
	if resp.Err != nil {
		g.text = fmt.Sprintf("%v error %s", at, resp.Err.Message)
		return
	}
	var result schema.OrderResult
	if err := rpc.Decode(resp.Result, &result); err != nil {
		g.text = err.Error()
		return
	}
	g.text, g.data = fmt.Sprintf("%v %s %s", at, result.Status, result.Message), string(result.Data)
}

// is compares the result, "5s success done", and its data; "" is none yet.
func (g *given) is(t *testing.T, text, data string) {
	t.Helper()
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.text != text || g.data != data {
		t.Errorf("got %q %s, want %q %s", g.text, g.data, text, data)
	}
}

// logged says whether the operation log has lines with all of the words.
func logged(t *testing.T, d *Device, words ...string) bool {
	t.Helper()
	return slices.ContainsFunc(strings.Split(string(read(t, d.cfg.StateDir+"/"+logName)), "\n"), func(line string) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) })
	})
}
