package northapi

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/edgetether/tether/schema"
)

// EventLog reads the log of all devices, for streams of events.
type EventLog interface {
	// EventsAfter reads the events of a stream behind a position. An unknown
	// device, group or job is not found.
	EventsAfter(ctx context.Context, sc schema.Scope, sel schema.EventSelection, after int64, limit int) (schema.EventRange, error)
}

// fromNow is the position of who asks for what comes next.
const fromNow = math.MaxInt64

// eventQuery is a request of GET /events.
type eventQuery struct {
	sel     schema.EventSelection
	after   int64
	member  string // that after was taken from
	request *http.Request
}

func (q *eventQuery) bind(p *params) {
	q.sel = schema.EventSelection{DeviceID: p.optionalID("device_id"), GroupID: p.optionalID("group_id"), JobIDs: p.ids("job_id", schema.MaxStreamJobs)}
	q.sel.Kinds = words(p, "kind", math.MaxInt, schema.EventKind.Valid, "must be kinds of events")
	q.after, q.member, q.request = fromNow, "after", p.request
	if text, given := p.take(q.member); given {
		q.after = p.position(q.member, text)
	}
	// A browser that comes back sends the header beside the address that it
	// had at first: the header is the newer word.
	if text := strings.Join(p.request.Header.Values("Last-Event-ID"), ","); text != "" {
		q.member = "Last-Event-ID"
		q.after = p.position(q.member, text)
	}
}

// optionalID is an identifier in the query string; empty if it was not given.
func (p *params) optionalID(name string) string {
	s, given := p.take(name)
	if given {
		p.refuse(schema.CheckID(name, s))
	}
	return s
}

// ids are identifiers that are given one by one, or in lists with commas.
func (p *params) ids(name string, most int) []string {
	return words(p, name, most, func(id string) bool { return schema.CheckID(name, id) == nil }, "must be identifiers")
}

// position is the id of an event, in the form in which it was sent.
func (p *params) position(name, text string) int64 {
	pos, err := strconv.ParseInt(text, 10, 64)
	if err != nil || pos < 0 || pos == fromNow || strconv.FormatInt(pos, 10) != text {
		p.refuse(schema.InvalidMember(name, "must be the id of an event"))
	}
	return pos
}

// events opens a stream. What would be refused later is refused now: after
// the first byte there is no status.
func (a *api) events(ctx context.Context, who caller, q eventQuery) (*eventStream, error) {
	if a.Draining() {
		return nil, schema.ErrDraining
	}
	x, err := a.EventLog.EventsAfter(ctx, who.scope, q.sel, q.after, 1)
	if err != nil {
		return nil, err
	}
	if q.after == fromNow {
		q.after = x.Last
	}
	if q.after > x.Last {
		return nil, schema.InvalidMember(q.member, "must be the id of an event: the last one so far is %d", x.Last)
	}
	if err := a.Feed.enter(who.key); err != nil {
		return nil, err
	}
	return &eventStream{api: a, request: q.request, who: who, sel: q.sel, at: q.after}, nil
}

// eventFrame is an event on the wire: its data is the line of device_log_query.
func eventFrame(e schema.Event) ([]byte, error) { return frame(e.Pos, string(e.Kind), e) }

// frame is one server-sent event. JSON as we write it has no line breaks.
func frame(id int64, event string, data any) ([]byte, error) {
	body, err := encode(data)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, len(body)+64)
	b = append(strconv.AppendInt(append(b, "id: "...), id, 10), "\nevent: "...)
	b = append(append(b, event...), "\ndata: "...)
	return append(append(b, body...), "\n\n"...), nil
}
