package main

import (
	"errors"
	"net"
	"sync"
	"time"
)

// scarceNote is how often a log says that connections cannot be accepted.
const scarceNote = 10 * time.Second

// acceptor is a listener that holds a flood of strangers off, and tells when it
// cannot accept. Out of open files, say, net/http pauses for up to a second
// and tries again, and who is connected stays so (reliability F55); but somebody
// should know.
type acceptor struct {
	net.Listener
	s       *service
	crowded func() bool // whether there is such a flood

	mu   sync.Mutex
	told time.Time
}

// How long an accept is put off at most while strangers crowd the door (reliability F21, T7).
const (
	acceptPause = 10 * time.Millisecond
	acceptLook  = time.Millisecond
)

// Accept accepts. A flood of strangers could keep the processor from what devices
// say that are logged in: it waits in the kernel, where it costs nothing. A fleet
// that returns must not, since the kernel has room for a part of it, and who finds
// none tries again after seconds.
func (a *acceptor) Accept() (net.Conn, error) {
	for put := time.Duration(0); put < acceptPause && a.crowded(); put += acceptLook {
		time.Sleep(acceptLook)
	}
	c, err := a.Listener.Accept()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		a.s.metrics.unaccepted.Inc()
		a.tell(err)
	}
	return c, err
}

func (a *acceptor) tell(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.told.IsZero() && time.Since(a.told) < scarceNote {
		return
	}
	a.told = time.Now()
	a.s.log.Warn("connections cannot be accepted; those that there are live on", "error", err, "open_files_at_most", openFiles())
}
