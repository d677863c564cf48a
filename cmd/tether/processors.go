package main

import (
	"os"
	"runtime"
	"strings"
)

// processors is how many the machine, or its container, has for us: so much is
// done at once.
var processors = runtime.GOMAXPROCS(0)

// addProcessor lets one goroutine more run than there are processors, unless the
// environment says how many. SQLite is ours to compute: with a fleet that returns, a
// commit takes a tenth of a second and more. The runtime would give it its turn
// behind all others; the kernel shares processors in finer pieces.
func addProcessor(database string) {
	if os.Getenv("GOMAXPROCS") == "" && strings.HasPrefix(database, "sqlite:") {
		runtime.GOMAXPROCS(processors + 1)
	}
}
