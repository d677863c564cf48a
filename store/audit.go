package store

import (
	"context"

	"github.com/edgetether/tether/schema"
)

// Audit keeps a line of the audit log. Nobody waits for it: it is committed with
// what is submitted next to it, and kept over an outage as events are. Should
// too many have to be kept, one line of schema.AuditLost tells how many were not.
func (s *Store) Audit(a schema.Audit) { s.writer.keepAudit(a) }

func auditOp(a schema.Audit) *op {
	return &op{join: func(r *run, _ *result) { r.audits = append(r.audits, auditRow(a)) }}
}

func auditRow(a schema.Audit) []any {
	target := string(a.Target)
	if target == "" {
		target = "{}"
	}
	return []any{a.AuditID, a.Time, a.By, a.KeyID, a.Address, a.Service, target, a.Status, a.Code}
}

const auditColumns = "audit_id, at, actor, key_id, address, service, target, status, code"

// keepAudits writes the lines of a run.
func (t *tx) keepAudits(rows [][]any) error {
	return t.insertRows("INSERT INTO audit ("+auditColumns+") VALUES ", " ON CONFLICT DO NOTHING", rows)
}

// lostAudit is the op that tells of lost lines. It takes the place of the last
// of them, whose identifier is free.
func lostAudit(last schema.Audit, count int64) *op {
	return auditOp(schema.Audit{
		AuditID: last.AuditID, Time: last.Time, By: byServer, Service: schema.AuditLost,
		Target: schema.Detail("count", count),
	})
}

// ListAudit lists the audit log, newest first.
func (s *Store) ListAudit(ctx context.Context, f schema.AuditFilter, p schema.Page) (schema.List[schema.Audit], error) {
	var q query
	q.add("SELECT " + auditColumns + " FROM audit WHERE TRUE")
	if f.Since != 0 {
		q.add(" AND at >= ?", f.Since)
	}
	if f.Until != 0 {
		q.add(" AND at < ?", f.Until)
	}
	q.equal("actor", f.By)
	q.equal("service", f.Service)
	return read(ctx, s, func(r querier) (schema.List[schema.Audit], error) {
		return list(r, &q, p, order{kind: 'a', number: "at", id: "audit_id", newest: true}, scanAudit,
			func(a schema.Audit) cursor { return cursor{number: a.Time, id: a.AuditID} })
	})
}

func scanAudit(r scanner) (a schema.Audit, err error) {
	var target string
	err = r.Scan(&a.AuditID, &a.Time, &a.By, &a.KeyID, &a.Address, &a.Service, &target, &a.Status, &a.Code)
	a.Target = schema.RawObject(target)
	return a, err
}

// RemoveAudit removes lines that are older than before, a batch at most, and
// says how many.
func (s *Store) RemoveAudit(ctx context.Context, before int64) (int64, error) {
	return write(ctx, s, func(t *tx) (int64, error) {
		return t.exec(`DELETE FROM audit WHERE audit_id IN
			(SELECT audit_id FROM audit WHERE at < $1 ORDER BY at LIMIT $2)`, before, removeBatch)
	})
}
