package main

import (
	"net"
	"testing"
	"time"
)

// TestF21_AcceptIsPutOff: while strangers crowd the door, no longer, and not for ever.
func TestF21_AcceptIsPutOff(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, crowded := range []int{0, 3, 1000} {
		asked := 0
		a := &acceptor{Listener: l, crowded: func() bool { asked++; return asked <= crowded }}
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		s, err := a.Accept()
		if err != nil {
			t.Fatal(err)
		}
		put := time.Duration(crowded) * acceptLook
		if took := time.Since(began); took < min(put, acceptPause) {
			t.Errorf("crowded %d times: accepted after %v", crowded, took)
		}
		if want := min(crowded+1, int(acceptPause/acceptLook)); asked != want {
			t.Errorf("crowded %d times: asked %d times, want %d", crowded, asked, want)
		}
		s.Close()
		c.Close()
	}
}
