//go:build unix

package main

import (
	"os"
	"syscall"
)

// stateSignals ask for the state on standard error.
var stateSignals = []os.Signal{syscall.SIGUSR1}

// openFiles is how many files this process may have open. Go has raised the
// limit to what the system allows when the process started.
func openFiles() uint64 {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	return uint64(l.Cur)
}
