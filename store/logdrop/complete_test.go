package logdrop

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
)

func TestT33_CapIsHeldWhileStreaming(t *testing.T) {
	const limit = 100_000
	s := start(t, Options{MaxBytes: limit})
	s.upload("o1", "d1", noise(limit))

	c := dial(t, s.issue("o2", "d1"))
	if c.put("/x", noise(limit+1)) == nil {
		t.Fatal("one byte over the cap was taken")
	}
	wantInvalid(t, s.complete("o2", noise(limit+1)), "larger than 100000 bytes")

	for i, off := range []int64{limit, 1 << 40, math.MaxInt64 - 1} {
		order := fmt.Sprintf("sparse%d", i)
		f, err := dial(t, s.issue(order, "d1")).Create("/x")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("x"), off); err == nil {
			t.Errorf("a byte at %d was taken", off)
		}
		f.Close()
	}
	s.wantNames("d1/o1.log")
}

func TestT33_TenTimesTheCapIsCut(t *testing.T) {
	s := start(t, Options{MaxBytes: 256 << 10})
	f, err := dial(t, s.issue("o1", "d1")).Create("/x")
	if err != nil {
		t.Fatal(err)
	}
	chunk := noise(32 << 10)
	taken := 0
	for range 80 {
		if _, err := f.Write(chunk); err != nil {
			break
		}
		taken++
	}
	if taken != 8 {
		t.Fatalf("%d chunks were taken, want 8", taken)
	}
	s.wantNames() // what was written is gone at once
}

func TestT33_QuotaHoldsUnderParallelUploads(t *testing.T) {
	s := start(t, Options{KeepPerDevice: 3}, func(l *limits) { l.perAddress = 200 })
	var all sync.WaitGroup
	for i := range 100 {
		order := fmt.Sprintf("o%d", i)
		target, err := s.Issue(order, fmt.Sprintf("d%d", i%40), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			c, err := tryDial(t, target)
			if err != nil {
				t.Error(err)
				return
			}
			err = errors.Join(c.put("/x", []byte(order)), s.complete(order, []byte(order)))
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i := range 5 { // beyond the quota of one device
		s.upload(fmt.Sprintf("late%d", i), "d1", []byte("x"))
	}
	s.rows.mu.Lock()
	defer s.rows.mu.Unlock()
	var want []string
	for _, f := range s.rows.files {
		want = append(want, filepath.Join(s.dir, f.DeviceID, f.OrderID+".log"))
	}
	for _, name := range want {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
	if got, _ := filepath.Glob(filepath.Join(s.dir, "d*", "*.log")); len(got) != len(want) {
		t.Errorf("%d files for %d rows", len(got), len(want))
	}
	if got, _ := filepath.Glob(filepath.Join(s.dir, "d1", "*.log")); len(got) != 3 {
		t.Errorf("device d1 has %d files, want 3", len(got))
	}
}

// A device that is ordered to upload and never comes to an end holds no more
// temporary files than its quota.
func TestT33_UnfinishedUploadsAreBounded(t *testing.T) {
	s := start(t, Options{KeepPerDevice: 2})
	for i := range 5 {
		if err := dial(t, s.issue(fmt.Sprintf("o%d", i), "d1")).put("/x", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	s.wantNames(".incoming/d1.o3.part", ".incoming/d1.o4.part")
	wantUnknown(t, s.complete("o0", []byte("x")))
}

func TestF32_FloorOfFreeSpace(t *testing.T) {
	s := start(t, Options{})
	target := s.issue("o1", "d1")
	c := dial(t, target)
	f, err := c.Create("/x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(noise(checkEvery / 2)); err != nil {
		t.Fatal(err)
	}
	setFloor := func(n int64) { // as if others had filled the disk
		u := s.book.find("o1")
		u.mu.Lock()
		defer u.mu.Unlock()
		s.o.MinFree = n
	}
	setFloor(math.MaxInt64)
	if _, err := f.Write(noise(checkEvery)); err == nil {
		t.Fatal("written below the floor")
	}
	f.Close()
	s.wantNames()
	if c.put("/x", nil) == nil {
		t.Fatal("begun below the floor")
	}
	if _, err := s.Issue("o2", "d1", time.Now()); schema.KindOf(err) != schema.StoreUnavailable {
		t.Fatalf("issued below the floor: %v", err)
	}
	setFloor(0)
	if err := errors.Join(c.put("/x", []byte("room again")), s.complete("o1", []byte("room again"))); err != nil {
		t.Fatal(err)
	}
}

// TestT34_CutLink cuts the connection at every 64 KiB of a file: never a
// final name, nothing left behind, and the device can begin anew.
func TestT34_CutLink(t *testing.T) {
	const step = 64 << 10
	steps := 8
	if os.Getenv("TETHER_SOAK") != "" {
		steps = 256
	}
	b := noise(steps * step)
	s := start(t, Options{})
	target := s.issue("o1", "d1")
	for at := 0; at <= len(b); at += step {
		c := dial(t, target)
		f, err := c.Create("/x")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(b[:at]); err != nil {
			t.Fatal(err)
		}
		c.conn.(*net.TCPConn).SetLinger(0) // a reset, not a farewell
		c.conn.Close()
		eventually(t, "the cut is noticed", func() bool {
			busy, _, _ := s.book.find("o1").state()
			return busy == nil
		})
		s.wantNames()
	}
	if err := dial(t, target).put("/x", b); err != nil {
		t.Fatal(err)
	}
	if err := s.complete("o1", b); err != nil {
		t.Fatal(err)
	}
	s.wantFile("o1", "d1", b)
}

func TestF58_CutUploadIsNotCompleted(t *testing.T) {
	s := start(t, Options{})
	b := noise(1000)
	c := dial(t, s.issue("o1", "d1"))
	f, err := c.Create("/x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); err != nil { // all of it, but not closed
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.complete("o1", b) }()
	c.conn.Close()
	wantInvalid(t, <-done, "the connection ended before the file did")
	s.wantNames()
}

func TestT34_WhatTheDeviceSaysMustBeTrue(t *testing.T) {
	b := noise(1000)
	good := dataOf(b)
	for text, data := range map[string]schema.UploadData{
		"bytes: the device says 999, 1000 arrived": {Bytes: 999, SHA256: good.SHA256},
		"bytes: the device says -1":                {Bytes: -1, SHA256: good.SHA256},
		"sha256: ":                                 {Bytes: 1000, SHA256: dataOf(b[1:]).SHA256},
		"sha256: what arrived has ":                {Bytes: 1000},
	} {
		s := start(t, Options{})
		target := s.issue("o1", "d1")
		if err := dial(t, target).put("/x", b); err != nil {
			t.Fatal(err)
		}
		wantInvalid(t, s.Complete(t.Context(), "o1", data, time.Now()), text)
		s.wantNames()
		if _, err := tryDial(t, target); err == nil {
			t.Error("the credential lives on")
		}
		wantUnknown(t, s.complete("o1", b))
	}
}

// A hole that concurrent writes left is no content.
func TestT34_HoleIsFound(t *testing.T) {
	s := start(t, Options{})
	b := noise(100_000)
	f, err := dial(t, s.issue("o1", "d1")).Create("/x")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range [][2]int{{60_000, 100_000}, {0, 30_000}} {
		if _, err := f.WriteAt(b[part[0]:part[1]], int64(part[0])); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	wantInvalid(t, s.complete("o1", b), "sha256")
}

func TestCompleteWaitsForTheHandle(t *testing.T) {
	s := start(t, Options{})
	f, err := dial(t, s.issue("o1", "d1")).Create("/x")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.complete("o1", nil) }()
	eventually(t, "Complete is at work", func() bool { return len(s.book.find("o1").turn) == 1 })
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestCompleteDoesNotWaitForever(t *testing.T) {
	s := start(t, Options{}, func(l *limits) { l.closing = 10 * time.Millisecond })
	if _, err := dial(t, s.issue("o1", "d1")).Create("/x"); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Complete(cancelled, "o1", schema.UploadData{}, time.Now()); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	wantInvalid(t, s.complete("o1", nil), "not closed")
}

func TestCompleteTwice(t *testing.T) {
	s := start(t, Options{})
	s.upload("o1", "d1", []byte("x"))
	if err := s.complete("o1", []byte("x")); err != nil {
		t.Fatalf("the same again: %v", err)
	}
	wantInvalid(t, s.complete("o1", []byte("y")), "completed already")
	if n := len(s.rows.files); n != 1 {
		t.Fatalf("%d rows", n)
	}
}

func TestF28_StoreFailsAndComesBack(t *testing.T) {
	s := start(t, Options{})
	if err := dial(t, s.issue("o1", "d1")).put("/x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	s.rows.fail(schema.ErrStoreUnavailable)
	if err := s.complete("o1", []byte("x")); !errors.Is(err, schema.ErrStoreUnavailable) {
		t.Fatal(err)
	}
	s.rows.fail(nil)
	if err := s.complete("o1", []byte("x")); err != nil {
		t.Fatal(err)
	}
	s.wantFile("o1", "d1", []byte("x"))
}

// An order's id does not repeat; were it to, nothing is overwritten.
func TestT32_FinalNameIsNotOverwritten(t *testing.T) {
	s := start(t, Options{})
	s.upload("o1", "d1", []byte("first"))
	if err := dial(t, s.issue("o1", "d1")).put("/x", []byte("second")); err != nil {
		t.Fatal(err)
	}
	if err := s.complete("o1", []byte("second")); err == nil {
		t.Fatal("overwritten")
	}
	s.wantFile("o1", "d1", []byte("first"))
}

func TestNewCredentialReplacesTheOrdersOld(t *testing.T) {
	s := start(t, Options{})
	old := s.issue("o1", "d1")
	f, err := dial(t, old).Create("/x")
	if err != nil {
		t.Fatal(err)
	}
	target := s.issue("o1", "d1")
	if _, err := f.Write([]byte("x")); err == nil {
		t.Error("the old one still writes")
	}
	if _, err := tryDial(t, old); err == nil {
		t.Error("the old one still logs in")
	}
	if err := dial(t, target).put("/x", []byte("new")); err != nil {
		t.Fatal(err)
	}
	if err := s.complete("o1", []byte("new")); err != nil {
		t.Fatal(err)
	}
}

// TestF57_NewAttemptTakesOver: the device's link vanished and it comes back
// before the server has noticed.
func TestF57_NewAttemptTakesOver(t *testing.T) {
	s := start(t, Options{})
	target := s.issue("o1", "d1")
	ghost, err := dial(t, target).Create("/x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ghost.Write([]byte("half of")); err != nil {
		t.Fatal(err)
	}
	f, err := dial(t, target).Create("/x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ghost.Write([]byte("nothing")); err == nil {
		t.Error("the ghost still writes")
	}
	if ghost.Close() == nil {
		t.Error("the ghost's file was taken for whole")
	}
	if _, err := f.Write([]byte("all")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Close(), s.complete("o1", []byte("all"))); err != nil {
		t.Fatal(err)
	}
	s.wantFile("o1", "d1", []byte("all"))
}
