package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Stopping: the first signal drains (drainTime at most), the second does not
// wait for devices any more, and the third is the system's own end. What is
// committed is committed in each of these cases.

// stopTime is how long a server takes to its end from the first signal, whatever
// hangs: a little less than what systemd is told to wait.
const stopTime = 44 * time.Second

// secondSignal ends the context that it returns at the second signal to stop.
// The third then finds no handler.
func secondSignal() (hurry context.Context, stop func()) {
	hurry, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		defer signal.Stop(signals)
		for range 2 {
			select {
			case <-signals:
			case <-hurry.Done():
				return
			}
		}
		cancel()
	}()
	return hurry, cancel
}

// inTime runs serve, and gives it up when it has not ended limit after ctx did.
func inTime(ctx context.Context, limit time.Duration, serve func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- serve() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	over := time.NewTimer(limit)
	defer over.Stop()
	select {
	case err := <-ended:
		return err
	case <-over.C:
		return fmt.Errorf("not stopped after %v: what the database had not taken by then may be lost", limit)
	}
}

// drain stops a service that serves: no new orders, those in flight have their
// outcome, devices are sent away, requests are answered.
func (s *service) drain(server *http.Server) error {
	began := time.Now()
	open := s.hub.Stats()
	s.log.Info("stopping: orders in flight have their outcome, devices are sent away; a second signal does not wait for them",
		"orders", open.OrdersInFlight, "online", open.Sessions["online"])
	s.state.Lock()
	s.state.draining = true
	s.state.Unlock()
	patience, stop := context.WithTimeout(s.hurry, drainTime)
	defer stop()
	s.hub.Drain(patience)
	s.hub.Close() // who is left is sent away now, and orders in flight are unknown
	answers, end := context.WithTimeout(context.Background(), answerTime)
	defer end()
	err := server.Shutdown(answers)
	if err != nil {
		s.log.Warn("requests cut off at the end", "error", err)
		err = server.Close()
	}
	s.log.Info("drained", "took", time.Since(began).Round(time.Millisecond).String(), "waited", s.hurry.Err() == nil)
	return err
}

// ready is why requests should not be sent here; nil: they should.
func (s *service) ready(ctx context.Context) error {
	if s.draining() {
		return errDraining
	}
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	return s.store.Ready(ctx)
}
