package store

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/edgetether/tether/schema"
)

// TestLookups: logins that ask at once, of either form, for devices that there
// are and that there are not, get each its own device's record.
func TestLookups(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		const devices = 100
		for i := range devices {
			addDevice(t, s, fmt.Sprint(i+1))
		}
		var wg sync.WaitGroup
		for range 4 {
			for i := range devices + 20 {
				id := fmt.Sprint(i + 1)
				for _, p := range []schema.LoginParams{{DeviceID: id}, {SN: device(id).Hardware.SN, Model: device(id).Hardware.Model}} {
					wg.Go(func() {
						c, err := s.Credential(t.Context(), p, start)
						switch {
						case i >= devices && schema.KindOf(err) != schema.DeviceNotFound:
							t.Errorf("%s: %+v %v", id, c, err)
						case i < devices && (err != nil || c.DeviceID != id || !c.Enabled):
							t.Errorf("%s: %+v %v", id, c, err)
						}
					})
				}
			}
		}
		wg.Wait()
	})
}

// TestLookups_Share: those who come while a statement is under way share the
// next one, as far as there is room in it.
func TestLookups_Share(t *testing.T) {
	var ls lookups
	looked := make(chan int)
	look := func(some []*lookup) { looked <- len(some); looked <- 0 }
	add := func() *lookup {
		l := &lookup{done: make(chan struct{})}
		ls.add(l, look)
		return l
	}
	first := add()
	sizes := []int{<-looked}
	for range maxRows {
		add()
	}
	last := add()
	for range 2 {
		<-looked
		sizes = append(sizes, <-looked)
	}
	<-first.done
	<-looked
	<-last.done
	equal(t, "sizes", fmt.Sprint(sizes), fmt.Sprint([]int{1, maxRows, 1}))
}

// TestLookups_Abandoned: who has no time left is told so, though nobody answers.
func TestLookups_Abandoned(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		s.lookups.running = true // by nobody
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.Credential(ctx, schema.LoginParams{DeviceID: "1"}, start)
		wantKind(t, err, schema.StoreUnavailable, "")
	})
}

// TestLookups_Closed: a store that is closed keeps nobody waiting.
func TestLookups_Closed(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		must(t, s.Close())
		_, err := s.Credential(t.Context(), schema.LoginParams{DeviceID: "1"}, start)
		wantKind(t, err, schema.StoreUnavailable, "")
	})
}
