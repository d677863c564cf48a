package rpc

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"github.com/edgetether/tether/schema"
)

// Options are the limits and times of a peer. The zero value works: it has
// the limits of the southbound contract.
type Options struct {
	MaxMessage     int           // bytes of one message received; default schema.MaxMessage
	MaxSent        int           // bytes of the params of a call or notification, with 256 for what is around them; likewise
	MaxOutbox      int           // bytes waiting to be written, beyond which the peer is closed; default 1 MiB
	PauseAt        int           // bytes waiting to be written, beyond which nothing more is read; 0: any number. Of two sides one at most may have it
	Room           *Room         // shared with other peers, which bounds what waits of all of them; nil: MaxOutbox is all
	MessageTimeout time.Duration // from a message's first byte to its last; default schema.MessageTimeout
	WriteTimeout   time.Duration // for each write; default schema.WriteTimeout
	CloseTimeout   time.Duration // the closing side's wait for the other's close frame; default 1 s

	// Origins are the Origin headers that Upgrade accepts, besides none at
	// all. Any other is answered 403.
	Origins []string
	// NotInBatch are methods that are refused as a member of a batch.
	NotInBatch []string
	// Admit is asked for every message, the malformed ones and transport pings
	// and pongs included; false closes the connection with 1008, "flood". It is
	// called on the reader's goroutine. Nil: no limit.
	Admit func() bool
	// Totals is counted up by this peer, beside others; nil: nobody wants to know.
	Totals *Totals

	NetDial func(ctx context.Context, network, addr string) (net.Conn, error) // Dial: in place of the network
	TLS     *tls.Config                                                       // Dial: for wss
	Header  http.Header                                                       // Dial: further headers of the handshake
}

const (
	defaultCloseTimeout = time.Second
)

// withDefaults fills in what was left zero.
func (o Options) withDefaults() Options {
	if o.MaxMessage <= 0 {
		o.MaxMessage = schema.MaxMessage
	}
	if o.MaxSent <= 0 {
		o.MaxSent = schema.MaxMessage
	}
	if o.MaxOutbox <= 0 {
		o.MaxOutbox = schema.MaxOutbox
	}
	if o.MessageTimeout <= 0 {
		o.MessageTimeout = schema.MessageTimeout
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = schema.WriteTimeout
	}
	if o.CloseTimeout <= 0 {
		o.CloseTimeout = defaultCloseTimeout
	}
	if o.Totals == nil {
		o.Totals = new(Totals)
	}
	return o
}
