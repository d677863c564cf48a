package northapi_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
)

// logsIn exchanges the key of a kind for a cookie. What else the browser holds
// goes along.
func (w *world) logsIn(kind string, held ...*http.Cookie) (answer, *http.Cookie) {
	w.t.Helper()
	r := w.request("", post, "/login", fmt.Sprintf(`{"key":%q}`, w.keys[kind]))
	for _, c := range held {
		r.AddCookie(c)
	}
	a := w.send(r)
	set, err := http.ParseSetCookie(a.header.Get("Set-Cookie"))
	if a.status == 200 {
		w.must(err)
	}
	return a, set
}

// as is a request with a cookie, from a page of the server's own.
func (w *world) as(c *http.Cookie, method, path, body string) answer {
	w.t.Helper()
	r := w.request("", method, path, body)
	r.AddCookie(c)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return w.send(r)
}

// TestT29_Login: what a browser is told of the cookie, that it stands for its
// key, and that logging out ends it.
func TestT29_Login(t *testing.T) {
	w := newWorld(t)
	a, c := w.logsIn("scoped operator")
	a.want(t, 200, "")
	want := fmt.Sprintf(`{"by":"key:line","role":"operator","group_ids":["101","103"],"expires_time":%d}`, present+schema.SessionLifetime.Milliseconds())
	if string(a.Data) != want {
		t.Errorf("data %s, want %s", a.Data, want)
	}
	if got := strings.Replace(a.header.Get("Set-Cookie"), c.Value, "VALUE", 1); got != "tether=VALUE; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict" {
		t.Errorf("the cookie is %s", got)
	}
	if len(c.Value) != len(schema.SessionPrefix)+32 {
		t.Errorf("%d characters", len(c.Value))
	}
	if a := w.as(c, get, "/login", "").want(t, 200, ""); string(a.Data) != want {
		t.Errorf("as whom: %s", a.Data)
	}
	w.as(c, post, "give_order", `{"device_id":"201","order":"restart"}`).want(t, 200, "")
	w.as(c, post, "give_order", `{"device_id":"202","order":"restart"}`).want(t, 404, "device_not_found")
	w.as(c, del, "device_delete", `{"device_id":"201"}`).want(t, 403, "forbidden")
	if by := w.sessions.given[0].Order.By; by != "key:line" {
		t.Errorf("by %s", by)
	}
	a = w.as(c, post, "/logout", `{}`).want(t, 200, "")
	if got := a.header.Get("Set-Cookie"); got != "tether=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict" {
		t.Errorf("taken away by %s", got)
	}
	w.as(c, get, "/login", "").want(t, 401, "unauthenticated")
	w.do("viewer", post, "/logout", `{}`).want(t, 200, "") // and a key stays
	if a := w.do("viewer", get, "/login", "").want(t, 200, ""); string(a.Data) != `{"by":"key:viewer","role":"viewer","group_ids":[],"expires_time":null}` {
		t.Errorf("a key's: %s", a.Data)
	}
}

// TestT29_SecureCookie: over TLS, to here or to a declared proxy, the cookie is
// Secure and bound to this host; one of the other name counts for nothing there.
func TestT29_SecureCookie(t *testing.T) {
	for from, want := range map[string]string{"10.0.0.9:1": "__Host-tether", "10.0.0.8:1": "tether"} {
		w := newWorld(t, declare("10.0.0.9/32"))
		r := w.request("", post, "/login", fmt.Sprintf(`{"key":%q}`, w.keys["viewer"]))
		r.RemoteAddr = from
		r.Header.Set("X-Forwarded-Proto", "https")
		c, err := http.ParseSetCookie(w.send(r).want(t, 200, "").header.Get("Set-Cookie"))
		w.must(err)
		if c.Name != want || c.Secure != (want == "__Host-tether") || c.Domain != "" || c.Path != "/" || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode {
			t.Errorf("from %s: %+v", from, c)
		}
		for _, name := range []string{"tether", "__Host-tether"} {
			r := w.request("", get, "/login", "")
			r.RemoteAddr = from
			r.Header.Set("X-Forwarded-Proto", "https")
			r.AddCookie(&http.Cookie{Name: name, Value: c.Value})
			if a := w.send(r); (a.status == 200) != (name == want) {
				t.Errorf("from %s, by %s: %d", from, name, a.status)
			}
		}
	}
}

// TestT29_Fixation: a log-in makes a new cookie and ends the one that was
// there, whosever it was; a value that a browser was made to hold gets nothing.
func TestT29_Fixation(t *testing.T) {
	w := newWorld(t)
	planted := &http.Cookie{Name: "tether", Value: "ts_" + strings.Repeat("A", 32)}
	_, first := w.logsIn("viewer", planted)
	_, second := w.logsIn("admin", first)
	if first.Value == planted.Value || second.Value == first.Value {
		t.Errorf("%s, %s", first.Value, second.Value)
	}
	w.as(planted, get, "/login", "").want(t, 401, "unauthenticated")
	w.as(first, get, "/login", "").want(t, 401, "unauthenticated")
	w.as(second, get, "/login", "").want(t, 200, "")
}

// TestT29_LoginFromElsewhere: no other site logs a browser in as somebody else.
func TestT29_LoginFromElsewhere(t *testing.T) {
	w := newWorld(t)
	r := w.request("", post, "/login", fmt.Sprintf(`{"key":%q}`, w.keys["viewer"]))
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if a := w.send(r).want(t, 403, "cross_origin"); a.header.Get("Set-Cookie") != "" {
		t.Error("and yet there is a cookie")
	}
	r = w.request("", post, "/login", fmt.Sprintf(`{"key":%q}`, w.keys["viewer"]))
	r.Header.Set("Content-Type", "text/plain") // as a form could
	w.send(r).want(t, 400, "invalid_member")
}

// TestT29_Expiry: both ends of a log-in that is not used and of one that is.
func TestT29_Expiry(t *testing.T) {
	w := newWorld(t, func(c *northapi.Config) { c.SessionIdle, c.SessionLifetime = 10*time.Minute, time.Hour })
	_, unused := w.logsIn("viewer")
	_, used := w.logsIn("viewer")
	for range 6 {
		w.now = w.now.Add(10*time.Minute - time.Millisecond)
		w.as(used, get, "/login", "").want(t, 200, "")
		w.flush()
	}
	w.as(unused, get, "/login", "").want(t, 401, "unauthenticated")
	w.now = time.UnixMilli(present).Add(time.Hour - time.Millisecond)
	w.as(used, get, "/login", "").want(t, 200, "")
	w.now = w.now.Add(time.Millisecond)
	w.as(used, get, "/login", "").want(t, 401, "unauthenticated")
	_, idle := w.logsIn("viewer")
	w.now = w.now.Add(10*time.Minute - time.Millisecond)
	w.as(idle, get, "/login", "").want(t, 200, "") // which is noted
	w.flush()
	w.now = w.now.Add(10 * time.Minute)
	w.as(idle, get, "/login", "").want(t, 401, "unauthenticated")
}

// flush waits until the store has what nobody waits for.
func (w *world) flush() {
	w.t.Helper()
	w.must(w.store.EndKeySession(w.t.Context(), ""))
}

// TestT29_Bounded: a key has so many log-ins, and one more ends the oldest.
func TestT29_Bounded(t *testing.T) {
	w := newWorld(t)
	var all []*http.Cookie
	for range schema.MaxKeySession + 1 {
		w.now = w.now.Add(time.Millisecond)
		_, c := w.logsIn("viewer")
		all = append(all, c)
	}
	for i, c := range all {
		if a := w.as(c, get, "/login", ""); (a.status == 200) != (i > 0) {
			t.Errorf("log-in %d of %d: %d", i+1, len(all), a.status)
		}
	}
}

// TestT29_Guessing: wrong keys and wrong cookies are slowed together with
// what is wrong elsewhere; a good key gets in all the same.
func TestT29_Guessing(t *testing.T) {
	w := newWorld(t)
	bad := func(i int) answer {
		if i%2 == 0 {
			return w.as(&http.Cookie{Name: "tether", Value: fmt.Sprint("ts_", i)}, get, "/login", "")
		}
		return w.do("", post, "/login", fmt.Sprintf(`{"key":"tk_%d"}`, i))
	}
	for i := range 20 {
		bad(i).want(t, 401, "unauthenticated")
	}
	for i := range 10 {
		bad(i).want(t, 429, "too_many_failures")
	}
	a, _ := w.logsIn("viewer")
	a.want(t, 200, "")
}

// TestT29_KeyWins: a request that has a key and a cookie is the key's, a wrong
// key's too.
func TestT29_KeyWins(t *testing.T) {
	w := newWorld(t)
	_, c := w.logsIn("admin")
	for kind, status := range map[string]int{"viewer": 403, "nobody's": 401} {
		r := w.request(kind, get, "key_query_all", "")
		r.AddCookie(c)
		if a := w.send(r); a.status != status {
			t.Errorf("%s: %d", kind, a.status)
		}
	}
	r := w.request("admin", post, "group_add", `{"group_name":"n"}`) // and needs no Origin
	r.AddCookie(c)
	w.send(r).want(t, 201, "")
}

// TestT29_T12_StreamsEndWithTheirLogin: within a second, and say why: logged
// out, taken over by another log-in, too old, or with the key.
func TestT29_T12_StreamsEndWithTheirLogin(t *testing.T) {
	for name, end := range map[string]func(*world, *http.Cookie){
		"logout":   func(w *world, c *http.Cookie) { w.as(c, post, "/logout", `{}`).want(w.t, 200, "") },
		"replaced": func(w *world, c *http.Cookie) { w.logsIn("operator", c) },
		"expired":  func(w *world, _ *http.Cookie) { w.ahead.Add(int64(schema.SessionLifetime)) },
		"idle":     func(w *world, _ *http.Cookie) { w.ahead.Add(int64(schema.SessionIdle)) },
		"revoked": func(w *world, _ *http.Cookie) {
			list, err := w.store.ListKeys(w.t.Context(), schema.Page{})
			w.must(err)
			i := slices.IndexFunc(list.Items, func(k schema.Key) bool { return k.Name == "viewer" })
			w.do("admin", post, "key_revoke", fmt.Sprintf(`{"key_id":%q}`, list.Items[i].KeyID)).want(w.t, 200, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				_, c := w.logsIn("viewer")
				w.cookies["new"] = c.Value
				d, done := w.drips("cookie new", "", 0)
				time.Sleep(7*time.Second + 300*time.Millisecond)
				end(w, c)
				ended := time.Now()
				<-done
				if after := time.Since(ended); after > time.Second {
					t.Errorf("ended after %s", after)
				}
				d.wantLast(t, fmt.Sprintf(`7.5: id: %d|event: dropped|data: {"reason":"session_ended","resume_after":%d}`, w.last(), w.last()))
			})
		})
	}
}

// TestT44_LoginSecrets: a key and what its cookie holds are in no answer's body, no
// line of the log or of the audit log, and no event, whatever breaks on the way.
func TestT44_LoginSecrets(t *testing.T) {
	for _, broken := range []bool{false, true} {
		w := newWorld(t, func(c *northapi.Config) {
			if broken {
				c.KeySessions = panicking{c.KeySessions}
			}
		})
		shown := ""
		show := func(a answer) answer { shown += a.body; return a }
		a, c := w.logsIn("admin")
		if show(a); broken {
			a.want(t, 500, "internal")
			c = &http.Cookie{Name: "tether", Value: template.cookies["admin"]}
		}
		show(w.as(c, get, "/login", ""))
		show(w.as(c, post, "group_add", `{"group_name":"n"}`))
		show(w.as(c, post, "/logout", `{}`))
		show(w.do("", post, "/login", `{"key":["`+w.keys["admin"]+`"]}`)).want(t, 400, "invalid_member")
		show(w.do("", post, "/login", `{"key":"`+w.keys["admin"]+strings.Repeat("x", 300)+`"}`)).want(t, 400, "invalid_member")
		for _, path := range []string{"audit_query_all", "key_query_all", "device_log_query/201"} {
			show(w.do("admin", get, path, ""))
		}
		shown += w.logged.String()
		if broken && !strings.Contains(shown, "panic: the inside") {
			t.Error("nothing broke")
		}
		for _, secret := range slices.Concat(w.secrets.cookies, w.secrets.hashes, template.secrets, []string{c.Value}) {
			if strings.Contains(shown, secret) {
				t.Errorf("%q is shown in %s", secret, shown)
			}
		}
	}
}

// panicking breaks wherever it is asked.
type panicking struct{ northapi.KeySessions }

func (panicking) AddKeySession(context.Context, schema.Login) error { panic("the inside") }
func (panicking) KeySession(context.Context, string, int64, int64) (schema.Key, schema.KeySession, error) {
	panic("the inside")
}

// TestKeysAreNotedAsUsed: once a minute, whatever they are used for.
func TestKeysAreNotedAsUsed(t *testing.T) {
	w := newWorld(t)
	used := func() *int64 {
		w.flush()
		list, err := w.store.ListKeys(t.Context(), schema.Page{})
		w.must(err)
		return list.Items[slices.IndexFunc(list.Items, func(k schema.Key) bool { return k.Name == "viewer" })].UsedTime
	}
	if used() != nil {
		t.Error("it was used before")
	}
	for _, c := range []struct {
		after time.Duration
		want  int64
	}{{0, 0}, {59_999 * time.Millisecond, 0}, {time.Millisecond, 60_000}, {time.Second, 60_000}, {time.Hour, 3_661_000}} {
		w.now = w.now.Add(c.after)
		w.do("viewer", get, "device_query_all", "").want(t, 200, "")
		if at := used(); at == nil || *at != present+c.want {
			t.Errorf("%s later: %v, want %d", c.after, at, present+c.want)
		}
	}
}

// TestT29_Pages: no page can be put into a frame, none runs a script, and no
// answer's type is guessed. Pages hold nothing of the installation.
func TestT29_Pages(t *testing.T) {
	w := newWorld(t)
	pages := 0
	eachPage(t, w, func(path string, h http.Header) {
		pages++
		csp := strings.Split(h.Get("Content-Security-Policy"), "; ")
		for _, directive := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
			if !slices.Contains(csp, directive) {
				t.Errorf("%s: %q lacks %s", path, csp, directive)
			}
		}
		for _, directive := range csp {
			if strings.HasPrefix(directive, "script-src") || strings.Contains(directive, "unsafe") {
				t.Errorf("%s: %s", path, directive)
			}
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v", path, h)
		}
	})
	if pages != 3 {
		t.Errorf("%d pages", pages)
	}
}
