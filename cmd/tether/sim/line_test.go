package sim

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// lineTo is a line over a real socket, and its other end.
func lineTo(t *testing.T, n *network) (*line, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := n.connect(context.Background(), "tcp", l.Addr().String(), 3)
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close(); n.end() })
	return near, far
}

// reading reads from a line until it ends.
func reading(l *line) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, l)
		ended <- err
	}()
	return ended
}

// nothing says that the other end's next bytes do not come for a while, and that
// it is not closed.
func nothing(t *testing.T, far net.Conn) {
	t.Helper()
	far.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if n, err := far.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes and %v", n, err)
	}
}

// TestLineSilenced: what the device sends is lost, what is sent to it is not read,
// and its close is not heard; until the socket that stays behind is closed too.
func TestLineSilenced(t *testing.T) {
	n := &network{dial: dialFrom, sources: sourceAddresses(2)}
	near, far := lineTo(t, n)
	if got := far.RemoteAddr().(*net.TCPAddr).IP.String(); got != "127.0.0.3" {
		t.Errorf("device 3 of two sources comes from %s", got)
	}
	ended := reading(near)
	if !near.hurt(silenced) || near.hurt(dropped) {
		t.Error("a line is hurt once")
	}
	if n, err := near.Write([]byte("lost")); n != 4 || err != nil {
		t.Error(n, err)
	}
	if _, err := far.Write([]byte("unheard")); err != nil {
		t.Error(err)
	}
	nothing(t, far)
	if err := errors.Join(near.Close(), near.Close()); err != nil {
		t.Error(err)
	}
	<-ended
	nothing(t, far)
	n.end()
	far.SetReadDeadline(time.Time{})
	if _, err := far.Read(make([]byte, 1)); err == nil {
		t.Error("the socket is still open")
	}
}

// TestLineDeafened: what the device sends arrives, nothing is read.
func TestLineDeafened(t *testing.T) {
	near, far := lineTo(t, &network{dial: dialFrom})
	ended := reading(near)
	near.hurt(deafened)
	if _, err := near.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(far, make([]byte, 1)); err != nil {
		t.Error(err)
	}
	select {
	case err := <-ended:
		t.Error("the reader ended with", err)
	default:
	}
	near.Close()
	<-ended
	if _, err := far.Read(make([]byte, 1)); err == nil {
		t.Error("the close was not heard")
	}
}

// TestLineDropped: both ends see it.
func TestLineDropped(t *testing.T) {
	near, far := lineTo(t, &network{dial: dialFrom})
	ended := reading(near)
	near.hurt(dropped)
	if err := <-ended; err == nil {
		t.Error("the device read to an end")
	}
	if _, err := far.Read(make([]byte, 1)); err == nil {
		t.Error("the other end is not closed")
	}
}

// TestBuried: a silenced line's socket is closed a minute after its device.
func TestBuried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		l := &line{Conn: near, net: &network{}, gone: make(chan struct{})}
		l.hurt(silenced)
		l.Close()
		began := time.Now()
		if _, err := far.Read(make([]byte, 1)); err == nil || time.Since(began) != buriedFor {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		l.net.end()
	})
}

func TestSources(t *testing.T) {
	for _, c := range []struct {
		devices int
		url     string
		want    int
	}{
		{1, "ws://127.0.0.1:9090/ws", 1}, {4500, "ws://127.0.0.1:9090/ws", 1}, {4501, "ws://127.0.0.1/ws", 2}, {18_000, "ws://127.9.9.9/ws", 4},
		{18_000, "wss://example.com/ws", 0}, {18_000, "ws://10.0.0.1:9090/ws", 0}, {18_000, "ws://[::1]:9090/ws", 0}, {1, "://", 0},
	} {
		if got := SourcesFor(c.devices, c.url); got != c.want {
			t.Errorf("%d at %s: %d", c.devices, c.url, got)
		}
	}
	all := sourceAddresses(300)
	if all[0].String() != "127.0.0.2" || all[299].String() != "127.0.1.45" {
		t.Error(all[0], all[299])
	}
}
