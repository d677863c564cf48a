//go:build !unix

package main

import "os"

// stateSignals is empty where there is no signal for it.
var stateSignals []os.Signal

// openFiles is not known here.
func openFiles() uint64 { return 0 }
