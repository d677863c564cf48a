package docs

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/schema/transcripts"
)

func get(t *testing.T, method, path string, header ...string) *http.Response {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestServe: GET, HEAD and the question for something newer, of every file.
func TestServe(t *testing.T) {
	for _, path := range Paths() {
		r := get(t, http.MethodGet, path)
		text, tag := body(t, r), r.Header.Get("ETag")
		if r.StatusCode != http.StatusOK || text == "" || len(tag) < 10 || r.Header.Get("Content-Length") != fmt.Sprint(len(text)) {
			t.Errorf("%s: %d, %d bytes, %v", path, r.StatusCode, len(text), r.Header)
		}
		head := get(t, http.MethodHead, path)
		if head.StatusCode != http.StatusOK || body(t, head) != "" || head.Header.Get("Content-Length") != fmt.Sprint(len(text)) {
			t.Errorf("HEAD %s: %d %v", path, head.StatusCode, head.Header)
		}
		if again := get(t, http.MethodGet, path, "If-None-Match", tag); again.StatusCode != http.StatusNotModified || body(t, again) != "" {
			t.Errorf("%s again: %d", path, again.StatusCode)
		}
		if other := get(t, http.MethodGet, path, "If-None-Match", `"other"`); other.StatusCode != http.StatusOK {
			t.Errorf("%s with another tag: %d", path, other.StatusCode)
		}
		if r.Header.Get("X-Content-Type-Options") != "nosniff" || r.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %v", path, r.Header)
		}
	}
	if _, err := Open("/docs/nothing"); err == nil {
		t.Error("a file that is not there was found")
	}
}

// TestDocuments: the documents for programs are the files, byte for byte.
func TestDocuments(t *testing.T) {
	for path, want := range map[string]json.RawMessage{"/openapi.json": schema.OpenAPI, "/openrpc/device.json": schema.OpenRPCDevice, "/openrpc/cloud.json": schema.OpenRPCCloud} {
		r := get(t, http.MethodGet, path)
		if body(t, r) != string(want) || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s differs, or is %s", path, r.Header.Get("Content-Type"))
		}
	}
}

var (
	styleElement = regexp.MustCompile(`(?s)<style>(.*?)</style>`)
	target       = regexp.MustCompile(`href="([^"]*)"`)
	identity     = regexp.MustCompile(` id="([^"]*)"`)
)

// TestPages: a page has no script and loads nothing; the policy allows its
// style and nothing else; its links lead somewhere.
func TestPages(t *testing.T) {
	for _, path := range []string{"/docs", "/docs/device", "/docs/api"} {
		r := get(t, http.MethodGet, path)
		text := body(t, r)
		styles := styleElement.FindAllStringSubmatch(text, -1)
		if len(styles) != 1 || r.Header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Fatalf("%s: %d styles, %s", path, len(styles), r.Header.Get("Content-Type"))
		}
		sum := sha256.Sum256([]byte(styles[0][1]))
		want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
		if got := r.Header.Get("Content-Security-Policy"); got != want {
			t.Errorf("%s: the policy is\n%s\nwant\n%s", path, got, want)
		}
		for _, no := range []string{"<script", "src=", "http://", "https://", " style=", "@import", "url(", "ZgotmplZ"} {
			if strings.Contains(text, no) {
				t.Errorf("%s has %s", path, no)
			}
		}
		checkLinks(t, path, text)
	}
}

func checkLinks(t *testing.T, path, text string) {
	ids := map[string]bool{}
	for _, m := range identity.FindAllStringSubmatch(text, -1) {
		if ids[m[1]] {
			t.Errorf("%s: two of %s", path, m[1])
		}
		ids[m[1]] = true
	}
	for _, m := range target.FindAllStringSubmatch(text, -1) {
		if id, here := strings.CutPrefix(m[1], "#"); here && ids[id] {
			continue
		}
		if _, err := Open(m[1]); err != nil {
			t.Errorf("%s: %s leads nowhere", path, m[1])
		}
	}
}

// TestDeviceTellsAll: every method, member, error, code, example, limit and
// message of the documents and transcripts is on the page.
func TestDeviceTellsAll(t *testing.T) {
	page := html.UnescapeString(body(t, get(t, http.MethodGet, "/docs/device")))
	page = strings.NewReplacer("<code>", "`", "</code>", "`").Replace(page)
	for _, text := range []json.RawMessage{schema.OpenRPCDevice, schema.OpenRPCCloud} {
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatal(err)
		}
		tells(t, page, v)
	}
	all, err := transcripts.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, transcript := range all {
		if !strings.Contains(page, transcript.Prose) {
			t.Errorf("%s: its prose is not there", transcript.Name)
		}
		for _, s := range transcript.Steps {
			if !strings.Contains(page, strings.TrimSpace(s.Lines)) {
				t.Errorf("%s: %q is not there", transcript.Name, s.Section)
			}
		}
	}
}

// unsaid is what stands in the documents for programs alone.
var unsaid = map[string]bool{
	"openrpc": true, "servers": true, "$ref": true, "type": true, "name": true, "unit": true, "paramStructure": true, "title": true,
	"pattern": true, "x-error": true, "oneOf": true, "not": true, "required": true, "value": true, "schemas": true,
}

// tells looks for every text that is a value in v.
func tells(t *testing.T, page string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if !unsaid[name] {
				tells(t, page, member)
			}
		}
		if _, method := v["paramStructure"]; method && !strings.Contains(page, `id="`+v["name"].(string)+`"`) {
			t.Errorf("the method %s is not there", v["name"])
		}
	case []any:
		for _, member := range v {
			tells(t, page, member)
		}
	case string:
		if !strings.Contains(page, v) {
			t.Errorf("not on the page: %s", v)
		}
	}
}

// unsaidOfAPI is what stands in the OpenAPI document for programs alone, and
// what the page has other words for.
var unsaidOfAPI = map[string]bool{
	"openapi": true, "servers": true, "$ref": true, "type": true, "in": true, "scheme": true, "security": true, "pattern": true, "const": true,
	"if": true, "then": true, "else": true, "not": true, "required": true, "tags": true, "x-role": true, "title": true, "headers": true, "contentMediaType": true,
	"example": true, "examples": true, "enum": true,
}

// TestAPITellsAll: every operation, parameter, member, answer, code and
// description of the document is on the page, and every example.
func TestAPITellsAll(t *testing.T) {
	text := html.UnescapeString(body(t, get(t, http.MethodGet, "/docs/api")))
	page := strings.NewReplacer("<code>", "`", "</code>", "`", "</p>\n<p>", "\n\n").Replace(text)
	var d api
	if err := json.Unmarshal(schema.OpenAPI, &d); err != nil {
		t.Fatal(err)
	}
	has := func(what string) {
		t.Helper()
		if !strings.Contains(page, what) {
			t.Errorf("not on the page: %s", what)
		}
	}
	for _, path := range d.Paths {
		for _, o := range path.It {
			has(`<span class="verb">` + strings.ToUpper(o.Name) + "</span> `" + path.Name + "`")
			has(`id="` + o.It.OperationID + `"`)
			has(`href="#` + o.It.OperationID + `"`)
		}
	}
	for _, s := range d.Components.Schemas {
		for _, p := range s.It.Properties {
			has(p.name + "`")
			has(p.shape.Description)
		}
	}
	for _, p := range d.Components.Parameters {
		has(p.Description)
	}
	for name, r := range d.Components.Responses {
		for _, x := range r.Content[0].It.Examples {
			has("`" + x.Name + "`")
		}
		if len(r.Content) != 1 {
			t.Errorf("%s has %d forms", name, len(r.Content))
		}
	}
	var doc map[string]any
	if err := json.Unmarshal(schema.OpenAPI, &doc); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"info", "tags", "paths"} {
		tellsAPI(t, page, doc[part])
	}
}

// tellsAPI looks for every text that is a value in v.
func tellsAPI(t *testing.T, page string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if !unsaidOfAPI[name] {
				tellsAPI(t, page, member)
			}
		}
	case []any:
		for _, member := range v {
			tellsAPI(t, page, member)
		}
	case string:
		if !strings.Contains(page, v) {
			t.Errorf("not on the page: %s", v)
		}
	}
}

// TestMembers: rows of members, those of members, of items, and null.
func TestMembers(t *testing.T) {
	var c contract
	if err := json.Unmarshal(schema.OpenRPCCloud, &c); err != nil {
		t.Fatal(err)
	}
	v, err := c.viewMethod(c.Methods[2])
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, m := range v.Members {
		rows[m.Name] = fmt.Sprint(m.Type, " ", m.Required, " ", m.About)
	}
	for name, want := range map[string]string{
		"device_name":      "string true At most 128 characters.",
		"software":         "object or null true null: nothing is known of it.",
		"software.version": "string true At most 64 characters.",
		"nic":              "array of object true All of the device's network interfaces. (at most 16)",
		"nic[].imei":       "string false `^[0-9]{15}$`.",
		"updated_time":     "integer true Milliseconds since the Unix epoch. (from 0)",
	} {
		if rows[name] != want {
			t.Errorf("%s is %q, want %q", name, rows[name], want)
		}
	}
	if v.Members[0].Name != "device_id" || v.Members[len(v.Members)-1].Name != "updated_time" {
		t.Error("the members are not in the document's order")
	}
}

func TestProse(t *testing.T) {
	if got := string(prose("a `<b>` & c `d`")); got != "a <code>&lt;b&gt;</code> &amp; c <code>d</code>" {
		t.Error(got)
	}
}

// TestDraw: the words of each kind of message.
func TestDraw(t *testing.T) {
	transcript, err := transcripts.Parse("x", strings.Join([]string{
		"-- client --", `{"id":1,"method":"ping"}`, "-- server --", `{"id":1,"result":"pong"}`,
		"-- server --", `{"id":<call>,"method":"give_order","params":{"order_type":"blink"}}`,
		"-- client --", `{"id":<call>,"result":{"status":"fail","message":"no"}}`,
		"-- server --", `{"id":1,"error":{"code":-32601}}`, "-- client --", "{", "-- note --", "prose",
		"-- client: close 1000 --", "bye", "-- close --", "1000", "-- after 5s --", "-- drop --", "-- device ends --",
		"-- business: GET x --", "-- answer: 200 --", "{}",
	}, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range draw(transcript).Rows {
		got = append(got, m.Label)
	}
	want := `ping, "pong", give_order blink, fail: no, error -32601, …, close 1000 bye, close 1000, ` +
		`5s later, the connection is lost, the device's process begins anew, GET x, 200`
	if strings.Join(got, ", ") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, ", "), want)
	}
}
