package rpc

import "sync/atomic"

// Totals count what peers have received and sent. Many peers may share one:
// counting costs an atomic addition, and no memory a peer.
type Totals struct {
	BytesReceived atomic.Uint64 // of the connection, handshake not included
	BytesSent     atomic.Uint64 // likewise, with the server's half of the handshake
	Malformed     atomic.Uint64 // as Stats has it
	Unasked       atomic.Uint64 // likewise
}
