package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/edgetether/tether/store"
)

// init lets strace attach to the program although it is not its parent, where
// the kernel wants that said (Yama).
func init() {
	const setPtracer, any = 0x59616d61, ^uintptr(0)
	if os.Getenv(programEnv) != "" {
		_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, setPtracer, any, 0) // an error says that nobody asks
	}
}

// inject has system calls of the running service fail, until what it returns
// is called.
func (s *site) inject(t *testing.T, calls, err string) (stop func()) {
	t.Helper()
	trace := launch(t, nil, "strace", "-f", "-p", fmt.Sprint(s.cmd.Process.Pid), "-o", os.DevNull,
		"-e", "trace="+calls, "-e", "inject="+calls+":error="+err)
	await(t, "strace at work", func() bool { return trace.err.has("attached") })
	return func() {
		trace.signal(os.Interrupt)
		trace.code()
	}
}

// addOne registers a device, if it can.
func (s *site) addOne(n int) (id string, a apiReply) {
	a = s.api.ask("POST", "device_add", fmt.Sprintf(`{"device_name":"d%d","hardware":{"sn":"%d","model":"M"}}`, n, n))
	if a.Status == "success" {
		id = strings.Split(string(a.Data), `"`)[3]
	}
	return id, a
}

// refuses fails unless a write is refused in so many words, while the service
// is up and answers what it can.
func (s *site) refuses(t *testing.T, n int, known string) {
	t.Helper()
	if _, a := s.addOne(n); a.HTTP != 503 || a.Code != "store_unavailable" {
		t.Errorf("a write: %d %s %s", a.HTTP, a.Code, a.Data)
	}
	if code := s.ready(); code != 503 {
		t.Errorf("readyz: %d", code)
	}
	if d := s.api.device(known); d.DeviceID != known {
		t.Errorf("a read: %+v", d)
	}
}

// fillers are ways to have no space left. Each returns how to make room again.
func fillers(t *testing.T, dir string) map[string]func(*site) func() {
	ways := map[string]func(*site) func(){
		"injected": func(s *site) func() { return s.inject(t, "pwrite64,ftruncate", "ENOSPC") },
	}
	// A real file system wants the right to mount.
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=3m,mode=700")
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		return ways
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	ways["file system"] = func(*site) func() { return fill(t, dir) }
	return ways
}

// fill takes all space there is in a folder's file system.
func fill(t *testing.T, dir string) (release func()) {
	t.Helper()
	ballast := filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	f.Close()
	return func() {
		if err := os.Remove(ballast); err != nil {
			t.Error(err)
		}
	}
}

// TestF32_DiskFull: no space, no OK; the service stays up, what was stored
// can be read, and when there is room again it takes writes by itself.
func TestF32_DiskFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, fill := range fillers(t, dir) {
		t.Run(name, func(t *testing.T) {
			home := filepath.Join(dir, name)
			s := serveIn(t, home)
			known, _ := s.api.addDevice("known")
			release := fill(s)
			stored, n := []string{known}, 0
			for {
				id, a := s.addOne(n)
				if n++; a.Status != "success" {
					break
				}
				stored = append(stored, id)
				if n > 1000 {
					t.Fatal("it does not get full")
				}
			}
			s.refuses(t, n, known)
			release()
			await(t, "writes again", func() bool { return s.ready() == 200 })
			id, a := s.addOne(n + 1)
			if id == "" {
				t.Errorf("with room again: %+v", a)
			}
			s.kill()
			if findings, err := store.Check(t.Context(), s.database()); err != nil || len(findings) > 0 {
				t.Error(findings, err)
			}
			s.begin(t)
			s.has(t, &acked{devices: append(stored, id)})
			s.kill()
			t.Logf("%d writes before it was full", len(stored))
		})
	}
}

// TestF33_FsyncFails: after a flush of the disk has failed, nothing is
// acknowledged any more, also when flushes succeed again: what the kernel then
// has in memory proves nothing. A new process opens what is on the disk.
func TestF33_FsyncFails(t *testing.T) {
	t.Parallel()
	s := serve(t)
	known, _ := s.api.addDevice("known")
	stop := s.inject(t, "fsync,fdatasync", "EIO")
	s.refuses(t, 1, known)
	stop()
	for n := range 3 {
		s.refuses(t, 2+n, known)
	}
	s.kill()
	if findings, err := store.Check(t.Context(), s.database()); err != nil || len(findings) > 0 {
		t.Error(findings, err)
	}
	s.begin(t)
	id, a := s.addOne(9)
	if id == "" {
		t.Errorf("a new process: %+v", a)
	}
	s.has(t, &acked{devices: []string{known, id}})
}
