package store

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/edgetether/tether/schema"
)

// only is the scope of a key that is limited to groups.
func only(groups ...string) schema.Scope {
	return schema.Scope{Groups: append([]string{}, groups...)}
}

// grouped is a store with devices 1 and 2 in group a, 2 and 3 in b, 4 in none.
func grouped(t testing.TB) *Store {
	t.Helper()
	s := open(t, Options{})
	addDevice(t, s, "1", "2", "3", "4")
	addGroup(t, s, "a", "b")
	for _, r := range []string{"1a", "2a", "2b", "3b"} {
		must(t, s.AddRelation(t.Context(), all, r[:1], r[1:], start))
	}
	return s
}

func groupNames(t testing.TB, s *Store, sc schema.Scope, deviceID string) string {
	t.Helper()
	l, err := s.DeviceGroups(t.Context(), sc, deviceID, schema.Page{})
	must(t, err)
	text := ""
	for _, g := range l.Items {
		text += g.GroupID
	}
	return text
}

func TestGroups_AddUpdateDelete(t *testing.T) {
	each(t, func(t *testing.T) {
		s := grouped(t)
		wantKind(t, s.AddGroup(t.Context(), schema.Group{GroupID: "c", Name: "group a"}), schema.GroupConflict, "group_exists")
		name, text := "line 2", "the second"
		g, err := s.UpdateGroup(t.Context(), all, "a", schema.GroupPatch{Name: &name, Description: &text}, start+9)
		must(t, err)
		want := schema.Group{GroupID: "a", Name: name, Description: text, CreatedTime: start, UpdatedTime: start + 9}
		equal(t, "updated", g, want)
		g, err = s.Group(t.Context(), all, "a")
		must(t, err)
		equal(t, "kept", g, want)
		g, err = s.UpdateGroup(t.Context(), all, "a", schema.GroupPatch{Name: &name}, start+10)
		must(t, err)
		equal(t, "nothing new", g, want)
		_, err = s.UpdateGroup(t.Context(), all, "b", schema.GroupPatch{Name: &name}, start)
		wantKind(t, err, schema.GroupConflict, "group_exists")
		must(t, s.DeleteGroup(t.Context(), all, "a"))
		equal(t, "groups of 2", groupNames(t, s, all, "2"), "b")
		_, err = s.Device(t.Context(), all, "1")
		must(t, err)
		wantKind(t, s.DeleteGroup(t.Context(), all, "a"), schema.GroupNotFound, "")
		_, err = s.UpdateGroup(t.Context(), all, "a", schema.GroupPatch{}, start)
		wantKind(t, err, schema.GroupNotFound, "")
	})
}

func TestCountStates(t *testing.T) {
	each(t, func(t *testing.T) {
		s := grouped(t)
		claim(t, s, claimOf("1", 1))
		counts, err := s.CountStates(t.Context(), all, "a")
		must(t, err)
		equal(t, "counts", fmt.Sprint(counts), fmt.Sprint(map[schema.DevState]int{schema.Online: 1, schema.Unknown: 0, schema.Offline: 1}))
		_, err = s.CountStates(t.Context(), all, "c")
		wantKind(t, err, schema.GroupNotFound, "")
	})
}

func TestRelations(t *testing.T) {
	each(t, func(t *testing.T) {
		s := grouped(t)
		for pair, want := range map[string]bool{"1a": true, "1b": false, "2b": true, "4a": false} {
			got, err := s.Related(t.Context(), all, pair[:1], pair[1:])
			must(t, err)
			equal(t, pair, got, want)
		}
		wantKind(t, s.AddRelation(t.Context(), all, "1", "a", start), schema.RelationConflict, "relation_exists")
		wantKind(t, s.AddRelation(t.Context(), all, "9", "a", start), schema.DeviceNotFound, "")
		wantKind(t, s.AddRelation(t.Context(), all, "1", "c", start), schema.GroupNotFound, "")
		wantKind(t, s.DeleteRelation(t.Context(), all, "4", "a"), schema.RelationNotFound, "")
		wantKind(t, s.DeleteRelation(t.Context(), all, "9", "a"), schema.DeviceNotFound, "")
		wantKind(t, s.DeleteRelation(t.Context(), all, "4", "c"), schema.GroupNotFound, "")
		_, err := s.Related(t.Context(), all, "1", "c")
		wantKind(t, err, schema.GroupNotFound, "")
		_, err = s.Related(t.Context(), all, "9", "a")
		wantKind(t, err, schema.DeviceNotFound, "")
		must(t, s.DeleteRelation(t.Context(), all, "1", "a"))
		got, err := s.Related(t.Context(), all, "1", "a")
		must(t, err)
		equal(t, "related", got, false)
	})
}

func TestSetDeviceGroups(t *testing.T) {
	each(t, func(t *testing.T) {
		s := grouped(t)
		addGroup(t, s, "c")
		must(t, s.SetDeviceGroups(t.Context(), all, "1", []string{"c", "b", "c"}, start))
		equal(t, "groups", groupNames(t, s, all, "1"), "bc")
		wantKind(t, s.SetDeviceGroups(t.Context(), all, "1", []string{"a", "none"}, start), schema.GroupNotFound, "")
		equal(t, "unchanged", groupNames(t, s, all, "1"), "bc")
		must(t, s.SetDeviceGroups(t.Context(), all, "1", nil, start))
		equal(t, "out of all", groupNames(t, s, all, "1"), "")
		wantKind(t, s.SetDeviceGroups(t.Context(), all, "9", nil, start), schema.DeviceNotFound, "")
	})
}

// A limited key replaces the groups that it sees; the others stay.
func TestSetDeviceGroups_WithinScope(t *testing.T) {
	each(t, func(t *testing.T) {
		s := grouped(t)
		addGroup(t, s, "c")
		must(t, s.SetDeviceGroups(t.Context(), only("a", "c"), "2", []string{"c"}, start))
		equal(t, "groups", groupNames(t, s, all, "2"), "bc")
		wantKind(t, s.SetDeviceGroups(t.Context(), only("c"), "2", []string{"a"}, start), schema.GroupNotFound, "")
	})
}

func TestEmptyGroup(t *testing.T) {
	each(t, func(t *testing.T) {
		s := grouped(t)
		touched, err := s.EmptyGroup(t.Context(), all, "a", false, "key:x", start)
		must(t, err)
		equal(t, "touched", strings.Join(touched, " "), "1 2")
		equal(t, "groups of 2", groupNames(t, s, all, "2"), "b")
		touched, err = s.EmptyGroup(t.Context(), all, "b", true, "key:x", start)
		must(t, err)
		equal(t, "deleted", strings.Join(touched, " "), "2 3")
		l, err := s.ListDevices(t.Context(), all, schema.DeviceFilter{}, schema.Page{})
		must(t, err)
		equal(t, "left", ids(l.Items), "1 4 ")
		events := log(t, s, "3")
		equal(t, "log", kinds(events), "update update ")
		equal(t, "by", events[1].By, "key:x")
		touched, err = s.EmptyGroup(t.Context(), all, "a", true, "", start)
		must(t, err)
		equal(t, "of an empty one", len(touched), 0)
		_, err = s.EmptyGroup(t.Context(), all, "c", true, "", start)
		wantKind(t, err, schema.GroupNotFound, "")
	})
}

// crowded is a store with so many devices in group "g".
func crowded(t *testing.T, url string, n int, o Options) *Store {
	t.Helper()
	s := openURL(t, seeded(t, url), o)
	addGroup(t, s, "g")
	var all []schema.NewDevice
	for i := range n {
		all = append(all, schema.NewDevice{Device: device(fmt.Sprintf("%04d", i)), PasswordHash: "x"})
	}
	_, err := s.AddDevices(t.Context(), all, "")
	must(t, err)
	administer(t, s, "INSERT INTO relations (device_id, group_id, created_time) SELECT device_id, 'g', 0 FROM devices")
	return s
}

// However many devices are in a group, no change takes or deletes more than a
// batch of them.
func TestEmptyGroup_InBatches(t *testing.T) {
	each(t, func(t *testing.T) {
		for n, batches := range map[int]string{emptyBatch - 1: "[99]", emptyBatch: "[100]", 2*emptyBatch + 1: "[100 100 1]"} {
			var deletes []int
			s := crowded(t, newDatabase(t), n, Options{OnEvents: func(es []schema.Event) {
				if string(es[0].Detail) == `{"change":"delete"}` {
					deletes = append(deletes, len(es))
				}
			}})
			touched, err := s.EmptyGroup(t.Context(), all, "g", true, "key:x", start)
			must(t, err)
			equal(t, "touched", len(touched), n)
			flushed(t, s)
			equal(t, "deleted at once", fmt.Sprint(deletes), batches)
		}
		s := crowded(t, newDatabase(t), emptyBatch+1, Options{})
		touched, err := s.EmptyGroup(t.Context(), all, "g", false, "key:x", start)
		must(t, err)
		equal(t, "taken out", len(touched), emptyBatch+1)
		l, err := s.ListDevices(t.Context(), all, schema.DeviceFilter{GroupID: "g"}, schema.Page{})
		must(t, err)
		equal(t, "in the group", len(l.Items), 0)
	})
}

// What was deleted before an error is told, and nothing else.
func TestEmptyGroup_FailsMidway(t *testing.T) {
	s := crowded(t, sqliteURL(t), 2*emptyBatch, Options{})
	administer(t, s, "CREATE TRIGGER bad BEFORE DELETE ON devices WHEN old.device_id = '0150' BEGIN SELECT RAISE(ABORT, 'bad'); END")
	touched, err := s.EmptyGroup(t.Context(), all, "g", true, "key:x", start)
	equal(t, "kind", schema.KindOf(err), schema.Internal)
	equal(t, "deleted", len(touched), emptyBatch)
	equal(t, "the last", touched[emptyBatch-1], "0099")
	l, err := s.ListDevices(t.Context(), all, schema.DeviceFilter{GroupID: "g"}, schema.Page{})
	must(t, err)
	equal(t, "left", len(l.Items), emptyBatch)
}

// What lies outside a scope is not found, in the very words of what does not
// exist, and is not changed.
func TestT22_OutsideTheScopeNothingExists(t *testing.T) {
	each(t, func(t *testing.T) {
		s := grouped(t)
		claim(t, s, claimOf("3", 1))
		must(t, begin(s, intentOf("o", "3", 1)))
		_, err := s.AddLogFile(t.Context(), schema.LogFile{OrderID: "o", DeviceID: "3"}, 1)
		must(t, err)
		before := fmt.Sprint(log(t, s, "3"))
		name, ctx, page := "x", t.Context(), schema.Page{}
		calls := map[string]func(sc schema.Scope, device, group, order string) error{
			"Device": func(sc schema.Scope, d, _, _ string) error { _, err := s.Device(ctx, sc, d); return err },
			"UpdateDevice": func(sc schema.Scope, d, _, _ string) error {
				_, _, err := s.UpdateDevice(ctx, sc, d, schema.DevicePatch{Name: &name}, "", 0)
				return err
			},
			"SetPassword":  func(sc schema.Scope, d, _, _ string) error { return s.SetPassword(ctx, sc, d, "", "", 0) },
			"DeleteDevice": func(sc schema.Scope, d, _, _ string) error { return s.DeleteDevice(ctx, sc, d, "", 0) },
			"ListDevices": func(sc schema.Scope, _, g, _ string) error {
				_, err := s.ListDevices(ctx, sc, schema.DeviceFilter{GroupID: g}, page)
				return err
			},
			"Group": func(sc schema.Scope, _, g, _ string) error { _, err := s.Group(ctx, sc, g); return err },
			"UpdateGroup": func(sc schema.Scope, _, g, _ string) error {
				_, err := s.UpdateGroup(ctx, sc, g, schema.GroupPatch{Name: &name}, 0)
				return err
			},
			"DeleteGroup":    func(sc schema.Scope, _, g, _ string) error { return s.DeleteGroup(ctx, sc, g) },
			"CountStates":    func(sc schema.Scope, _, g, _ string) error { _, err := s.CountStates(ctx, sc, g); return err },
			"Related":        func(sc schema.Scope, d, g, _ string) error { _, err := s.Related(ctx, sc, d, g); return err },
			"AddRelation":    func(sc schema.Scope, d, g, _ string) error { return s.AddRelation(ctx, sc, d, g, 0) },
			"DeleteRelation": func(sc schema.Scope, d, g, _ string) error { return s.DeleteRelation(ctx, sc, d, g) },
			"DeviceGroups":   func(sc schema.Scope, d, _, _ string) error { _, err := s.DeviceGroups(ctx, sc, d, page); return err },
			"SetDeviceGroups": func(sc schema.Scope, d, _, _ string) error {
				return s.SetDeviceGroups(ctx, sc, d, nil, 0)
			},
			"EmptyGroup": func(sc schema.Scope, _, g, _ string) error {
				_, err := s.EmptyGroup(ctx, sc, g, true, "", 0)
				return err
			},
			"Order":      func(sc schema.Scope, _, _, o string) error { _, err := s.Order(ctx, sc, o); return err },
			"ListOrders": func(sc schema.Scope, d, _, _ string) error { _, err := s.ListOrders(ctx, sc, d, page); return err },
			"ListEvents": func(sc schema.Scope, d, _, _ string) error {
				_, err := s.ListEvents(ctx, sc, schema.EventFilter{DeviceID: d}, page)
				return err
			},
			"ListLogFiles": func(sc schema.Scope, d, _, _ string) error { _, err := s.ListLogFiles(ctx, sc, d, page); return err },
			"LogFile":      func(sc schema.Scope, _, _, o string) error { _, err := s.LogFile(ctx, sc, o); return err },
		}
		for name, call := range calls {
			for _, sc := range []schema.Scope{only("a"), only(), only("none")} {
				foreign, missing := call(sc, "3", "b", "o"), call(sc, "9", "z", "p")
				if foreign == nil || missing == nil || foreign.Error() != missing.Error() {
					t.Errorf("%s, scope %v: foreign %v, missing %v", name, sc, foreign, missing)
				}
			}
		}
		equal(t, "log", fmt.Sprint(log(t, s, "3")), before)
		equal(t, "groups", groupNames(t, s, all, "3"), "b")
	})
}

func TestScope_ListsHoldItsOwn(t *testing.T) {
	each(t, func(t *testing.T) {
		s := grouped(t)
		for _, c := range []struct {
			scope           schema.Scope
			devices, groups string
		}{{all, "1 2 3 4 ", "ab"}, {only("a"), "1 2 ", "a"}, {only("a", "b"), "1 2 3 ", "ab"}, {only(), "", ""}, {only("none"), "", ""}} {
			l, err := s.ListDevices(t.Context(), c.scope, schema.DeviceFilter{}, schema.Page{})
			must(t, err)
			equal(t, "devices", ids(l.Items), c.devices)
			g, err := s.ListGroups(t.Context(), c.scope, schema.Page{})
			must(t, err)
			names := ""
			for _, g := range g.Items {
				names += g.GroupID
			}
			equal(t, "groups", names, c.groups)
		}
		equal(t, "groups of 2 in a", groupNames(t, s, only("a"), "2"), "a")
		_, err := s.Device(t.Context(), only("b"), "2")
		must(t, err)
	})
}

func TestAddGroup_ManyAtOnceOneWins(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for i := range 16 {
			wg.Go(func() {
				if s.AddGroup(t.Context(), schema.Group{GroupID: fmt.Sprint(i), Name: "same"}) == nil {
					mu.Lock()
					won++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		equal(t, "winners", won, 1)
	})
}
