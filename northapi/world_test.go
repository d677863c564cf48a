package northapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/store"
	"github.com/go-chi/chi/v5"
)

// sessions plays the devices that are connected.
type sessions struct {
	mu      sync.Mutex
	live    map[string]schema.Live
	ended   []string // "device reason"
	told    []schema.DeviceUpdate
	given   []schema.Ask
	awaited []string         // "order wait"
	jobs    []string         // that were told of
	faults  map[string]error // by method
	give    func(context.Context, schema.Order) (*schema.Order, error)
}

func (s *sessions) GiveOrder(ask schema.Ask) schema.Giving {
	s.mu.Lock()
	s.given = append(s.given, ask)
	s.mu.Unlock()
	return &givingFake{give: s.give, order: ask.Order}
}

func (s *sessions) AwaitOrder(orderID string, wait time.Duration) schema.Giving {
	s.mu.Lock()
	s.awaited = append(s.awaited, fmt.Sprint(orderID, " ", wait))
	s.mu.Unlock()
	return &givingFake{give: s.give, order: schema.Order{OrderID: orderID}}
}

// givingFake has give called beside its caller, as sessions do.
type givingFake struct {
	give   func(context.Context, schema.Order) (*schema.Order, error)
	order  schema.Order
	done   chan struct{} // nil: give was not called yet
	record *schema.Order
	err    error
	panics any
}

func (g *givingFake) Look(ctx context.Context, wake schema.Waker) bool {
	if g.done == nil {
		g.done = make(chan struct{})
		go g.call(ctx, wake)
	}
	if ctx.Err() != nil {
		<-g.done // which is soon
	}
	select {
	case <-g.done:
		if g.panics != nil {
			panic(g.panics)
		}
		return true
	default:
		return false
	}
}

func (g *givingFake) call(ctx context.Context, wake schema.Waker) {
	defer wake.Wake()
	defer close(g.done)
	defer func() { g.panics = recover() }()
	g.record, g.err = g.give(ctx, g.order)
}

func (g *givingFake) Result() (*schema.Order, error) { return g.record, g.err }

func (s *sessions) JobChanged(jobID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs = append(s.jobs, jobID)
}

func (s *sessions) Live(_ context.Context, ids []string) (map[string]schema.Live, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := maps.Clone(s.live)
	maps.DeleteFunc(asked, func(id string, _ schema.Live) bool { return !slices.Contains(ids, id) })
	return asked, s.faults["Live"]
}

func (s *sessions) End(ctx context.Context, device, reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.ended = append(s.ended, device+" "+reason)
	return s.faults["End"]
}

func (s *sessions) Tell(_ context.Context, u schema.DeviceUpdate) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, u)
	return s.faults["Tell"]
}

// secrets are the store's, with a cheap bcrypt, and remember all that they
// made, which no answer may show twice.
type secrets struct {
	store.Secrets
	mu      sync.Mutex
	shown   []string // secrets: one answer each may show them
	hashes  []string // none may
	cookies []string // nor what a cookie holds
}

func newSecrets() *secrets { return &secrets{Secrets: store.Secrets{Cost: 4}} }

func (s *secrets) note(list *[]string, secret string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	*list = append(*list, secret)
	return secret
}

func (s *secrets) NewPassword() string { return s.note(&s.shown, s.Secrets.NewPassword()) }
func (s *secrets) NewKey() string      { return s.note(&s.shown, s.Secrets.NewKey()) }
func (s *secrets) NewSession() string  { return s.note(&s.cookies, s.Secrets.NewSession()) }

func (s *secrets) HashPassword(password string) (string, error) {
	hash, err := s.Secrets.HashPassword(s.note(&s.shown, password))
	return s.note(&s.hashes, hash), err
}

func (s *secrets) HashToken(secret string) string {
	return s.note(&s.hashes, s.Secrets.HashToken(secret))
}

// files opens logs from a map of order id to text.
type files map[string]string

type openFile struct{ *strings.Reader }

func (openFile) Close() error { return nil }

func (f files) OpenLog(r schema.LogFile) (io.ReadSeekCloser, error) {
	text, ok := f[r.OrderID]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return openFile{strings.NewReader(text)}, nil
}

// world is a server over a store of its own with the seed in it, where both
// devices are connected.
type world struct {
	t        testing.TB
	handler  http.Handler
	routes   chi.Routes // of the handler
	store    *store.Store
	feed     *northapi.Feed
	sessions *sessions
	secrets  *secrets
	files    files
	logging  sync.Mutex
	logged   strings.Builder
	now      time.Time
	ahead    atomic.Int64 // of now, for streams that run
	ids      atomic.Int64
	keys     map[string]string // by kind
	cookies  map[string]string // of log-ins, by kind
}

func newWorld(t testing.TB, changes ...func(*northapi.Config)) *world {
	t.Helper()
	w := &world{
		t: t, secrets: newSecrets(), files: files{ownUpload: logText, foreignUpload: logText},
		now: time.UnixMilli(present), keys: maps.Clone(template.keys), cookies: maps.Clone(template.cookies), feed: northapi.NewFeed(),
	}
	w.ids.Store(1000)
	w.openStore()
	live := schema.Live{
		State: schema.Online, Reason: "login", LastSeenTime: 77, ReportTime: 70,
		Report: &schema.StatusInfo{CPU: &schema.CPUInfo{}, Memory: &schema.MemoryInfo{}, Disk: &schema.DiskInfo{}},
	}
	w.sessions = &sessions{live: map[string]schema.Live{ownDevice: live, foreignDevice: live}, faults: map[string]error{}, give: succeed}
	c := northapi.Config{
		Devices: w.store, Groups: w.store, Relations: w.store, Records: w.store, Orders: w.store, Jobs: w.store, Keys: w.store, KeySessions: w.store, AuditLog: w.store,
		EventLog: w.store, Feed: w.feed, Sessions: w.sessions, Files: w.files, Secrets: w.secrets,
		NewID: func() string { return fmt.Sprint(w.ids.Add(1)) },
		Now:   func() time.Time { return w.now.Add(time.Duration(w.ahead.Load())) },
		Log: func(route string, err error) {
			w.logging.Lock()
			defer w.logging.Unlock()
			fmt.Fprintln(&w.logged, route, err)
		},
	}
	for _, change := range changes {
		change(&c)
	}
	w.serve(northapi.New(c))
	return w
}

// serve makes h the handler, with all that it answers held to the contract;
// but where time is measured.
func (w *world) serve(h http.Handler) {
	w.handler, w.routes = h, northapi.Router(h)
	if _, measured := w.t.(*testing.B); !measured {
		w.handler = held{w.t, document(w.t), h, w.routes}
	}
}

// openStore opens a copy of the template, for the length of the test.
func (w *world) openStore() {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "test.db")
	seeded, err := os.ReadFile(template.path)
	w.must(err)
	w.must(os.WriteFile(path, seeded, 0o600))
	w.store, err = store.Open(w.t.Context(), "sqlite:"+path, store.Options{OnEvents: w.feed.Publish})
	w.must(err)
	w.t.Cleanup(func() { w.store.Close() })
}

// succeed is a device that says success to everything.
func succeed(_ context.Context, o schema.Order) (*schema.Order, error) {
	o.State, o.Message, o.Data = schema.OrderSucceeded, "ok", schema.RawObject(`{"done":1}`)
	return &o, nil
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// offline takes a device's connection away.
func (w *world) offline(device string) { delete(w.sessions.live, device) }

// answer is one answer, with its envelope read.
type answer struct {
	status int
	header http.Header
	body   string

	Status  string          `json:"status"`
	Type    string          `json:"type"`
	Code    string          `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
}

// do sends a request and returns its answer.
func (w *world) do(kind, method, path, body string) answer {
	w.t.Helper()
	return w.send(w.request(kind, method, path, body))
}

// request is one of the holder of a kind of key, or of a log-in with it; "" has none. A path that
// begins with a letter is that of a service.
func (w *world) request(kind, method, path, body string) *http.Request {
	if !strings.HasPrefix(path, "/") {
		path = northapi.Base + "/" + path
	}
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "127.0.0.1:9090"
	if body != "" {
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	if strings.Contains(path, "device_import") {
		r.Header.Set("Content-Type", "application/x-ndjson; charset=utf-8")
	}
	if of, ok := strings.CutPrefix(kind, "cookie "); ok {
		r.AddCookie(&http.Cookie{Name: "tether", Value: w.cookies[of]})
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	} else if kind != "" {
		r.Header.Set("Authorization", "Bearer "+w.keys[kind])
	}
	return r
}

// leaver is a caller who has seen enough of a stream of events with its
// first part: it would not end.
type leaver struct {
	*httptest.ResponseRecorder
	leave func()
}

func (l leaver) Flush() {
	l.ResponseRecorder.Flush()
	if l.Header().Get("Content-Type") == "text/event-stream" {
		l.leave()
	}
}

// send also holds the answer to what is true of all of them.
func (w *world) send(r *http.Request) answer {
	w.t.Helper()
	rec := httptest.NewRecorder()
	ctx, leave := context.WithCancel(r.Context())
	defer leave()
	w.handler.ServeHTTP(leaver{rec, leave}, r.WithContext(ctx))
	a := answer{status: rec.Code, header: rec.Header(), body: rec.Body.String()}
	if a.header.Get("Cache-Control") != "no-store" || a.header.Get("X-Content-Type-Options") != "nosniff" {
		w.t.Errorf("%s %s: headers %v", r.Method, r.URL, a.header)
	}
	switch a.header.Get("Content-Type") {
	case "application/octet-stream", "application/x-ndjson", "text/event-stream":
		return a
	}
	d := json.NewDecoder(bytes.NewReader(rec.Body.Bytes()))
	d.DisallowUnknownFields()
	if err := d.Decode(&a); err != nil {
		w.t.Fatalf("%s %s: %d %q is no envelope: %v", r.Method, r.URL, a.status, a.body, err)
	}
	if good := a.status/100 == 2; good != (a.Status == "success") || good != (a.Code == "") || good != (a.Type == "") {
		w.t.Errorf("%s %s: status %d in %s", r.Method, r.URL, a.status, a.body)
	}
	return a
}

// want asserts the status and, for a failure, the code.
func (a answer) want(t testing.TB, status int, code string) answer {
	t.Helper()
	if a.status != status || a.Code != code {
		t.Fatalf("answered %d %q, want %d %q: %s", a.status, a.Code, status, code, a.body)
	}
	return a
}

// into reads the answer's data.
func into[T any](t testing.TB, a answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(a.Data, &v); err != nil {
		t.Fatalf("data %s: %v", a.Data, err)
	}
	return v
}

// marshal is JSON as a client would write it.
func (w *world) marshal(v any) string {
	w.t.Helper()
	b, err := json.Marshal(v)
	w.must(err)
	return string(b)
}
