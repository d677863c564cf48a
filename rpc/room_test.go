package rpc

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestF03_ManyShareARoom: what waits for a hundred peers that do not read is
// bounded, each may have a little in any case, and who reads does not notice.
func TestF03_ManyShareARoom(t *testing.T) {
	const size, peers, message = 1 << 20, 100, 4 << 10
	synctest.Test(t, func(t *testing.T) {
		room := NewRoom(size)
		deaf := make([]*served, peers)
		for i := range deaf {
			deaf[i] = servePipe(t, Options{Room: room}, echo)
		}
		reader := servePipe(t, Options{Room: room}, echo)
		text := strings.Repeat("x", message)
		sent := make([]int, peers)
		for open := peers; open > 0; {
			for i, s := range deaf {
				switch err := s.peer.Notify("x", text); {
				case sent[i] < 0:
				case err == nil:
					sent[i] += message
				case !errors.Is(err, ErrClosed):
					t.Fatal(err)
				default:
					if sent[i] < roomLeast/2 {
						t.Errorf("peer %d was ended with %d bytes waiting", i, sent[i])
					}
					sent[i] = -1
					open--
				}
			}
			if n := room.Taken(); n > size+peers*roomLeast {
				t.Fatalf("%d bytes wait", n)
			}
			if err := reader.peer.Notify("x", text); err != nil {
				t.Fatal(err)
			}
			reader.receive()
		}
		for _, s := range deaf {
			s.expectEnd(0, ReasonOutboxFull)
		}
		reader.stop()
		if n := room.Taken(); n != 0 {
			t.Errorf("%d bytes are taken of an empty room", n)
		}
	})
}

// TestF03_RoomIsGivenBack: over a socket as well, whether what waited was read or not.
func TestF03_RoomIsGivenBack(t *testing.T) {
	room := NewRoom(64 << 20)
	url, _, peers := listen(t, Options{MaxOutbox: 64 << 20, Room: room}, echo)
	fill := func() (*served, *Peer) {
		c := connect(t, url)
		c.accepted()
		p := within(t, 10*time.Second, peers)
		for p.Notify("x", strings.Repeat("x", 100<<10)) == nil && room.Taken() < 300<<10 {
		}
		return c, p
	}
	c, p := fill()
	for room.Taken() > 0 {
		c.receive()
	}
	p.Abort()
	_, p = fill()
	p.Abort()
	<-p.Done()
	if n := room.Taken(); n != 0 {
		t.Errorf("%d bytes are taken of an empty room", n)
	}
}
