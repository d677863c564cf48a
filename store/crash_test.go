package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/store/pgtest"
)

// crashChild is the environment variable that makes the test binary the child.
const crashChild = "TETHER_STORE_CRASH_CHILD"

// crashMode is SQLite's synchronous in the child, if not ours. It also makes
// the child end with its input.
const crashMode = "TETHER_STORE_CRASH_MODE"

// runCrashChild writes without end and prints a line for each acknowledgement.
// It is killed.
func runCrashChild(path string) int {
	s, err := Open(context.Background(), "sqlite:"+path, Options{Migrate: true, OnEvents: func(es []schema.Event) {
		for _, e := range es {
			fmt.Printf("event %s %d\n", e.DeviceID, e.Seq)
		}
	}})
	if err != nil {
		fmt.Println("fail", err)
		return 1
	}
	defer func() { _ = s.Close() }()
	if mode := os.Getenv(crashMode); mode != "" {
		s.engine.setMode(mode)
		go func() { _, _ = io.Copy(io.Discard, os.Stdin); os.Exit(0) }()
	}
	for i := range 4 {
		_ = s.AddDevice(context.Background(), device(fmt.Sprint(i)), "", "") // there already after the first crash
	}
	failed := make(chan error)
	for i := range 4 {
		go func() { failed <- crashLoad(s, fmt.Sprint(i)) }()
	}
	fmt.Println("fail", <-failed)
	return 1
}

// crashLoad gives and ends orders of one device, with events in between.
func crashLoad(s *Store, id string) error {
	epoch := time.Now().UnixNano() // higher than that of the life before
	if _, err := s.Claim(context.Background(), claimOf(id, epoch)); err != nil {
		return err
	}
	for n := 0; ; n++ {
		orderID := fmt.Sprintf("%s-%d-%d", id, epoch, n)
		// The life before may have left an order as sent.
		if err := begin(s, intentOf(orderID, id, epoch)); err != nil {
			if schema.KindOf(err) != schema.OrderRefused {
				return err
			}
			if err := s.Settle(context.Background(), start*2, 0, 0); err != nil {
				return err
			}
			continue
		}
		fmt.Println("order", orderID)
		s.Record(schema.Event{DeviceID: id, Kind: schema.EventLoginFailed})
		out := schema.Outcome{OrderID: orderID, DeviceID: id, State: schema.OrderSucceeded, Now: start}
		if _, err := end(s, out); err != nil {
			return err
		}
		fmt.Println("ended", orderID)
	}
}

// All that was acknowledged before a kill is there after it, and no log has a
// gap. (A kill proves nothing about power loss: the kernel keeps its pages.)
func TestF34_KillAtRandomMoments(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tether.db")
	a := noAcks()
	for range crashes(5) {
		crash(t, path, 20+rand.IntN(1500), a)
		must(t, a.keptIn(t.Context(), path))
		equal(t, "findings", fmt.Sprint(checked(t, path)), "[]")
		clear(a.orders) // those of one life are enough to look up
	}
}

// setMode leaves one connection that writes, and changes it.
func (e *engine) setMode(mode string) {
	e.write.SetMaxOpenConns(1)
	if _, err := e.write.Exec("PRAGMA synchronous = " + mode); err != nil {
		fmt.Println("fail", err)
	}
}

// crashes is how many moments are tried: more where there is time for it.
func crashes(n int) int {
	if os.Getenv("TETHER_SOAK") != "" {
		return 200
	}
	return n
}

// PostgreSQL, which flushes its commits, is killed under the store at random
// moments: the store lives, and all that it acknowledged is there.
func TestF34_PostgresIsKilled(t *testing.T) {
	server, err := pgtest.Start("fsync=on", "full_page_writes=on")
	must(t, err)
	defer func() { must(t, server.Close()) }()
	database, err := server.Schema(t.Context())
	must(t, err)
	var told seen
	s := openURL(t, database, Options{OnEvents: told.add})
	const devices = 4
	acked := make(chan schema.Order, 1000)
	stop := make(chan struct{})
	var load sync.WaitGroup
	for i := range devices {
		addDevice(t, s, fmt.Sprint(i))
		claim(t, s, claimOf(fmt.Sprint(i), 1))
		load.Go(func() { loadThroughCrashes(t, s, fmt.Sprint(i), acked, stop) })
	}
	var orders []string
	for range crashes(3) {
		for range rand.IntN(200) {
			orders = append(orders, (<-acked).OrderID)
		}
		must(t, server.Crash())
		must(t, server.Resume())
		awaitReady(t, s)
	}
	close(stop)
	go func() { load.Wait(); close(acked) }()
	for o := range acked {
		orders = append(orders, o.OrderID)
	}
	for _, id := range orders {
		o, err := s.Order(t.Context(), all, id)
		must(t, err)
		equal(t, "acknowledged order "+id, o.State, schema.OrderSucceeded)
	}
	logged := 0
	for i := range devices {
		logged += len(log(t, s, fmt.Sprint(i))) // which fails where a number is missing
	}
	equal(t, "told", len(told.events), logged)
	t.Logf("%d orders acknowledged", len(orders))
}

// loadThroughCrashes gives and ends orders of a device; each that is
// acknowledged goes to acked. Whatever fails, fails as an outage.
func loadThroughCrashes(t *testing.T, s *Store, id string, acked chan<- schema.Order, stop <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		orderID := fmt.Sprint(id, "-", n)
		err := begin(s, intentOf(orderID, id, 1))
		for schema.KindOf(err) == schema.StoreUnavailable { // it may be there: the same again
			err = begin(s, intentOf(orderID, id, 1))
		}
		var o schema.Order
		if err == nil {
			o, err = end(s, schema.Outcome{OrderID: orderID, DeviceID: id, State: schema.OrderSucceeded, Now: start})
			for schema.KindOf(err) == schema.StoreUnavailable {
				o, err = end(s, schema.Outcome{OrderID: orderID, DeviceID: id, State: schema.OrderSucceeded, Now: start})
			}
		}
		if err != nil {
			t.Error(err)
			return
		}
		acked <- o
	}
}

// crash kills the child after so many lines, and notes all that it printed.
func crash(t *testing.T, path string, lines int, a acks) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), crashChild+"="+path)
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	for in := bufio.NewScanner(out); in.Scan(); lines-- {
		if lines == 0 {
			must(t, child.Process.Kill())
		}
		must(t, a.note(in.Text()))
	}
	_ = child.Wait() // it was killed
}

// acks is what the child acknowledged: orders, and whether their end; the
// last event of each device.
type acks struct {
	orders map[string]bool
	seqs   map[string]int64
}

func noAcks() acks { return acks{map[string]bool{}, map[string]int64{}} }

// note takes a line of the child.
func (a acks) note(line string) error {
	word := strings.Fields(line)
	switch {
	case len(word) == 2 && word[0] == "order":
		a.orders[word[1]] = a.orders[word[1]] || false
	case len(word) == 2 && word[0] == "ended":
		a.orders[word[1]] = true
	case len(word) == 3 && word[0] == "event":
		var seq int64
		_, _ = fmt.Sscan(word[2], &seq)
		a.seqs[word[1]] = max(a.seqs[word[1]], seq)
	case len(word) > 0 && word[0] == "fail":
		return errors.New(line)
	}
	return nil
}

// keptIn says what of it is not in the database, or what else is wrong there.
func (a acks) keptIn(ctx context.Context, path string) error {
	s, err := Open(ctx, "sqlite:"+path, Options{Migrate: true, Check: time.Minute})
	if err != nil {
		return err
	}
	return errors.Join(a.keptBy(ctx, s), s.Close())
}

func (a acks) keptBy(ctx context.Context, s *Store) error {
	for id, ended := range a.orders {
		o, err := s.Order(ctx, all, id)
		if err != nil {
			return fmt.Errorf("acknowledged order %s: %w", id, err)
		}
		if ended && o.State != schema.OrderSucceeded {
			return fmt.Errorf("order %s was acknowledged as succeeded, and is %s", id, o.State)
		}
	}
	for id, seq := range a.seqs {
		var last int64
		if err := s.engine.read.QueryRowContext(ctx, "SELECT COALESCE(MAX(seq), 0) FROM events WHERE device_id = $1", id).Scan(&last); err != nil || last < seq {
			return fmt.Errorf("device %s has %d events, %d were told: %w", id, last, seq, err)
		}
	}
	return nil
}
