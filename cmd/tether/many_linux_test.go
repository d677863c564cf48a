//go:build !race

package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/store"
)

// TestManySessions: devices that do what the contract says stay connected, all
// of them, however many one process has. There are 1,000 of them in virtual
// time, and in a soak 100,000 for five minutes of the real one. There, server and
// devices share the processors, and a device whose turn comes late is Unknown until it
// has spoken; in virtual time none may be.
func TestManySessions(t *testing.T) {
	if os.Getenv("TETHER_SOAK") != "" {
		manySessions(t, 100_000, 5*time.Minute)
		return
	}
	synctest.Test(t, func(t *testing.T) {
		if n := manySessions(t, 1_000, time.Minute); n != 0 { // no processor is short of time here
			t.Errorf("%d changes of state", n)
		}
	})
}

// manySessions fails if a device is thrown out, and returns how often the state of one changed.
func manySessions(t *testing.T, n int, long time.Duration) (states int) {
	w := newWorld(t, func(c *serviceConfig) { c.messageRate = schema.MessageRate })
	password := store.Secrets{}.NewPassword()
	ids := w.addMany(n, password)
	turn := make(chan struct{}, 64) // so many log in at once
	var in, all sync.WaitGroup
	in.Add(n)
	until := make(chan time.Time)
	ended := make(chan string, n)
	for i, id := range ids {
		all.Go(func() {
			turn <- struct{}{}
			c, err := w.quiet(id, password)
			<-turn
			if err == nil {
				err = c.beat(time.Duration(i%100)*schema.PingInterval/100, in.Done, until)
			} else {
				in.Done()
			}
			if err != nil {
				ended <- fmt.Sprintf("device %s: %v", id, err)
			}
		})
	}
	in.Wait()
	before, began := processorTime(), time.Now()
	end := began.Add(long)
	for range n {
		select {
		case until <- end:
		case why := <-ended:
			t.Fatal(why)
		}
	}
	all.Wait()
	w.report(n, processorTime()-before)
	close(ended)
	for why := range ended {
		t.Error(why)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		left := e.Kind == schema.EventDisconnect && strings.Contains(string(e.Detail), `"eof"`) // of itself, at the end
		switch {
		case e.Kind == schema.EventState:
			states++
		case !left && e.Kind == schema.EventDisconnect:
			t.Errorf("device %s: %s %s, %v after the last login", e.DeviceID, e.Kind, e.Detail, time.UnixMilli(e.Time).Sub(began))
		}
	}
	t.Logf("%d changes of state of %d devices", states, n)
	return states
}

// report tells what the process, which is the devices too, has held and used.
func (w *world) report(n int, used time.Duration) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	w.t.Logf("%d sessions and their devices: %d MiB, %.1f s of processor time", n, m.Sys>>20, used.Seconds())
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // it cannot fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// addMany registers devices that share a password.
func (w *world) addMany(n int, password string) (ids []string) {
	w.t.Helper()
	hash := store.Secrets{}.HashToken(password)
	devices := make([]schema.NewDevice, n)
	for i := range devices {
		id := w.config.newID()
		ids = append(ids, id)
		devices[i].PasswordHash = hash
		devices[i].Device = schema.Device{DeviceID: id, Name: id, Hardware: schema.Hardware{SN: id, Model: "M"}, Enabled: true}
	}
	for part := range slices.Chunk(devices, 1000) {
		answers, err := w.svc.store.AddDevices(w.t.Context(), part, "test")
		if err != nil || slices.ContainsFunc(answers, func(err error) bool { return err != nil }) {
			w.t.Fatal(answers, err)
		}
	}
	return ids
}

// quiet is a device with no goroutine but its caller's.
type quiet struct{ *websocket.Conn }

// quiet connects and logs in.
func (w *world) quiet(id, password string) (quiet, error) {
	d := websocket.Dialer{NetDialContext: w.dialFrom("10.0.0.7"), ReadBufferSize: 512, WriteBufferSize: 512}
	conn, _, err := d.Dial("ws://tether/ws", nil)
	if err != nil {
		return quiet{}, err
	}
	c := quiet{conn}
	return c, c.exchange(credentials{id, password}.login())
}

// exchange sends a message, which must be answered with a result.
func (c quiet) exchange(message string) error {
	if err := c.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
		return err
	}
	_, answer, err := c.ReadMessage()
	if err == nil && !strings.Contains(string(answer), `"result"`) {
		err = fmt.Errorf("answered with %s", answer)
	}
	return err
}

// beat pings and reports as the contract says, until the time that it is told,
// and leaves. It says when it has begun.
func (c quiet) beat(after time.Duration, begun func(), until <-chan time.Time) error {
	defer c.Close()
	begun()
	time.Sleep(after)
	round := time.NewTicker(schema.PingInterval)
	defer round.Stop()
	var end time.Time
	for n := 0; end.IsZero() || time.Now().Before(end); n++ {
		if err := c.exchange(pingMessage); err != nil {
			return err
		}
		if n%int(schema.StatusInterval/schema.PingInterval) == 0 {
			if err := c.exchange(reportMessage); err != nil {
				return err
			}
		}
		select {
		case end = <-until:
			until = nil
		case <-round.C:
		}
	}
	return nil
}
