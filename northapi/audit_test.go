package northapi_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
)

// lines are the audit log's, newest first.
func (w *world) lines(query string) []schema.Audit {
	w.t.Helper()
	w.flush()
	return into[schema.List[schema.Audit]](w.t, w.do("admin", get, "audit_query_all"+query, "").want(w.t, 200, "")).Items
}

// line is the newest, without its identifier.
func (w *world) line() string {
	w.t.Helper()
	all := w.lines("?limit=1")
	if len(all) == 0 {
		return "none"
	}
	a := all[0]
	return fmt.Sprint(a.Time-present, " ", a.By, " ", a.KeyID, " ", a.Address, " ", a.Service, " ", string(a.Target), " ", a.Status, " ", a.Code)
}

// TestAudit_Lines: who asked, from where, for what, and what was answered.
func TestAudit_Lines(t *testing.T) {
	for _, c := range []struct{ kind, method, path, body, want string }{
		{"admin", post, "device_add", newDevice + `}`, `0 key:admin 405 192.0.2.1 device_add {"device_id":"1001"} 201 `},
		{"admin", post, "device_add", `{"colour":1}`, `0 key:admin 405 192.0.2.1 device_add {} 400 invalid_member`},
		{"admin", put, "group_update", `{"group_id":"101","group_name":"n"}`, `0 key:admin 405 192.0.2.1 group_update {"group_id":"101"} 200 `},
		{"admin", del, "group_delete", `{"group_id":"999"}`, `0 key:admin 405 192.0.2.1 group_delete {"group_id":"999"} 404 group_not_found`},
		{"operator", post, "relation_add", `{"device_id":"201","group_id":"103"}`, `0 key:operator 403 192.0.2.1 relation_add {"device_id":"201","group_id":"103"} 201 `},
		{"operator", put, "device_groups_update", `{"device_id":"201","group_ids":["103"]}`, `0 key:operator 403 192.0.2.1 device_groups_update {"device_id":"201","group_ids":["103"]} 200 `},
		{"operator", post, "give_order", `{"device_id":"201","order":"restart"}`, `0 key:operator 403 192.0.2.1 give_order {"device_id":"201","order_id":"1001"} 200 `},
		{"cookie scoped operator", post, "give_order", `{"device_id":"202","order":"restart"}`, `0 key:line 404 192.0.2.1 give_order {"device_id":"202"} 404 device_not_found`},
		{"viewer", post, "give_order", `{"device_id":"201","order":"restart"}`, `0 key:viewer 401 192.0.2.1 give_order {} 403 forbidden`},
		{"viewer", get, "key_query_all", "", `0 key:viewer 401 192.0.2.1 key_query_all {} 403 forbidden`},
		{"admin", post, "key_add", `{"name":"n","role":"viewer","group_ids":["101"]}`, `0 key:admin 405 192.0.2.1 key_add {"group_ids":["101"],"key_id":"1001"} 201 `},
		{"admin", post, "key_revoke", `{"key_id":"400"}`, `0 key:admin 405 192.0.2.1 key_revoke {"key_id":"400"} 200 `},
		{"admin", post, "device_import", newDevice + `}`, `0 key:admin 405 192.0.2.1 device_import {} 200 `},
		{"cookie viewer", post, "/logout", `{}`, `0 key:viewer 401 192.0.2.1 logout {} 200 `},
		// And none of these:
		{"viewer", get, "device_query/201", "", "none"},
		{"viewer", get, "device_query/999", "", "none"},
		{"nobody's", post, "device_add", `{}`, "none"},
		{"", post, "/login", `{"key":"tk_wrong"}`, "none"},
	} {
		w := newWorld(t)
		w.do(c.kind, c.method, c.path, c.body)
		if got := w.line(); got != c.want {
			t.Errorf("%s %s %s: %s, want %s", c.kind, c.path, c.body, got, c.want)
		}
	}
}

// TestAudit_Login: a log-in has its line, of the key and not of the cookie.
func TestAudit_Login(t *testing.T) {
	w := newWorld(t)
	w.logsIn("viewer")
	if got, want := w.line(), `0 key:viewer 401 192.0.2.1 login {} 200 `; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestAudit_Address: of the connection, unless a declared proxy says better.
func TestAudit_Address(t *testing.T) {
	for from, want := range map[string]string{"10.1.0.1:5": "203.0.113.9", "10.2.0.1:5": "10.2.0.1", "[2001:db8::1%eth0]:5": "2001:db8::1", "pipe": ""} {
		w := newWorld(t, declare("10.1.0.0/16"))
		r := w.request("admin", post, "group_add", `{"group_name":"n"}`)
		r.RemoteAddr = from
		r.Header.Set("X-Forwarded-For", "203.0.113.9")
		w.send(r).want(t, 201, "")
		if got := w.lines("")[0].Address; got != want {
			t.Errorf("from %s: %q, want %q", from, got, want)
		}
	}
}

// TestAudit_Panic: what broke has its line too.
func TestAudit_Panic(t *testing.T) {
	w := newWorld(t)
	w.sessions.give = func(context.Context, schema.Order) (*schema.Order, error) { panic("the inside") }
	w.do("operator", post, "give_order", `{"device_id":"201","order":"restart"}`).want(t, 500, "internal")
	if got, want := w.line(), `0 key:operator 403 192.0.2.1 give_order {"device_id":"201"} 500 internal`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestAudit_FloodLeavesNone: what a key's limits refuse was not carried out.
func TestAudit_FloodLeavesNone(t *testing.T) {
	w := newWorld(t, func(c *northapi.Config) { c.KeyRate = 1 })
	for range 5 {
		w.do("operator", post, "give_order", `{"device_id":"201","order":"restart"}`)
	}
	if n := len(w.lines("?service=give_order")); n != 2 {
		t.Errorf("%d lines of 2 that were let in", n)
	}
}

// TestAudit_Query: filters, pages and their bounds.
func TestAudit_Query(t *testing.T) {
	w := newWorld(t)
	for i := range 6 {
		kind := []string{"operator", "admin"}[i%2]
		w.do(kind, post, "relation_add", `{"device_id":"201","group_id":"103"}`)
		w.now = w.now.Add(time.Second)
	}
	for query, want := range map[string]int{
		"": 6, "?by=key:admin": 3, "?by=key:nobody": 0, "?service=relation_add": 6, "?service=group_add": 0,
		fmt.Sprintf("?since=%d", present+3000): 3, fmt.Sprintf("?until=%d&by=key:operator", present+3000): 2, "?limit=2": 2,
	} {
		if got := len(w.lines(query)); got != want {
			t.Errorf("%s: %d lines, want %d", query, got, want)
		}
	}
	w.do("admin", get, fmt.Sprintf("audit_query_all?since=%d&until=%d", present, present-1), "").want(t, 400, "invalid_member")
	w.do("admin", get, "audit_query_all?by="+strings.Repeat("x", 133), "").want(t, 400, "invalid_member")
}

// TestAudit_OnlyIdentifiers: what is no identifier is in no line, wherever it
// was put: it may be a megabyte, or a secret.
func TestAudit_OnlyIdentifiers(t *testing.T) {
	w := newWorld(t)
	junk := strings.Repeat("x", 1<<19)
	w.do("operator", post, "order_cancel", w.marshal(map[string]any{"order_id": junk})).want(t, 400, "invalid_member")
	w.do("operator", put, "device_groups_update", w.marshal(map[string]any{"device_id": "201", "group_ids": []string{"103", junk, "104"}})).want(t, 400, "invalid_member")
	for i, want := range []string{`{"device_id":"201","group_ids":["103","104"]}`, `{}`} {
		if got := string(w.lines("")[i].Target); got != want {
			t.Errorf("%d bytes: %.100s", len(got), got)
		}
	}
}

// TestAudit_LongLists: a line stays short, whatever was asked for.
func TestAudit_LongLists(t *testing.T) {
	for n, want := range map[int]string{20: `"group_ids":["1000",`, 21: `"group_ids_count":21`, 1000: `"group_ids_count":1000`} {
		w := newWorld(t)
		ids := make([]string, n)
		for i := range ids {
			ids[i] = fmt.Sprint(1000 + i)
		}
		w.do("operator", put, "device_groups_update", w.marshal(map[string]any{"device_id": "201", "group_ids": ids})).want(t, 404, "group_not_found")
		target := string(w.lines("")[0].Target)
		if !strings.Contains(target, want) || strings.Contains(target, "_count") != (n > 20) || len(target) > 300 {
			t.Errorf("%d groups: %s", n, target)
		}
	}
}
