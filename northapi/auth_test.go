package northapi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
)

func TestAuthorizationForms(t *testing.T) {
	w := newWorld(t)
	for form, status := range map[string]int{
		"Bearer " + w.keys["viewer"]: 200, "bearer  " + w.keys["viewer"]: 200,
		"": 401, "Bearer": 401, "Bearer ": 401, w.keys["viewer"]: 401, "Basic " + w.keys["viewer"]: 401,
		"Bearer " + w.keys["viewer"] + "x": 401, "Bearer " + w.keys["viewer"] + " x": 401,
	} {
		r := w.request("", get, "device_query/201", "")
		r.Header.Set("Authorization", form)
		a := w.send(r)
		if a.status != status || status == 401 && a.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%q: %d %v", form, a.status, a.header)
		}
	}
}

// from is a request without a good key from a source.
func (w *world) from(source string) *http.Request {
	r := w.request("nobody's", get, "device_query/201", "")
	r.RemoteAddr = source
	return r
}

// TestT6_T24_FailuresAreSlowed: 20 at once and then one a second for a source,
// whatever headers say of it; a good key from there is never held up.
func TestT6_T24_FailuresAreSlowed(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		w.send(w.from(fmt.Sprint("10.0.0.1:", 1000+i))).want(t, 401, "unauthenticated")
	}
	for i := range 3 {
		r := w.from("10.0.0.1:99")
		r.Header.Set("X-Forwarded-For", fmt.Sprint("10.9.9.", i))
		a := w.send(r).want(t, 429, "too_many_failures")
		if a.header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
		}
	}
	good := w.request("viewer", get, "device_query/201", "")
	good.RemoteAddr = "10.0.0.1:99"
	w.send(good).want(t, 200, "")
	w.send(w.from("10.0.0.2:99")).want(t, 401, "unauthenticated")
	w.now = w.now.Add(time.Second)
	w.send(w.from("10.0.0.1:99")).want(t, 401, "unauthenticated")
	w.send(w.from("10.0.0.1:99")).want(t, 429, "too_many_failures")
}

// TestT6_OneHostsAddresses: all that one IPv6 host can call itself is one
// source, and a mapped IPv4 address is that address.
func TestT6_OneHostsAddresses(t *testing.T) {
	for _, c := range [][3]string{
		{"[2001:db8::%d]:1", "[2001:db8::ffff]:2", "[2001:db8:0:1::1]:1"},
		{"10.0.0.1:%d", "[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.2]:1"},
		{"pipe%d", "pipe", "10.0.0.1:1"},
	} {
		w := newWorld(t)
		for i := range 20 {
			w.send(w.from(fmt.Sprintf(c[0], i+1))).want(t, 401, "unauthenticated")
		}
		w.send(w.from(c[1])).want(t, 429, "too_many_failures")
		w.send(w.from(c[2])).want(t, 401, "unauthenticated")
	}
}

// down is a store that does not answer.
type down struct{ northapi.Keys }

func (down) KeyByHash(context.Context, string) (schema.Key, error) {
	return schema.Key{}, schema.ErrStoreUnavailable
}

// TestF28_StoreIsDown: a key that cannot be looked up is not a wrong one.
func TestF28_StoreIsDown(t *testing.T) {
	w := newWorld(t, func(c *northapi.Config) { c.Keys = down{c.Keys} })
	for range 30 {
		w.do("admin", get, "device_query/201", "").want(t, 503, "store_unavailable")
	}
}

// faltering is a store that does not answer while away is set. It counts how often
// it was asked.
type faltering struct {
	northapi.Keys
	away  *atomic.Bool
	asked *atomic.Int64
}

func (f faltering) KeyByHash(ctx context.Context, hash string) (schema.Key, error) {
	f.asked.Add(1)
	if f.away.Load() {
		return schema.Key{}, schema.ErrStoreUnavailable
	}
	return f.Keys.KeyByHash(ctx, hash)
}

// TestF28_WhatLastsGoesOn: a stream and an import outlive a store that cannot say if
// their key is still good.
func TestF28_WhatLastsGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		w := newWorld(t, func(c *northapi.Config) { c.Keys = faltering{c.Keys, &away, new(atomic.Int64)} })
		d, _ := w.drips("scoped viewer", "", 0)
		cut := &onEOF{text: deviceLine("a", ""), then: deviceLine("b", ""), do: func() {
			away.Store(true)
			w.now = w.now.Add(time.Second)
		}}
		wantCodes(t, w.imports("", ndjson, cut), "1 2 true 2=2+0 ")
		time.Sleep(2 * time.Second)
		w.happens(ownLogin, foreignLogin)
		time.Sleep(2 * time.Second)
		if taken := d.taken(); len(taken) != 2 || !strings.Contains(taken[1], "login_failed") {
			t.Errorf("taken %q", taken)
		}
	})
}

// TestImport_AsksForItsKeyNowAndThen, and not for each of its batches.
func TestImport_AsksForItsKeyNowAndThen(t *testing.T) {
	var asked atomic.Int64
	w := newWorld(t, func(c *northapi.Config) { c.Keys = faltering{c.Keys, new(atomic.Bool), &asked} })
	var lines []io.Reader
	for i := range 10 {
		lines = append(lines, strings.NewReader(deviceLine(fmt.Sprint(i), "")))
	}
	wantCodes(t, w.imports("", ndjson, io.MultiReader(lines...)), "1 2 3 4 5 6 7 8 9 10 true 10=10+0 ")
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestAuthOff(t *testing.T) {
	w := newWorld(t, func(c *northapi.Config) { c.AuthOff = true })
	w.do("", post, "group_add", `{"group_name":"n"}`).want(t, 201, "")
	w.do("", post, "give_order", `{"device_id":"201","order":"restart"}`).want(t, 200, "")
	if by := w.sessions.given[0].Order.By; by != "anonymous" {
		t.Errorf("by %q", by)
	}
}

// TestT29_RebindingWithoutKeys: a page whose own host name has been turned to this
// machine is the server's to a browser. Without keys nothing else would stop it.
func TestT29_RebindingWithoutKeys(t *testing.T) {
	off := newWorld(t, func(c *northapi.Config) { c.AuthOff = true })
	on := newWorld(t)
	for host, ours := range map[string]bool{
		"127.0.0.1:9090": true, "127.8.8.8": true, "localhost:9090": true, "LocalHost": true, "[::1]:9090": true, "[::1]": true,
		"x.evil:9090": false, "localhost.evil": false, "127.0.0.1.evil:9090": false, "192.0.2.1:9090": false, "": false,
	} {
		ask := func(w *world, kind, method, path, body string) answer {
			r := w.request(kind, method, path, body)
			r.Host = host
			r.Header.Set("Origin", "http://"+host)
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			return w.send(r)
		}
		if !ours {
			ask(off, "", get, "device_query_all", "").want(t, 401, "unauthenticated")
			ask(off, "", post, "key_add", `{"name":"evil","role":"admin"}`).want(t, 401, "unauthenticated")
		} else {
			ask(off, "", get, "device_query_all", "").want(t, 200, "")
		}
		ask(on, "viewer", get, "device_query_all", "").want(t, 200, "")
	}
}
