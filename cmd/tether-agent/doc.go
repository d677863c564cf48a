// Command tether-agent is a ready-made device: the device library, a
// configuration file, and orders that are commands on an allow-list.
//
//	tether-agent --example > agent.yaml    # a commented configuration
//	tether-agent --config agent.yaml --check
//	tether-agent --config agent.yaml
//
// What the server sends never becomes a command. An order is a name in the
// file; its command is a list of arguments that the file fixes, in which
// "${name}" stands for a value that the order carries. A value is checked
// against its declared type first, put into its one argument as it is, and
// handed to the program without a shell: it cannot become a second argument,
// nor a placeholder, nor (without a pattern that allows it) an option.
//
// A command has a process group of its own, which is killed whole when its
// time is over; no input; a fixed directory; the environment variables that
// the file names; and output of which the end is kept.
//
// config.go and secret.go read the file and those it points to, check.go says
// what is wrong with it and at which line, arg.go and order.go turn an order's
// params into arguments, command.go runs them, agent.go ties them to package
// device. The program owns no goroutine: those of the device library end with
// Run, those of a command with the command.
package main
