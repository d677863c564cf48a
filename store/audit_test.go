package store

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/edgetether/tether/schema"
)

// audited keeps a line at each offset, of which the identifier tells.
func audited(s *Store, by, service string, offsets ...int64) {
	for _, at := range offsets {
		s.Audit(schema.Audit{
			AuditID: fmt.Sprint(at), Time: start + at, By: by, KeyID: "7", Address: "10.0.0.7", Service: service,
			Target: schema.Detail("device_id", "1"), Status: 403, Code: "forbidden",
		})
	}
}

func auditIDs(t testing.TB, s *Store, f schema.AuditFilter, p schema.Page) (ids []string, next string) {
	t.Helper()
	l, err := s.ListAudit(t.Context(), f, p)
	must(t, err)
	for _, a := range l.Items {
		ids = append(ids, a.AuditID)
	}
	return ids, l.NextCursor
}

func TestAudit_FilteredNewestFirst(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		audited(s, "key:a", "give_order", 10, 30)
		audited(s, "key:b", "device_add", 20, 40)
		flushed(t, s)
		for _, c := range []struct {
			filter schema.AuditFilter
			want   string
		}{
			{schema.AuditFilter{}, "[40 30 20 10]"},
			{schema.AuditFilter{By: "key:a"}, "[30 10]"},
			{schema.AuditFilter{Service: "device_add"}, "[40 20]"},
			{schema.AuditFilter{Since: start + 20, Until: start + 40}, "[30 20]"},
			{schema.AuditFilter{By: "key:a", Service: "device_add"}, "[]"},
		} {
			ids, _ := auditIDs(t, s, c.filter, schema.Page{})
			equal(t, fmt.Sprintf("%+v", c.filter), fmt.Sprint(ids), c.want)
		}
		l, err := s.ListAudit(t.Context(), schema.AuditFilter{Until: start + 11}, schema.Page{})
		must(t, err)
		equal(t, "line", fmt.Sprintf("%+v", l.Items[0]), fmt.Sprintf("%+v", schema.Audit{
			AuditID: "10", Time: start + 10, By: "key:a", KeyID: "7", Address: "10.0.0.7", Service: "give_order",
			Target: schema.RawObject(`{"device_id":"1"}`), Status: 403, Code: "forbidden",
		}))
	})
}

// Pages follow each other while lines are added, without a skip or a repeat,
// also among those of one instant.
func TestAudit_Pages(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		for i := range 5 {
			s.Audit(schema.Audit{AuditID: fmt.Sprint(i), Time: start})
		}
		flushed(t, s)
		var got []string
		page := schema.Page{Limit: 2}
		for i := int64(0); i == 0 || page.Cursor != ""; i++ {
			var ids []string
			ids, page.Cursor = auditIDs(t, s, schema.AuditFilter{}, page)
			got = append(got, ids...)
			audited(s, "key:later", "x", 100+i)
			flushed(t, s)
		}
		slices.Sort(got)
		equal(t, "lines", fmt.Sprint(got), "[0 1 2 3 4]")
	})
}

func TestRemoveAudit_OldestAlone(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		audited(s, "key:a", "x", 10, 20, 30)
		n, err := s.RemoveAudit(t.Context(), start+20)
		equal(t, "removed", removed(t, n, err), 1)
		ids, _ := auditIDs(t, s, schema.AuditFilter{}, schema.Page{})
		equal(t, "kept", fmt.Sprint(ids), "[30 20]")
	})
}

// Lines are kept over an outage up to the bound, and one line tells how many
// more there were (F28).
func TestF28_AuditOverAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := openFlaky(t, flakyPath(t), Options{MaxPending: 3})
		defer func() { must(t, s.Close()) }()
		fail(&f.begin, errDown)
		wantKind(t, s.AddDevice(t.Context(), device("1"), "", ""), schema.StoreUnavailable, "")
		audited(s, "key:a", "x", 10, 20, 30, 40, 50)
		f.begin.Store(nil)
		flushed(t, s)
		flushed(t, s) // what was lost is told as soon as the database takes writes
		l, err := s.ListAudit(t.Context(), schema.AuditFilter{}, schema.Page{})
		must(t, err)
		text := ""
		for _, a := range l.Items {
			text += fmt.Sprintln(a.AuditID, a.By, a.Service, string(a.Target))
		}
		equal(t, "lines", text, `50 server audit_lost {"count":2}
30 key:a x {"device_id":"1"}
20 key:a x {"device_id":"1"}
10 key:a x {"device_id":"1"}
`)
	})
}

// What was submitted before the end is kept.
func TestAudit_SurvivesClose(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "tether.db")
	s := openURL(t, url, Options{})
	audited(s, "key:a", "x", 10)
	must(t, s.Close())
	ids, _ := auditIDs(t, openURL(t, url, Options{}), schema.AuditFilter{}, schema.Page{})
	equal(t, "lines", fmt.Sprint(ids), "[10]")
}
