package logdrop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
	"golang.org/x/crypto/ssh"
)

func TestT31_HostKeyStays(t *testing.T) {
	dir := t.TempDir()
	o := Options{Dir: dir, Rows: &memoryRows{}, HostKeyFile: filepath.Join(dir, "key")}
	open := func() string {
		r, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		return r.HostKey()
	}
	first := open()
	if second := open(); first != second || !bytes.HasPrefix([]byte(first), []byte("ssh-ed25519 ")) {
		t.Fatalf("%q, then %q", first, second)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".hostkey-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestT31_BadHostKeys(t *testing.T) {
	good, err := ssh.MarshalPrivateKey(ed25519.NewKeyFromSeed(make([]byte, 32)), "")
	if err != nil {
		t.Fatal(err)
	}
	ec := ecdsaKey(t)
	for name, c := range map[string]struct {
		text []byte
		mode os.FileMode
		good bool
	}{
		"good":            {pem.EncodeToMemory(good), 0o600, true},
		"read only":       {pem.EncodeToMemory(good), 0o400, true},
		"others may read": {pem.EncodeToMemory(good), 0o604, false},
		"group may read":  {pem.EncodeToMemory(good), 0o640, false},
		"empty":           {nil, 0o600, false},
		"no key":          {[]byte("hello"), 0o600, false},
		"another kind":    {ec, 0o600, false},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "key")
		if err := os.WriteFile(file, c.text, c.mode); err != nil {
			t.Fatal(err)
		}
		r, err := Open(Options{Dir: dir, Rows: &memoryRows{}, HostKeyFile: file})
		if (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			r.Close()
		}
	}
}

func ecdsaKey(t *testing.T) []byte {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block)
}

func TestOpenAndServeRefuse(t *testing.T) {
	if _, err := Open(Options{Dir: t.TempDir()}); err == nil {
		t.Error("opened without Rows")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: file, Rows: &memoryRows{}}); err == nil {
		t.Error("opened a file as a directory")
	}
	r, err := Open(Options{Dir: t.TempDir(), Rows: &memoryRows{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Issue("o1", "d1", time.Now()); err == nil {
		t.Error("issued with no address to tell")
	}
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	if r.Serve(l) == nil {
		t.Error("would tell devices to upload to 0.0.0.0")
	}
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Error(err)
	}
	if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if err := r.Serve(l); err != nil {
		t.Errorf("serve after close: %v", err)
	}
	if _, err := r.Issue("o1", "d1", time.Now()); err == nil {
		t.Error("issued after close")
	}
}

func TestPublicAddress(t *testing.T) {
	s := start(t, Options{PublicAddress: "logs.example:2022"})
	if got := s.issue("o1", "d1").Address; got != "logs.example:2022" {
		t.Error(got)
	}
}

func TestCloseEndsUploads(t *testing.T) {
	s := start(t, Options{})
	f, err := dial(t, s.issue("o1", "d1")).Create("/x")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("x")); err == nil {
		t.Error("written after close")
	}
	s.wantNames()
}

func TestF34_RestartVoidsWhatWasOnItsWay(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Options{Dir: dir})
	target := s.issue("o1", "d1")
	if err := dial(t, target).put("/x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	s.upload("o2", "d1", []byte("kept"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.wantNames(".incoming/d1.o1.part", "d1/o2.log")
	s2 := start(t, Options{Dir: dir})
	s2.rows.files = s.rows.files
	s2.wantNames("d1/o2.log")
	if err := s2.complete("o2", []byte("kept")); err != nil {
		t.Errorf("completed before the restart: %v", err)
	}
	wantInvalid(t, s2.complete("o2", []byte("else")), "with other data")
	s2.rows.fail(schema.ErrStoreUnavailable)
	if err := s2.complete("o2", []byte("kept")); !errors.Is(err, schema.ErrStoreUnavailable) {
		t.Errorf("while the store is away: %v", err)
	}
	s2.rows.fail(nil)
	target.Address = s2.issue("o3", "d1").Address
	if _, err := tryDial(t, target); err == nil {
		t.Error("a credential outlived its process")
	}
	wantUnknown(t, s2.complete("o1", []byte("x")))
}

func TestSweep(t *testing.T) {
	s := start(t, Options{})
	for _, order := range []string{"row", "orphan", "young"} {
		s.upload(order, "d1", []byte(order))
	}
	s.rows.mu.Lock()
	s.rows.files = s.rows.files[:1]
	s.rows.mu.Unlock()
	old := time.Now().Add(-2 * orphanAge)
	for _, name := range []string{"row.log", "orphan.log"} {
		if err := os.Chtimes(filepath.Join(s.dir, "d1", name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	s.rows.fail(schema.ErrStoreUnavailable)
	if err := s.sweep(time.Now()); !errors.Is(err, schema.ErrStoreUnavailable) {
		t.Fatal(err)
	}
	s.wantNames("d1/orphan.log", "d1/row.log", "d1/young.log")
	s.rows.fail(nil)
	if err := s.sweep(time.Now()); err != nil {
		t.Fatal(err)
	}
	s.wantNames("d1/row.log", "d1/young.log")
}

func TestBookForgetsInTime(t *testing.T) {
	b := newBook(10)
	begin := time.UnixMilli(1795305600000)
	b.issue("o1", "d1", begin)
	life := schema.UploadLifetime + lateResults
	if _, _, ended := b.issue("o2", "d2", begin.Add(life-1)); len(ended) != 0 || b.find("o1") == nil {
		t.Fatal("ended early")
	}
	if _, _, ended := b.issue("o3", "d3", begin.Add(life)); len(ended) != 1 || b.find("o1") != nil {
		t.Fatal("not ended in time")
	}
	b.forget(b.find("o2"))
	b.issue("o4", "d4", begin.Add(10*life))
	if len(b.byUser) != 1 || len(b.byOrder) != 1 || len(b.byDevice) != 1 || len(b.queue) != 1 {
		t.Errorf("left: %d %d %d %d", len(b.byUser), len(b.byOrder), len(b.byDevice), len(b.queue))
	}
}
