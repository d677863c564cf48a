//go:build unix

package rpc

import (
	"net"
	"syscall"
)

// direct writes to a socket what it takes at once, and never waits.
type direct struct {
	raw   syscall.RawConn
	write func(fd uintptr) bool // of b
	b     []byte
	n     int // how much of b was taken
}

// newDirect is nil for what is no socket itself: TLS, or a pipe in memory.
func newDirect(conn net.Conn) *direct {
	c, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	d := &direct{raw: raw}
	d.write = func(fd uintptr) bool {
		if n, err := syscall.Write(int(fd), d.b); err == nil {
			d.n = n
		}
		return true
	}
	return d
}

// try returns how much of b was taken. Why it is not all, Write will say.
func (d *direct) try(b []byte) int {
	d.b, d.n = b, 0
	if d.raw.Write(d.write) != nil {
		return 0
	}
	d.b = nil
	return d.n
}
