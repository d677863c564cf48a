// Package store keeps everything that outlives the process: devices, groups,
// keys, orders, each device's log, the history of its reports.
//
// # What it owns
//
// One database behind one type, Store, in SQL that SQLite and PostgreSQL both
// read: $1 placeholders, times as BIGINT milliseconds, JSON as TEXT, INSERT …
// ON CONFLICT, RETURNING. Only what opens an engine (open_sqlite.go,
// open_postgres.go, open_hold.go, open_check.go) and what tells its errors apart (errors.go) know which one
// it is; file.go, damage.go and walog.go are about the file that SQLite keeps.
// The suite of tests runs on both.
// Secrets makes and checks credentials; the database holds hashes alone.
// The store never reads the clock: times are arguments.
//
// # Writing
//
// All changes go through one writer (writer.go), a goroutine that Open starts
// and Close stops and waits for. It takes whatever queued up while the last
// commit ran, applies it in one transaction (batch.go) and commits: a commit
// costs a disk flush, and so many changes share one. It does not linger to
// gather more if anybody waits; Options.Linger is for the rest. Submitting
// never blocks, and three classes of change differ in what waits for them:
//
//   - calls that wait (AddDevice, Claim, …): rare ones run under a savepoint;
//   - BeginOrder and EndOrder: the caller's done function is told;
//   - Record, Presence, Sample, Told, Audit, UsedKey: nobody waits. They are kept over an
//     outage, in a bounded buffer; what that drops is counted, and told in its
//     place in the device's log by an events_lost event once the store is back.
//
// When more has queued up than one batch holds, those whom somebody waits for go
// first (queue.go), and with them whatever was said of their devices and orders
// before; the others keep their order. Logins are looked up by readers, those that
// ask at once by one statement (lookups.go), in a goroutine that exists while
// somebody waits, and that Close waits for.
//
// A batch is cut into runs (runs.go). The changes of a run have no device and no
// order in common, so that it does not matter in which order they are carried
// out: claims, intents, outcomes, presence, reports each take one statement of
// many rows (rows.go), and what it did not touch is looked at singly, to be
// refused with its reason. Changes that share a device come into runs one after
// the other, in their order: an intent, its outcome, the next intent. A rare
// call has a run to itself, with all that its batch has before it done. Events are kept
// beside their change until the batch is through, and are numbered in the order
// in which the changes were submitted. Answers and rows are those that the
// changes would have left one by one.
//
// Each transaction leaves its number in a row of the writer's own. When a
// COMMIT gets no answer, that row tells what became of it (attempt.go): the
// batch is acknowledged, or repeated, but never both. As long as the row cannot
// be read the writer writes nothing else. Callers have been told by then that the
// store is unavailable: a login that took effect all the same is undone by a
// presence, and other changes stand. Faults that another try may cure at
// once, a lost connection or a deadlock, get it; their connection is given up.
//
// A refusal (a schema.Error) is an answer, not a fault: the change that makes
// it has written nothing, and its neighbours go on. Any other error rolls the
// batch back. If the database is unavailable, all of the batch is; otherwise
// one row was bad, and the changes are repeated one by one, so that it spoils
// only itself.
//
// Done functions and Options.OnEvents run on the writer's goroutine after the
// commit. They must not block and must not call a method of Store that waits.
//
// # One process a name
//
// ClaimNode gives a server its place among those of the database. On PostgreSQL
// a lock keeps a second process of the same name away (open_hold.go); a
// goroutine that ClaimNode starts and Close stops looks after it, and takes it again
// when its connection was lost. If another process was faster, it tells Options.OnTaken.
//
// # What a caller may believe
//
// A nil error means that the change is on the disk (SQLite: synchronous=FULL). An
// error of kind StoreUnavailable means that it may or may not be: also where a
// context ended first. After a failed flush of the disk nothing more is
// acknowledged until the process opens the database anew, because what the
// kernel then still has in memory proves nothing (reliability F33).
//
// An order that waits for its device is a row in the state queued, with a place
// that rises over all (queued.go). Whoever wants something of it does it by
// compare and set on that state: the session that claims it, its canceller, the
// clerk. An order's Idempotency-Key is in its row, under a unique index (once.go).
//
// Every event is written in the transaction of the change that it tells of.
// Its seq comes from a counter of its device, its pos from one counter over
// all; both counters move in that same transaction, so that neither has gaps.
//
// # Damage, checks and copies
//
// Open looks for damage if Options.Check gives it time for that. The small
// tables are looked at first and whole, and the logs, which grow, for as long
// as the time lasts: about 300 MB a second are read where the file is in the
// kernel's memory, so that the start stays short however large the file is.
// Check looks at everything, the sense of what is stored included, and Backup
// reads its copy back; both may run beside a service, in another process.
//
// Copy moves everything to an empty database of any engine (copy.go). It has no
// writer: one transaction reads the source, one writes the target, and the
// second commits only if a digest of each table is the same on both sides.
// PostgreSQL is written by its COPY, three times as fast as by INSERT.
//
// # Reading
//
// A page of a list reads little more than it shows. For a part of a name the
// devices are found in pages of names (names.go), which all that add, rename and
// delete devices keep in their transaction.
//
// Reads use a few connections of their own, see only what is committed, and
// end after ten seconds, so that a forgotten reader cannot keep the
// write-ahead log from being emptied. Every read made for an API key takes its
// scope: what lies outside it is not found, like what does not exist.
package store
