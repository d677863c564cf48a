package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
)

// failures are how often a device's secret was checked in vain.
func (w *world) failures(device string) (n int) {
	for _, line := range w.said(device) {
		if strings.HasPrefix(line, string(schema.EventLoginFailed)+" ") {
			n++
		}
	}
	return n
}

// guesses is how many guesses TestT6_GuessingAtTheService makes.
func guesses() int {
	if os.Getenv("TETHER_SOAK") != "" {
		return 10_000
	}
	return 1_000
}

// TestT6_GuessingAtTheService: however many guesses are made at one device over
// connections of their own, 30 of them at most are checked, and the genuine device
// logs in from elsewhere within two seconds, in the midst of them.
func TestT6_GuessingAtTheService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var added struct {
			DeviceID string `json:"device_id"`
		}
		w.must("POST", "device_add", `{"device_name":"c","hardware":{"sn":"C","model":"M"},"password":"correct horse"}`, &added)
		guess := func(i int) {
			c := w.connect(fmt.Sprint("10.9.0.", i%5))
			c.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"login","params":{"device_id":%q,"password":"guess %d"}}`, added.DeviceID, i))
			select {
			case m := <-c.in:
				if !strings.Contains(m, `"error"`) {
					t.Errorf("a guess gets in: %s", m)
				}
			case <-c.end: // put off
			}
			c.drop()
		}
		for i := range guesses() / 2 {
			guess(i)
		}
		start := time.Now()
		c := w.connect("10.0.0.7")
		c.login(added.DeviceID, "correct horse", "boot-1")
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("the genuine device waited %v", d)
		}
		c.drop()
		for i := range guesses() / 2 {
			guess(i)
		}
		if n := w.failures(added.DeviceID); n == 0 || n > 30 {
			t.Errorf("%d of %d guesses were checked", n, guesses())
		}
	})
}

// TestT10_RefusalsAreAlike: who is unknown, disabled, of another model, or has a
// wrong secret is answered the same bytes after the same time.
func TestT10_RefusalsAreAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		id, password := w.addDevice("a")
		off, offPassword := w.addDevice("off")
		w.must("PUT", "device_update", `{"device_id":"`+off+`","enabled":false}`, nil)
		hardware := w.device(id).Hardware
		first := ""
		for i, params := range []string{
			fmt.Sprintf(`{"device_id":%q,"password":"wrong secret"}`, id),
			fmt.Sprintf(`{"device_id":%q,"password":%q}`, id, schema.PasswordPrefix+strings.Repeat("A", 32)),
			fmt.Sprintf(`{"device_id":%q,"token":%q}`, id, schema.TokenPrefix+strings.Repeat("A", 32)),
			`{"device_id":"404","password":"wrong secret"}`,
			fmt.Sprintf(`{"device_id":"404","password":%q}`, password),
			fmt.Sprintf(`{"device_id":%q,"password":%q}`, off, offPassword),
			fmt.Sprintf(`{"device_sn":%q,"device_model":"other","password":%q}`, hardware.SN, password),
			fmt.Sprintf(`{"device_sn":"other","device_model":%q,"password":"wrong secret"}`, hardware.Model),
		} {
			c := w.connect(fmt.Sprint("10.0.1.", i))
			start := time.Now()
			c.send(`{"jsonrpc":"2.0","id":1,"method":"login","params":` + params + `}`)
			got := <-c.in
			end := c.closed()
			text := fmt.Sprintf("%s, then %d %q, after %v", got, end.Code, end.Text, time.Since(start))
			if first == "" {
				first = text
			}
			if text != first {
				t.Errorf("%s: %s, another %s", params, text, first)
			}
		}
	})
}

// TestT11_Tokens: a login's token is good at its device, and at no other.
func TestT11_Tokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		by := func(id, token string) bool {
			c := w.connect("10.0.0.7")
			defer c.drop()
			return c.call("login", fmt.Sprintf(`{"device_id":%q,"token":%q}`, id, token)).Error == nil
		}
		tokens := map[string]string{}
		var ids []string
		for _, name := range []string{"a", "b"} {
			id, password := w.addDevice(name)
			c := w.connect("10.0.0.7")
			tokens[id] = c.login(id, password, "boot-1").Token
			c.drop()
			ids = append(ids, id)
		}
		a, b := ids[0], ids[1]
		if by(a, tokens[b]) {
			t.Error("a token is good at another device")
		}
		if !by(b, tokens[b]) || !by(a, tokens[a]) {
			t.Error("a token is not good at its own")
		}
	})
}

// TestT11_TokenExpires: a token is good until it expires, and not a millisecond
// longer, whoever has it. The service is stopped meanwhile, since it would
// otherwise work through the month.
func TestT11_TokenExpires(t *testing.T) {
	for _, c := range []struct {
		left time.Duration // of its life
		good bool
	}{{time.Millisecond, true}, {0, false}} {
		t.Run(fmt.Sprint(c.left, " left"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				id, password := w.addDevice("a")
				in := w.connect("10.0.0.7")
				login := in.login(id, password, "boot-1")
				in.drop()
				w.end()
				time.Sleep(time.Until(time.UnixMilli(login.TokenExpires).Add(-c.left)))
				w.start()
				m := w.connect("10.0.0.7").call("login", fmt.Sprintf(`{"device_id":%q,"token":%q}`, id, login.Token))
				if good := m.Error == nil; good != c.good || !good && m.Error.Code != -32001 {
					t.Errorf("%+v", m)
				}
			})
		})
	}
}

// TestT20_OriginsAtTheService: no page of a browser opens a device's connection,
// unless its origin was listed.
func TestT20_OriginsAtTheService(t *testing.T) {
	t.Parallel()
	s := serve(t, "--origin", "https://console.example")
	for origin, want := range map[string]int{
		"": 101, "https://console.example": 101, "https://evil.example": 403, "null": 403, "https://sub.console.example": 403,
		"http://console.example": 403, "https://console.example.evil.example": 403, "https://console.example:8443": 403,
	} {
		req, err := http.NewRequest("GET", "http://tether/ws", nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{
			"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Origin": origin,
		} {
			if value != "" {
				req.Header.Set(name, value)
			}
		}
		resp, err := s.api.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%q: %d, want %d", origin, resp.StatusCode, want)
		}
	}
}

// secretForm is how everything looks that the service takes for a secret.
var secretForm = regexp.MustCompile(`\bt[kpts]_[A-Za-z0-9_-]{4,64}`)

// TestT23_T30_NothingShippedIsASecret: nothing that stands in a document, in the
// image or in the contract, nor what others ship with, gets in at a fresh start.
// Two starts make two keys, and each is told once.
func TestT23_T30_NothingShippedIsASecret(t *testing.T) {
	t.Parallel()
	s, other := serve(t), serve(t)
	if s.api.key == other.api.key {
		t.Error("two fresh starts make one key")
	}
	guesses := []string{"admin", "password", "tether", "first", "changeme", "thingsboard", "secret", "tk_", "anonymous"}
	for _, file := range []string{"README.md", "README.zh-CN.md", "SECURITY.md", "CHANGELOG.md", "Dockerfile", "Makefile", "schema/openapi.json", "schema/openrpc-device.json"} {
		text, err := os.ReadFile("../../" + file)
		if err != nil {
			t.Fatal(err)
		}
		guesses = append(guesses, secretForm.FindAllString(string(text), -1)...)
	}
	slices.Sort(guesses)
	guesses = slices.Compact(guesses)
	if len(guesses) < 11 {
		t.Errorf("looked for in vain: %q", guesses)
	}
	for _, key := range append(guesses, other.api.key) {
		if status := s.keyStatus(key); status != 401 && status != 429 {
			t.Errorf("%q is answered %d", key, status)
		}
	}
	if status := s.keyStatus(s.api.key); status != 200 {
		t.Errorf("the first key is answered %d", status)
	}
	s.kill()
	s.begin(t)
	if s.out.has(schema.KeyPrefix) || s.err.has(s.api.key) {
		t.Error("the key is told again")
	}
	if status := s.keyStatus(s.api.key); status != 200 {
		t.Errorf("after another start the first key is answered %d", status)
	}
}

// keyStatus is what a key is answered.
func (s *site) keyStatus(key string) int {
	s.t.Helper()
	req, err := http.NewRequest("GET", "http://tether/login", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := s.api.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// TestT12_RevokedKey: a key that the tool revokes beside the service is refused
// at once. The audit log has both lines, and the list says when it was used.
func TestT12_RevokedKey(t *testing.T) {
	t.Parallel()
	s := serve(t)
	tool := func(args ...string) string {
		out, _ := call(t, 0, nil, append([]string{"key", "--database", s.database()}, args...)...)
		return strings.TrimSpace(out.String())
	}
	key := tool("add", "line-2", "--role", "operator")
	if status := s.keyStatus(key); status != 200 {
		t.Fatalf("the new key is answered %d", status)
	}
	var keys schema.List[schema.Key]
	await(t, "the time of its use", func() bool {
		s.api.must("GET", "key_query_all", "", &keys)
		i := slices.IndexFunc(keys.Items, func(k schema.Key) bool { return k.Name == "line-2" })
		keys.Items = keys.Items[i : i+1]
		return keys.Items[0].UsedTime != nil
	})
	if list := tool("list"); !strings.Contains(list, "USED") || !strings.Contains(list, "line-2") || strings.Contains(list, key) {
		t.Errorf("listed as\n%s", list)
	}
	tool("revoke", keys.Items[0].KeyID)
	if status := s.keyStatus(key); status != 401 {
		t.Errorf("the revoked key is answered %d", status)
	}
	var lines schema.List[schema.Audit]
	s.api.must("GET", "audit_query_all?by=tether+key", "", &lines)
	text := ""
	for _, l := range lines.Items {
		var about struct {
			KeyID string `json:"key_id"`
		}
		if err := json.Unmarshal(l.Target, &about); err != nil || about.KeyID != keys.Items[0].KeyID {
			t.Errorf("about %s: %v", l.Target, err)
		}
		text += fmt.Sprint(l.Service, " ", l.Status, l.Code, " ")
	}
	if text != "key_revoke 200 key_add 201 " {
		t.Errorf("audited: %s", text)
	}
}

// TestT24_TrustedProxy: the flag makes a proxy's word count, and without it
// nobody's does.
func TestT24_TrustedProxy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{{nil, "127.0.0.1"}, {[]string{"--trusted-proxy", "127.0.0.1/8"}, "203.0.113.9"}} {
		s := serve(t, c.args...)
		s.api.ask("POST", "group_add", `{"group_name":"n"}`, "X-Forwarded-For", "203.0.113.9")
		var lines schema.List[schema.Audit]
		await(t, "the line of a change", func() bool {
			s.api.must("GET", "audit_query_all?service=group_add", "", &lines)
			return len(lines.Items) > 0
		})
		if got := lines.Items[0].Address; got != c.want {
			t.Errorf("%v: from %s, want %s", c.args, got, c.want)
		}
	}
}
