package store

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/edgetether/tether/schema"
)

// fleetOf adds devices of the ids first to last, of which a third is drills, and says their names.
func fleetOf(t testing.TB, s *Store, first, last int) map[string]string {
	t.Helper()
	names := map[string]string{}
	var some []schema.NewDevice
	for n := first; n <= last; n++ {
		d := device(fmt.Sprintf("%04d", n))
		if d.Name = fmt.Sprintf("Press %d", n); n%3 == 0 {
			d.Name = fmt.Sprintf("Drill %d", n)
		}
		names[d.DeviceID] = d.Name
		some = append(some, schema.NewDevice{Device: d})
	}
	_, err := s.AddDevices(t.Context(), some, "")
	must(t, err)
	return names
}

// named asks for a part of a name, a few devices a page.
func named(t testing.TB, s *Store, sc schema.Scope, f schema.DeviceFilter) (found string) {
	t.Helper()
	p := schema.Page{Limit: 7}
	for {
		l, err := s.ListDevices(t.Context(), sc, f, p)
		must(t, err)
		found += ids(l.Items)
		if p.Cursor = l.NextCursor; p.Cursor == "" {
			return found
		}
	}
}

func rename(t testing.TB, s *Store, id, name string) {
	t.Helper()
	_, _, err := s.UpdateDevice(t.Context(), all, id, schema.DevicePatch{Name: &name}, "", start)
	must(t, err)
}

// countOf is the number that a query finds.
func countOf(t testing.TB, s *Store, text string) (n int) {
	t.Helper()
	must(t, s.engine.read.QueryRowContext(t.Context(), text).Scan(&n))
	return n
}

// Whatever devices are added, renamed and deleted, a part of a name finds those
// that have it now, in order; and pages of which no device is left are gone.
func TestNames_FoundAsTheyAre(t *testing.T) {
	each(t, func(t *testing.T) {
		url := newDatabase(t)
		s := openURL(t, url, Options{})
		random := rand.New(rand.NewPCG(1, 2))
		names := fleetOf(t, s, 1000, 1199)
		check := func() {
			t.Helper()
			for _, part := range []string{"press 11", "DRILL 10", "99", "Oven", "oven 7", "s 1", "nowhere", "press 1001 drill"} {
				want := ""
				for n := 1000; n < 1400; n++ {
					id := fmt.Sprintf("%04d", n)
					if strings.Contains(fold(names[id]), fold(part)) {
						want += id + " "
					}
				}
				equal(t, part, named(t, s, all, schema.DeviceFilter{Name: part}), want)
			}
		}
		check()
		for range 150 {
			id := fmt.Sprintf("%04d", 1000+random.IntN(200))
			name := fmt.Sprint("Oven ", random.IntN(100))
			if _, there := names[id]; !there {
				continue
			}
			if random.IntN(4) == 0 {
				must(t, s.DeleteDevice(t.Context(), all, id, "", start))
				delete(names, id)
				continue
			}
			rename(t, s, id, name)
			names[id] = name
		}
		for id, name := range fleetOf(t, s, 1300, 1330) {
			names[id] = name
		}
		check()
		equal(t, "findings", findingsOf(t, url), "")
		for id := range names {
			must(t, s.DeleteDevice(t.Context(), all, id, "", start))
		}
		equal(t, "pages left", countOf(t, s, "SELECT COUNT(*) FROM name_pages"), 0)
	})
}

// Other filters and the scope hold where the pages narrow the search as well.
func TestNames_WithOtherFilters(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		fleetOf(t, s, 1000, 1099)
		addGroup(t, s, "g", "h")
		for _, id := range []string{"1002", "1003", "1006"} {
			must(t, s.AddRelation(t.Context(), all, id, "g", start))
		}
		must(t, s.AddRelation(t.Context(), all, "1009", "h", start))
		must(t, s.AddRelation(t.Context(), all, "1003", "h", start))
		claim(t, s, claimOf("1006", 1))
		g, both := schema.Scope{Groups: []string{"g"}}, schema.Scope{Groups: []string{"g", "h"}}
		for _, c := range []struct {
			scope  schema.Scope
			filter schema.DeviceFilter
			want   string
		}{
			{all, schema.DeviceFilter{Name: "press 100", GroupID: "g"}, "1003 1006 "},
			{g, schema.DeviceFilter{Name: "press 100"}, "1003 1006 "},
			{both, schema.DeviceFilter{Name: "press 100"}, "1003 1006 1009 "},
			{both, schema.DeviceFilter{Name: "press 100", GroupID: "h"}, "1003 1009 "},
			{schema.Scope{Groups: []string{}}, schema.DeviceFilter{Name: "press 100"}, ""},
			{all, schema.DeviceFilter{Name: "press 100", State: schema.Online}, "1006 "},
			{all, schema.DeviceFilter{Name: "press 100", SN: "SN1004", Model: "ModelB", Type: "press"}, "1004 "},
			{all, schema.DeviceFilter{Name: "press 100", Type: "oven"}, ""},
		} {
			equal(t, fmt.Sprintf("%+v %+v", c.scope, c.filter), named(t, s, c.scope, c.filter), c.want)
		}
	})
}

// A page that is made between the two looks of a search is in it.
func TestNames_PagedMeanwhile(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		fleetOf(t, s, 1000, 1000+namesPage-2) // one less than a page
		r := reader{t.Context(), s.engine}
		at, err := placeOf(r, "press 1001")
		must(t, err)
		equal(t, "pages", len(at.pages), 0)
		fleetOf(t, s, 1100, 1100)
		equal(t, "pages", countOf(t, s, "SELECT COUNT(*) FROM name_pages"), 1)
		equal(t, "in none", countOf(t, s, "SELECT COUNT(*) FROM devices WHERE "+inNoPage), 0)
		q, _ := listed(all, schema.DeviceFilter{Name: "press 1001"}, at, deviceColumns)
		rows, err := r.rows(q.text.String(), q.args...)
		found, err := collect(rows, err, plainDevice)
		must(t, err)
		equal(t, "found", ids(found), "1001 ")
	})
}

// A part of a name that few pages have narrows the search, one that more of them have does not.
func TestNames_FewPages(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		for page := 1; page <= fewPages+1; page++ {
			_, err := s.engine.write.ExecContext(t.Context(), "INSERT INTO name_pages (page, names) VALUES ($1, 'PRESS')", page)
			must(t, err)
			if page < fewPages {
				continue
			}
			at, err := placeOf(reader{t.Context(), s.engine}, "press")
			must(t, err)
			equal(t, "narrowed", at != nil, page == fewPages)
		}
	})
}

// A server of the version before, which knows no pages, adds and renames
// devices: they are found, and come into pages with the next that we write.
func TestNames_OfTheVersionBefore(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		fleetOf(t, s, 1000, 1000+namesPage-1)
		_, err := s.engine.write.ExecContext(t.Context(), "UPDATE devices SET name = 'Oven', name_folded = 'OVEN' WHERE device_id < '1003'")
		must(t, err)
		_, err = s.engine.write.ExecContext(t.Context(), `INSERT INTO devices (device_id, name, name_folded, type, description, sn, model,
			nic, enabled, created_time, updated_time, password) VALUES ('2000', 'Oven', 'OVEN', '', '', '', '', '[]', TRUE, 0, 0, '')`)
		must(t, err)
		equal(t, "new names", named(t, s, all, schema.DeviceFilter{Name: "oven"}), "1000 1001 1002 2000 ")
		equal(t, "old names", named(t, s, all, schema.DeviceFilter{Name: "press 100"}), "1003 1004 1006 1007 1009 ")
		fleetOf(t, s, 3000, 3000+namesPage-4-1)
		equal(t, "in none", countOf(t, s, "SELECT COUNT(*) FROM devices WHERE "+inNoPage), 0)
		equal(t, "new names", named(t, s, all, schema.DeviceFilter{Name: "oven"}), "1000 1001 1002 2000 ")
	})
}

// The devices that are there when pages come, are put into them.
func TestNames_Migrated(t *testing.T) {
	each(t, func(t *testing.T) {
		url := newDatabase(t)
		s := openURL(t, url, Options{})
		fleetOf(t, s, 1000, 1000+2*namesPage)
		for countOf(t, s, "SELECT COUNT(*) FROM counters WHERE name = 'name page'") > 0 {
			must(t, s.MigrateDown(t.Context()))
		}
		must(t, s.Migrate(t.Context()))
		equal(t, "pages", countOf(t, s, "SELECT COUNT(*) FROM name_pages"), 3)
		equal(t, "counter", countOf(t, s, "SELECT value FROM counters WHERE name = 'name page'"), 3)
		equal(t, "in none", countOf(t, s, "SELECT COUNT(*) FROM devices WHERE "+inNoPage), 0)
		equal(t, "found", named(t, s, all, schema.DeviceFilter{Name: "press 112"}), "1120 1121 1123 1124 1126 1127 ")
		equal(t, "findings", findingsOf(t, url), "")
	})
}
