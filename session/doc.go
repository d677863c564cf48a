// Package session is the south side of the service: one actor for each
// connected device, and the hub that finds it.
//
// # The design
//
// A session is a pure core in a thin actor. The core (core.go, login.go,
// liveness.go, order.go, waiting.go) is only state: step(event, now) returns effects. It
// has no goroutine, clock, random number, lock or I/O, so any sequence of
// events can be replayed, and every interleaving of a few of them tried. The
// loop (loop.go) is the one goroutine that owns the core: it turns what
// arrives into events and carries the effects out. It waits for nothing but
// its mailbox: what the store, the password check and the device answer comes
// back as events, so that a slow database never costs a live device its
// connection.
//
//	            login                authenticated            claimed
//	waiting ────────────▶ checking ────────────────▶ claiming ─────────▶ open
//	   │ 5 s: 4408           │ refused: 4401, 4429      │ lost: 4409      │
//	   │ other request: 4400 │                          │                 │ 3 misses: 4408
//	   ▼                     ▼                          ▼                 ▼ takeover: 4409
//	closing ◀──────────────────────────────────────────────────────────────  4401, 4410, 1012
//	   │ every answer that is still owed has come back
//	   ▼
//	finished
//
// An order's slot, of which an open session has one:
//
//	        order            intent committed          reply
//	free ──────────▶ intending ──────────────▶ sent ─────────▶ settling ──▶ free
//	                   │ not committed: free     │ 10 s: unknown, timeout
//	                   │ session ended:          │ connection lost: unknown,
//	                   │ cancelled, not_sent     │ disconnected, at once
//
// An order that waits is a row of the store and nothing else (waiting.go). The
// session knows that there is one: the login tells it, and whoever queues one.
// When its slot is free and the device online, it asks the store for the first
// and claims it by compare and set, which decides between it, a session that
// took over, a canceller and the clerk:
//
//	        free, one waits       found              as above
//	free ─────────────────▶ looking ─────▶ intending ─────────▶ sent ─▶ …
//	  ▲                        │ none          │ not the first: look again
//	  └────────────────────────┘               │ not sent: queued again, in its place
//
// Who waits for such an order hears of its changes by its events (waits.go).
//
// An order to many devices is a job of the store (jobs.go, job.go): its devices
// and the identifiers of their orders are stored before the first is given, and
// what became of each is read from its record. So a job may be left off and
// taken up anywhere, and nothing is given twice: an identifier is a record's key.
//
// Ownership of a device is an epoch, which only rises. The newest login wins:
// it is fully authenticated and its claim is durable before the hub replaces
// the older session, and everything the older one still does carries the older
// epoch, which the hub and the store refuse.
//
// # Goroutines
//
// Hub.Accept starts two for each connection: the reader, which is rpc.Peer.Serve
// and ends with the connection, and the loop, which ends when the session owes
// nothing to anybody. A login and a check of an uploaded file run in goroutines of
// their own, one login for each connection; the gate bounds how many passwords
// are hashed at once, and how many wait for that. Their answers are dropped once
// the session has ended. The hub's clerk is started by Run and ends with its
// context, and so do the jobs: one goroutine each, and one for each of its
// orders that is under way, at most max_parallel: Run waits for those. Hub.Close waits
// for all others, and has the clerk's outcomes handed to the store once more.
//
// # Storms
//
// A connection comes in by the door (door.go): as many at a time as there are
// processors, none while two batches of claims wait for the store, and at a rate in
// a flood of logins that fail, of which the gate tells (gate.go); who has left
// meanwhile costs no session. What waits to be written to all devices shares one
// room (rpc.Room).
//
// # Counting
//
// The hub's meter (stats.go, meter.go) counts without a lock and without an
// allocation: messages in one of a few cells that sessions share, everything
// else with an atomic addition when it happens. Hub.Stats reads it; durations
// go to Config.Observe. The words of each counter are fixed.
//
// # Never
//
// The loop never waits for a socket or for the store. The hub
// never calls a session under its lock. The core never reads the clock. No
// code here knows SQL or HTTP routes.
package session
