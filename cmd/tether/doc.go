// Command tether is the device management service, and the operator's tool.
//
//	tether demo       a service, three devices and some orders, on loopback
//	tether serve      the service
//	tether device     the devices of a running service
//	tether group      their groups
//	tether order      what they are told to do
//	tether job        what many of them are told at once
//	tether events     what happens to them, as it happens
//	tether audit      who changed and ordered what
//	tether conform    a client in any language, held against the contract
//	tether sim        a fleet of simulated devices, and what a service makes of it
//	tether key        the API keys of a database
//	tether migrate    the form of a database
//	tether db         its backup, a check of it, and its copy to another engine
//
// main.go reads flags, environment and file; each command has a file of its
// own. Those that ask a running service do it through package northapi/client:
// remote.go has their flags, their errors and their exit codes, table.go what
// they print. service.go is where the rooms are tied together: store, session,
// northapi and the receiver of logs, started in that order and stopped in the
// opposite one. It owns every goroutine that it starts, and close waits for
// them; retention.go is one of them, which removes what is old enough.
//
// Beside the service, ops.go serves those who run it, from before it is made
// until after it is closed: metrics.go has what is measured as it happens,
// metrics_read.go what is read from the rooms' counters, state.go the state. No
// other room knows Prometheus. stop.go is the end in good order.
package main
