package northapi_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
)

// TestStrictBody: whatever is wrong with a body is 400, and the message begins
// with the member at fault.
func TestStrictBody(t *testing.T) {
	const start = `{"device_name":"n","hardware":{"sn":"s","model":"m"}`
	long := strings.Repeat("x", 200)
	for _, c := range []struct{ name, body, code, message string }{
		{"empty", ` `, "malformed_json", "body: malformed JSON"},
		{"no JSON", `device_name=n`, "malformed_json", "body: malformed JSON at byte 0"},
		{"cut", start, "malformed_json", "body: malformed JSON"},
		{"cut in a member", start + `,"nic":[{"mac":`, "malformed_json", "nic[0].mac: malformed JSON"},
		{"trailing data", start + `}{}`, "malformed_json", "body: malformed JSON"},
		{"invalid UTF-8", start + `,"device_type":"` + "\xff" + `"}`, "malformed_json", "device_type: malformed JSON"},
		{"array", `[]`, "invalid_member", "body: must be an object"},
		{"string", `"device_name"`, "invalid_member", "body: must be an object"},
		{"null", `null`, "invalid_member", "device_name: required"},
		{"nothing", `{}`, "invalid_member", "device_name: required"},
		{"no hardware", `{"device_name":"n"}`, "invalid_member", "hardware.sn: required"},
		{"no model", `{"device_name":"n","hardware":{"sn":"s"}}`, "invalid_member", "hardware.model: required"},
		{"unknown", start + `,"colour":1}`, "invalid_member", "colour: unknown member"},
		{"unknown inside", `{"device_name":"n","hardware":{"sn":"s","model":"m","x":1}}`, "invalid_member", "hardware.x: unknown member"},
		{"unknown and long", start + `,"` + long + `":1}`, "invalid_member", long[:100] + "…: unknown member"},
		{"wrong case", `{"Device_Name":"n"}`, "invalid_member", "Device_Name: unknown member"},
		{"twice", start + `,"device_name":"m"}`, "invalid_member", "device_name: is given twice"},
		{"twice inside", `{"device_name":"n","hardware":{"sn":"s","sn":"t"}}`, "invalid_member", "hardware.sn: is given twice"},
		{"number for string", start + `,"device_type":5}`, "invalid_member", "device_type: must be a string"},
		{"string for object", `{"device_name":"n","hardware":"s"}`, "invalid_member", "hardware: must be an object"},
		{"object for array", start + `,"nic":{}}`, "invalid_member", "nic: must be an array"},
		{"string for bool", start + `,"enabled":"yes"}`, "invalid_member", "enabled: must be true or false"},
		{"number for password", start + `,"password":12345678}`, "invalid_member", "password: must be a string"},
		{"wrong in a list", start + `,"nic":[{"type":"a"},{"type":"b","mac":"zz"}]}`, "invalid_member", "nic[1].mac: must be six"},
		{"too long", `{"device_name":"` + long + `","hardware":{"sn":"s","model":"m"}}`, "invalid_member", "device_name: must be at most 128"},
		{"short password", start + `,"password":"seven77"}`, "invalid_member", "password: must be 8 to 72 bytes"},
		{"server-like password", start + `,"password":"tp_eight888"}`, "invalid_member", "password: must not begin"},
		{"token-like password", start + `,"password":"tt_eight888"}`, "invalid_member", "password: must not begin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			a := w.do("admin", post, "device_add", c.body).want(t, 400, c.code)
			if !strings.HasPrefix(a.Message, c.message) {
				t.Errorf("message %q, want %q…", a.Message, c.message)
			}
			if list, err := w.store.ListDevices(t.Context(), schema.Everything, schema.DeviceFilter{}, schema.Page{}); err != nil || len(list.Items) != 2 {
				t.Errorf("%d devices, %v", len(list.Items), err)
			}
		})
	}
}

// TestStrictCommands: the members of the other commands.
func TestStrictCommands(t *testing.T) {
	for _, c := range []struct{ method, service, body, message string }{
		{put, "device_update", `{"device_name":"n"}`, "device_id: required"},
		{put, "device_update", `{"device_id":"1"}`, "device_update: at least one member"},
		{put, "device_update", `{"device_id":1}`, "device_id: must be a string"},
		{put, "device_update", `{"device_id":"1x","device_name":"n"}`, "device_id: must be a string of 1 to 20"},
		{put, "device_update", `{"device_id":"1","device_name":null}`, "device_name: must not be null"},
		{put, "device_update", `{"device_id":"1","device_name":""}`, "device_name: required"},
		{put, "device_update", `{"device_id":"1","enabled":null}`, "enabled: must not be null"},
		{put, "device_update", `{"device_id":"1","enabled":1}`, "enabled: must be true or false"},
		{put, "device_update", `{"device_id":"1","hardware":{"sn":"s","model":"m"}}`, "hardware: unknown member"},
		{put, "device_update", `{"device_id":"1","nic":[{"type":""}]}`, "nic[0].type: required"},
		{put, "device_update", `{"device_id":"1","software":{"last_update":"soon"}}`, "software.last_update: must be a date"},
		{put, "device_update", `{"device_id":"1","software":{"versions":""}}`, "software.versions: unknown member"},
		{put, "device_password_update", `{"device_id":"1","password":""}`, "password: must be 8 to 72"},
		{del, "device_delete", `{}`, "device_id: required"},
		{post, "group_add", `{"group_description":"d"}`, "group_name: required"},
		{put, "group_update", `{"group_id":"1"}`, "group_update: group_name or"},
		{put, "group_update", `{"group_id":"1","group_name":null}`, "group_name: must not be null"},
		{del, "group_devices_delete", `{"group_id":"1","delete_devices":"yes"}`, "delete_devices: must be true or false"},
		{put, "device_groups_update", `{"device_id":"1"}`, "group_ids: required"},
		{put, "device_groups_update", `{"device_id":"1","group_ids":["1","1"]}`, "group_ids[1]: is given twice"},
		{put, "device_groups_update", `{"device_id":"1","group_ids":["1",""]}`, "group_ids[1]: required"},
		{post, "relation_add", `{"device_id":"1"}`, "group_id: required"},
		{post, "key_add", `{"name":"n"}`, "role: must be"},
		{post, "key_add", `{"name":"n","role":"root"}`, "role: must be viewer, operator or admin"},
		{post, "key_add", `{"role":"viewer"}`, "name: required"},
		{post, "key_revoke", `{}`, "key_id: required"},
		{post, "give_order", `{"device_id":"1","params":{}}`, "order: required"},
		{post, "give_order", `{"device_id":"1","order":"rm -rf","params":{}}`, "order: must be a letter"},
		{post, "give_order", `{"device_id":"1","order":"blink"}`, "params: required"},
		{post, "give_order", `{"device_id":"1","order":"blink","params":null}`, "params: required"},
		{post, "give_order", `{"device_id":"1","order":"blink","params":[]}`, "params: must be an object"},
		{post, "give_order", `{"device_id":"1","order":"blink","params":{"a":1,"a":2}}`, "params.a: is given twice"},
		{post, "give_order", `{"device_id":"1","order":"restart","params":{"a":1}}`, "params: must be empty"},
		{post, "give_order", `{"device_id":"1","order":"restart","wait_ms":-1}`, "wait_ms: must be an integer from 0 to 10000"},
		{post, "give_order", `{"device_id":"1","order":"restart","wait_ms":10001}`, "wait_ms: must be an integer from 0 to 10000"},
		{post, "give_order", `{"device_id":"1","order":"restart","wait_ms":1.5}`, "wait_ms: must be an integer"},
		{post, "give_order", `{"device_id":"1","order":"restart","if_busy":"hope"}`, "if_busy: must be fail or wait"},
		{post, "give_order", `{"device_id":"1","order":"restart","if_busy":"queue"}`, "if_busy: must be fail or wait"},
		{post, "give_order", `{"device_id":"1","order":"restart","if_offline":"wait"}`, "if_offline: must be fail or queue"},
		{post, "give_order", `{"device_id":"1","order":"restart","if_offline":"queue","ttl_s":0}`, "ttl_s: must be an integer from 1 to 604800"},
		{post, "give_order", `{"device_id":"1","order":"restart","if_busy":"wait","ttl_s":604801}`, "ttl_s: must be an integer from 1 to 604800"},
		{post, "give_order", `{"device_id":"1","order":"restart","if_busy":"wait","ttl_s":1.5}`, "ttl_s: must be an integer"},
		{post, "give_order", `{"device_id":"1","order":"restart","ttl_s":60}`, "ttl_s: needs if_offline queue or if_busy wait"},
		{post, "order_cancel", `{}`, "order_id: required"},
		{post, "order_cancel", `{"order_id":7}`, "order_id: must be a string"},
	} {
		a := newWorld(t).do("admin", c.method, c.service, c.body)
		if a.want(t, 400, "invalid_member"); !strings.HasPrefix(a.Message, c.message) {
			t.Errorf("%s %s: %q, want %q…", c.service, c.body, a.Message, c.message)
		}
	}
}

func TestStrictQuery(t *testing.T) {
	for path, message := range map[string]string{
		"device_query/abc":                                   "device_id: must be",
		"device_query/" + strings.Repeat("1", 21):            "device_id: must be",
		"device_query/%31":                                   "device_id: must be",
		"device_query/1?colour=1":                            "colour: unknown parameter",
		"device_query_all?limit=0":                           "limit: must be an integer from 1 to 1000",
		"device_query_all?limit=1001":                        "limit: must be an integer from 1 to 1000",
		"device_query_all?limit=":                            "limit: must be an integer",
		"device_query_all?limit=1&limit=1":                   "limit: is given twice",
		"device_query_all?limit=9999999999999999999":         "limit: must be an integer",
		"device_query_all?Limit=1":                           "Limit: unknown parameter",
		"device_query_all?b=1&a=1":                           "a: unknown parameter",
		"device_query_all?name=%ff":                          "name: must be valid UTF-8",
		"device_query_all?name=%00":                          "name: must not contain control",
		"device_query_all?name=%zz":                          "query string: must be well-formed",
		"device_query_all?dev_state=Online":                  "dev_state: must be online, Unknown or offline",
		"device_query_all?group_id=x":                        "group_id: must be",
		"group_query_all?cursor=" + strings.Repeat("x", 257): "cursor: must be at most 256",
		"device_log_query/1?since=yesterday":                 "since: must be an integer",
		"device_log_query/1?since=-1":                        "since: must be an integer",
		"device_log_query/1?since=2&until=1":                 "until: must not be before since",
		"device_log_query/1?kind=logins":                     "kind: must be a kind of event",
		"relation_query/1/x":                                 "group_id: must be",
	} {
		a := newWorld(t).do("viewer", get, path, "").want(t, 400, "invalid_member")
		if !strings.HasPrefix(a.Message, message) {
			t.Errorf("%s: %q, want %q…", path, a.Message, message)
		}
	}
}

func TestContentType(t *testing.T) {
	w := newWorld(t)
	for contentType, status := range map[string]int{
		"application/json": 201, "Application/JSON; charset=UTF-8": 201,
		"": 400, "text/plain": 400, "application/x-www-form-urlencoded": 400, "application/json; charset": 400,
	} {
		r := httptest.NewRequest(post, northapi.Base+"/group_add", strings.NewReader(`{"group_name":"`+strings.ReplaceAll(contentType, "/", "-")+`"}`))
		r.Header.Set("Authorization", "Bearer "+w.keys["admin"])
		if contentType != "" {
			r.Header.Set("Content-Type", contentType)
		}
		if a := w.send(r); a.status != status {
			t.Errorf("%q: %d, want %d: %s", contentType, a.status, status, a.body)
		}
	}
	a := w.do("admin", post, "group_add?dry_run=true", `{"group_name":"q"}`).want(t, 400, "invalid_member")
	if !strings.HasPrefix(a.Message, "query string: must be empty") {
		t.Error(a.Message)
	}
}

// TestT27_BodyLimit: a body of MaxBody bytes is read, one byte more is not.
func TestT27_BodyLimit(t *testing.T) {
	pad := func(n int) string {
		body := `{"group_name":"big"}`
		return body + strings.Repeat(" ", n-len(body))
	}
	newWorld(t).do("admin", post, "group_add", pad(schema.MaxBody)).want(t, 201, "")
	a := newWorld(t).do("admin", post, "group_add", pad(schema.MaxBody+1)).want(t, 413, "body_too_large")
	if a.Message != "body: must be at most 1048576 bytes" {
		t.Error(a.Message)
	}
}

// TestT14_Hardware: two spellings of one machine cannot both be registered.
func TestT14_Hardware(t *testing.T) {
	for _, sn := range []string{"SN1 ", " SN1", "SN\u00a01", "ＳＮ1", "SN1\u0000", "e\u0301", "\u00e9", "ЅN1", "SN\t1", strings.Repeat("x", 65)} {
		w := newWorld(t)
		body := w.marshal(map[string]any{"device_name": "n", "hardware": map[string]string{"sn": sn, "model": "m"}})
		if a := w.do("admin", post, "device_add", body).want(t, 400, "invalid_member"); !strings.HasPrefix(a.Message, "hardware.sn: must") {
			t.Errorf("%q: %s", sn, a.Message)
		}
	}
}
