package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
)

// lived is a database with a bit of everything, of a store that still runs.
func lived(t *testing.T) (path string, s *Store) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "te#ther 100%.db")
	return path, livedAt(t, "sqlite:"+path)
}

func livedAt(t *testing.T, url string) *Store {
	t.Helper()
	s := openURL(t, url, Options{})
	_, err := s.ClaimNode(t.Context(), "n", start)
	must(t, err)
	addDevice(t, s, "1", "2", "3")
	addGroup(t, s, "g")
	must(t, s.AddRelation(t.Context(), all, "1", "g", start))
	claim(t, s, claimOf("1", 1))
	claim(t, s, claimOf("1", 2))
	claim(t, s, claimOf("2", 1))
	addJob(t, s, jobOf("j", ofDeviceList, "1", "3"))
	must(t, begin(s, intentOf("o1", "1", 2)))
	must(t, begin(s, intentOf("o2", "2", 1)))
	s.Presence(schema.Presence{DeviceID: "2", Epoch: 1, State: schema.Offline, Reason: "reset", Now: start})
	must(t, s.DeleteDevice(t.Context(), all, "2", "", start))
	flushed(t, s)
	return s
}

func checked(t *testing.T, path string) []string {
	t.Helper()
	findings, err := Check(t.Context(), "sqlite:"+path)
	must(t, err)
	return findings
}

// A backup of a store that writes is the store as it was at one instant.
func TestBackup_WhileItWrites(t *testing.T) {
	path, s := lived(t)
	stop, stopped := context.WithCancel(t.Context())
	wrote := make(chan int)
	go func() {
		n := 0
		for ; stop.Err() == nil; n++ {
			s.Record(note("1", n))
			if n%50 == 0 {
				_ = s.AddGroup(stop, schema.Group{GroupID: fmt.Sprint(n), Name: fmt.Sprint(n)})
			}
		}
		wrote <- n
	}()
	for i := range 3 {
		file := filepath.Join(t.TempDir(), fmt.Sprint(i))
		must(t, Backup(t.Context(), "sqlite:"+path, file))
		info, err := os.Stat(file)
		must(t, err)
		equal(t, "mode", info.Mode().Perm(), 0o600)
		equal(t, "findings", fmt.Sprint(checked(t, file)), "[]")
		if names, _ := filepath.Glob(filepath.Dir(file) + "/*"); len(names) != 1 {
			t.Errorf("files: %v", names)
		}
		if Backup(t.Context(), "sqlite:"+path, file) == nil {
			t.Error("wrote over a backup")
		}
	}
	stopped()
	<-wrote
	copied := filepath.Join(t.TempDir(), "last")
	flushed(t, s)
	must(t, Backup(t.Context(), "sqlite:"+path, copied))
	c := openAt(t, "sqlite:"+copied, Options{Check: time.Minute})
	equal(t, "events", len(log(t, c, "1")), len(log(t, s, "1")))
	must(t, c.Close())
}

func TestBackup_LeavesNothingHalf(t *testing.T) {
	path, _ := lived(t)
	dir := t.TempDir()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if Backup(ended, "sqlite:"+path, filepath.Join(dir, "copy")) == nil {
		t.Error("copied")
	}
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("left %v", names)
	}
}

// damagedAfter is what Open with a check says after the files were changed.
func damagedAfter(t *testing.T, path string) error {
	t.Helper()
	s, err := Open(t.Context(), "sqlite:"+path, Options{Migrate: true, Check: time.Minute})
	if err == nil {
		must(t, s.Close())
	}
	return err
}

// A damaged file is refused at the start: torn, cut off, no database at all.
func TestF36_RefusedAtStart(t *testing.T) {
	whole := closedFile(t)
	for what, change := range map[string]func([]byte) []byte{
		"page overwritten": func(b []byte) []byte { copy(b[4096*5:], bytes.Repeat([]byte{0xa5}, 4096)); return b },
		"half a page":      func(b []byte) []byte { copy(b[4096*5:], make([]byte, 2048)); return b },
		"cut off":          func(b []byte) []byte { return b[:len(b)-4096*3] },
		"no database":      func(b []byte) []byte { copy(b, "something else"); return b },
		"first page":       func(b []byte) []byte { copy(b[100:], make([]byte, 300)); return b },
	} {
		path := filepath.Join(t.TempDir(), "tether.db")
		must(t, os.WriteFile(path, change(bytes.Clone(whole)), 0o600))
		if err := damagedAfter(t, path); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: opened with %v", what, err)
		}
		if found := checked(t, path); len(found) == 0 {
			t.Errorf("%s: nothing found", what)
		}
		if Backup(t.Context(), "sqlite:"+path, path+".copy") == nil {
			t.Errorf("%s: copied", what)
		}
	}
	path := filepath.Join(t.TempDir(), "tether.db")
	must(t, os.WriteFile(path, whole, 0o600))
	must(t, damagedAfter(t, path))
}

// closedFile is the bytes of a whole database.
func closedFile(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tether.db")
	s := openAt(t, "sqlite:"+path, Options{})
	for i := range 100 {
		addDevice(t, s, fmt.Sprint(i))
	}
	must(t, s.Close())
	whole, err := os.ReadFile(path)
	must(t, err)
	return whole
}

// What the time was too short for is told, and is no reason to refuse.
func TestF36_LimitedTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tether.db")
	must(t, os.WriteFile(path, closedFile(t), 0o600))
	var told []string
	s := openAt(t, "sqlite:"+path, Options{Check: 1, Log: func(msg string, _ error) { told = append(told, msg) }})
	must(t, s.Close())
	equal(t, "told", len(told), 1)
}

// A flipped bit in the write-ahead log would end it early, and lose what was
// acknowledged; in its last transaction it cannot be told from a torn one.
func TestF36_WriteAheadLog(t *testing.T) {
	path, _ := lived(t)
	db, err := os.ReadFile(path)
	must(t, err)
	log, err := os.ReadFile(path + "-wal")
	must(t, err)
	frames := (len(log) - logHeader) / (logFrame + 4096)
	last := lastCommitBefore(log, frames-1) // its frames belong to the last transaction
	try := func(change func([]byte) []byte) error {
		copied := filepath.Join(t.TempDir(), "tether.db")
		must(t, os.WriteFile(copied, db, 0o600))
		must(t, os.WriteFile(copied+"-wal", change(bytes.Clone(log)), 0o600))
		return damagedAfter(t, copied)
	}
	must(t, try(func(b []byte) []byte { return b }))
	for range 20 {
		at := logHeader + rand.IntN(last*(logFrame+4096)-logHeader)
		err := try(func(b []byte) []byte { b[at] ^= 1 << rand.IntN(8); return b })
		// A frame that seems to be of another round, or to commit nothing,
		// hides only in the transaction before the last.
		if !errors.Is(err, ErrDamaged) && at < logHeader+lastCommitBefore(log, last-1)*(logFrame+4096) {
			t.Errorf("bit at %d: opened with %v", at, err)
		}
	}
	must(t, try(func(b []byte) []byte { b[len(b)-5] ^= 1; return b }))
	must(t, try(func(b []byte) []byte { return b[:len(b)-100] }))
}

// A file that is named by a link has its log beside itself, and that is looked at.
func TestF36_WriteAheadLogBehindALink(t *testing.T) {
	path, _ := lived(t)
	log, err := os.ReadFile(path + "-wal")
	must(t, err)
	log[logHeader+logFrame] ^= 1 // in the first frame's page
	must(t, os.WriteFile(path+"-wal", log, 0o600))
	link := filepath.Join(t.TempDir(), "link.db")
	must(t, os.Symlink(path, link))
	if err := logDamage("sqlite:" + link); !errors.Is(err, ErrDamaged) {
		t.Errorf("found %v", err)
	}
}

// Where a sector ends between a frame's mark of a commit and its salt, a power
// loss may leave the mark of an earlier round in a frame of the last
// transaction: what follows is no second transaction, and the log is sound.
func TestF36_TornBetweenMarkAndSalt(t *testing.T) {
	const split = 41 // (32 + 41*(24+512) + 8) is a multiple of 512
	for _, c := range []struct {
		what    string
		commits []int // frames that end a transaction
		broken  int   // the frame whose mark is wrong
		damaged bool
	}{
		{"torn in the last transaction", []int{39, 43}, split, false},
		{"another transaction follows", []int{39, 43, 44}, split, true},
		{"a mark that no sector cuts off", []int{39, 43}, split - 1, true},
	} {
		log := writtenLog(c.commits)
		log[logHeader+c.broken*(logFrame+512)+7] ^= 1
		l, ok := newLogReader(bytes.NewReader(log))
		if !ok || l.brokenInside() != c.damaged {
			t.Errorf("%s: %v, want damaged %v", c.what, ok, c.damaged)
		}
	}
}

// writtenLog is a write-ahead log with pages of 512 bytes and these commits.
func writtenLog(commits []int) []byte {
	log := binary.BigEndian.AppendUint32(nil, logMagic)
	for _, word := range []uint32{3007000, 512, 0, 0x5a17, 0x5a18} {
		log = binary.BigEndian.AppendUint32(log, word)
	}
	l := &logReader{order: binary.LittleEndian}
	l.add(log)
	log = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(log, l.sum[0]), l.sum[1])
	for n := range commits[len(commits)-1] + 1 {
		mark := uint32(0)
		if slices.Contains(commits, n) {
			mark = 100
		}
		head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(n+1)), mark)
		page := bytes.Repeat([]byte{byte(n)}, 512)
		l.add(head)
		l.add(page)
		head = append(head, log[16:24]...)
		head = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(head, l.sum[0]), l.sum[1])
		log = append(append(log, head...), page...)
	}
	return log
}

// lastCommitBefore is the number of frames up to the last commit in the first n.
func lastCommitBefore(log []byte, n int) int {
	for n > 0 && bytes.Equal(log[logHeader+(n-1)*(logFrame+4096)+4:][:4], make([]byte, 4)) {
		n--
	}
	return n
}

func FuzzLogReader(f *testing.F) {
	f.Add([]byte{})
	f.Add(append([]byte{0x37, 0x7f, 6, 0x82, 0, 0, 0, 0, 0, 0, 2}, make([]byte, 1000)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, ok := newLogReader(bytes.NewReader(b)); ok {
			l.brokenInside()
		}
	})
}
