package sim

import (
	"context"
	"time"

	"github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
)

// watch reads the server's events for devices of the fleet that it calls Unknown,
// until ctx ends. A stream that breaks is resumed where it was.
func (f *fleet) watch(ctx context.Context) {
	q := client.EventQuery{
		EventSelection: schema.EventSelection{Kinds: []schema.EventKind{schema.EventState}},
		OnLost:         func(error, time.Duration) { f.broke(ctx) },
	}
	for ctx.Err() == nil {
		for e, err := range f.options.API.Events(ctx, q) {
			if err != nil {
				f.broke(ctx)
				break
			}
			q.After = &e.Pos
			f.heard(e)
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
	}
}

func (f *fleet) broke(ctx context.Context) {
	if ctx.Err() == nil {
		f.stats.unknown.add("the stream of events broke")
	}
}

func (f *fleet) heard(e schema.Event) {
	if u := f.byID[e.DeviceID]; u != nil && e.Outcome == string(schema.Unknown) {
		f.stats.unknown.add(map[bool]string{true: "while the device behaved", false: "by a fault on purpose"}[u.behaves()])
	}
}
