package main

import (
	"errors"
	"net"
	"runtime"
	"sync"
	"time"
)

// scarceNote is how often a log says that connections cannot be accepted.
const scarceNote = 10 * time.Second

// acceptor is a listener that lets those go first who are connected, and tells
// when it cannot accept. Out of open files, say, net/http pauses for up to a second
// and tries again, and who is connected stays so (reliability F55); but somebody
// should know.
type acceptor struct {
	net.Listener
	s *service

	turn int // of Accept alone

	mu   sync.Mutex
	told time.Time
}

// A flood of logins that fail gives way (reliability F21, T7): from so many on that
// wait for their refusal, others have their turn after each few that are accepted.
const (
	acceptFailing = 100
	acceptTurn    = 6
)

// Accept accepts. In a flood of strangers the processor has more to do than it
// can: to be behind all that can run keeps that short, and what devices say that
// are logged in does not wait. The flood waits in the kernel, where it costs
// nothing. A fleet that returns must not, since the kernel has room for a part of
// it, and who finds none tries again after seconds.
func (a *acceptor) Accept() (net.Conn, error) {
	if a.turn = (a.turn + 1) % acceptTurn; a.turn == 0 && a.s.hub.Failing() >= acceptFailing {
		runtime.Gosched()
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
