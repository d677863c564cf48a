package rpc

import (
	"sync/atomic"

	"github.com/edgetether/tether/schema"
)

// Room is what the outboxes of many peers have together. One peer that does not
// read may have much waiting; many of them share what there is, each may have the
// less the more is taken, and the last of it is never given away. That is the
// dynamic threshold by which switches share their memory (A. K. Choudhury and
// E. L. Hahne, IEEE/ACM Transactions on Networking 6.2, 1998).
type Room struct {
	size  int64
	taken atomic.Int64
}

const roomShare = 64 // of what is free, that one peer may have waiting

// NewRoom makes a room for size bytes.
func NewRoom(size int64) *Room { return &Room{size: size} }

// Taken is how many bytes wait to be written.
func (r *Room) Taken() int64 { return r.taken.Load() }

// most is how many bytes a peer may have waiting now.
func (r *Room) most() int {
	return int(max(schema.LeastOutbox, (r.size-r.taken.Load())/roomShare))
}
