package client_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
)

// refuse answers with an envelope.
func refuse(w http.ResponseWriter, status int, word, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"status":"fail","type":%q,"code":%q,"message":"m"}`, word, code)
}

// recorded says what was asked for, and finds nothing.
func recorded(asked chan<- string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.URL.Path
		_, _ = io.Copy(io.Discard, r.Body)
		refuse(w, 404, "GENERAL_ERROR", "not_found")
	}
}

func TestBase(t *testing.T) {
	if client.Base != northapi.Base {
		t.Errorf("%s and %s", client.Base, northapi.Base)
	}
}

// TestOptions: what is wrong is said before anything is sent, and without the key.
func TestOptions(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.pem")
	empty := filepath.Join(t.TempDir(), "empty.pem")
	good(t, os.WriteFile(empty, nil, 0o600))
	for says, o := range map[string]client.Options{
		"https://host":   {},
		"http://host":    {URL: "127.0.0.1:9090"},
		"must be https":  {URL: "ftp://host"},
		"cannot be read": {URL: "http://ho\x00st"},
		"leave them out": {URL: "https://user:tk_secret@host"},
		"a query":        {URL: "https://host?key=tk_secret"},
		"the key is":     {URL: "https://host", Key: "tk_secret\r\nX: y"},
		"no certificate": {URL: "https://host", CAFile: empty},
		"no such file":   {URL: "https://host", CAFile: none},
		"exclude":        {URL: "https://host", CAFile: none, HTTP: http.DefaultClient},
	} {
		if _, err := client.New(o); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "tk_secret") {
			t.Errorf("%s: %v", says, err)
		}
	}
	c := newClient(t, client.Options{URL: "https://host/behind/", Key: "tk_secret"})
	if text := fmt.Sprintf("%v %+v %#v %s", c, *c, *c, c); strings.Contains(text, "tk_secret") || !strings.Contains(text, "https://host/behind") {
		t.Errorf("it prints itself as %s", text)
	}
}

// TestKeyStaysAtHome: who is sent elsewhere does not go there with the key, nor at all.
func TestKeyStaysAtHome(t *testing.T) {
	var visits atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visits.Add(1) }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		handle := func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/x?tk_secret", status)
		}
		c := answering(t, handle)
		lenient := newClient(t, client.Options{URL: c.String(), Key: "tk_secret", HTTP: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}})
		for _, c := range []*client.Client{c, lenient} {
			_, read := c.DeviceQuery(t.Context(), "1")
			_, file := c.DeviceLogfile(t.Context(), "1", io.Discard)
			_, imported := c.DeviceImport(t.Context(), strings.NewReader("x"), client.ImportOptions{}, nil)
			errs := []error{read, file, imported, c.DeviceDelete(t.Context(), "1")}
			for _, err := range c.Events(t.Context(), client.EventQuery{}) {
				errs = append(errs, err)
			}
			for i, err := range errs {
				if err == nil || !strings.Contains(err.Error(), "redirects are not followed") || strings.Contains(err.Error(), "tk_secret") {
					t.Errorf("%d, call %d: %v", status, i, err)
				}
			}
		}
	}
	if n := visits.Load(); n != 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

// TestGarbage: what is no answer of a tether service is an error that asks
// whether it is one, and whatever has no end is not read to it.
func TestGarbage(t *testing.T) {
	t.Parallel()
	endless := func(prefix, piece string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, prefix)
			for block := []byte(strings.Repeat(piece, 1<<16)); r.Context().Err() == nil; {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}
	}
	text := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); _, _ = io.WriteString(w, body) }
	}
	for name, c := range map[string]struct {
		handle http.HandlerFunc
		says   string
	}{
		"nothing":          {text(200, ""), "is it a tether service?"},
		"a page":           {text(200, "<html>"), "is it a tether service?"},
		"a proxy":          {text(502, "<html>Bad Gateway"), `"502 Bad Gateway": is it`},
		"another envelope": {text(404, `{"error":"x"}`), "is it a tether service?"},
		"success in a 404": {text(404, `{"status":"success","data":{}}`), "is it a tether service?"},
		"a failure in 200": {text(200, `{"status":"fail","type":"AUTH_ERROR","code":"x"}`), "is it a tether service?"},
		"other data":       {text(200, `{"status":"success","data":[]}`), "cannot be read"},
		"an endless text":  {endless(`{"status":"`, "x"), "has more than"},
		"endless spaces":   {endless("", " "), "has more than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := answering(t, c.handle).DeviceQuery(t.Context(), "1")
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
		})
	}
	const version = `{"status":"success","data":{"version":"v1"}}`
	longest := version + strings.Repeat(" ", client.MaxAnswer-len(version))
	if v := must[string](t)(answering(t, text(200, longest)).Healthz(t.Context())); v != "v1" {
		t.Errorf("the longest answer: %q", v)
	}
	if _, err := answering(t, text(200, longest+" ")).Healthz(t.Context()); err == nil || !strings.Contains(err.Error(), "has more than") {
		t.Errorf("a byte more: %v", err)
	}
	c := answering(t, endless("", "x"))
	if _, err := c.DeviceImport(t.Context(), strings.NewReader("x"), client.ImportOptions{}, nil); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("an endless line of an import: %v", err)
	}
	if n, err := c.Document(t.Context(), "/docs", io.Discard); err == nil || n != client.MaxFile+1 {
		t.Errorf("an endless document: %d bytes, %v", n, err)
	}
	for body, says := range map[string]string{"": "before its last line", "{\n": "cannot be read", `{"line":1}`: "before its last line", `{"done":1}`: "cannot be read"} {
		c := answering(t, text(200, body))
		take := func(client.ImportLine) error { return nil }
		if _, err := c.DeviceImport(t.Context(), strings.NewReader("x"), client.ImportOptions{}, take); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("an import answered %q: %v", body, err)
		}
	}
	c = answering(t, text(200, `{"done":false,"lines":7,"code":"draining","message":"the server is stopping"}`))
	end, err := c.DeviceImport(t.Context(), strings.NewReader("x"), client.ImportOptions{}, nil)
	if wants(t, err, schema.Draining, "draining"); end.Lines != 7 {
		t.Errorf("stopped after %+v", end)
	}
	c = answering(t, text(200, `{"status":"success","data":{"items":[{}],"next_cursor":"same"}}`))
	n := 0
	for _, last := range c.Groups(t.Context()) {
		n, err = n+1, last
	}
	if n != 2 || err == nil || !strings.Contains(err.Error(), "does not go on") {
		t.Errorf("a list in a circle had %d items, then %v", n, err)
	}
}

// TestTLS: a certificate is always checked, against roots of one's own if need be.
func TestTLS(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"status":"success","data":{"version":"v1"}}`)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	good(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	if _, err := newClient(t, client.Options{URL: s.URL}).Healthz(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an issuer that is not known: %v", err)
	}
	if v := must[string](t)(newClient(t, client.Options{URL: s.URL, CAFile: ca}).Healthz(t.Context())); v != "v1" {
		t.Errorf("version %q", v)
	}
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	good(t, err)
	if _, err := newClient(t, client.Options{URL: "https://localhost:" + port, CAFile: ca}).Healthz(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("another name: %v", err)
	}
}

// played carries requests to a handler without a network, in virtual time.
type played struct{ http.HandlerFunc }

func (p played) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	if p.HandlerFunc(rec, r); rec.Code == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	resp := rec.Result()
	resp.Request = r
	return resp, nil
}

// TestRepeats: reads are repeated after a 429 or 503, after the time that is
// said, and an order with a key after a lost connection too; nothing else is.
func TestRepeats(t *testing.T) {
	read := func(ctx context.Context, c *client.Client) error { _, err := c.DeviceQuery(ctx, "1"); return err }
	change := func(ctx context.Context, c *client.Client) error { return c.DeviceDelete(ctx, "1") }
	give := func(key string) func(context.Context, *client.Client) error {
		return func(ctx context.Context, c *client.Client) error {
			_, err := c.GiveOrder(ctx, client.NewOrder{DeviceID: "1", Order: "restart", IdempotencyKey: key})
			return err
		}
	}
	for name, c := range map[string]struct {
		call          func(context.Context, *client.Client) error
		status        int // 0: the connection is lost
		word, code    string
		after         string
		tries         int
		least, atMost time.Duration
	}{
		"a read, overloaded":      {read, 429, "GENERAL_ERROR", "overloaded", "7", 4, 21 * time.Second, 21 * time.Second},
		"a read, no time said":    {read, 503, "DATABASE_ERROR", "store_unavailable", "", 4, 2 * time.Second, 5 * time.Second},
		"a read, a proxy":         {read, 503, "", "", "2", 4, 6 * time.Second, 6 * time.Second},
		"a read, at the limit":    {read, 503, "GENERAL_ERROR", "draining", "30", 4, 90 * time.Second, 90 * time.Second},
		"a read, above the limit": {read, 503, "GENERAL_ERROR", "draining", "31", 1, 0, 0},
		"a read, lost":            {read, 0, "", "", "", 1, 0, 0},
		"a read, refused":         {read, 404, "DEVICEOP_ERROR", "device_not_found", "1", 1, 0, 0},
		"a change":                {change, 503, "GENERAL_ERROR", "draining", "1", 1, 0, 0},
		"an order":                {give(""), 503, "GENERAL_ERROR", "draining", "1", 1, 0, 0},
		"an order, lost":          {give(""), 0, "", "", "", 1, 0, 0},
		"an order, keyed":         {give("k"), 503, "GENERAL_ERROR", "draining", "1", 4, 3 * time.Second, 3 * time.Second},
		"an order, keyed, lost":   {give("k"), 0, "", "", "", 4, 2 * time.Second, 5 * time.Second},
		"an order, keyed, busy":   {give("k"), 409, "ORDER_ERROR", "device_busy", "", 1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				handle := func(w http.ResponseWriter, r *http.Request) {
					tries++
					if c.status == 0 {
						w.(*httptest.ResponseRecorder).Code = 0
						return
					}
					w.Header().Set("Retry-After", c.after)
					refuse(w, c.status, c.word, c.code)
				}
				begun := time.Now()
				err := c.call(t.Context(), newClient(t, client.Options{URL: "http://tether", HTTP: &http.Client{Transport: played{handle}}}))
				if took := time.Since(begun); err == nil || tries != c.tries || took < c.least || took > c.atMost {
					t.Errorf("%d tries in %v: %v", tries, took, err)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c := newClient(t, client.Options{URL: "http://tether", HTTP: &http.Client{Transport: played{func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "20")
			refuse(w, 429, "GENERAL_ERROR", "overloaded")
		}}}})
		begun := time.Now()
		_, err := c.DeviceQuery(ctx, "1")
		if wants(t, err, schema.Overloaded, "overloaded"); time.Since(begun) != time.Second {
			t.Errorf("it gave up after %v", time.Since(begun))
		}
	})
}

// TestRetryAfter: seconds, a date, and nonsense.
func TestRetryAfter(t *testing.T) {
	for text, want := range map[string]time.Duration{"3": 3 * time.Second, "": 0, "-1": 0, "soon": 0, "99999999999": 0, "Thu, 01 Jan 1970 00:00:00 GMT": 0} {
		c := newClient(t, client.Options{URL: "http://tether", HTTP: &http.Client{Transport: played{func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", text)
			refuse(w, 409, "DEVICEOP_ERROR", "x")
		}}}})
		var e *schema.Error
		if _, err := c.DeviceQuery(t.Context(), "1"); !errors.As(err, &e) || e.RetryAfter != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestKindsThatAreNew: what a newer service may answer has the kind that its status says.
func TestKindsThatAreNew(t *testing.T) {
	for status, kind := range map[int]schema.Kind{418: schema.Invalid, 507: schema.Internal} {
		c := answering(t, func(w http.ResponseWriter, _ *http.Request) { refuse(w, status, "NEW_ERROR", "new") })
		_, err := c.DeviceQuery(t.Context(), "1")
		wants(t, err, kind, "new")
	}
}

// TestIDs: what is no id is not put into a path.
func TestIDs(t *testing.T) {
	asked := make(chan string, 1)
	c := answering(t, recorded(asked))
	for _, id := range []string{"", "..", "1/../../x", "1?x=y", "a", strings.Repeat("1", 100)} {
		_, err := c.DeviceQuery(t.Context(), id)
		wants(t, err, schema.Invalid, "invalid_member")
	}
	if len(asked) != 0 {
		t.Errorf("it asked for %s", <-asked)
	}
}

// FuzzAnswer: no answer makes a call panic, and an error is never without words.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(`{"status":"success","data":{"items":[],"next_cursor":""}}`))
	f.Add(404, []byte(`{"status":"fail","type":"DEVICEOP_ERROR","code":"device_not_found","message":"m","data":null}`))
	f.Add(200, []byte(`{"done":true,"lines":1}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		c := newClient(t, client.Options{URL: "http://tether", HTTP: &http.Client{Transport: played{func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write(body)
		}}}})
		_, err := c.RelationAdd(t.Context(), "1", "2")
		_, more := c.DeviceImport(t.Context(), bytes.NewReader(nil), client.ImportOptions{}, func(client.ImportLine) error { return nil })
		for _, err := range []error{err, more} {
			if err != nil && err.Error() == "" {
				t.Errorf("%d %q: an error without a word", status, body)
			}
			if o, ok := client.Record(err); ok && (err == nil || o.OrderID == "") {
				t.Errorf("%d %q: the record %+v", status, body, o)
			}
		}
	})
}
