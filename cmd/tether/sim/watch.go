package sim

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/edgetether/tether/schema"
)

// watch reads the server's events for devices of the fleet that it calls Unknown,
// until ctx ends. A stream that breaks is resumed where it was.
func (f *fleet) watch(ctx context.Context) {
	var after int64
	for ctx.Err() == nil {
		body, err := f.options.API.Events(ctx, after)
		if err == nil {
			after = max(after, f.follow(body))
			err = body.Close()
		}
		if err != nil && ctx.Err() == nil {
			f.stats.unknown.add("the stream of events broke")
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
	}
}

// maxEvent is longer than any state event.
const maxEvent = 64 << 10

// follow reads a stream to its end, and returns the position of its last event.
func (f *fleet) follow(stream io.Reader) (last int64) {
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		text, found := cutBytes(lines.Bytes(), "data: ")
		if !found {
			continue
		}
		var e schema.Event
		if json.Unmarshal(text, &e) != nil || e.Pos == 0 {
			continue
		}
		last = e.Pos
		if u := f.byID[e.DeviceID]; u != nil && e.Outcome == string(schema.Unknown) {
			f.stats.unknown.add(map[bool]string{true: "while the device behaved", false: "by a fault on purpose"}[u.behaves()])
		}
	}
	return last
}

func cutBytes(b []byte, prefix string) ([]byte, bool) {
	if len(b) < len(prefix) || string(b[:len(prefix)]) != prefix {
		return nil, false
	}
	return b[len(prefix):], true
}
