// Package conform holds an implementation of the southbound contract against
// it, rule by rule: Run a client, RunServer a server. Each of them plays the
// other side, does what an honest one does and also what a broken one would,
// and reports what it saw, with the section of the contract that says otherwise.
//
// # How it is built
//
// A scenario (sheet.go) is a name, the rules that it looks at, and a function.
// Its rules are declared before it runs, so that what it did not come to is in
// the report too, as not exercised. A new rule is a line in a table and a check
// in a function.
//
// The client's scenarios (s_*.go) run one after the other on a bench: over a
// stream of connections of one device, each scenario on a fresh one (arrive.go).
// A session (session.go) is one of them. The scenario pumps it: whatever
// arrives while it waits is judged (judge.go, the rules of every message),
// answered as a server would (answer.go) unless the scenario wants it
// otherwise, and remembered. The server's scenarios (p_*.go) run on a probe, a
// device that does as it is told.
//
// Frames are written by hand where the WebSocket library would refuse to. What
// comes from the other side is shown in a report by excerpt only, which lets no
// terminal be commanded. A hostile peer costs a bounded amount of memory and
// time, and its bad manners are in the report.
//
// # Time
//
// Nothing here sleeps without a timer that a synctest bubble can see, and the
// listener is an option. In a bubble, with the zero Slack, times are held
// exactly; over a network within Slack. Options.TimeScale and HeartbeatScale
// compress what can be compressed.
//
// # Goroutines
//
// Run owns them: the HTTP server, a reader for each connection, and the client
// if it launched one. All end before it returns. RunServer has a reader for each
// connection, which ends when its scenario drops it.
package conform
