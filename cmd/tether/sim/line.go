package sim

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// fault is what is wrong with a line, on purpose.
type fault uint32

const (
	sound    fault = iota
	dropped        // closed under the device, without a close frame
	silenced       // nothing comes or goes any more, and the other side is not told
	deafened       // what is sent goes out, nothing is read
	ended          // by the device itself, for a restart or at the end of the run
)

// line is the TCP connection of a device. The device does not know of its
// faults, and learns of them as a real one would.
type line struct {
	net.Conn
	net   *network
	fault atomic.Uint32
	once  sync.Once
	gone  chan struct{} // closed by Close
}

func (l *line) is() fault { return fault(l.fault.Load()) }

// hurt does something to a line that is still sound.
func (l *line) hurt(f fault) bool {
	if !l.fault.CompareAndSwap(uint32(sound), uint32(f)) {
		return false
	}
	switch f {
	case dropped:
		_ = l.Close() // the device sees that it is gone
	case silenced, deafened:
		_ = l.SetReadDeadline(time.Unix(1, 0)) // ends the Read that waits
	}
	return true
}

// Read reads, while anything can be heard.
func (l *line) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if f := l.is(); f == silenced || f == deafened {
		<-l.gone
		return 0, net.ErrClosed
	}
	return n, err
}

// Write writes. Of a silenced line the device takes its kernel's word.
func (l *line) Write(p []byte) (int, error) {
	if l.is() == silenced {
		return len(p), nil
	}
	return l.Conn.Write(p)
}

// Close closes. The other side of a silenced line hears nothing of it.
func (l *line) Close() (err error) {
	l.once.Do(func() {
		close(l.gone)
		if l.is() == silenced {
			l.net.bury(l.Conn)
			return
		}
		err = l.Conn.Close()
	})
	return err
}

// buriedFor is how long a silenced connection's socket stays behind its
// device: longer than any server looks for it.
const buriedFor = time.Minute

// network connects the fleet, each device from its source address.
type network struct {
	dial    func(ctx context.Context, network, address string, source net.IP) (net.Conn, error)
	sources []net.IP // nil: the kernel's choice

	mu     sync.Mutex
	buried map[net.Conn]*time.Timer
}

// dialFrom is the network's dialer; a nil source is the kernel's choice.
func dialFrom(ctx context.Context, network, address string, source net.IP) (net.Conn, error) {
	d := net.Dialer{KeepAlive: -1} // the heartbeat is there for that
	if source != nil {
		d.LocalAddr = &net.TCPAddr{IP: source}
	}
	return d.DialContext(ctx, network, address)
}

// connect makes the line of a device. Neighbours have different sources.
func (n *network) connect(ctx context.Context, network, address string, device int) (*line, error) {
	var source net.IP
	if len(n.sources) > 0 {
		source = n.sources[device%len(n.sources)]
	}
	conn, err := n.dial(ctx, network, address, source)
	if err != nil {
		return nil, err
	}
	return &line{Conn: conn, net: n, gone: make(chan struct{})}, nil
}

func (n *network) bury(c net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.buried == nil {
		n.buried = map[net.Conn]*time.Timer{}
	}
	n.buried[c] = time.AfterFunc(buriedFor, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.buried, c)
		_ = c.Close() // nobody is there to be told
	})
}

// end closes what is still buried.
func (n *network) end() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c, timer := range n.buried {
		if timer.Stop() {
			_ = c.Close() // likewise
		}
	}
	n.buried = nil
}
