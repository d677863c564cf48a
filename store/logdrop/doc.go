// Package logdrop receives the logs of devices over SFTP (southbound section
// 3, upload_log; reliability T31 to T36).
//
// For each upload_log order Issue makes a credential of its own: a random
// user name and password, good for ten minutes, for writing one file. Whatever
// path the client opens is metadata; the bytes go to the order's one temporary
// file under Dir/.incoming. Everything else that SFTP can ask for is refused,
// except what clients ask around a write (making parent directories, a stat of
// the file just written), which is answered and touches nothing. All file
// access goes through one os.Root.
//
// An upload is in one of three conditions. Open: a handle is held; a newer
// open takes over from it, so that a device whose link vanished does not wait
// for its own ghost; an order has sixteen attempts in all. Broken: the link was cut, the file grew over its cap or
// the disk had no room; the temporary file is gone and the device may begin
// anew. Whole: the handle was closed by the client; the file cannot be opened
// again. Complete, called when the device says that it is done, compares size
// and SHA-256 of what lies on the disk with what the device says, and only
// then makes it durable under its final name, <device_id>/<order_id>.log:
// fsync, rename, fsync of the directory, row. No final name ever holds
// anything else.
//
// Credentials live in memory: after a restart of the process all of them are
// void, and what lies in .incoming is removed.
//
// Goroutines: Serve owns one for each connection, and one that once a day
// removes final files that have no row (their row went with its device, with
// retention, or never came because the process died just before it). Close
// ends them all and waits for them. Each wait has a limit: the handshake, the
// silence of a connection, its whole life, and how many there are.
//
// The package never reads the wall clock for what it records: now is an
// argument. It never unpacks, parses or runs what it receives.
package logdrop
