package northapi_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
	"github.com/go-chi/chi/v5"
)

// row is what the matrix knows of a route: a request that succeeds, with
// DEVICE, GROUP, ORDER, UPLOAD, JOB and ENDED standing for the thing it is about.
type row struct {
	role   schema.Role
	whole  bool // not for keys that are limited to groups
	query  string
	body   string
	status int
	code   string // of the 404 where the thing is missing; empty: it is about no one thing
}

var matrix = map[string]row{
	"POST /device_add":                           {schema.Admin, true, "", `{"device_name":"n","hardware":{"sn":"new","model":"M"}}`, 201, ""},
	"POST /device_import":                        {schema.Admin, true, "?dry_run=false", `{"device_name":"n","hardware":{"sn":"new","model":"M"}}`, 200, ""},
	"GET /device_statusInfo_history/{device_id}": {schema.Viewer, false, "?step=60000", "", 200, "device_not_found"},
	"GET /device_query/{device_id}":              {schema.Viewer, false, "", "", 200, "device_not_found"},
	"GET /device_query_all":                      {schema.Viewer, false, "?limit=5", "", 200, ""},
	"PUT /device_update":                         {schema.Admin, false, "", `{"device_id":"DEVICE","device_name":"n"}`, 200, "device_not_found"},
	"PUT /device_password_update":                {schema.Admin, false, "", `{"device_id":"DEVICE"}`, 200, "device_not_found"},
	"DELETE /device_delete":                      {schema.Admin, false, "", `{"device_id":"DEVICE"}`, 200, "device_not_found"},
	"GET /device_log_query/{device_id}":          {schema.Viewer, false, "", "", 200, "device_not_found"},
	"GET /device_statusInfo_query/{device_id}":   {schema.Viewer, false, "", "", 200, "device_not_found"},
	"POST /group_add":                            {schema.Admin, true, "", `{"group_name":"new"}`, 201, ""},
	"GET /group_query/{group_id}":                {schema.Viewer, false, "", "", 200, "group_not_found"},
	"GET /group_query_all":                       {schema.Viewer, false, "", "", 200, ""},
	"PUT /group_update":                          {schema.Admin, false, "", `{"group_id":"GROUP","group_name":"n"}`, 200, "group_not_found"},
	"DELETE /group_delete":                       {schema.Admin, false, "", `{"group_id":"GROUP"}`, 200, "group_not_found"},
	"GET /group_devices_query/{group_id}":        {schema.Viewer, false, "", "", 200, "group_not_found"},
	"DELETE /group_devices_delete":               {schema.Admin, false, "", `{"group_id":"GROUP","delete_devices":true}`, 200, "group_not_found"},
	"GET /group_statusInfo_query/{group_id}":     {schema.Viewer, false, "", "", 200, "group_not_found"},
	"GET /device_groups_query/{device_id}":       {schema.Viewer, false, "", "", 200, "device_not_found"},
	"PUT /device_groups_update":                  {schema.Operator, false, "", `{"device_id":"DEVICE","group_ids":["103"]}`, 200, "device_not_found"},
	"DELETE /device_groups_delete":               {schema.Operator, false, "", `{"device_id":"DEVICE"}`, 200, "device_not_found"},
	"GET /relation_query/{device_id}/{group_id}": {schema.Viewer, false, "", "", 200, "device_not_found"},
	"POST /relation_add":                         {schema.Operator, false, "", `{"device_id":"DEVICE","group_id":"103"}`, 201, "device_not_found"},
	"DELETE /relation_delete":                    {schema.Operator, false, "", `{"device_id":"DEVICE","group_id":"GROUP"}`, 200, "device_not_found"},
	"POST /give_order":                           {schema.Operator, false, "", `{"device_id":"DEVICE","order":"blink","params":{}}`, 200, "device_not_found"},
	"POST /order_cancel":                         {schema.Operator, false, "", `{"order_id":"QUEUED"}`, 200, "order_not_found"},
	"GET /order_query/{order_id}":                {schema.Viewer, false, "", "", 200, "order_not_found"},
	"GET /device_orders_query/{device_id}":       {schema.Viewer, false, "", "", 200, "device_not_found"},
	"POST /group_give_order":                     {schema.Operator, false, "", `{"group_id":"GROUP","order":"blink","params":{}}`, 202, "group_not_found"},
	"POST /group_order_cancel":                   {schema.Operator, false, "", `{"job_id":"JOB"}`, 200, "job_not_found"},
	"POST /group_order_retry":                    {schema.Operator, false, "", `{"job_id":"ENDED"}`, 202, "job_not_found"},
	"GET /group_order_query/{job_id}":            {schema.Viewer, false, "", "", 200, "job_not_found"},
	"GET /group_order_query_all":                 {schema.Viewer, false, "", "", 200, ""},
	"GET /device_logfile_query/{device_id}":      {schema.Viewer, false, "", "", 200, "device_not_found"},
	"GET /device_logfile/{order_id}":             {schema.Viewer, false, "", "", 200, "logfile_not_found"},
	"POST /key_add":                              {schema.Admin, true, "", `{"name":"n","role":"viewer"}`, 201, ""},
	"GET /key_query_all":                         {schema.Admin, true, "", "", 200, ""},
	"GET /audit_query_all":                       {schema.Admin, true, "", "", 200, ""},
	"POST /key_revoke":                           {schema.Admin, true, "", `{"key_id":"` + revokedKey + `"}`, 200, ""},
}

// outside are the routes outside Base. /ws is not among them: it is another
// contract's, and asks everybody to log in (session, T1).
var outside = map[string]row{
	"GET /events":  {schema.Viewer, false, "?device_id=DEVICE", "", 200, "device_not_found"},
	"GET /login":   {schema.Viewer, false, "", "", 200, ""},
	"POST /logout": {schema.Viewer, false, "", `{}`, 200, ""},

	// For everybody.
	"POST /login":               {"", false, "", `{"key":"KEY"}`, 200, ""},
	"GET /healthz":              {"", false, "", "", 200, ""},
	"GET /readyz":               {"", false, "", "", 200, ""},
	"GET /docs":                 {"", false, "", "", 200, ""},
	"HEAD /docs":                {"", false, "", "", 200, ""},
	"GET /docs/api":             {"", false, "", "", 200, ""},
	"HEAD /docs/api":            {"", false, "", "", 200, ""},
	"GET /docs/device":          {"", false, "", "", 200, ""},
	"HEAD /docs/device":         {"", false, "", "", 200, ""},
	"GET /openapi.json":         {"", false, "", "", 200, ""},
	"HEAD /openapi.json":        {"", false, "", "", 200, ""},
	"GET /openrpc/device.json":  {"", false, "", "", 200, ""},
	"HEAD /openrpc/device.json": {"", false, "", "", 200, ""},
	"GET /openrpc/cloud.json":   {"", false, "", "", 200, ""},
	"HEAD /openrpc/cloud.json":  {"", false, "", "", 200, ""},
}

// things are whose device, group, order and upload a request is about.
var things = map[string]*strings.Replacer{
	"own":     replacer(ownDevice, ownGroup, ownOrder, ownUpload, ownQueued, ownJob, ownEnded),
	"foreign": replacer(foreignDevice, foreignGroup, foreignOrder, foreignUpload, foreignQueued, foreignJob, foreignEnded),
	"missing": replacer(missing, missing, missing, missing, missing, missing, missing),
}

func replacer(device, group, order, upload, queued, job, ended string) *strings.Replacer {
	return strings.NewReplacer("JOB", job, "{job_id}", job, "ENDED", ended, "QUEUED", queued, "DEVICE", device, "{device_id}", device, "GROUP", group, "{group_id}", group,
		"UPLOAD", upload, "device_logfile/{order_id}", "device_logfile/"+upload, "{order_id}", order)
}

// asker makes a row's requests of one world, and of a new one after each that
// has changed something.
type asker struct {
	row
	t     *testing.T
	route string
	world *world
}

func (x *asker) ask(kind, thing string) answer {
	r := x.request(kind, thing)
	return x.send(r)
}

// request is the row's, about a thing, of who has a kind of key or of cookie.
func (x *asker) request(kind, thing string) *http.Request {
	if x.world == nil {
		x.world = newWorld(x.t)
	}
	method, pattern, _ := strings.Cut(x.route, " ")
	whose := things[thing]
	if _, ok := outside[x.route]; !ok {
		pattern = northapi.Base + pattern
	}
	body := strings.Replace(whose.Replace(x.body), "KEY", x.world.keys["viewer"], 1)
	return x.world.request(kind, method, whose.Replace(pattern+x.query), body)
}

func (x *asker) send(r *http.Request) answer {
	a := x.world.send(r)
	if r.Method != get && a.status/100 == 2 {
		x.world = nil
	}
	return a
}

// TestT22_T28_EveryRouteEveryKey holds every route to the role and the scope
// of every kind of key, and of every log-in. A route that the table does not know fails.
func TestT22_T28_EveryRouteEveryKey(t *testing.T) {
	routes := 0
	err := chi.Walk(newWorld(t).routes, func(method, pattern string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		service, inside := strings.CutPrefix(pattern, northapi.Base)
		rows := outside
		if inside {
			rows = matrix
		}
		routes++
		name := method + " " + service
		x, ok := rows[name]
		if !ok {
			return fmt.Errorf("%s has no row in the matrix", name)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			(&asker{row: x, t: t, route: name}).holds()
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if routes != len(matrix)+len(outside) {
		t.Errorf("%d routes, %d rows", routes, len(matrix)+len(outside))
	}
}

func (x *asker) holds() {
	if x.role == "" {
		x.forEverybody()
		return
	}
	x.forNobody()
	for _, role := range []schema.Role{schema.Viewer, schema.Operator, schema.Admin} {
		for _, how := range []string{"", "cookie "} {
			for _, thing := range []string{"own", "foreign", "missing"} {
				x.unlimited(how+string(role), role, thing)
				x.scoped(how+"scoped "+string(role), role, thing)
			}
		}
	}
	x.acrossOrigins()
}

// forNobody: without a good key or log-in there is one answer, whatever was wrong.
func (x *asker) forNobody() {
	none := x.ask("", "own").want(x.t, 401, "unauthenticated")
	for _, kind := range []string{"revoked", "nobody's", "cookie revoked", "cookie nobody's"} {
		for _, thing := range []string{"own", "foreign", "missing"} {
			if a := x.ask(kind, thing).want(x.t, 401, "unauthenticated"); a.body != none.body {
				x.t.Errorf("%s, %s: differing bytes: %s %s", kind, thing, a.body, none.body)
			}
		}
		x.world = nil // its address has failed often enough
	}
}

// forEverybody: a key is not asked for, and makes no difference.
func (x *asker) forEverybody() {
	for _, kind := range []string{"", "nobody's", "viewer", "operator", "admin", "scoped viewer", "cookie admin"} {
		r := x.request(kind, "own")
		rec := httptest.NewRecorder()
		x.world.handler.ServeHTTP(rec, r)
		if rec.Code != x.status {
			x.t.Errorf("%q is answered %d, want %d: %s", kind, rec.Code, x.status, rec.Body)
		}
	}
}

// unlimited asks for a thing with a key that is limited to no groups.
func (x *asker) unlimited(kind string, role schema.Role, thing string) {
	x.t.Helper()
	a := x.ask(kind, thing)
	switch {
	case !role.Allows(x.role):
		a.want(x.t, 403, "forbidden")
	case thing == "missing" && x.code != "":
		a.want(x.t, 404, x.code)
	default:
		a.want(x.t, x.status, "")
	}
}

// scoped asks for a thing with a key that is limited to the own groups.
func (x *asker) scoped(kind string, role schema.Role, thing string) {
	x.t.Helper()
	a := x.ask(kind, thing)
	switch {
	case !role.Allows(x.role) || x.whole:
		a.want(x.t, 403, "forbidden")
	case thing == "own" || x.code == "":
		a.want(x.t, x.status, "")
	default:
		gone := x.ask(kind, "missing")
		if a.want(x.t, 404, x.code); a.body != gone.body {
			x.t.Errorf("foreign %s, missing %s", a.body, gone.body)
		}
	}
}

// acrossOrigins: what another site makes a browser ask for changes nothing,
// and a cookie alone does not either (T29).
func (x *asker) acrossOrigins() {
	for _, headers := range []map[string]string{
		{},
		{"Sec-Fetch-Site": "cross-site"},
		{"Sec-Fetch-Site": "same-site"},
		{"Sec-Fetch-Site": "cross-site", "Origin": "http://example.com"},
		{"Origin": "https://evil.example"},
		{"Origin": "http://example.com.evil.example"},
		{"Origin": "http://sub.example.com"},
		{"Origin": "null"},
	} {
		r := x.request("cookie admin", "own")
		r.Header.Del("Sec-Fetch-Site")
		for name, value := range headers {
			r.Header.Set(name, value)
		}
		if a := x.send(r); r.Method == get {
			a.want(x.t, x.status, "")
		} else {
			a.want(x.t, 403, "cross_origin")
		}
	}
	r := x.request("cookie admin", "own")
	r.Header.Del("Sec-Fetch-Site")
	r.Header.Set("Origin", "http://"+r.Host)
	x.send(r).want(x.t, x.status, "")
}

// TestT22_ListsAreScoped: what a scoped key lists is its own alone.
func TestT22_ListsAreScoped(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]string{
		"device_query_all":                              ownDevice,
		"group_query_all":                               ownGroup,
		"group_devices_query/" + ownGroup:               ownDevice,
		"device_groups_query/" + ownDevice:              ownGroup,
		"group_statusInfo_query/" + ownGroup:            ownDevice,
		"device_orders_query/" + ownDevice:              ownOrder,
		"device_logfile_query/" + ownDevice:             ownUpload,
		"device_log_query/" + ownDevice + "?kind=login": ownDevice,
		"group_order_query_all":                         ownJob,
		"group_order_query/" + bothJob:                  ownDevice,
	} {
		a := w.do("scoped viewer", get, path, "").want(t, 200, "")
		for _, foreign := range []string{foreignDevice, foreignGroup, foreignOrder, foreignUpload, foreignJob} {
			if strings.Contains(string(a.Data), `"`+foreign+`"`) {
				t.Errorf("%s shows what is foreign: %s", path, a.Data)
			}
		}
		if !strings.Contains(string(a.Data), want) {
			t.Errorf("%s does not show %s: %s", path, want, a.Data)
		}
	}
	body := fmt.Sprintf(`{"device_id":%q,"group_id":%q}`, ownDevice, foreignGroup)
	w.do("scoped viewer", get, "device_query_all?group_id="+foreignGroup, "").want(t, 404, "group_not_found")
	w.do("scoped operator", post, "relation_add", body).want(t, 404, "group_not_found")
}
