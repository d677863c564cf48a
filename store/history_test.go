package store

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/edgetether/tether/schema"
)

// sampled is a report at an offset from start, whose ten figures are n, n+1, ….
func sampled(id string, offset int64, n float64) schema.Sample {
	m := schema.Sample{DeviceID: id, Time: start + offset}
	for i, f := range figures(&m.Status) {
		v := n + float64(i)
		*f = &v
	}
	return m
}

func recall(t testing.TB, s *Store, f schema.HistoryFilter, p schema.Page) schema.List[schema.HistoryPoint] {
	t.Helper()
	flushed(t, s)
	l, err := s.History(t.Context(), all, f, p)
	must(t, err)
	return l
}

// points shows of each point when it was, of how many, and its first and last figure.
func points(l schema.List[schema.HistoryPoint]) string {
	text := ""
	for _, h := range l.Items {
		fs := figures(&h.Report)
		text += fmt.Sprintf("%d:%d ", h.Time-start, h.Samples)
		for _, f := range []*float64{*fs[0], *fs[9]} {
			if f != nil {
				text += fmt.Sprint(*f, " ")
			}
		}
	}
	return text
}

func TestHistory_AsKept(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1", "2")
		m := sampled("1", 0, 1)
		m.Status.Custom, m.Status.DevState = schema.RawObject(`{"n":3}`), "busy"
		s.Sample(m)
		s.Sample(sampled("2", 0, 50))
		l := recall(t, s, schema.HistoryFilter{DeviceID: "1"}, schema.Page{})
		equal(t, "points", points(l), "0:1 1 10 ")
		got, err := json.Marshal(l.Items[0].Report)
		must(t, err)
		want, err := json.Marshal(m.Status)
		must(t, err)
		equal(t, "report", string(got), string(want))
	})
}

func TestHistory_Filters(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		for i := range int64(6) {
			s.Sample(sampled("1", i*10_000, float64(i)))
		}
		for want, f := range map[string]schema.HistoryFilter{
			"50000:1 5 14 40000:1 4 13 ":     {Since: start + 40_000},
			"10000:1 1 10 0:1 0 9 ":          {Until: start + 20_000},
			"20000:1 2 11 ":                  {Since: start + 10_001, Until: start + 20_001},
			"":                               {Since: start + 50_001},
			"40000:2 4.5 13.5 20000:1 3 12 ": {Since: start + 30_000, Step: 20_000},
			"20000:2 2.5 11.5 0:2 0.5 9.5 ":  {Until: start + 40_000, Step: 20_000},
		} {
			f.DeviceID = "1"
			equal(t, fmt.Sprintf("%+v", f), points(recall(t, s, f, schema.Page{})), want)
		}
	})
}

// A figure that some reports of an interval lack is the mean of the others,
// and one that all of them lack is absent. Rows of the version before have none.
func TestHistory_AveragesWhatThereIs(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		s.Sample(sampled("1", 1000, 8))
		s.Sample(schema.Sample{DeviceID: "1", Time: start + 2000, Status: schema.StatusInfo{Custom: schema.RawObject(`{"n":1}`)}})
		s.Sample(schema.Sample{DeviceID: "1", Time: start + 60_000})
		_, err := write(t.Context(), s, func(t *tx) (int64, error) {
			return t.exec(`INSERT INTO status_history (device_id, at, status) VALUES ('1', $1, '{"CPU_info":{"user_cpu_time":4}}')`, start+3000)
		})
		must(t, err)
		l := recall(t, s, schema.HistoryFilter{DeviceID: "1", Step: 60_000}, schema.Page{})
		equal(t, "points", points(l), "60000:1 0:3 8 17 ")
		if l.Items[1].Report.Custom != nil {
			t.Error("an average of the device's own object")
		}
		equal(t, "as kept", points(recall(t, s, schema.HistoryFilter{DeviceID: "1", Since: start + 3000, Until: start + 3001}, schema.Page{})), "3000:1 4 ")
	})
}

// Both forms page stably while reports are added (F67).
func TestF67_HistoryPages(t *testing.T) {
	each(t, func(t *testing.T) {
		for _, step := range []int64{0, 1000} {
			s := open(t, Options{})
			addDevice(t, s, "1")
			for i := range int64(7) {
				s.Sample(sampled("1", i*1000, float64(i)))
			}
			text, p := "", schema.Page{Limit: 3}
			for i := int64(10); ; i++ {
				l := recall(t, s, schema.HistoryFilter{DeviceID: "1", Step: step}, p)
				text += points(l)
				s.Sample(sampled("1", i*1000, 0))
				if p.Cursor = l.NextCursor; p.Cursor == "" {
					break
				}
			}
			equal(t, fmt.Sprint("pages of step ", step), text,
				"6000:1 6 15 5000:1 5 14 4000:1 4 13 3000:1 3 12 2000:1 2 11 1000:1 1 10 0:1 0 9 ")
			l := recall(t, s, schema.HistoryFilter{DeviceID: "1", Step: step}, schema.Page{Limit: 1})
			_, err := s.History(t.Context(), all, schema.HistoryFilter{DeviceID: "1", Step: 1000 - step}, schema.Page{Cursor: l.NextCursor})
			wantKind(t, err, schema.Invalid, "") // of the other form
		}
	})
}

func TestHistory_Bounds(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		least, most := schema.MinHistoryStep.Milliseconds(), schema.MaxHistoryStep.Milliseconds()
		for step, good := range map[int64]bool{-1: false, 0: true, 1: false, least - 1: false, least: true, most: true, most + 1: false} {
			_, err := s.History(t.Context(), all, schema.HistoryFilter{DeviceID: "1", Step: step}, schema.Page{})
			if good {
				must(t, err)
			} else {
				wantKind(t, err, schema.Invalid, "")
			}
		}
		for limit, good := range map[int]bool{-1: false, schema.MaxPageLimit: true, schema.MaxPageLimit + 1: false} {
			_, err := s.History(t.Context(), all, schema.HistoryFilter{DeviceID: "1"}, schema.Page{Limit: limit})
			if good {
				must(t, err)
			} else {
				wantKind(t, err, schema.Invalid, "")
			}
		}
	})
}

func TestHistory_NotFoundAndScope(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1", "2")
		addGroup(t, s, "g")
		must(t, s.AddRelation(t.Context(), all, "1", "g", start))
		scope := schema.Scope{Groups: []string{"g"}}
		_, err := s.History(t.Context(), scope, schema.HistoryFilter{DeviceID: "1"}, schema.Page{})
		must(t, err)
		for _, id := range []string{"2", "9"} {
			_, err = s.History(t.Context(), scope, schema.HistoryFilter{DeviceID: id}, schema.Page{})
			wantKind(t, err, schema.DeviceNotFound, "")
		}
		s.Sample(sampled("1", 0, 1))
		must(t, s.DeleteDevice(t.Context(), all, "1", "key:x", start))
		_, err = s.History(t.Context(), all, schema.HistoryFilter{DeviceID: "1"}, schema.Page{})
		wantKind(t, err, schema.DeviceNotFound, "") // the history goes with its device
	})
}

// BenchmarkHistory is a week of one report a minute, among those of others,
// averaged over an hour.
func BenchmarkHistory(b *testing.B) {
	eachBench(b, func(b *testing.B) {
		s := open(b, Options{MaxPending: 1 << 30})
		addDevice(b, s, "1")
		const week = 7 * 24 * 60
		for i := range int64(week) {
			for d := range 10 {
				s.Sample(sampled(fmt.Sprint(d), i*60_000, float64(i)))
			}
		}
		flushed(b, s)
		b.ResetTimer()
		for range b.N {
			l, err := s.History(b.Context(), all, schema.HistoryFilter{DeviceID: "1", Since: start, Step: 3_600_000}, schema.Page{Limit: 1000})
			if err != nil || len(l.Items) < week/60 {
				b.Fatal(len(l.Items), err)
			}
		}
	})
}
