package rpc

import (
	"errors"
	"net"
	"os"
	"time"
)

const (
	// oversleep is how late a deadline must be to be no deadline of the peer: the
	// process was paused, and the bytes may lie in the kernel.
	oversleep = time.Second
	// holdUp is how long nobody must have read for that time to be given back to
	// the other side. Less than that is the way from one Read to the next.
	holdUp = 10 * time.Millisecond
)

// frameConn is a connection with a scanner over what is read. It bounds the
// time from a message's first byte to its last; a message that arrives whole
// in one Read costs nothing. Only the reader uses it, but for Close and what the
// outbox does.
type frameConn struct {
	net.Conn
	totals   *Totals
	scan     scanner
	timeout  time.Duration
	deadline time.Time // of the message being received; zero: none
	left     time.Time // likewise, when the last Read returned
	err      error     // what every further Read returns

	// Of who writes for the outbox.
	direct *direct // nil: there is no way but to wait
	now    bool    // Write does not wait: what the socket does not take is kept
	rest   []byte  // what was kept
}

func newFrameConn(conn net.Conn, o Options, server bool) *frameConn {
	c := &frameConn{Conn: conn, totals: o.Totals, timeout: o.MessageTimeout, direct: newDirect(conn)}
	c.scan.masked = server
	c.scan.http.pending = !server
	c.scan.max.Store(int64(o.MaxMessage))
	return c
}

// Read reads, up to the first frame that breaks a rule.
func (c *frameConn) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.read(p)
	c.totals.BytesReceived.Add(uint64(n))
	good, bad := c.scan.feed(p[:n])
	if bad == nil && err == nil {
		bad = c.watch()
	}
	if bad != nil {
		n, err, c.err = good, nil, bad
		if n == 0 {
			err = bad
		}
	}
	return n, err
}

// Write counts what it writes.
func (c *frameConn) Write(p []byte) (n int, err error) {
	switch {
	case !c.now:
		n, err = c.Conn.Write(p)
	case len(c.rest) == 0:
		n = c.direct.try(p)
	}
	c.totals.BytesSent.Add(uint64(n))
	if c.now {
		c.rest = append(c.rest, p[n:]...)
		n = len(p)
	}
	return n, err
}

// SetWriteDeadline is for a Write that waits.
func (c *frameConn) SetWriteDeadline(t time.Time) error {
	if c.now {
		return nil
	}
	return c.Conn.SetWriteDeadline(t)
}

// writeRest writes what was kept.
func (c *frameConn) writeRest(timeout time.Duration) error {
	rest := c.rest
	c.rest = nil
	err := c.SetWriteDeadline(time.Now().Add(timeout))
	if err == nil {
		_, err = c.Write(rest)
	}
	return err
}

// read is one Read of the network. The time in which nobody read, because the
// handler or the whole process was held up, is not the other side's.
func (c *frameConn) read(p []byte) (int, error) {
	if c.deadline.IsZero() {
		return c.Conn.Read(p)
	}
	if held := time.Since(c.left); held >= holdUp {
		c.setDeadline(c.deadline.Add(held))
	}
	for {
		n, err := c.Conn.Read(p)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if time.Since(c.deadline) < oversleep {
			return 0, errSlow
		}
		c.arm(time.Now())
	}
}

// watch arms the deadline when a message has begun and clears it when none is
// on its way.
func (c *frameConn) watch() *frameError {
	armed := !c.deadline.IsZero()
	if !c.scan.pending() {
		if armed {
			c.setDeadline(time.Time{})
		}
		return nil
	}
	c.left = time.Now()
	switch {
	case !armed || c.scan.idle:
		c.arm(c.left)
	case !c.left.Before(c.deadline):
		return errSlow
	}
	return nil
}

func (c *frameConn) arm(now time.Time) { c.setDeadline(now.Add(c.timeout)) }

func (c *frameConn) setDeadline(at time.Time) {
	c.deadline = at
	c.Conn.SetReadDeadline(at) //nolint:errcheck // a closed connection says so when read
}

// rearm sets the deadline again after somebody else has cleared it.
func (c *frameConn) rearm() {
	if !c.deadline.IsZero() {
		c.arm(time.Now())
	}
}

// discard reads on after an error until the other side's close frame or the
// connection's end, so that our close frame is not overtaken by a reset.
func (c *frameConn) discard() {
	c.setDeadline(time.Time{})
	c.scan.draining = true
	b := make([]byte, 1024)
	for !c.scan.closed {
		n, err := c.Conn.Read(b)
		c.scan.feed(b[:n])
		if err != nil {
			return
		}
	}
}
