package northapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
)

const (
	get  = http.MethodGet
	post = http.MethodPost
	put  = http.MethodPut
	del  = http.MethodDelete
)

const newDevice = `{"device_name":"press-7","device_type":"press","dev_description":"old",
 "hardware":{"sn":"SN123","model":"ModelB"},
 "software":{"version":"1.4.0","last_update":"2026-10-02","status":"running"},
 "nic":[{"type":"ethernet","mac":"02:00:00:00:00:01","ipv4":"10.0.0.7"},
        {"type":"lte","mac":"","ipv4":"","imei":"490154203237518"}]`

// verifies says whether a device can log in with the password.
func (w *world) verifies(device, password string) bool {
	w.t.Helper()
	p := schema.LoginParams{DeviceID: device, Password: password}
	c, err := w.store.Credential(w.t.Context(), p, present)
	w.must(err)
	return w.secrets.Verify(c, p)
}

func TestDeviceIsAddedAndRead(t *testing.T) {
	w := newWorld(t)
	made := into[map[string]string](t, w.do("admin", post, "device_add", newDevice+`}`).want(t, 201, ""))
	id := made["device_id"]
	if !strings.HasPrefix(made["password"], "tp_") || !w.verifies(id, made["password"]) {
		t.Errorf("made %v", made)
	}
	d := into[schema.Device](t, w.do("viewer", get, "device_query/"+id, "").want(t, 200, ""))
	want := schema.Device{
		DeviceID: id, Name: "press-7", Type: "press", Description: "old", Hardware: schema.Hardware{SN: "SN123", Model: "ModelB"},
		Software: &schema.Software{Version: "1.4.0", LastUpdate: "2026-10-02", Status: "running"},
		NIC:      []schema.NIC{{Type: "ethernet", MAC: "02:00:00:00:00:01", IPv4: "10.0.0.7"}, {Type: "lte", IMEI: "490154203237518"}},
		Enabled:  true, State: schema.Offline, CreatedTime: present, UpdatedTime: present,
	}
	if !reflect.DeepEqual(d, want) {
		t.Errorf("read %+v\nwant %+v", d, want)
	}
	w.do("admin", post, "device_add", newDevice+`}`).want(t, 409, "device_exists")
}

func TestChosenPasswords(t *testing.T) {
	w := newWorld(t)
	made := into[map[string]string](t, w.do("admin", post, "device_add", newDevice+`,"password":"eight888","enabled":true}`).want(t, 201, ""))
	if made["password"] != "eight888" || !w.verifies(made["device_id"], "eight888") {
		t.Errorf("made %v", made)
	}
	changed := into[map[string]string](t, w.do("admin", put, "device_password_update", `{"device_id":"201","password":"other888"}`).want(t, 200, ""))
	if changed["password"] != "other888" || !w.verifies("201", "other888") {
		t.Errorf("changed to %v", changed)
	}
	renewed := into[map[string]string](t, w.do("admin", put, "device_password_update", `{"device_id":"201"}`).want(t, 200, ""))
	if w.verifies("201", "other888") || !w.verifies("201", renewed["password"]) {
		t.Errorf("renewed to %v", renewed)
	}
	off := into[map[string]string](t, w.do("admin", post, "device_add",
		`{"device_name":"n","hardware":{"sn":"s","model":"m"},"enabled":false,"password":"eight888"}`).want(t, 201, ""))
	if w.verifies(off["device_id"], "eight888") {
		t.Error("added disabled, and may log in")
	}
}

// oneAtATime counts how many passwords are hashed at once.
type oneAtATime struct {
	northapi.Secrets
	now, most atomic.Int32
}

func (s *oneAtATime) HashPassword(password string) (string, error) {
	s.most.Store(max(s.most.Load(), s.now.Add(1)))
	defer s.now.Add(-1)
	return s.Secrets.HashPassword(password)
}

// TestT7_PasswordsAreHashedInTurn: chosen passwords take one processor at
// most.
func TestT7_PasswordsAreHashedInTurn(t *testing.T) {
	var gate *oneAtATime
	w := newWorld(t, func(c *northapi.Config) {
		gate = &oneAtATime{Secrets: c.Secrets}
		c.Secrets = gate
	})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			rec := httptest.NewRecorder()
			w.handler.ServeHTTP(rec, w.request("admin", put, "device_password_update", `{"device_id":"201","password":"eight888"}`))
			if rec.Code != 200 {
				t.Errorf("answered %d %s", rec.Code, rec.Body)
			}
		})
	}
	all.Wait()
	if most := gate.most.Load(); most != 1 {
		t.Errorf("%d were hashed at once", most)
	}
}

func TestDeviceListIsFiltered(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]int{
		"device_query_all":                                    2,
		"device_query_all?sn=SN201":                           1,
		"device_query_all?model=M&device_type=press":          2,
		"device_query_all?name=202":                           1,
		"device_query_all?group_id=" + ownGroup:               1,
		"device_query_all?dev_state=Unknown":                  0,
		"device_query_all?limit=1":                            1,
		"device_query_all?limit=1000&name=none%20of%20these&": 0,
	} {
		list := into[schema.List[schema.Device]](t, w.do("viewer", get, path, "").want(t, 200, ""))
		if len(list.Items) != want || list.Items == nil {
			t.Errorf("%s: %d items, want %d", path, len(list.Items), want)
		}
	}
}

// TestListsArePaged walks a list by its cursors.
func TestListsArePaged(t *testing.T) {
	w := newWorld(t)
	var seen []string
	for cursor := ""; ; {
		list := into[schema.List[schema.Device]](t, w.do("viewer", get, "device_query_all?limit=1&cursor="+cursor, "").want(t, 200, ""))
		for _, d := range list.Items {
			seen = append(seen, d.DeviceID)
		}
		if cursor = list.NextCursor; cursor == "" {
			break
		}
	}
	if fmt.Sprint(seen) != "[201 202]" {
		t.Errorf("listed %v", seen)
	}
	w.do("viewer", get, "device_query_all?cursor=x", "").want(t, 400, "invalid_member")
}

// TestRecordsAreOverlaid: what the sessions know goes before the store's word.
func TestRecordsAreOverlaid(t *testing.T) {
	w := newWorld(t)
	read := func() schema.Device {
		return into[schema.Device](t, w.do("viewer", get, "device_query/"+ownDevice, "").want(t, 200, ""))
	}
	if d := read(); d.State != schema.Online || d.StateReason != "login" || *d.LastSeenTime != 77 {
		t.Errorf("connected: %+v", d)
	}
	w.offline(ownDevice)
	if d := read(); d.State != schema.Offline || d.StateReason != "eof" || *d.LastSeenTime != seenTime {
		t.Errorf("gone: %+v", d)
	}
	w.must(login(t.Context(), w.store, ownDevice, 2))
	if d := read(); d.State != schema.Offline || d.StateReason != "" {
		t.Errorf("connected for the store alone: %+v", d)
	}
	w.sessions.faults["Live"] = schema.ErrStoreUnavailable
	for _, path := range []string{"device_query/" + ownDevice, "device_query_all", "group_statusInfo_query/" + ownGroup, "device_statusInfo_query/" + ownDevice} {
		w.do("viewer", get, path, "").want(t, 503, "store_unavailable")
	}
}

func TestDeviceUpdate(t *testing.T) {
	w := newWorld(t)
	body := `{"device_id":"` + ownDevice + `","device_name":"new","device_type":null,"software":{"version":"2","last_update":"","status":""},"nic":null}`
	d := into[schema.Device](t, w.do("admin", put, "device_update", body).want(t, 200, ""))
	if d.Name != "new" || d.Type != "" || d.Software.Version != "2" || d.Description != "" || d.State != schema.Online {
		t.Errorf("answered %+v", d)
	}
	if len(w.sessions.told) != 1 || w.sessions.told[0].Name != "new" || len(w.sessions.ended) != 0 {
		t.Errorf("told %v, ended %v", w.sessions.told, w.sessions.ended)
	}
	w.do("admin", put, "device_update", `{"device_id":"`+ownDevice+`","enabled":true}`).want(t, 200, "")
	w.sessions.told = nil
	w.do("admin", put, "device_update", `{"device_id":"`+ownDevice+`","enabled":false}`).want(t, 200, "")
	if got := fmt.Sprint(w.sessions.ended, w.sessions.told); got != "["+ownDevice+" disabled] []" {
		t.Error(got)
	}
}

// TestUntoldIsNoFailure: the store remembers who was not told, so that a
// device that cannot be told now fails nothing.
func TestUntoldIsNoFailure(t *testing.T) {
	w := newWorld(t)
	w.sessions.faults["Tell"] = errors.New("no way to node 2")
	w.do("admin", put, "device_update", `{"device_id":"201","device_name":"n"}`).want(t, 200, "")
	if !strings.Contains(w.logged.String(), "node 2") {
		t.Errorf("logged %q", w.logged.String())
	}
}

// leaving is a caller that is gone once its key was looked up.
type leaving struct {
	northapi.Keys
	leave context.CancelFunc
}

func (l leaving) KeyByHash(ctx context.Context, hash string) (schema.Key, error) {
	defer l.leave()
	return l.Keys.KeyByHash(ctx, hash)
}

// TestT12_RevocationEndsSessions: what takes a device's right away ends its
// session, also if the caller has left; and is no success if it could not.
func TestT12_RevocationEndsSessions(t *testing.T) {
	for _, c := range []struct{ method, service, body, ended string }{
		{put, "device_update", `{"device_id":"201","enabled":false}`, "201 disabled"},
		{put, "device_password_update", `{"device_id":"201","password":"eight888"}`, "201 password"},
		{del, "device_delete", `{"device_id":"201"}`, "201 deleted"},
		{del, "group_devices_delete", `{"group_id":"101","delete_devices":true}`, "201 deleted"},
	} {
		t.Run(c.service, func(t *testing.T) {
			ctx, leave := context.WithCancel(t.Context())
			w := newWorld(t, func(c *northapi.Config) { c.Keys = leaving{c.Keys, leave} })
			w.send(w.request("admin", c.method, c.service, c.body).WithContext(ctx)).want(t, 200, "")
			if got := strings.Join(w.sessions.ended, ","); got != c.ended {
				t.Errorf("ended %q", got)
			}
			w = newWorld(t)
			w.sessions.faults["End"] = schema.ErrStoreUnavailable
			w.do("admin", c.method, c.service, c.body).want(t, 503, "store_unavailable")
		})
	}
}

// TestT12_DeletedBefore: who deletes a device again, since he was not told that it is
// done, has its session ended.
func TestT12_DeletedBefore(t *testing.T) {
	w := newWorld(t)
	w.do("admin", del, "device_delete", `{"device_id":"999"}`).want(t, 404, "device_not_found")
	if got := strings.Join(w.sessions.ended, ","); got != "999 deleted" {
		t.Errorf("ended %q", got)
	}
}

func TestGroupIsEmptiedWithoutDeleting(t *testing.T) {
	w := newWorld(t)
	got := into[map[string]any](t, w.do("admin", del, "group_devices_delete", `{"group_id":"`+ownGroup+`"}`).want(t, 200, ""))
	if fmt.Sprint(got["device_ids"]) != "["+ownDevice+"]" || len(w.sessions.ended) != 0 {
		t.Errorf("%v, ended %v", got, w.sessions.ended)
	}
	w.do("viewer", get, "device_query/"+ownDevice, "").want(t, 200, "")
}

func TestDeviceStatus(t *testing.T) {
	w := newWorld(t)
	got := w.do("viewer", get, "device_statusInfo_query/"+ownDevice, "").want(t, 200, "")
	want := `{"device_id":"201","dev_state":"online","last_seen_time":77,"report_time":70,"report":{"CPU_info":{},"Memory_info":{},"Disk_info":{}}}`
	if string(got.Data) != want {
		t.Errorf("data %s\nwant %s", got.Data, want)
	}
	live := w.sessions.live[ownDevice]
	live.Report = nil
	w.sessions.live[ownDevice] = live
	w.do("viewer", get, "device_statusInfo_query/"+ownDevice, "").want(t, 404, "no_report")
	w.offline(ownDevice)
	off := w.do("viewer", get, "device_statusInfo_query/"+ownDevice, "").want(t, 409, "device_offline")
	if string(off.Data) != fmt.Sprintf(`{"last_seen_time":%d}`, seenTime) {
		t.Errorf("data %s", off.Data)
	}
}

func TestGroupStatus(t *testing.T) {
	w := newWorld(t)
	w.must(w.store.AddRelation(t.Context(), schema.Everything, foreignDevice, ownGroup, 1))
	w.offline(foreignDevice)
	got := w.do("viewer", get, "group_statusInfo_query/"+ownGroup+"?limit=2", "").want(t, 200, "")
	want := fmt.Sprintf(`{"counts":{"online":0,"Unknown":0,"offline":2},"items":[`+
		`{"device_id":"201","dev_state":"online","last_seen_time":77,"report_time":70,"report":{"CPU_info":{},"Memory_info":{},"Disk_info":{}}},`+
		`{"device_id":"202","dev_state":"offline","last_seen_time":%d,"report_time":null,"report":null}],"next_cursor":""}`, seenTime)
	if string(got.Data) != want {
		t.Errorf("data %s\nwant %s", got.Data, want)
	}
}

func TestGroups(t *testing.T) {
	w := newWorld(t)
	id := into[map[string]string](t, w.do("admin", post, "group_add", `{"group_name":"Linie 2","group_description":"d"}`).want(t, 201, ""))["group_id"]
	w.do("admin", post, "group_add", `{"group_name":"Linie 2"}`).want(t, 409, "group_exists")
	g := into[schema.Group](t, w.do("admin", put, "group_update", `{"group_id":"`+id+`","group_description":null}`).want(t, 200, ""))
	if g.Name != "Linie 2" || g.Description != "" {
		t.Errorf("updated %+v", g)
	}
	list := into[schema.List[schema.Group]](t, w.do("viewer", get, "group_query_all?limit=1", "").want(t, 200, ""))
	if len(list.Items) != 1 || list.NextCursor == "" {
		t.Errorf("listed %+v", list)
	}
	w.do("admin", del, "group_delete", `{"group_id":"`+id+`"}`).want(t, 200, "")
	w.do("viewer", get, "group_query/"+id, "").want(t, 404, "group_not_found")
}

func TestRelations(t *testing.T) {
	w := newWorld(t)
	body := `{"device_id":"` + ownDevice + `","group_id":"` + spareGroup + `"}`
	related := func(want string) {
		t.Helper()
		a := w.do("viewer", get, "relation_query/"+ownDevice+"/"+spareGroup, "").want(t, 200, "")
		if string(a.Data) != `{"related":`+want+`}` {
			t.Errorf("data %s, want %s", a.Data, want)
		}
	}
	related("false")
	w.do("operator", post, "relation_add", body).want(t, 201, "")
	related("true")
	w.do("operator", post, "relation_add", body).want(t, 409, "relation_exists")
	w.do("operator", del, "relation_delete", body).want(t, 200, "")
	w.do("operator", del, "relation_delete", body).want(t, 404, "relation_not_found")
	w.do("operator", put, "device_groups_update", `{"device_id":"`+ownDevice+`","group_ids":["`+spareGroup+`","999"]}`).want(t, 404, "group_not_found")
	related("false")
	w.do("operator", put, "device_groups_update", `{"device_id":"`+ownDevice+`","group_ids":["`+spareGroup+`"]}`).want(t, 200, "")
	related("true")
	w.do("operator", del, "device_groups_delete", `{"device_id":"`+ownDevice+`"}`).want(t, 200, "")
	related("false")
}

func TestLogQueryFilters(t *testing.T) {
	w := newWorld(t)
	for query, want := range map[string]int{
		"?kind=login": 1, "?kind=order": 2, "?kind=disconnect": 1, "?kind=restart_verified": 0, "?limit=2": 2,
		"?since=" + fmt.Sprint(seenTime):               2, // disconnect and upload
		"?since=" + fmt.Sprint(seenTime+1):             0,
		"?until=2":                                     1, // the record's own beginning
		"?until=1":                                     0,
		"?kind=upload&until=" + fmt.Sprint(seenTime):   0,
		"?kind=upload&until=" + fmt.Sprint(seenTime+1): 1,
	} {
		list := into[schema.List[schema.Event]](t, w.do("viewer", get, "device_log_query/"+ownDevice+query, "").want(t, 200, ""))
		if len(list.Items) != want {
			t.Errorf("%q: %d events, want %d", query, len(list.Items), want)
		}
	}
}

func TestKeys(t *testing.T) {
	w := newWorld(t)
	w.do("admin", post, "key_add", `{"name":"n","role":"viewer","group_ids":["999"]}`).want(t, 404, "group_not_found")
	made := into[map[string]any](t, w.do("admin", post, "key_add", `{"name":"line-2","role":"operator","group_ids":["`+ownGroup+`"]}`).want(t, 201, ""))
	w.keys["new"] = made["key"].(string)
	w.do("new", get, "device_query/"+ownDevice, "").want(t, 200, "")
	w.do("new", get, "device_query/"+foreignDevice, "").want(t, 404, "device_not_found")
	w.do("new", post, "give_order", `{"device_id":"`+ownDevice+`","order":"restart"}`).want(t, 200, "")
	if by := w.sessions.given[0].Order.By; by != "key:line-2" {
		t.Errorf("by %q", by)
	}
	list := w.do("admin", get, "key_query_all", "").want(t, 200, "")
	if strings.Contains(list.body, "tk_") || !strings.Contains(list.body, `"line-2"`) {
		t.Errorf("listed %s", list.body)
	}
	w.do("admin", post, "key_revoke", fmt.Sprintf(`{"key_id":%q}`, made["key_id"])).want(t, 200, "")
	w.do("new", get, "device_query/"+ownDevice, "").want(t, 401, "unauthenticated")
	w.do("admin", post, "key_revoke", `{"key_id":"999"}`).want(t, 404, "key_not_found")
}
