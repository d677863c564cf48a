// Package northapi is REST for business services: the routes of the northbound
// contract on chi, over ports (ports.go) that the store and the sessions fill.
//
// # One frame
//
// All routes stand in one table (routes.go): method, pattern, who may, and the
// endpoint. An endpoint is a handler in one of two forms (frame.go):
//
//	query(handler)            a GET; the request type binds path and query string
//	command(status, handler)  POST, PUT, DELETE; the request type is the JSON body
//
// A few routes are outside these forms. device_logfile answers a file's bytes,
// and so do the documents under /docs, /openrpc and /openapi.json (package docs), to GET and HEAD.
// device_import (import.go) is a stream: it reads its body line by line and
// writes its answer meanwhile, in the memory of one batch, whatever its length. Before
// a batch it asks, twice a second at most, if its key is still good.
// GET /events (events.go) opens as a query does, and then goes on writing.
//
// A handler is func(ctx, caller, Req) (Resp, error) and knows nothing of HTTP.
// The frame does the rest, in this order, and does it alone: limit of the
// body, panics, key or log-in (auth.go, login.go), the key's share (limiter.go),
// origin, role, content type, strict decoding (decode.go,
// params.go), the check of members (package schema's Validate and Check
// functions), the envelope, and the errors (errors.go: one total map). No
// handler writes anything, an error least of all.
//
// give_order is the one whose answer may be long in coming. Its handler returns a
// schema.Giving, which the connection's goroutine waits for outside the router;
// all that needs a deep stack runs on another goroutine and ends (call.go).
//
// # What it answers where the contract leaves a choice
//
//   - 201 for what creates (device_add, group_add, relation_add, key_add), 202
//     for an order that still waits or is sent, otherwise 200.
//   - A body over the limit is 413, any other fault of a request 400. The
//     message begins with the member at fault: "hardware.sn: required".
//   - params of restart and upload_log may be left out or empty; what they hold
//     would be ignored by the device, and so is refused.
//   - An order waits, once it does, whatever its device does meanwhile, until
//     ttl_s is over: if_offline and if_busy speak of the moment when it is given.
//     MaxQueued orders of a device wait, for whichever reason; one more is 409
//     queue_full. A caller who waits with it is told 409 order_expired or
//     order_cancelled, with the record, and 202 at once if the server stops.
//   - ttl_s of an order that may not wait is refused: it would say nothing.
//   - An Idempotency-Key is of the API key and of all members of the body, as
//     values and with their defaults (once.go). What was refused, and what was
//     cancelled as not_sent, was not carried out: the key is free again. A service
//     that does not heed the key refuses it, 400 not_offered: nobody shall believe
//     to have got it.
//   - order_cancel of an order that was sent or has ended is 409
//     order_not_cancellable, with the record.
//   - A key that is limited to groups may neither manage keys nor add devices
//     or groups: what it adds would be in none of its groups.
//   - The documents need no key. Nothing of the installation is in them, and a
//     device gets one of them before it has logged in.
//   - A Range of a log file that cannot be satisfied is answered by net/http,
//     in plain text.
//   - An import is refused as a whole only by what comes before its first
//     device. After that it is 200, and what stopped it stands in its last line.
//     A dry run finds a pair that the file has twice among its first million lines.
//   - History is newest first, as all that is listed by time, and step is in
//     milliseconds.
//
// # The document
//
// schema/openapi.json says the contract to programs. Tests hold it to the table
// of routes, the types, the limits and the codes, hold every answer of every test
// to it, and make good and bad requests of it: who adds a route, a member or a
// code is told what it lacks.
//
// # Presence
//
// Records of devices and their reports are overlaid with what the sessions
// know now (live.go), because the store hears of it up to a second later.
// Filters and counts by state are the store's.
//
// # Events
//
// A stream of events (events_stream.go) is a position in the log of all
// devices, and nothing that waits for its reader. The Feed (feed.go) wakes it
// when something was committed, and keeps the newest events, each written once for
// all streams, by the first that takes it; what is older it reads from the store, in pages. Readers may so be as
// slow as they like without a queue of theirs, and without a loss; the writer
// of the store, whose goroutine calls Publish, never waits. The store is the
// truth: events that no Feed was told of, of another process say, come with the
// next news, or after 15 s of silence.
//
// A stream that is limited to groups asks the store, each time that something
// may be for it, because who is in a group may have changed. Twice a second a
// stream asks if its key is still good. It ends with the event "dropped" and a
// reason, if its reader can still be told.
//
// # Who asked
//
// The frame leaves a line of each change in the audit log (audit.go), before it
// answers: who, from where, about what, with which outcome. The store writes it
// without anybody waiting; the last second of them may be lost by a kill. A
// request that its key's share refuses leaves none.
//
// # The other end
//
// Package client asks these routes. Its map of errors is the inverse of the one
// here, and its methods are those of the document: tests in both hold it to that.
//
// # What it never does
//
// It starts no goroutine: requests run on those of net/http, and nothing
// outlives them. It believes no header about where a request came from, but that
// of a declared proxy (address.go). It
// answers no text of an error that is not a schema.Error, and prints no
// password: they are of type secret on their way in.
package northapi
