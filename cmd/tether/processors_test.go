package main

import (
	"runtime"
	"testing"
)

// TestAddProcessor: one more for SQLite, and only where nobody has said how many.
func TestAddProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
	for _, c := range []struct {
		set, database string
		want          int
	}{
		{"", "sqlite:x.db", processors + 1},
		{"", "postgres://x", processors},
		{"5", "sqlite:x.db", processors},
	} {
		t.Setenv("GOMAXPROCS", c.set)
		runtime.GOMAXPROCS(processors)
		addProcessor(c.database)
		if got := runtime.GOMAXPROCS(0); got != c.want {
			t.Errorf("%+v: %d processors", c, got)
		}
	}
}
