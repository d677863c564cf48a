package northapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
)

func TestUnknownRoutesAndMethods(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/", "/service", northapi.Base, "/ws", northapi.Base + "/device_query/", northapi.Base + "/device_query/1/2", northapi.Base + "/DEVICE_ADD", "/healthz/"} {
		w.do("admin", get, path, "").want(t, 404, "not_found")
	}
	for _, c := range []struct{ method, path, allow string }{
		{get, northapi.Base + "/device_add", post},
		{"PATCH", northapi.Base + "/device_update", put},
		{"HEAD", northapi.Base + "/device_query/1", get},
		{"TRACE", "/healthz", get},
		{"BREW", "/healthz", get},
	} {
		a := w.do("admin", c.method, c.path, "").want(t, 405, "method_not_allowed")
		if a.header.Get("Allow") != c.allow || a.Type != "GENERAL_ERROR" {
			t.Errorf("%s %s: Allow %q, type %s", c.method, c.path, a.header.Get("Allow"), a.Type)
		}
	}
}

// TestF54_Panic: a panic in whatever a handler calls costs that request alone,
// and nothing of it is told.
func TestF54_Panic(t *testing.T) {
	w := newWorld(t)
	w.sessions.give = func(context.Context, schema.Order) (*schema.Order, error) { panic("the inside") }
	a := w.do("operator", post, "give_order", `{"device_id":"201","order":"restart"}`).want(t, 500, "internal")
	if a.body != `{"status":"fail","type":"INNER_ERROR","code":"internal","message":"internal error"}` {
		t.Errorf("answered %s", a.body)
	}
	if log := w.logged.String(); !strings.HasPrefix(log, "POST "+northapi.Base+"/give_order panic: the inside") || !strings.Contains(log, "call.go") {
		t.Errorf("logged %s", log)
	}
	w.do("operator", get, "device_query/201", "").want(t, 200, "")
}

// inside is text that must not be told outside.
const inside = "SELECT password FROM devices"

func TestErrorsOfTheInside(t *testing.T) {
	for _, err := range []error{
		errors.New("dial tcp 10.0.0.1: " + inside),
		schema.Errorf(schema.Internal, "oops", inside),
		fmt.Errorf("wrapped: %w", context.DeadlineExceeded),
	} {
		w := newWorld(t)
		w.sessions.faults["Live"] = err
		a := w.do("viewer", get, "device_query/201", "").want(t, 500, "internal")
		if strings.Contains(a.body, inside) || a.Message != "internal error" {
			t.Errorf("answered %s", a.body)
		}
		if !strings.Contains(w.logged.String(), err.Error()) {
			t.Errorf("logged %s", w.logged.String())
		}
	}
}

// TestUnwritableAnswers: data that cannot be encoded is a failure of the
// inside, and an error is answered without the data that cannot.
func TestUnwritableAnswers(t *testing.T) {
	w := newWorld(t)
	w.sessions.give = func(_ context.Context, o schema.Order) (*schema.Order, error) {
		o.Data = schema.RawObject(`{`)
		return &o, nil
	}
	w.do("operator", post, "give_order", `{"device_id":"201","order":"restart"}`).want(t, 500, "internal")
	w.sessions.give = ended(schema.OrderStateFail, "", schema.Errorf(schema.OrderFailed, "order_failed", "no"))
	bad := w.sessions.give
	w.sessions.give = func(ctx context.Context, o schema.Order) (*schema.Order, error) {
		o.Data = schema.RawObject(`{`)
		return bad(ctx, o)
	}
	if a := w.do("operator", post, "give_order", `{"device_id":"201","order":"restart"}`).want(t, 502, "order_failed"); a.Data != nil {
		t.Errorf("data %s", a.Data)
	}
}

func TestRetryAfter(t *testing.T) {
	for wait, want := range map[time.Duration]string{0: "", time.Millisecond: "1", time.Second: "1", 1001 * time.Millisecond: "2"} {
		w := newWorld(t)
		w.sessions.faults["Live"] = &schema.Error{Kind: schema.Overloaded, Code: "overloaded", Message: "later", RetryAfter: wait}
		a := w.do("viewer", get, "device_query/201", "").want(t, 429, "overloaded")
		if got := a.header.Get("Retry-After"); got != want {
			t.Errorf("%s: Retry-After %q, want %q", wait, got, want)
		}
	}
}

func TestHealth(t *testing.T) {
	fault, draining := error(nil), false
	w := newWorld(t, func(c *northapi.Config) {
		c.Version = "1.2.3"
		c.Ready = func(context.Context) error { return fault }
		c.Draining = func() bool { return draining }
	})
	if a := w.do("", get, "/healthz", "").want(t, 200, ""); string(a.Data) != `{"version":"1.2.3"}` {
		t.Errorf("data %s", a.Data)
	}
	w.do("", get, "/readyz", "").want(t, 200, "")
	fault = errors.New(inside)
	if a := w.do("", get, "/readyz", "").want(t, 503, "store_unavailable"); strings.Contains(a.body, inside) {
		t.Error(a.body)
	}
	draining = true
	w.do("", get, "/readyz", "").want(t, 503, "draining")
	w.do("", get, "/healthz", "").want(t, 200, "")
	bare := newWorld(t)
	bare.do("", get, "/readyz", "").want(t, 200, "")
}

// TestSouthboundIsMounted: the devices' endpoint gets its requests as they
// are, without a key and outside the frame.
func TestSouthboundIsMounted(t *testing.T) {
	w := newWorld(t, func(c *northapi.Config) {
		c.Southbound = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })
	})
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, httptest.NewRequest(get, "/ws", nil))
	if rec.Code != http.StatusTeapot {
		t.Errorf("answered %d", rec.Code)
	}
	w.do("", post, "/ws", "").want(t, 405, "method_not_allowed")
}

func TestLogFileIsStreamed(t *testing.T) {
	w := newWorld(t)
	a := w.do("viewer", get, "device_logfile/"+ownUpload, "")
	if a.status != 200 || a.body != logText {
		t.Fatalf("%d %q", a.status, a.body)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/octet-stream", "Content-Length": fmt.Sprint(len(logText)), "ETag": `"abc"`,
		"Content-Disposition": "attachment; filename=201-302.log",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	r := w.request("viewer", get, "device_logfile/"+ownUpload, "")
	r.Header.Set("Range", "bytes=4-7")
	if a := w.send(r); a.status != 206 || a.body != logText[4:8] {
		t.Errorf("range: %d %q", a.status, a.body)
	}
	delete(w.files, ownUpload)
	w.do("viewer", get, "device_logfile/"+ownUpload, "").want(t, 404, "logfile_not_found")
	w.do("viewer", get, "device_logfile/"+ownOrder, "").want(t, 404, "logfile_not_found")
	none := newWorld(t, func(c *northapi.Config) { c.Files = nil })
	none.do("viewer", get, "device_logfile/"+ownUpload, "").want(t, 404, "logfile_not_found")
}

// TestT44_Canary sends secrets along every path, failing ones too, and looks
// for them in answers and in the log. Only the answer that creates one shows
// it, and none its hash.
func TestT44_Canary(t *testing.T) {
	const canary = "canary-3f9a"
	with := `,"password":"` + canary + `"}`
	creates := map[string]bool{"device_add": true, "device_password_update": true, "key_add": true}
	for _, c := range []struct{ method, service, body string }{
		{post, "device_add", newDevice + with},
		{post, "device_add", newDevice + `,"password":["` + canary + `"]}`},
		{post, "device_add", newDevice + `,"password":"` + strings.Repeat(canary, 9) + `"}`},
		{post, "device_add", newDevice + `,"password":"` + canary + `}`},
		{post, "device_add", newDevice + `,"enabled":"` + canary + `"}`},
		{post, "device_add", strings.Replace(newDevice, "SN123", "SN201", 1) + with},
		{put, "device_password_update", `{"device_id":"201"` + with},
		{put, "device_password_update", `{"device_id":"999"` + with},
		{put, "device_password_update", `{"device_id":"201"}`},
		{put, "device_update", `{"device_id":"201","device_name":"n"}`},
		{post, "key_add", `{"name":"n","role":"viewer"}`},
		{get, "key_query_all", ""},
		{get, "device_query/201", ""},
		{get, "device_query_all", ""},
		{get, "device_log_query/201", ""},
	} {
		for _, end := range []error{nil, errors.New("broken")} {
			w := newWorld(t)
			w.sessions.faults["End"] = end
			a := w.do("admin", c.method, c.service, c.body)
			log := w.logged.String()
			for _, secret := range append(w.secrets.shown, template.secrets...) {
				if strings.Contains(log, secret) || strings.Contains(a.body, secret) && !(creates[c.service] && a.status/100 == 2) {
					t.Errorf("%s: %s, logged %s", c.service, a.body, log)
				}
			}
			for _, hash := range append(w.secrets.hashes, canary+canary, "$2a$") {
				if strings.Contains(a.body+log, hash) {
					t.Errorf("%s: %s, logged %s", c.service, a.body, log)
				}
			}
			if a.status/100 != 2 && strings.Contains(a.body, canary) {
				t.Errorf("%s: %s", c.service, a.body)
			}
		}
	}
}
