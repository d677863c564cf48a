// Package sim is a fleet of simulated devices, to see what a server makes of it.
// Run registers them by REST, connects them, gives orders, does damage on purpose,
// and reports: above all false disconnects, which are connections that were lost
// though their device behaved.
//
// # Two kinds of devices
//
// A whole device (library.go) is package device as it is, with its journal and
// its log on the disk. A lean one (lean.go) has the wire and the times of a device
// alone, and all 136 checks of the conformance kit pass, to the instant, in
// virtual time. It costs some kilobytes while connected, and some hundred bytes
// while not.
//
// Both are members of a fleet (fleet.go) and have a unit (unit.go): an account, a
// line, and the part of the figures that does not depend on the kind.
//
// # Faults
//
// Faults are of the line (line.go), below the device: a net.Conn that can be cut,
// go silent without a FIN, or stop being read. The device does not know, and finds
// out as a real one would. Whatever a line's fault brought about is not counted
// as a false disconnect. faults.go is who causes them, and when.
//
// # Time
//
// One clock (clock.go), a heap with one timer, wakes all lean devices. By how
// much it was late is in the report: when that is long, the simulator is the one
// that has too little processor time, and its latencies tell nothing of the server.
//
// What decides has no clock and no goroutine, as in the library, and is written
// anew, so that a mistake there is not made here too: cadence.go when to speak,
// retry.go what follows a connection's end.
//
// # Goroutines
//
// A lean device has one while it is connected, which reads, and one more for as
// long as there is something to write. The clock's never writes, so that a server
// that reads nothing holds up nobody else. A whole device has what the library
// starts. fleet.tasks counts all of them, simulation.tasks the load; Run waits for
// both. No mutex is held across a wait.
package sim
