package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/edgetether/tether/schema"
)

// insertSamples is the head of the statement that keeps reports; figures are
// its last ten columns.
const insertSamples = `INSERT INTO status_history (device_id, at, status, cpu_user, cpu_system, cpu_idle, cpu_iowait,
	mem_total, mem_free, mem_cache, root_total, root_used, root_percent) VALUES `

// appendSample appends the row of a report whose text is given.
func appendSample(row []any, m schema.Sample, text []byte) []any {
	row = append(row, m.DeviceID, m.Time, string(text))
	for _, f := range figures(&m.Status) {
		row = append(row, *f)
	}
	return row
}

// figures are the members of a report that can be averaged, in the order of
// the columns. Objects that the report does not have are given to it.
func figures(s *schema.StatusInfo) [10]**float64 {
	if s.CPU == nil {
		s.CPU = &schema.CPUInfo{}
	}
	if s.Memory == nil {
		s.Memory = &schema.MemoryInfo{}
	}
	if s.Disk == nil {
		s.Disk = &schema.DiskInfo{}
	}
	return [...]**float64{
		&s.CPU.User, &s.CPU.System, &s.CPU.Idle, &s.CPU.IOWait,
		&s.Memory.Total, &s.Memory.Free, &s.Memory.BuffCache,
		&s.Disk.RootTotal, &s.Disk.RootUsed, &s.Disk.RootPercent,
	}
}

// History lists a device's reports, newest first: as they were kept, or with
// f.Step their averages over intervals of so many milliseconds, which begin at
// its multiples. An interval without a report has no point.
func (s *Store) History(ctx context.Context, sc schema.Scope, f schema.HistoryFilter, p schema.Page) (schema.List[schema.HistoryPoint], error) {
	if f.Step != 0 && (f.Step < schema.MinHistoryStep.Milliseconds() || f.Step > schema.MaxHistoryStep.Milliseconds()) {
		return schema.List[schema.HistoryPoint]{}, schema.InvalidMember("step", "must be %d to %d milliseconds",
			schema.MinHistoryStep.Milliseconds(), schema.MaxHistoryStep.Milliseconds())
	}
	return read(ctx, s, func(r querier) (schema.List[schema.HistoryPoint], error) {
		if err := visible(r, sc, f.DeviceID); err != nil {
			return schema.List[schema.HistoryPoint]{}, err
		}
		at := func(h schema.HistoryPoint) cursor { return cursor{number: h.Time} }
		if f.Step == 0 {
			return list(r, reports(f), p, order{kind: 'h', number: "at", newest: true}, scanReport, at)
		}
		return list(r, averages(f), p, order{kind: 'a', number: "h.slot", newest: true}, scanAverage, at)
	})
}

// reports is the query of reports as they were kept.
func reports(f schema.HistoryFilter) *query {
	var q query
	q.add("SELECT at, status FROM status_history WHERE device_id = ?", f.DeviceID)
	during(&q, f)
	return &q
}

// averages is the query of means. Division of integers cuts in both engines;
// AVG leaves out what a report did not have. It ends so that conditions on the
// interval, as pages need them, may follow.
func averages(f schema.HistoryFilter) *query {
	var q query
	q.add(`SELECT h.slot, COUNT(*), AVG(h.cpu_user), AVG(h.cpu_system), AVG(h.cpu_idle), AVG(h.cpu_iowait),
			AVG(h.mem_total), AVG(h.mem_free), AVG(h.mem_cache), AVG(h.root_total), AVG(h.root_used), AVG(h.root_percent)
		FROM (SELECT (at / ?) * ? AS slot, cpu_user, cpu_system, cpu_idle, cpu_iowait,
			mem_total, mem_free, mem_cache, root_total, root_used, root_percent
			FROM status_history WHERE device_id = ?`, f.Step, f.Step, f.DeviceID)
	during(&q, f)
	q.add(") h GROUP BY h.slot HAVING TRUE")
	return &q
}

// during limits a query to the filter's time.
func during(q *query, f schema.HistoryFilter) {
	if f.Since != 0 {
		q.add(" AND at >= ?", f.Since)
	}
	if f.Until != 0 {
		q.add(" AND at < ?", f.Until)
	}
}

func scanReport(r scanner) (schema.HistoryPoint, error) {
	h := schema.HistoryPoint{Samples: 1}
	var status string
	if err := r.Scan(&h.Time, &status); err != nil {
		return h, err
	}
	if err := json.Unmarshal([]byte(status), &h.Report); err != nil {
		return h, fmt.Errorf("store: stored JSON: %w", err)
	}
	return h, nil
}

func scanAverage(r scanner) (h schema.HistoryPoint, err error) {
	dest := []any{&h.Time, &h.Samples}
	for _, f := range figures(&h.Report) {
		dest = append(dest, f)
	}
	return h, r.Scan(dest...)
}
