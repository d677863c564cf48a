package store

import (
	"fmt"
	"strings"
	"testing"

	"github.com/edgetether/tether/schema"
)

func TestListEvents_FilterAndDeleted(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		for i := range int64(4) {
			kind := []schema.EventKind{schema.EventLoginFailed, schema.EventLoginRefused}[i%2]
			s.Record(schema.Event{DeviceID: "1", Time: start + 10*i, Kind: kind, Detail: schema.Detail("n", i)})
		}
		must(t, s.DeleteDevice(t.Context(), all, "1", "key:x", start+100))
		for _, c := range []struct {
			filter schema.EventFilter
			want   string
		}{
			{schema.EventFilter{}, "6 5 4 3 2 1 "},
			{schema.EventFilter{Kind: schema.EventLoginFailed}, "4 2 "},
			{schema.EventFilter{Since: start + 10}, "6 5 4 3 "},
			{schema.EventFilter{Since: start + 11}, "6 5 4 "},
			{schema.EventFilter{Until: start + 20}, "3 2 1 "},
			{schema.EventFilter{Since: start + 10, Until: start + 30, Kind: schema.EventLoginRefused}, "3 "},
		} {
			c.filter.DeviceID = "1"
			l, err := s.ListEvents(t.Context(), all, c.filter, schema.Page{})
			must(t, err)
			text := ""
			for _, e := range l.Items {
				text += fmt.Sprint(e.Seq, " ")
			}
			equal(t, fmt.Sprintf("%+v", c.filter), text, c.want)
		}
		_, err := s.ListEvents(t.Context(), all, schema.EventFilter{DeviceID: "9"}, schema.Page{})
		wantKind(t, err, schema.DeviceNotFound, "")
	})
}

// Readers page while rows are added: no skip, no repeat (F67).
func TestF67_PagingWhileRowsAreAdded(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "100", "102", "104", "106", "108")
		claim(t, s, claimOf("100", 1))
		for i := range 5 {
			in := intentOf(fmt.Sprint("o", i), "100", 1)
			must(t, begin(s, in))
			_, err := end(s, schema.Outcome{OrderID: in.Order.OrderID, DeviceID: "100", State: schema.OrderSucceeded})
			must(t, err)
		}
		var devices, orders []string
		var dp, op schema.Page
		dp.Limit, op.Limit = 2, 2
		for i := 0; i == 0 || dp.Cursor != "" || op.Cursor != ""; i++ {
			if i == 0 || dp.Cursor != "" {
				l, err := s.ListDevices(t.Context(), all, schema.DeviceFilter{}, dp)
				must(t, err)
				devices = append(devices, strings.Fields(ids(l.Items))...)
				dp.Cursor = l.NextCursor
			}
			if i == 0 || op.Cursor != "" {
				l, err := s.ListOrders(t.Context(), all, "100", op)
				must(t, err)
				for _, o := range l.Items {
					orders = append(orders, o.OrderID)
				}
				op.Cursor = l.NextCursor
			}
			// One before all cursors, one after.
			addDevice(t, s, fmt.Sprint("0", i), fmt.Sprint("2", i))
			in := intentOf(fmt.Sprint("new", i), "100", 1)
			in.Order.CreatedTime += 1000
			must(t, begin(s, in))
			_, err := end(s, schema.Outcome{OrderID: in.Order.OrderID, DeviceID: "100", State: schema.OrderSucceeded})
			must(t, err)
		}
		equal(t, "devices", strings.Join(devices, " "), "100 102 104 106 108 20 21 22")
		equal(t, "orders", strings.Join(orders, " "), "o4 o3 o2 o1 o0")
	})
}

func TestPage_Bounds(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1", "2")
		for limit, good := range map[int]bool{-1: false, 0: true, 1: true, schema.MaxPageLimit: true, schema.MaxPageLimit + 1: false} {
			_, err := s.ListDevices(t.Context(), all, schema.DeviceFilter{}, schema.Page{Limit: limit})
			if good {
				must(t, err)
			} else {
				wantKind(t, err, schema.Invalid, "")
			}
		}
		l, err := s.ListDevices(t.Context(), all, schema.DeviceFilter{}, schema.Page{Limit: 1})
		must(t, err)
		l2, err := s.ListDevices(t.Context(), all, schema.DeviceFilter{}, schema.Page{Limit: 1, Cursor: l.NextCursor})
		must(t, err)
		equal(t, "last page's cursor", ids(l2.Items)+l2.NextCursor, "2 ")
		for _, bad := range []string{"x", "!", l.NextCursor + "A", strings.Repeat("A", maxCursor+1)} {
			_, err = s.ListDevices(t.Context(), all, schema.DeviceFilter{}, schema.Page{Cursor: bad})
			wantKind(t, err, schema.Invalid, "")
		}
		_, err = s.ListGroups(t.Context(), all, schema.Page{Cursor: l.NextCursor})
		wantKind(t, err, schema.Invalid, "") // of another list
	})
}

func TestLists_EmptyAreNotNull(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		orders, err := s.ListOrders(t.Context(), all, "1", schema.Page{})
		must(t, err)
		keys, err := s.ListKeys(t.Context(), schema.Page{})
		must(t, err)
		if orders.Items == nil || keys.Items == nil {
			t.Fatal("null")
		}
		_, err = s.ListOrders(t.Context(), all, "9", schema.Page{})
		wantKind(t, err, schema.DeviceNotFound, "")
	})
}

func TestLogFiles_OncePerOrderNewestKept(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1", "2")
		add := func(order, dev string, at int64) []schema.LogFile {
			t.Helper()
			drop, err := s.AddLogFile(t.Context(), schema.LogFile{OrderID: order, DeviceID: dev, Bytes: 5, SHA256: "ab", CreatedTime: at}, 2)
			must(t, err)
			return drop
		}
		equal(t, "dropped", len(add("a", "1", start+1)), 0)
		equal(t, "dropped", len(add("b", "2", start)), 0)
		equal(t, "dropped", len(add("c", "1", start+2)), 0)
		equal(t, "the same again", len(add("c", "1", start+9)), 0)
		drop := add("d", "1", start+3)
		equal(t, "dropped", fmt.Sprint(drop), fmt.Sprint([]schema.LogFile{{OrderID: "a", DeviceID: "1", Bytes: 5, SHA256: "ab", CreatedTime: start + 1}}))
		l, err := s.ListLogFiles(t.Context(), all, "1", schema.Page{Limit: 1})
		must(t, err)
		equal(t, "newest", l.Items[0].OrderID, "d")
		l, err = s.ListLogFiles(t.Context(), all, "1", schema.Page{Limit: 1, Cursor: l.NextCursor})
		must(t, err)
		equal(t, "next", l.Items[0].OrderID+l.NextCursor, "c")
		equal(t, "kept its first time", l.Items[0].CreatedTime, start+2)
		_, err = s.LogFile(t.Context(), all, "a")
		wantKind(t, err, schema.NotFound, "logfile_not_found")
		f, err := s.LogFile(t.Context(), all, "b")
		must(t, err)
		equal(t, "device", f.DeviceID, "2")
		equal(t, "log", kinds(log(t, s, "1")), "update upload upload upload ")
	})
}

// The files of a device go with it, and none comes after.
func TestLogFiles_DeletedDevice(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1", "2")
		for _, id := range []string{"1", "2"} {
			_, err := s.AddLogFile(t.Context(), schema.LogFile{OrderID: "of " + id, DeviceID: id}, 2)
			must(t, err)
		}
		must(t, s.DeleteDevice(t.Context(), all, "1", "key:x", start))
		_, err := s.LogFile(t.Context(), all, "of 1")
		wantKind(t, err, schema.NotFound, "logfile_not_found")
		_, err = s.AddLogFile(t.Context(), schema.LogFile{OrderID: "late", DeviceID: "1"}, 2)
		wantKind(t, err, schema.DeviceNotFound, "")
		l, err := s.ListLogFiles(t.Context(), all, "1", schema.Page{})
		must(t, err)
		equal(t, "listed", len(l.Items), 0)
		_, err = s.LogFile(t.Context(), all, "of 2")
		must(t, err)
	})
}

func TestKeys(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addGroup(t, s, "g")
		some, err := s.HasKeys(t.Context())
		must(t, err)
		equal(t, "keys", some, false)
		must(t, s.AddKey(t.Context(), schema.Key{KeyID: "1", Name: "line", Role: schema.Operator, GroupIDs: []string{"g"}, CreatedTime: start}, "h1"))
		must(t, s.AddKey(t.Context(), schema.Key{KeyID: "2", Name: "all", Role: schema.Admin}, "h2"))
		wantKind(t, s.AddKey(t.Context(), schema.Key{KeyID: "3", GroupIDs: []string{"none"}}, "h3"), schema.GroupNotFound, "")
		if s.AddKey(t.Context(), schema.Key{KeyID: "4"}, "h1") == nil {
			t.Fatal("two keys of one hash")
		}
		k, err := s.KeyByHash(t.Context(), "h1")
		must(t, err)
		equal(t, "key", fmt.Sprint(k), fmt.Sprint(schema.Key{KeyID: "1", Name: "line", Role: schema.Operator, GroupIDs: []string{"g"}, CreatedTime: start}))
		k, err = s.KeyByHash(t.Context(), "h2")
		must(t, err)
		equal(t, "unlimited", len(k.GroupIDs), 0)
		must(t, s.RevokeKey(t.Context(), "1", start+5))
		must(t, s.RevokeKey(t.Context(), "1", start+9))
		wantKind(t, s.RevokeKey(t.Context(), "9", start), schema.KeyNotFound, "")
		for _, hash := range []string{"h1", "h3", "", "H2"} {
			_, err = s.KeyByHash(t.Context(), hash)
			wantKind(t, err, schema.KeyNotFound, "")
		}
		l, err := s.ListKeys(t.Context(), schema.Page{})
		must(t, err)
		equal(t, "listed", len(l.Items), 2)
		equal(t, "revoked", *l.Items[0].RevokedTime, start+5)
		some, err = s.HasKeys(t.Context())
		must(t, err)
		equal(t, "keys", some, true)
	})
}
