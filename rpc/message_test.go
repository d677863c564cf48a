package rpc

import (
	"testing"
	"testing/synctest"
)

// exchange is one message and the one answer to it; no answer if it is empty.
type exchange struct{ name, send, want string }

// run sends each message over a connection of its own, and a ping behind it:
// what is not answered is known by the ping's answer coming first.
func run(t *testing.T, o Options, h Handler, table []exchange) {
	t.Helper()
	for _, x := range table {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := servePipe(t, o, h)
				defer s.stop()
				s.send(x.send)
				if x.want != "" {
					s.expect(x.want)
				}
				s.send(ping(`"after"`))
				s.expect(pong(`"after"`))
			})
		})
	}
}
