package northapi

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/edgetether/tether/schema"
	"github.com/go-json-experiment/json"
)

// AuditLog keeps who asked for what.
type AuditLog interface {
	// Audit keeps a line. It does not wait, and never blocks.
	Audit(line schema.Audit)
	ListAudit(ctx context.Context, f schema.AuditFilter, p schema.Page) (schema.List[schema.Audit], error) // newest first
}

// audit leaves a line of a change that somebody asked for who is known, and of
// whatever was refused to him. It is in line for the disk before he is answered.
// What a key's limits refuse is not carried out and leaves none: a flood of
// requests shall not become one of lines.
func (c *call) audit(failed *schema.Error) {
	who := c.who
	refused := failed != nil && failed.Kind == schema.Forbidden
	if who.key == "" || c.at.method == get && !refused {
		return
	}
	line := schema.Audit{
		AuditID: c.NewID(), Time: c.millis(), By: who.by, KeyID: who.keyID(), Address: shownAddress(c.address),
		Service: strings.Trim(firstPart(c.at.pattern), "/"), Status: int64(c.rep.status),
	}
	target := map[string]any{}
	identifiers(target, c.rep.asked)
	identifiers(target, c.rep.data)
	if failed != nil {
		line.Status, line.Code = int64(forms[failed.Kind].status), failed.Code
		identifiers(target, failed.Data)
	}
	if text, err := json.Marshal(target, json.Deterministic(true)); err == nil {
		line.Target = text
	}
	c.AuditLog.Audit(line)
}

// firstPart is a pattern without its parameters.
func firstPart(pattern string) string {
	pattern, _, _ = strings.Cut(pattern, "{")
	return pattern
}

// maxListed is how many identifiers of a list a line has. More are counted.
const maxListed = 20

// identifiers adds the members of a request or an answer that name things:
// "…_id" and "…_ids". What is no identifier is left out, however it is called: it
// may be long, and a secret.
func identifiers(into map[string]any, v any) {
	at := reflect.Indirect(reflect.ValueOf(v))
	if at.Kind() != reflect.Struct {
		return
	}
	for _, f := range reflect.VisibleFields(at.Type()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		value := at.FieldByIndex(f.Index)
		switch {
		case strings.HasSuffix(name, "_id") && f.Type.Kind() == reflect.String && isID(value.String()):
			into[name] = value.String()
		case strings.HasSuffix(name, "_ids") && f.Type == reflect.TypeFor[[]string]():
			listed(into, name, value.Interface().([]string))
		}
	}
}

// listed adds the identifiers of a list.
func listed(into map[string]any, name string, values []string) {
	ids := slices.DeleteFunc(slices.Clone(values), func(v string) bool { return !isID(v) })
	if n := len(ids); n > maxListed {
		into[name+"_count"], ids = n, ids[:maxListed]
	}
	if len(ids) > 0 {
		into[name] = ids
	}
}

func isID(text string) bool { return schema.CheckID("", text) == nil }

// auditList is a request for the audit log.
type auditList struct {
	filter schema.AuditFilter
	page   schema.Page
}

func (q *auditList) bind(p *params) {
	q.filter = schema.AuditFilter{
		Since: p.time("since"), Until: p.time("until"),
		By: p.text("by", maxBy), Service: p.text("service", maxService),
	}
	if until := q.filter.Until; until != 0 && until < q.filter.Since {
		p.refuse(schema.InvalidMember("until", "must not be before since"))
	}
	q.page = p.page()
}

// Limits of the filters of the audit log, in characters.
const (
	maxBy      = len("key:") + schema.MaxName
	maxService = 64
)

func (a *api) auditQueryAll(ctx context.Context, _ caller, q auditList) (schema.List[schema.Audit], error) {
	return a.AuditLog.ListAudit(ctx, q.filter, q.page)
}
