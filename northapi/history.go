package northapi

import (
	"context"

	"github.com/edgetether/tether/schema"
)

type historyList struct {
	filter schema.HistoryFilter
	page   schema.Page
}

func (q *historyList) bind(p *params) {
	q.filter = schema.HistoryFilter{
		DeviceID: p.id("device_id"),
		Since:    p.time("since"),
		Until:    p.time("until"),
		Step:     p.integer("step", schema.MinHistoryStep.Milliseconds(), schema.MaxHistoryStep.Milliseconds(), 0),
	}
	if until := q.filter.Until; until != 0 && until < q.filter.Since {
		p.refuse(schema.InvalidMember("until", "must not be before since"))
	}
	q.page = p.page()
}

func (a *api) deviceStatusHistory(ctx context.Context, who caller, q historyList) (schema.List[schema.HistoryPoint], error) {
	return a.Records.History(ctx, who.scope, q.filter, q.page)
}
