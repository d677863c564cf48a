package client_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
)

// must is the value, of a call that must not fail.
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func good(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wants holds an error against its kind and code.
func wants(t *testing.T, err error, kind schema.Kind, code string) {
	t.Helper()
	if !errors.Is(err, &schema.Error{Kind: kind, Code: code}) {
		t.Errorf("the error is %v, want kind %d, %s", err, kind, code)
	}
}

// TestDevices walks a device through its life.
func TestDevices(t *testing.T) {
	t.Parallel()
	_, c := newService(t)
	ctx := t.Context()
	who := must[client.Credential](t)(c.DeviceAdd(ctx, client.NewDevice{
		Name: "press-7", Type: "press", Description: "hall 2", Hardware: schema.Hardware{SN: "S7", Model: "M"},
		Software: &schema.Software{Version: "1.4.0"}, NIC: []schema.NIC{{Type: "ethernet", MAC: "02:00:00:00:00:01"}}, Enabled: new(false),
	}))
	if !strings.HasPrefix(who.Password, schema.PasswordPrefix) {
		t.Errorf("password %q", who.Password)
	}
	d := must[schema.Device](t)(c.DeviceQuery(ctx, who.DeviceID))
	if d.Name != "press-7" || d.Type != "press" || d.Enabled || d.Software.Version != "1.4.0" || len(d.NIC) != 1 || d.State != schema.Offline {
		t.Errorf("it is %+v", d)
	}
	_, err := c.DeviceAdd(ctx, client.NewDevice{Name: "again", Hardware: d.Hardware})
	wants(t, err, schema.DeviceConflict, "device_exists")
	d = must[schema.Device](t)(c.DeviceUpdate(ctx, d.DeviceID, schema.DevicePatch{
		Name: new("press-8"), Description: new(""), Software: new(schema.Software{}), NIC: new([]schema.NIC(nil)), Enabled: new(true),
	}))
	if d.Name != "press-8" || d.Type != "press" || d.Description != "" || len(d.NIC) != 0 || !d.Enabled || (d.Software != nil && d.Software.Version != "") {
		t.Errorf("changed it is %+v", d)
	}
	if got := must[client.Credential](t)(c.DevicePasswordUpdate(ctx, d.DeviceID, "chosen-password")); got.Password != "chosen-password" {
		t.Errorf("password %q", got.Password)
	}
	if got := must[client.Credential](t)(c.DevicePasswordUpdate(ctx, d.DeviceID, "")); got.Password == who.Password || got.Password == "" {
		t.Errorf("password %q", got.Password)
	}
	_, err = c.DeviceStatusInfoQuery(ctx, d.DeviceID)
	wants(t, err, schema.DeviceConflict, "device_offline")
	if _, ok := client.Record(err); ok {
		t.Error("there is a record in it")
	}
	good(t, c.DeviceDelete(ctx, d.DeviceID))
	_, err = c.DeviceQuery(ctx, d.DeviceID)
	if !errors.Is(err, schema.ErrDeviceNotFound) {
		t.Error(err)
	}
	kinds := []string{}
	for e, err := range c.DeviceEvents(ctx, schema.EventFilter{DeviceID: d.DeviceID, Kind: schema.EventUpdate}) {
		good(t, err)
		kinds = append(kinds, string(e.Kind))
	}
	if len(kinds) < 4 || slices.Compact(kinds)[0] != "update" {
		t.Errorf("its log: %q", kinds)
	}
}

// TestLists: iterators follow the cursors, filters filter, and a loop may be left.
func TestLists(t *testing.T) {
	t.Parallel()
	s, c := newService(t)
	ctx := t.Context()
	const n = 2*schema.DefaultPageLimit + 7
	var file strings.Builder
	for i := range n {
		fmt.Fprintf(&file, `{"device_name":"d%03d","device_type":"%s","hardware":{"sn":"S%d","model":"M"}}`+"\n", i, []string{"even", "odd"}[i%2], i)
	}
	file.WriteString(`{"device_name":"again","hardware":{"sn":"S0","model":"M"}}`)
	var taken []client.ImportLine
	end := must[client.ImportEnd](t)(c.DeviceImport(ctx, strings.NewReader(file.String()), client.ImportOptions{}, func(l client.ImportLine) error {
		taken = append(taken, l)
		return nil
	}))
	if end != (client.ImportEnd{Lines: n + 1, Added: n, Failed: 1}) || len(taken) != n+1 || taken[0].Password == "" || taken[n].Code != "device_exists" {
		t.Fatalf("imported %+v: %+v …", end, taken[0])
	}
	count := func(f schema.DeviceFilter) (names []string) {
		for d, err := range c.Devices(ctx, f) {
			good(t, err)
			names = append(names, d.Name)
		}
		return names
	}
	if names := count(schema.DeviceFilter{}); len(names) != n || len(slices.Compact(slices.Sorted(slices.Values(names)))) != n {
		t.Errorf("%d devices", len(names))
	}
	if names := count(schema.DeviceFilter{Type: "odd"}); len(names) != n/2 {
		t.Errorf("%d odd ones", len(names))
	}
	if names := count(schema.DeviceFilter{Name: "d00", State: schema.Offline, Model: "M"}); len(names) != 10 {
		t.Errorf("by name: %q", names)
	}
	if names := count(schema.DeviceFilter{SN: "S5"}); !slices.Equal(names, []string{"d005"}) {
		t.Errorf("by number: %q", names)
	}
	for range c.Devices(ctx, schema.DeviceFilter{}) {
		break
	}
	page := must[schema.List[schema.Device]](t)(c.DeviceQueryAll(ctx, schema.DeviceFilter{}, schema.Page{Limit: 3}))
	if len(page.Items) != 3 || page.NextCursor == "" {
		t.Errorf("a page of %d", len(page.Items))
	}
	for _, err := range c.Devices(ctx, schema.DeviceFilter{State: "gone"}) {
		wants(t, err, schema.Invalid, "invalid_member")
	}
	wrong := newClient(t, client.Options{URL: s.URL + "/", Key: "tk_wrong"})
	for _, err := range wrong.Groups(ctx) {
		wants(t, err, schema.Unauthenticated, "unauthenticated")
	}
}

// TestImport_Ends: a dry run changes nothing, CSV is read, what is refused as a
// whole is an error, and one of the taker ends it.
func TestImport_Ends(t *testing.T) {
	t.Parallel()
	_, c := newService(t)
	const csv = "device_name,hardware.sn,hardware.model\none,a,M\ntwo,b,M\n"
	n := 0
	count := func(client.ImportLine) error { n++; return nil }
	end := must[client.ImportEnd](t)(c.DeviceImport(t.Context(), strings.NewReader(csv), client.ImportOptions{CSV: true, DryRun: true}, count))
	if end != (client.ImportEnd{DryRun: true, Lines: 2}) || n != 2 {
		t.Errorf("a dry run: %+v, %d lines", end, n)
	}
	_, err := c.DeviceImport(t.Context(), strings.NewReader("name\nx\n"), client.ImportOptions{CSV: true}, count)
	wants(t, err, schema.Invalid, "invalid_member")
	full := errors.New("the disk is full")
	if _, err = c.DeviceImport(t.Context(), strings.NewReader(csv), client.ImportOptions{CSV: true}, func(client.ImportLine) error { return full }); !errors.Is(err, full) {
		t.Error(err)
	}
}

// TestGroups walks through groups and relations.
func TestGroups(t *testing.T) {
	t.Parallel()
	s, c := newService(t)
	ctx := t.Context()
	device := s.connected(t, c, "a")
	id := must[string](t)(c.GroupAdd(ctx, "hall 2", "the big one"))
	other := must[string](t)(c.GroupAdd(ctx, "hall 3", ""))
	g := must[schema.Group](t)(c.GroupUpdate(ctx, id, schema.GroupPatch{Description: new("")}))
	if g.Name != "hall 2" || g.Description != "" || must[schema.Group](t)(c.GroupQuery(ctx, id)) != g {
		t.Errorf("it is %+v", g)
	}
	_, err := c.GroupAdd(ctx, "hall 2", "")
	wants(t, err, schema.GroupConflict, "")

	if r := must[client.Relation](t)(c.RelationAdd(ctx, device, id)); r.DeviceID != device || r.GroupID != id || r.CreatedTime == 0 {
		t.Errorf("the relation is %+v", r)
	}
	_, err = c.RelationAdd(ctx, device, id)
	wants(t, err, schema.RelationConflict, "")
	if !must[bool](t)(c.RelationQuery(ctx, device, id)) || must[bool](t)(c.RelationQuery(ctx, device, other)) {
		t.Error("it is not in the one group, or in the other")
	}
	status := must[client.GroupStatus](t)(c.GroupStatusInfoQuery(ctx, id, schema.Page{}))
	if status.Counts[schema.Online] != 1 || len(status.Items) != 1 || status.Items[0].DeviceID != device {
		t.Errorf("its state is %+v", status)
	}
	good(t, c.DeviceGroupsUpdate(ctx, device, []string{id, other}))
	if got := ids(t, c.DeviceGroups(ctx, device), func(g schema.Group) string { return g.GroupID }); len(got) != 2 {
		t.Errorf("its groups: %q", got)
	}
	good(t, c.RelationDelete(ctx, device, other))
	if err := c.RelationDelete(ctx, device, other); !errors.Is(err, schema.ErrRelationNotFound) {
		t.Error(err)
	}
	if got := ids(t, c.GroupDevices(ctx, id), func(d schema.Device) string { return d.DeviceID }); !slices.Equal(got, []string{device}) {
		t.Errorf("its devices: %q", got)
	}
	if got := must[[]string](t)(c.GroupDevicesDelete(ctx, id, false)); !slices.Equal(got, []string{device}) {
		t.Errorf("taken out: %q", got)
	}
	good(t, c.DeviceGroupsUpdate(ctx, device, nil))
	good(t, c.DeviceGroupsDelete(ctx, device))
	good(t, c.GroupDelete(ctx, id))
	if got := ids(t, c.Groups(ctx), func(g schema.Group) string { return g.GroupID }); !slices.Equal(got, []string{other}) {
		t.Errorf("groups: %q", got)
	}
	if _, err := c.GroupQuery(ctx, id); !errors.Is(err, schema.ErrGroupNotFound) {
		t.Error(err)
	}
}

// ids are those of all items of a list.
func ids[T any](t *testing.T, list iter.Seq2[T, error], id func(T) string) (all []string) {
	t.Helper()
	for item, err := range list {
		good(t, err)
		all = append(all, id(item))
	}
	return all
}

// TestOrders: outcomes, refusals with what they carry, an order that waits, and
// one that is given twice.
func TestOrders(t *testing.T) {
	t.Parallel()
	s, c := newService(t)
	ctx := t.Context()
	device := s.connected(t, c, "a")
	blink := func(n int) client.NewOrder {
		return client.NewOrder{DeviceID: device, Order: "blink", Params: map[string]int{"n": n}}
	}
	o := must[schema.Order](t)(c.GiveOrder(ctx, blink(3)))
	if o.State != schema.OrderSucceeded || string(o.Data) != `{"blinked":3}` || o.By != "key:test" {
		t.Errorf("it is %+v", o)
	}
	o, err := c.GiveOrder(ctx, blink(0))
	wants(t, err, schema.OrderFailed, "order_failed")
	if o.State != schema.OrderStateFail || o.OrderID == "" || o.Message != "n is 0" {
		t.Errorf("failed it is %+v", o)
	}
	once := blink(4)
	once.IdempotencyKey = "k1"
	o = must[schema.Order](t)(c.GiveOrder(ctx, once))
	if again := must[schema.Order](t)(c.GiveOrder(ctx, once)); again.OrderID != o.OrderID {
		t.Errorf("given twice: %s and %s", o.OrderID, again.OrderID)
	}
	once.Params = map[string]int{"n": 5}
	if _, err = c.GiveOrder(ctx, once); !errors.Is(err, schema.ErrOtherOrder) {
		t.Error(err)
	}

	away := must[client.Credential](t)(c.DeviceAdd(ctx, client.NewDevice{Name: "away", Hardware: schema.Hardware{SN: "away", Model: "M"}}))
	o, err = c.GiveOrder(ctx, client.NewOrder{DeviceID: away.DeviceID, Order: "restart"})
	wants(t, err, schema.OrderRefused, "device_offline")
	if seen, ok := client.Data[struct {
		LastSeenTime *int64 `json:"last_seen_time"`
	}](err); o.OrderID != "" || !ok || seen.LastSeenTime != nil {
		t.Errorf("refused: %+v, %+v", o, seen)
	}
	o = must[schema.Order](t)(c.GiveOrder(ctx, client.NewOrder{
		DeviceID: away.DeviceID, Order: "restart", Wait: new(time.Duration(0)), Queue: true, WaitTurn: true, TTL: time.Minute,
	}))
	if o.State != schema.OrderQueued {
		t.Errorf("it is %s", o.State)
	}
	if o = must[schema.Order](t)(c.OrderCancel(ctx, o.OrderID)); o.State != schema.OrderCancelled {
		t.Errorf("cancelled it is %s", o.State)
	}
	o, err = c.OrderCancel(ctx, o.OrderID)
	wants(t, err, schema.OrderConflict, "order_not_cancellable")
	if o.State != schema.OrderCancelled || must[schema.Order](t)(c.OrderQuery(ctx, o.OrderID)).State != schema.OrderCancelled {
		t.Errorf("beside the refusal: %+v", o)
	}
	if _, err = c.OrderQuery(ctx, "77"); !errors.Is(err, schema.ErrOrderNotFound) {
		t.Error(err)
	}
	if got := ids(t, c.DeviceOrders(ctx, device), func(o schema.Order) string { return string(o.State) }); len(got) != 3 {
		t.Errorf("its orders: %q", got)
	}
}

// TestJobs: an order for many devices, its results and events, and those that
// did not succeed once more.
func TestJobs(t *testing.T) {
	t.Parallel()
	s, c := newService(t)
	ctx := t.Context()
	here := s.connected(t, c, "here")
	away := must[client.Credential](t)(c.DeviceAdd(ctx, client.NewDevice{Name: "away", Hardware: schema.Hardware{SN: "away", Model: "M"}})).DeviceID
	job := must[schema.Job](t)(c.GroupGiveOrder(ctx, client.NewJob{
		DeviceIDs: []string{here, away}, Order: "blink", Params: map[string]int{"n": 3}, MaxParallel: 5, MaxFailures: new(int64(9)), IdempotencyKey: "k1",
	}))
	ended := func(id string) (r schema.JobResults) {
		t.Helper()
		eventually(t, func() error {
			r = must[schema.JobResults](t)(c.GroupOrderQuery(ctx, id, schema.Page{}))
			if r.State == schema.JobRunning {
				return errors.New("it runs")
			}
			return nil
		})
		return r
	}
	if r := ended(job.JobID); r.Counts != (schema.JobCounts{Total: 2, Succeeded: 1, Refused: 1}) || r.MaxParallel != 5 || *r.MaxFailures != 9 || len(r.Items) != 2 {
		t.Errorf("it is %+v", r)
	}
	refused := ids(t, c.JobDevices(ctx, job.JobID, schema.DeviceRefused, schema.DeviceFailed), func(d schema.JobDevice) string { return d.DeviceID })
	if !slices.Equal(refused, []string{away}) {
		t.Errorf("refused by %q", refused)
	}
	for e, err := range c.Events(ctx, client.EventQuery{EventSelection: schema.EventSelection{JobIDs: []string{job.JobID}}, After: new(int64(0))}) {
		if good(t, err); e.Kind != schema.EventOrder || !strings.Contains(string(e.Detail), job.JobID) {
			t.Errorf("its first event is %+v", e)
		}
		break
	}
	_, err := c.GroupOrderCancel(ctx, job.JobID)
	wants(t, err, schema.OrderConflict, "job_not_cancellable")
	again := must[schema.Job](t)(c.GroupOrderRetry(ctx, job.JobID, ""))
	if r := ended(again.JobID); r.Counts.Total != 1 || r.Target.JobID != job.JobID {
		t.Errorf("once more it is %+v", r)
	}
	if got := ids(t, c.Jobs(ctx), func(j schema.Job) string { return j.JobID }); !slices.Equal(got, []string{again.JobID, job.JobID}) {
		t.Errorf("jobs: %q", got)
	}
	_, err = c.GroupGiveOrder(ctx, client.NewJob{Filter: &schema.JobFilter{Model: "none"}, Order: "restart", Queue: true, WaitTurn: true, TTL: time.Minute})
	wants(t, err, schema.OrderConflict, "no_devices")
	if _, err = c.GroupOrderQuery(ctx, "77", schema.Page{}); !errors.Is(err, schema.ErrJobNotFound) {
		t.Error(err)
	}
}

// TestReports: the last report, and the history.
func TestReports(t *testing.T) {
	t.Parallel()
	s, c := newService(t)
	device := s.connected(t, c, "a")
	var status client.DeviceStatus
	eventually(t, func() (err error) {
		status, err = c.DeviceStatusInfoQuery(t.Context(), device)
		return err
	})
	if status.State != schema.Online || status.Report == nil || status.Report.CPU == nil || status.ReportTime == nil {
		t.Errorf("it is %+v", status)
	}
	var points []schema.HistoryPoint
	eventually(t, func() error {
		points = nil
		for p, err := range c.DeviceHistory(t.Context(), schema.HistoryFilter{DeviceID: device, Since: 1, Step: time.Hour.Milliseconds()}) {
			if err != nil {
				return err
			}
			points = append(points, p)
		}
		if len(points) == 0 {
			return errors.New("no report is kept yet")
		}
		return nil
	})
	if len(points) != 1 || points[0].Report.Memory == nil {
		t.Errorf("its history is %+v", points)
	}
}

// eventually tries until there is no error.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// TestLogFiles: a log comes out as it is, and one that is damaged on its way is not taken for it.
func TestLogFiles(t *testing.T) {
	t.Parallel()
	s, c := newService(t)
	const text = "one line\n"
	sum := sha256.Sum256([]byte(text))
	device := must[client.Credential](t)(c.DeviceAdd(t.Context(), client.NewDevice{Name: "a", Hardware: schema.Hardware{SN: "a", Model: "M"}}))
	var orders []string
	for i, kept := range []string{text, "0ne line\n"} {
		o := must[schema.Order](t)(c.GiveOrder(t.Context(), client.NewOrder{DeviceID: device.DeviceID, Order: "blink", Params: map[string]int{"n": i}, Queue: true, Wait: new(time.Duration(0))}))
		if _, err := s.store.AddLogFile(t.Context(), schema.LogFile{OrderID: o.OrderID, DeviceID: device.DeviceID, Bytes: int64(len(text)), SHA256: hex.EncodeToString(sum[:]), CreatedTime: int64(i + 1)}, 10); err != nil {
			t.Fatal(err)
		}
		good(t, os.WriteFile(filepath.Join(s.dir, o.OrderID+".log"), []byte(kept), 0o600))
		orders = append(orders, o.OrderID)
	}
	if got := ids(t, c.DeviceLogFiles(t.Context(), device.DeviceID), func(f schema.LogFile) string { return f.OrderID }); len(got) != 2 {
		t.Errorf("its logs: %q", got)
	}
	var got bytes.Buffer
	if n := must[int64](t)(c.DeviceLogfile(t.Context(), orders[0], &got)); n != int64(len(text)) || got.String() != text {
		t.Errorf("%d bytes: %q", n, &got)
	}
	if _, err := c.DeviceLogfile(t.Context(), orders[1], &got); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Error(err)
	}
	if _, err := c.DeviceLogfile(t.Context(), "77", &got); !errors.Is(err, schema.ErrFileNotFound) {
		t.Error(err)
	}
}

// TestKeys: one is made, used, listed and revoked; the probes and documents need none.
func TestKeys(t *testing.T) {
	t.Parallel()
	s, c := newService(t)
	ctx := t.Context()
	group := must[string](t)(c.GroupAdd(ctx, "hall 2", ""))
	k := must[client.NewKey](t)(c.KeyAdd(ctx, "line", schema.Viewer, group))
	viewer := newClient(t, client.Options{URL: s.URL, Key: k.Secret})
	_, err := viewer.GroupAdd(ctx, "x", "")
	wants(t, err, schema.Forbidden, "forbidden")
	if got := ids(t, c.Keys(ctx), func(k schema.Key) string { return k.Name }); !slices.Contains(got, "line") {
		t.Errorf("keys: %q", got)
	}
	good(t, c.KeyRevoke(ctx, k.KeyID))
	_, err = viewer.GroupQueryAll(ctx, schema.Page{})
	wants(t, err, schema.Unauthenticated, "")
	if err := c.KeyRevoke(ctx, "77"); !errors.Is(err, schema.ErrKeyNotFound) {
		t.Error(err)
	}

	nobody := newClient(t, client.Options{URL: s.URL})
	if v := must[string](t)(nobody.Healthz(ctx)); v != "v1" || must[string](t)(nobody.Readyz(ctx)) != v {
		t.Errorf("version %q", v)
	}
	var document bytes.Buffer
	if n := must[int64](t)(nobody.Document(ctx, "/openapi.json", &document)); n == 0 || !json.Valid(document.Bytes()) {
		t.Errorf("a document of %d bytes", n)
	}
	by := must[client.LoggedIn](t)(c.LoginQuery(ctx))
	if by.By != "key:test" || by.Role != schema.Admin || by.Expires != nil {
		t.Errorf("the key is %+v", by)
	}
	_, err = nobody.Document(ctx, "/nowhere", &document)
	wants(t, err, schema.NotFound, "not_found")
}

// TestLogin: a client with a cookie jar and no key reads and changes by its log-in.
func TestLogin(t *testing.T) {
	t.Parallel()
	s, c := newService(t)
	ctx := t.Context()
	jar := must[*cookiejar.Jar](t)(cookiejar.New(nil))
	page := newClient(t, client.Options{URL: s.URL, HTTP: &http.Client{Jar: jar}})
	_, err := page.Login(ctx, "tk_wrong")
	wants(t, err, schema.Unauthenticated, "unauthenticated")
	if by := must[client.LoggedIn](t)(page.Login(ctx, s.key)); by.By != "key:test" || by.Expires == nil {
		t.Errorf("logged in as %+v", by)
	}
	must[string](t)(page.GroupAdd(ctx, "hall 2", ""))
	good(t, page.Logout(ctx))
	_, err = page.GroupAdd(ctx, "hall 3", "")
	wants(t, err, schema.Unauthenticated, "unauthenticated")
	var services []string
	eventually(t, func() error {
		services = ids(t, c.Audit(ctx, schema.AuditFilter{By: "key:test"}), func(a schema.Audit) string { return a.Service })
		if !slices.Contains(services, "group_add") {
			return fmt.Errorf("the audit log has %q", services)
		}
		return nil
	})
	var all schema.List[schema.Group]
	good(t, c.Call(ctx, http.MethodGet, "group_query_all?limit=1", nil, &all))
	if len(all.Items) != 1 || all.Items[0].Name != "hall 2" {
		t.Errorf("called by name: %+v", all)
	}
	good(t, c.Call(ctx, http.MethodDelete, "group_delete", map[string]string{"group_id": all.Items[0].GroupID}, nil))
	wants(t, c.Call(ctx, http.MethodGet, "no_such_service", nil, nil), schema.NotFound, "not_found")
}

// TestEveryServiceHasItsMethod: each operation of the OpenAPI document has a
// method under its own name, which asks for its method and path. A service is
// added by a method: device_query_all is DeviceQueryAll.
func TestEveryServiceHasItsMethod(t *testing.T) {
	var document struct {
		Paths map[string]map[string]struct {
			ID   string   `json:"operationId"`
			Tags []string `json:"tags"`
		}
	}
	good(t, json.Unmarshal(schema.OpenAPI, &document))
	for path, operations := range document.Paths {
		for method, op := range operations {
			if method == "parameters" {
				continue
			}
			var name strings.Builder
			for _, word := range strings.Split(op.ID, "_") {
				name.WriteString(strings.ToUpper(word[:1]) + word[1:])
			}
			if slices.Contains(op.Tags, "Documents") {
				name.Reset()
				name.WriteString("Document")
			}
			want := strings.ToUpper(method) + " " + filled(path)
			if got := asks(t, name.String(), path); got != want {
				t.Errorf("%s: the client's %s asks for %q, not %q", op.ID, name.String(), got, want)
			}
		}
	}
}

// filled is a path with 1 for each of its parameters.
func filled(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if strings.HasPrefix(part, "{") {
			parts[i] = "1"
		}
	}
	return strings.Join(parts, "/")
}

// asks calls a method with what its types need, and is what it asked for.
func asks(t *testing.T, name, path string) string {
	asked := make(chan string, 10)
	c := answering(t, recorded(asked))
	m := reflect.ValueOf(c).MethodByName(name)
	if !m.IsValid() {
		return "nothing: there is no such method"
	}
	var args []reflect.Value
	for i := range m.Type().NumIn() {
		switch in := m.Type().In(i); {
		case in == reflect.TypeFor[context.Context]():
			args = append(args, reflect.ValueOf(t.Context()))
		case in.Kind() == reflect.String && name == "Document":
			args = append(args, reflect.ValueOf(path))
		case in.Kind() == reflect.String:
			args = append(args, reflect.ValueOf("1").Convert(in))
		case in.Kind() == reflect.Struct && hasID(in):
			v := reflect.New(in).Elem()
			v.FieldByName("DeviceID").SetString("1")
			args = append(args, v)
		case in.Kind() == reflect.Interface:
			args = append(args, reflect.ValueOf(new(bytes.Buffer)))
		case m.Type().IsVariadic() && i == m.Type().NumIn()-1:
		default:
			args = append(args, reflect.Zero(in))
		}
	}
	out := m.Call(args)
	if events, ok := out[0].Interface().(iter.Seq2[schema.Event, error]); ok {
		for range events {
		}
	}
	return <-asked
}

func hasID(t reflect.Type) bool {
	_, ok := t.FieldByName("DeviceID")
	return ok
}
