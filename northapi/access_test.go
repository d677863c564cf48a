package northapi_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
	"github.com/go-chi/chi/v5"
)

// eachPage asks for every page that is HTML.
func eachPage(t *testing.T, w *world, f func(path string, h http.Header)) {
	t.Helper()
	err := chi.Walk(w.routes, func(method, pattern string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if method != get || strings.Contains(pattern, "{") || strings.HasPrefix(pattern, northapi.Base) || pattern == "/events" {
			return nil
		}
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, w.request("", get, pattern, ""))
		if strings.HasPrefix(rec.Header().Get("Content-Type"), "text/html") {
			f(pattern, rec.Header())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// declare declares proxies.
func declare(networks ...string) func(*northapi.Config) {
	return func(c *northapi.Config) {
		for _, n := range networks {
			c.Proxies = append(c.Proxies, netip.MustParsePrefix(n))
		}
	}
}

// TestKeyRate: a key has its requests a second and twice that at once, however
// it comes; another key is not held up by it.
func TestKeyRate(t *testing.T) {
	w := newWorld(t, func(c *northapi.Config) { c.KeyRate = 5 })
	ask := func(kind string) answer { return w.do(kind, get, "device_query/201", "") }
	for i := range 10 {
		ask([]string{"viewer", "cookie viewer"}[i%2]).want(t, 200, "")
	}
	if a := ask("viewer").want(t, 429, "too_many_requests"); a.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	ask("cookie viewer").want(t, 429, "too_many_requests")
	ask("operator").want(t, 200, "")
	w.now = w.now.Add(199 * time.Millisecond)
	ask("viewer").want(t, 429, "too_many_requests")
	w.now = w.now.Add(time.Millisecond)
	ask("viewer").want(t, 200, "")
	ask("viewer").want(t, 429, "too_many_requests")
	a, _ := w.logsIn("viewer")
	a.want(t, 429, "too_many_requests")
}

// TestKeyRate_None: 0 is no limit.
func TestKeyRate_None(t *testing.T) {
	w := newWorld(t)
	for range 100 {
		w.do("viewer", get, "/login", "").want(t, 200, "")
	}
}

// TestT27_WaitingRequests: so many requests of one key wait at once, and no more;
// whose caller leaves makes room at once, and another key has room of its own.
func TestT27_WaitingRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *northapi.Config) { c.KeyWaiting = 3 })
		w.sessions.give = func(ctx context.Context, o schema.Order) (*schema.Order, error) {
			select {
			case <-time.After(10 * time.Second):
				return succeed(ctx, o)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		order := func(kind string, ctx context.Context) chan int {
			status := make(chan int, 1)
			r := w.request(kind, post, "give_order", `{"device_id":"201","order":"restart"}`).WithContext(ctx)
			go func() {
				rec := httptest.NewRecorder()
				w.handler.ServeHTTP(rec, r)
				status <- rec.Code
			}()
			synctest.Wait()
			return status
		}
		ctx, leave := context.WithCancel(t.Context())
		first := order("operator", ctx)
		rest := []chan int{order("operator", t.Context()), order("cookie operator", t.Context())}
		a := w.do("operator", get, "device_query/201", "").want(t, 429, "too_many_waiting")
		if a.header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
		}
		w.do("admin", get, "device_query/201", "").want(t, 200, "")
		leave()
		<-first
		rest = append(rest, order("operator", t.Context()))
		w.do("operator", get, "device_query/201", "").want(t, 429, "too_many_waiting")
		for _, status := range rest {
			if code := <-status; code != 200 {
				t.Errorf("answered %d", code)
			}
		}
		w.do("operator", get, "device_query/201", "").want(t, 200, "")
	})
}

// untaken is a reader who takes nothing before taken is closed.
type untaken struct {
	*httptest.ResponseRecorder
	taken chan struct{}
}

func (u untaken) Write(p []byte) (int, error) {
	<-u.taken
	return u.ResponseRecorder.Write(p)
}

// TestT27_AnswersNotTaken: an answer that is not taken counts among its key's
// requests until it is; a stream of events has a limit of its own.
func TestT27_AnswersNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *northapi.Config) { c.KeyWaiting = 1 })
		ask := func(r *http.Request) (taken, done chan struct{}) {
			taken, done = make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				w.handler.ServeHTTP(untaken{httptest.NewRecorder(), taken}, r)
			}()
			synctest.Wait()
			return taken, done
		}
		ctx, leave := context.WithCancel(t.Context())
		streamed, left := ask(w.request("viewer", get, "/events", "").WithContext(ctx))
		w.do("viewer", get, "device_query/201", "").want(t, 200, "")
		for _, path := range []string{"device_query/201", "/events?after=nonsense"} {
			taken, done := ask(w.request("viewer", get, path, ""))
			w.do("viewer", get, "device_query/201", "").want(t, 429, "too_many_waiting")
			close(taken)
			<-done
			w.do("viewer", get, "device_query/201", "").want(t, 200, "")
		}
		leave()
		close(streamed)
		<-left
	})
}

// TestT24_DeclaredProxies: whom a declared proxy asks for has a bucket of his
// own, and what anybody else writes into the header changes nothing.
func TestT24_DeclaredProxies(t *testing.T) {
	const proxy, other = "10.1.0.1:5", "10.2.0.1:5"
	for _, c := range []struct {
		name, from, spoofed, next string
		same                      bool // bucket
	}{
		{"a proxy asks for two", proxy, "203.0.113.%d", "203.0.113.200", false},
		{"a proxy asks for one", proxy, "203.0.113.9", "203.0.113.9", true},
		{"one writes what he likes before it", proxy, "198.51.100.%d, 203.0.113.9", "198.51.100.200, 203.0.113.9", true},
		{"and the name of a proxy", proxy, "198.51.100.%d, 10.1.0.7, 203.0.113.9", "203.0.113.9", true},
		{"two proxies in a row", proxy, "198.51.100.%d, 203.0.113.9, 10.1.0.7", "203.0.113.9", true},
		{"what is no address ends it", proxy, "198.51.100.%d, nonsense", "198.51.100.200, more nonsense", true},
		{"no header", proxy, "", "", true},
		{"nobody's proxy", other, "203.0.113.%d", "203.0.113.200", true},
		{"nobody's proxy, as if of a proxy", other, "10.1.0.%d", "10.1.0.200", true},
		{"with ports", proxy, "203.0.113.9:%d", "203.0.113.9:9999", true},
		{"one IPv6 host", proxy, "[2001:db8::%d]:7", "2001:db8::ffff", true},
		{"two IPv6 hosts", proxy, "2001:db8::%d", "2001:db8:0:1::1", false},
	} {
		w := newWorld(t, declare("10.1.0.0/16"))
		fails := func(header string) answer {
			r := w.from(c.from)
			if header != "" {
				r.Header.Set("X-Forwarded-For", header)
			}
			return w.send(r)
		}
		for i := range 20 {
			header := c.spoofed
			if strings.Contains(header, "%d") {
				header = fmt.Sprintf(header, i+1)
			}
			fails(header)
		}
		if c.name == "a proxy asks for two" { // each has spent one only
			fails("203.0.113.5").want(t, 401, "unauthenticated")
		}
		if a := fails(c.next); (a.status == 429) != c.same {
			t.Errorf("%s: %d", c.name, a.status)
		}
	}
}

// TestT24_SouthboundToo: devices behind a declared proxy have addresses of their own.
func TestT24_SouthboundToo(t *testing.T) {
	var seen []string
	w := newWorld(t, declare("10.1.0.0/16"), func(c *northapi.Config) {
		c.Southbound = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = append(seen, r.RemoteAddr) })
	})
	for _, from := range []string{"10.1.0.1:5", "10.2.0.1:5"} {
		r := httptest.NewRequest(get, "/ws", nil)
		r.RemoteAddr = from
		r.Header.Set("X-Forwarded-For", "203.0.113.9")
		w.handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	if fmt.Sprint(seen) != "[203.0.113.9:0 10.2.0.1:5]" {
		t.Errorf("%s", seen)
	}
}
