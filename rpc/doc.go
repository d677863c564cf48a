// Package rpc is one JSON-RPC 2.0 peer over one WebSocket: the same on the
// server and on a device. It knows frames, limits, batches, errors and calls;
// it knows no device, no login and no order.
//
// # The way of a message
//
//	net.Conn → frameConn (scanner) → websocket.Conn → guard → Handler
//	Reply, Call, Notify → outbox → websocket.Conn → net.Conn
//
// A server's short messages go from the outbox to the net.Conn in a frame of our own:
// the library would leave memory behind for each.
//
// The scanner (frames.go) follows the frame headers under the WebSocket
// library and holds every rule of southbound section 1 that concerns frames:
// masks, opcodes, fragments, sizes, and the time from a message's first byte
// to its last. A frame that breaks a rule never reaches the library.
//
// The guard (guard.go) decodes a message once, strictly, and says what it is.
// What it refuses is looked at a second time (salvage.go), only to tell no
// JSON from no request and to find the id. Refused messages are answered here;
// the handler sees valid requests and notifications, and nothing else counts
// as a message of the other side.
//
// A request goes straight from the guard to the Handler. The JSON-RPC library
// (calls.go) matches responses with our own calls: it is told their ids. It is made
// at the first call, since it costs two goroutines, and it sees only what the
// guard has judged and written anew: numbers of calls that wait, names spelled
// right. No type of either library is in the interface of this package.
//
// # Goroutines
//
//   - The reader is the caller's: the one that calls Serve. The Handler and the
//     functions given to Call run on it, in the order of receipt. While they
//     block, nothing is read, and everything still is written. Nor is anything
//     read while more than Options.PauseAt waits to be written: no more answers are
//     made for a side that takes none.
//   - What a socket takes at once is written by who puts it into the outbox, who
//     never waits (direct_unix.go). The writer's goroutine exists only while
//     something is left. It ends with the outbox empty, or with the socket closed;
//     Serve waits for it.
//   - The library's two end when the socket is closed by Serve or Abort.
//   - One timer runs while a connection is closing, and closes the socket if
//     the other side's close frame does not come. Serve stops it.
//
// An idle connection therefore has one goroutine, and a read buffer of 768 bytes.
//
// # The end
//
// The first cause of the end counts, and Serve returns it. A side that closes
// sends its close frame behind what waits in the outbox, discards what still
// arrives, and closes the socket when the other side's close frame is there or
// CloseTimeout is over: closing with unread bytes would reset the connection,
// and the close code with it be lost. A write that failed or timed out leaves
// half a frame behind; nothing can follow it, and the socket is closed at once.
//
// # Time
//
// A message has MessageTimeout from its first byte. Time in which the handler
// or the whole process was held up is ours, not the other side's: the deadline
// is put off by as much.
//
// # Never
//
// Nothing here blocks a caller, but Serve and Dial. Nothing is logged: what
// happened is in End and Stats. No message is handed on in part. No number of
// a call is used twice in a process, on whatever connection.
package rpc
