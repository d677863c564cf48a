package sim

import (
	"context"
	"errors"
	"time"

	"github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
)

// watch reads the server's events for devices of the fleet that it calls Unknown,
// until ctx ends or the server refuses. A stream that is lost is resumed where it was.
func (f *fleet) watch(ctx context.Context) {
	q := client.EventQuery{
		EventSelection: schema.EventSelection{Kinds: []schema.EventKind{schema.EventState}},
		OnLost:         func(error, time.Duration) { f.stats.streams.Add(1) },
	}
	for ctx.Err() == nil {
		err := f.listen(ctx, &q)
		var refused *schema.Error
		if errors.As(err, &refused) && (refused.Kind == schema.Unauthenticated || refused.Kind == schema.Forbidden) {
			f.options.Say("Unknown devices are not counted, for want of the server's events: %v", err)
			f.stats.unwatched.Store(&refused.Message)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
	}
}

// listen takes events until there are no more, and says why.
func (f *fleet) listen(ctx context.Context, q *client.EventQuery) error {
	for e, err := range f.options.API.Events(ctx, *q) {
		if err != nil {
			return err
		}
		q.After = &e.Pos
		f.heard(e)
	}
	return nil
}

func (f *fleet) heard(e schema.Event) {
	if u := f.byID[e.DeviceID]; u != nil && e.Outcome == string(schema.Unknown) {
		f.stats.unknown.add(map[bool]string{true: "while the device behaved", false: "by a fault on purpose"}[u.behaves()])
	}
}
