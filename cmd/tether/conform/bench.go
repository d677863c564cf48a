package conform

import (
	"fmt"
	"time"

	"github.com/edgetether/tether/schema"
)

// bench is a scenario of a client at work.
type bench struct {
	*kit
	*sheet
}

// took checks that something took between least and most, with the slack.
func (b *bench) took(key string, d, least, most time.Duration) {
	lo, hi := b.o.Slack.early(least), b.o.Slack.late(most)
	b.check(key, d >= lo && d <= hi, span(lo, hi), "after %v", round(d))
}

// span shows a window of time.
func span(least, most time.Duration) string {
	switch least {
	case 0:
		return fmt.Sprintf("within %v", round(most))
	case most:
		return fmt.Sprintf("after %v", round(most))
	}
	return fmt.Sprintf("after %v to %v", round(least), round(most))
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// window is when a client has to be back.
type window struct{ least, most time.Duration }

// reconnect is 10 s with 20 % to both sides.
func (b *bench) reconnect() window {
	d := b.o.scaled(schema.ReconnectDelay)
	return window{d * 8 / 10, d * 12 / 10}
}

// backOff is 60 s at least; that it ends is checked too.
func (b *bench) backOff() window {
	d := b.o.scaled(schema.PolicyDelay)
	return window{d, d * 12 / 10}
}

// after is a time that a message told: it is not the client's to scale.
func after(d time.Duration) window { return window{d, d} }

// lag is how long something "at once" may take.
func (b *bench) lag() time.Duration { return b.o.Slack.late(0) }

// edge is a little time, so that what is due at the end of a wait is in it.
const edge = time.Millisecond
