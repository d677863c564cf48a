package rpc

import (
	"context"
	"net"
	"net/http"

	"github.com/edgetether/tether/schema"
)

// Handler is what a peer does with what arrives. Its methods run on the
// goroutine that called Serve, in the order of receipt.
type Handler interface {
	// Request is called for every valid request and notification. While it
	// blocks nothing more is read, which holds the other side back; what is
	// waiting to be written still goes out.
	Request(r *Request)
	// Late is called for the response to a call that was given up, once.
	Late(id uint64, resp Response)
}

// Response is the answer to a call.
type Response struct {
	Result  []byte        // raw JSON; nil if Err is set
	Err     *schema.Error // the other side's error, mapped back
	RPCCode int           // its JSON-RPC code
}

// End says why a connection ended.
type End struct {
	Reason string           // one of the Reason… words
	Code   schema.CloseCode // received or sent, whichever was first; 0: none
	Text   string           // the close frame's reason
	Err    error            // the network's error, if there was one
}

// Reasons for which a connection ends.
const (
	ReasonClosedByPeer = "closed_by_peer"
	ReasonClosed       = "closed"        // by Close or Abort
	ReasonEOF          = "eof"           // FIN without a close frame
	ReasonReset        = "reset"         // RST, or another failure of the network
	ReasonMalformed    = "malformed"     // too many malformed messages or unasked responses in a row
	ReasonFlood        = "flood"         // Admit refused
	ReasonTooBig       = "too_big"       // a message over the limit
	ReasonBinary       = "binary"        // a binary frame
	ReasonUTF8         = "utf8"          // a message that is no UTF-8
	ReasonProtocol     = "protocol"      // a broken frame
	ReasonSlowMessage  = "slow_message"  // a message not whole in time
	ReasonFragments    = "fragments"     // a message in too many fragments
	ReasonWriteTimeout = "write_timeout" // a peer that does not read
	ReasonOutboxFull   = "outbox_full"   // likewise, before the write timed out
)

// Stats counts what a peer received.
type Stats struct {
	Messages  uint64 // whole messages, malformed ones included
	Malformed uint64 // messages of which nothing was valid
	Unasked   uint64 // responses that nobody waits for
}

// Peer is one side of a connection. Its methods are safe from any goroutine.
type Peer struct {
	done chan struct{}
}

// Upgrade answers a WebSocket handshake. If it fails, it has answered the
// HTTP error itself. The HTTP handler may return while the peer lives on.
func Upgrade(w http.ResponseWriter, r *http.Request, o Options) (*Peer, error) { return nil, nil }

// Dial connects to url, ws or wss. A handshake that was refused is a
// *HandshakeError.
func Dial(ctx context.Context, url string, o Options) (*Peer, error) { return nil, nil }

// Pipe returns the two ends of a connection in memory.
func Pipe(server, client Options) (srv, cli *Peer, err error) { return nil, nil, nil }

// HandshakeError is a handshake that the server refused.
type HandshakeError struct {
	Status int // HTTP
}

func (e *HandshakeError) Error() string { return "rpc: handshake refused: " + http.StatusText(e.Status) }

// Serve reads until the connection ends and returns why it did, when all that
// the peer has started is stopped. Call it once.
func (p *Peer) Serve(h Handler) End { return End{} }

// Call sends a request and returns its id; it never blocks. done is called at
// most once, on the goroutine of Serve, in the order of receipt with requests.
// It is not called after Forget, nor if the connection ends first.
func (p *Peer) Call(method string, params any, done func(Response)) (id uint64, err error) {
	return 0, nil
}

// Forget gives a call up. A response that still comes goes to Handler.Late.
func (p *Peer) Forget(id uint64) {}

// Notify sends a notification; it never blocks.
func (p *Peer) Notify(method string, params any) error { return nil }

// Close ends the connection in good order and never blocks: a close frame goes
// out after what is waiting to be written, then the other side's is awaited,
// and the socket is closed. Only the first call counts.
func (p *Peer) Close(code schema.CloseCode, reason string) {}

// Abort closes the socket at once.
func (p *Peer) Abort() {}

// SetMaxMessage changes the limit for messages that begin from now on.
func (p *Peer) SetMaxMessage(n int) {}

// RemoteAddr is the other side's address.
func (p *Peer) RemoteAddr() net.Addr { return nil }

// Subprotocol is what the handshake agreed on; empty if nothing.
func (p *Peer) Subprotocol() string { return "" }

// Done is closed when Serve has ended.
func (p *Peer) Done() <-chan struct{} { return p.done }

// Stats returns the counters.
func (p *Peer) Stats() Stats { return Stats{} }

// Request is a request or notification of the other side. It stays valid
// after Handler.Request has returned.
type Request struct {
	Method string
	Params []byte // raw JSON, an object or array; nil if absent
}

// IsNotification says that no answer is wanted; Reply and Fail do nothing.
func (r *Request) IsNotification() bool { return false }

// InBatch says that the request came in a batch.
func (r *Request) InBatch() bool { return false }

// Reply answers with a result. The first of Reply and Fail counts; both are
// safe from any goroutine and never block.
func (r *Request) Reply(result any) {}

// Fail answers with an error: a schema.Error as errors.go maps it, any other
// as an internal error of which nothing is told.
func (r *Request) Fail(err error) {}

// Decode decodes the params into v.
func (r *Request) Decode(v any) error { return nil }

// Decode decodes raw into v. Names are case-sensitive, unknown members are
// ignored. Its error is of kind schema.Invalid and names the member at fault.
func Decode(raw []byte, v any) error { return nil }

// ErrorCode is the JSON-RPC code of a kind of error.
func ErrorCode(k schema.Kind) int { return 0 }

// FromCode is the kind of error of a JSON-RPC code; Internal if unknown.
func FromCode(code int) schema.Kind { return 0 }
