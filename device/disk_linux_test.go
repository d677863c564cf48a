package device

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/edgetether/tether/schema"
)

// A device that starts on a full disk is there for its server, and says so. Here
// no path is short enough for a temporary file.
func TestStartOnAFullDisk(t *testing.T) {
	const longest = 4095 // that a path may be
	dir := t.TempDir()
	for room := longest - len(dir) - len("/"+logName); room > 0; room = longest - len(dir) - len("/"+logName) {
		dir += "/" + strings.Repeat("d", min(room-1, 200))
	}
	must(t, os.MkdirAll(dir, 0o700))
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		d := withOrders(s.device(func(c *Config) { c.StateDir = dir }))
		s.run(d)
		g := s.current().order(schema.GiveOrder{OrderID: "1", OrderType: "count"})
		g.is(t, "0s fail the journal cannot be written: the order was not begun", "")
		if !logged(t, d, "journal unwritten") {
			t.Error("the log does not tell")
		}
	})
}
