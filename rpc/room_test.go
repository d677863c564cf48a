package rpc

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
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
		reader := servePipe(t, Options{Room: room}, handler{request: func(r *Request) { r.Reply(strings.Repeat("x", 2*schema.LeastOutbox)) }})
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
					if sent[i] < schema.LeastOutbox/2 {
						t.Errorf("peer %d was ended with %d bytes waiting", i, sent[i])
					}
					sent[i] = -1
					open--
				}
			}
			if n := room.Taken(); n > size+peers*schema.LeastOutbox {
				t.Fatalf("%d bytes wait", n)
			}
			if err := reader.peer.Notify("x", text); err != nil {
				t.Fatal(err)
			}
			reader.receive()
		}
		synctest.Wait() // what it has received is accounted for
		reader.send(`{"jsonrpc":"2.0","id":1,"method":"big"}`)
		if f := reader.receive(); f == nil || len(f.payload) < 2*schema.LeastOutbox {
			t.Errorf("who has nothing waiting received %.80v", f)
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
	fill := func() (c *served, p *Peer, sent int) {
		c = connect(t, url)
		c.accepted()
		p = within(t, 10*time.Second, peers)
		for room.Taken() < 300<<10 {
			if err := p.Notify("x", strings.Repeat("x", schema.MaxMessage/2)); err != nil {
				t.Fatal(err)
			}
			sent++
		}
		return c, p, sent
	}
	c, p, sent := fill()
	for range sent {
		c.receive()
	}
	p.out.writers.Wait()
	if n := room.Taken(); n != 0 {
		t.Errorf("%d bytes are taken though all was read", n)
	}
	p.Abort()
	_, p, _ = fill()
	p.Abort()
	<-p.Done()
	if n := room.Taken(); n != 0 {
		t.Errorf("%d bytes are taken of an empty room", n)
	}
}

// TestF03_DeafPeerIsNotHeard: who does not read is not listened to, so that no
// answers are made for it; what it has said is answered when it reads again.
func TestF03_DeafPeerIsNotHeard(t *testing.T) {
	const asked = 50
	heard := 0
	bubble(t, Options{PauseAt: 8 << 10}, long(&heard), func(s *served) {
		go func() {
			for i := range asked {
				s.conn.Write(frameOf(true, opText, ping(fmt.Sprint(i))))
			}
		}()
		synctest.Wait()
		if heard < 3 || heard > 5 {
			t.Errorf("%d were heard though nothing is read", heard)
		}
		time.Sleep(schema.WriteTimeout - time.Second)
		for range asked {
			if f := s.receive(); f == nil || f.op != opText {
				t.Fatalf("received %v", f)
			}
		}
		s.conn.Write(frameOf(true, opText, ping("1")))
		synctest.Wait()
		if heard != asked+1 {
			t.Errorf("%d were heard", heard)
		}
		s.expectEnd(0, ReasonWriteTimeout)
	})
}

// TestF03_DeafPeerEnds: neither its own end nor ours waits for what it does not read.
func TestF03_DeafPeerEnds(t *testing.T) {
	for reason, end := range map[string]func(s *served){
		ReasonClosed: func(s *served) { s.peer.Abort() },
		ReasonReset:  func(s *served) { s.conn.Close() },
	} {
		t.Run(reason, func(t *testing.T) {
			answer := "short"
			h := handler{request: func(r *Request) {
				r.Reply(answer)
				answer = strings.Repeat("long", 2000)
			}}
			bubble(t, Options{PauseAt: 5000}, h, func(s *served) {
				for i := range 2 {
					s.send(ping(fmt.Sprint(i)))
				}
				synctest.Wait()
				end(s)
				s.expectEnd(0, reason)
			})
		})
	}
}

// long counts requests, and has a long answer to each.
func long(heard *int) handler {
	return handler{request: func(r *Request) {
		*heard++
		r.Reply(strings.Repeat("x", 3000))
	}}
}

// TestF03_AnswersAreWhole: what a socket takes in part, and what has to wait, is not
// touched by the answers that are made meanwhile.
func TestF03_AnswersAreWhole(t *testing.T) {
	t.Run("long", func(t *testing.T) { answersAreWhole(t, 300, 20_000) })
	t.Run("short", func(t *testing.T) { answersAreWhole(t, 6_000, 900) })
}

func answersAreWhole(t *testing.T, asked, size int) {
	url, _, _ := listen(t, Options{MaxOutbox: 2 * asked * size}, handler{request: func(r *Request) {
		r.Reply(strings.Repeat(string(r.id), size/len(r.id)))
	}})
	c := connect(t, url)
	c.accepted()
	for i := range asked {
		c.send(ping(fmt.Sprint(1000 + i)))
	}
	for i := range asked {
		f := c.receive()
		id := fmt.Sprint(1000 + i)
		if want := `{"jsonrpc":"2.0","id":` + id + `,"result":"` + strings.Repeat(id, size/len(id)) + `"}`; f == nil || string(f.payload) != want {
			t.Fatalf("answer %s is not whole", id)
		}
	}
}

// TestMessagesOfEachLength: a server's message is one frame, whichever of the three
// forms its length has.
func TestMessagesOfEachLength(t *testing.T) {
	const around = len(`{"jsonrpc":"2.0","id":1,"result":""}`)
	for _, size := range []int{125, 126, maxShort, maxShort + 1, 4 << 10, math.MaxUint16, math.MaxUint16 + 1} {
		url, _, _ := listen(t, Options{}, handler{request: func(r *Request) { r.Reply(strings.Repeat("x", size-around)) }})
		c := connect(t, url)
		c.accepted()
		c.send(ping("1"))
		want := `{"jsonrpc":"2.0","id":1,"result":"` + strings.Repeat("x", size-around) + `"}`
		if f := c.receive(); f == nil || f.op != opText || f.payload != want {
			t.Errorf("%d bytes: not as it should be", size)
		}
	}
}

// TestShortAnswersLeaveNothing: to send one takes no memory.
func TestShortAnswersLeaveNothing(t *testing.T) {
	url, _, peers := listen(t, Options{}, handler{})
	c := connect(t, url)
	c.accepted()
	p, answer := <-peers, bytes.Repeat([]byte("x"), 60)
	if n := testing.AllocsPerRun(100, func() {
		if err := p.send(answer); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
