package northapi_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
)

// canary stands for every secret: no answer and no log may hold it
// (reliability T44).
const canary = "canary-3f9a-secret"

// sessions plays the devices that are connected.
type sessions struct {
	mu    sync.Mutex
	live  map[string]schema.Live
	ended []string // "device reason"
	told  []schema.DeviceUpdate
	given []schema.Order
	waits []time.Duration
	fault error
	give  func(context.Context, schema.Order) (*schema.Order, error)
}

func (s *sessions) GiveOrder(ctx context.Context, o schema.Order, wait time.Duration) (*schema.Order, error) {
	s.mu.Lock()
	s.given, s.waits = append(s.given, o), append(s.waits, wait)
	s.mu.Unlock()
	return s.give(ctx, o)
}

func (s *sessions) Live(_ context.Context, ids []string) (map[string]schema.Live, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.live), s.fault
}

func (s *sessions) End(ctx context.Context, device, reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() == nil {
		s.ended = append(s.ended, device+" "+reason)
	}
	return cmp.Or(ctx.Err(), s.fault)
}

func (s *sessions) Tell(_ context.Context, u schema.DeviceUpdate) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, u)
	return s.fault
}

// secrets makes secrets that hold the canary, so that a leak is found.
type secrets struct{ made atomic.Int64 }

func (s *secrets) NewPassword() string {
	return fmt.Sprintf("tp_%s-%d", canary, s.made.Add(1))
}
func (s *secrets) NewKey() string { return fmt.Sprintf("tk_%s-%d", canary, s.made.Add(1)) }
func (s *secrets) HashPassword(p string) (string, error) {
	return "hash:" + canary + p, nil
}
func (s *secrets) HashToken(p string) string {
	sum := sha256.Sum256([]byte(p))
	return hex.EncodeToString(sum[:])
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

// world is a server with two groups, a device in each, and a key of every
// kind.
type world struct {
	t        testing.TB
	handler  http.Handler
	store    *memory
	sessions *sessions
	secrets  *secrets
	files    files
	config   northapi.Config
	logged   strings.Builder
	now      time.Time
	ids      atomic.Int64
	keys     map[string]string // kind to key
}

// The world's things. Those of "own" are in the group that the scoped keys
// are limited to; those of "foreign" are not.
const (
	ownGroup, ownDevice, ownOrder, ownUpload                 = "101", "201", "301", "302"
	foreignGroup, foreignDevice, foreignOrder, foreignUpload = "102", "202", "303", "304"
	spareGroup                                               = "103" // empty, and within the scope too
	missing                                                  = "999"
	logText                                                  = "one line of a device's log\n"
)

func newWorld(t testing.TB, changes ...func(*northapi.Config)) *world {
	w := &world{t: t, store: newMemory(), sessions: &sessions{live: map[string]schema.Live{}}, secrets: &secrets{}, files: files{}, now: time.UnixMilli(1795305600000), keys: map[string]string{}}
	w.ids.Store(1000)
	w.sessions.give = succeed
	w.seed()
	c := northapi.Config{
		Devices: w.store, Groups: w.store, Relations: w.store, Records: w.store, Keys: w.store,
		Sessions: w.sessions, Files: w.files, Secrets: w.secrets,
		NewID: func() string { return fmt.Sprint(w.ids.Add(1)) },
		Now:   func() time.Time { return w.now },
		Log:   func(route string, err error) { fmt.Fprintln(&w.logged, route, err) },
	}
	for _, change := range changes {
		change(&c)
	}
	w.config = c
	w.handler = northapi.New(c)
	return w
}

// succeed is a device that says success to everything.
func succeed(_ context.Context, o schema.Order) (*schema.Order, error) {
	o.State, o.Message, o.Data = schema.OrderSucceeded, "ok", schema.RawObject(`{"done":1}`)
	return &o, nil
}

func (w *world) seed() {
	ctx := context.Background()
	for i, own := range []bool{true, false} {
		group, device, order, upload := ownGroup, ownDevice, ownOrder, ownUpload
		if !own {
			group, device, order, upload = foreignGroup, foreignDevice, foreignOrder, foreignUpload
		}
		w.must(w.store.AddGroup(ctx, schema.Group{GroupID: group, Name: "group " + group}))
		w.must(w.store.AddDevice(ctx, schema.Device{
			DeviceID: device, Name: "press " + device, Type: "press", Enabled: true, State: schema.Offline,
			Hardware: schema.Hardware{SN: fmt.Sprint("SN", i), Model: "M"},
		}, canary, "test"))
		w.must(w.store.AddRelation(ctx, schema.Everything, device, group, 1))
		w.store.orders[order] = schema.Order{OrderID: order, DeviceID: device, Order: "blink", State: schema.OrderSucceeded, Params: schema.RawObject(`{}`)}
		w.store.files[upload] = schema.LogFile{OrderID: upload, DeviceID: device, Bytes: int64(len(logText)), SHA256: "abc"}
		w.files[upload] = logText
		w.store.events = append(w.store.events, schema.Event{Pos: int64(i + 1), Seq: 1, DeviceID: device, Time: 50, Kind: schema.EventLogin, Detail: schema.Detail()})
		w.sessions.live[device] = schema.Live{
			State: schema.Online, Reason: "login", LastSeenTime: 77, ReportTime: 70,
			Report: &schema.StatusInfo{CPU: &schema.CPUInfo{}, Memory: &schema.MemoryInfo{}, Disk: &schema.DiskInfo{}},
		}
	}
	w.must(w.store.AddGroup(ctx, schema.Group{GroupID: spareGroup, Name: "spare"}))
	for _, role := range []schema.Role{schema.Viewer, schema.Operator, schema.Admin} {
		w.addKey(string(role), schema.Key{KeyID: fmt.Sprint(400 + len(w.keys)), Name: string(role), Role: role})
		w.addKey("scoped "+string(role), schema.Key{KeyID: fmt.Sprint(400 + len(w.keys)), Name: "line", Role: role, GroupIDs: []string{ownGroup, spareGroup}})
	}
	past := int64(1)
	w.addKey("revoked", schema.Key{KeyID: "450", Name: "old", Role: schema.Admin, RevokedTime: &past})
}

func (w *world) addKey(kind string, k schema.Key) {
	w.keys[kind] = w.secrets.NewKey()
	w.must(w.store.AddKey(context.Background(), k, w.secrets.HashToken(w.keys[kind])))
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

// request is one of the holder of a kind of key; "" has none. A path that
// begins with a letter is that of a service.
func (w *world) request(kind, method, path, body string) *http.Request {
	if !strings.HasPrefix(path, "/") {
		path = northapi.Base + "/" + path
	}
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	if kind != "" {
		r.Header.Set("Authorization", "Bearer "+w.keys[kind])
	}
	return r
}

// send also holds the answer to what is true of all of them.
func (w *world) send(r *http.Request) answer {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	a := answer{status: rec.Code, header: rec.Header(), body: rec.Body.String()}
	if a.header.Get("Cache-Control") != "no-store" || a.header.Get("X-Content-Type-Options") != "nosniff" {
		w.t.Errorf("%s %s: headers %v", r.Method, r.URL, a.header)
	}
	if a.header.Get("Content-Type") == "application/octet-stream" {
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
