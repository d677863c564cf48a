package logdrop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// TestT36_StallsEnd: at whatever point a client falls silent, the server ends
// the connection and forgets it.
func TestT36_StallsEnd(t *testing.T) {
	stalls := map[string]func(*testing.T, schema.SFTPTarget) net.Conn{
		"before the banner":  connect,
		"within the banner":  func(t *testing.T, to schema.SFTPTarget) net.Conn { return send(t, to, "SSH-2.") },
		"after the banner":   func(t *testing.T, to schema.SFTPTarget) net.Conn { return send(t, to, "SSH-2.0-x\r\n") },
		"within a packet":    func(t *testing.T, to schema.SFTPTarget) net.Conn { return send(t, to, "SSH-2.0-x\r\n\x00\x00\x01\x00") },
		"before the login":   stallAtLogin,
		"after the login":    func(t *testing.T, to schema.SFTPTarget) net.Conn { c, _ := login(t, to); return c },
		"without subsystem":  stallInSession(nil),
		"before sftp's init": stallInSession(func(s *ssh.Session) error { return s.RequestSubsystem("sftp") }),
		"before the file":    func(t *testing.T, to schema.SFTPTarget) net.Conn { return dial(t, to).conn },
		"within the file":    stallInFile,
	}
	for name, stall := range stalls {
		t.Run(name, func(t *testing.T) {
			s := start(t, Options{}, func(l *limits) { l.handshake, l.idle = 500*time.Millisecond, 500*time.Millisecond })
			stall(t, s.issue("o1", "d1"))
			eventually(t, "the connection is counted", func() bool { st, dev := s.gate.count(); return st+dev == 1 || s.idleAgain() })
			eventually(t, "the server ends it", s.idleAgain)
			s.wantNames()
		})
	}
}

func (g *gate) count() (strangers, devices int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.strangers, g.devices
}

// idleAgain says that only the listener is left.
func (s *server) idleAgain() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.closers) == 1
}

func connect(t *testing.T, to schema.SFTPTarget) net.Conn {
	c, err := net.Dial("tcp", to.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func send(t *testing.T, to schema.SFTPTarget, text string) net.Conn {
	c := connect(t, to)
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// stallAtLogin answers the server's wish for a password with silence.
func stallAtLogin(t *testing.T, to schema.SFTPTarget) net.Conn {
	c := connect(t, to)
	asked, release, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	config := clientConfig(to)
	config.Auth = []ssh.AuthMethod{ssh.PasswordCallback(func() (string, error) {
		close(asked)
		<-release
		return "", errors.New("no more")
	})}
	go func() {
		defer close(done)
		if _, _, _, err := ssh.NewClientConn(c, to.Address, config); err == nil {
			t.Error("logged in")
		}
	}()
	t.Cleanup(func() { close(release); <-done })
	<-asked
	return c
}

func login(t *testing.T, to schema.SFTPTarget) (net.Conn, *ssh.Client) {
	c := connect(t, to)
	sc, channels, requests, err := ssh.NewClientConn(c, to.Address, clientConfig(to))
	if err != nil {
		t.Fatal(err)
	}
	cl := ssh.NewClient(sc, channels, requests)
	t.Cleanup(func() { cl.Close() })
	return c, cl
}

func stallInSession(begin func(*ssh.Session) error) func(*testing.T, schema.SFTPTarget) net.Conn {
	return func(t *testing.T, to schema.SFTPTarget) net.Conn {
		c, cl := login(t, to)
		s, err := cl.NewSession()
		if err == nil && begin != nil {
			err = begin(s)
		}
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

func stallInFile(t *testing.T, to schema.SFTPTarget) net.Conn {
	c := dial(t, to)
	f, err := c.Create("/x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(noise(100_000)); err != nil {
		t.Fatal(err)
	}
	return c.conn
}

// A client that sends a byte now and then is not silent, but not welcome for
// ever either.
func TestT36_LifeOfAConnectionIsLimited(t *testing.T) {
	s := start(t, Options{}, func(l *limits) { l.life = 300 * time.Millisecond })
	f, err := dial(t, s.issue("o1", "d1")).Create("/x")
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write([]byte("x"))
	}
	eventually(t, "the server ends it", s.idleAgain)
}

func TestT36_StrangersAreBounded(t *testing.T) {
	s := start(t, Options{}, func(l *limits) { l.perAddress = 3 })
	for range 3 {
		connect(t, s.issue("o1", "d1"))
	}
	eventually(t, "three strangers", func() bool { n, _ := s.gate.count(); return n == 3 })
	fourth := connect(t, s.issue("o1", "d1"))
	if _, err := fourth.Read(make([]byte, 1)); err == nil {
		t.Fatal("a fourth stranger was greeted")
	}
}

func TestT36_DevicesAreBounded(t *testing.T) {
	s := start(t, Options{}, func(l *limits) { l.connections = 1 })
	first := dial(t, s.issue("o1", "d1"))
	if _, err := tryDial(t, s.issue("o2", "d2")); err == nil {
		t.Fatal("a second device was served")
	}
	first.ssh.Close()
	eventually(t, "the first is gone", func() bool { _, n := s.gate.count(); return n == 0 })
	dial(t, s.issue("o3", "d3"))
}

// A device that begins again and again, and closes nothing, is held to a few
// attempts for each order, over all of its connections.
func TestT36_AttemptsAreBounded(t *testing.T) {
	s := start(t, Options{})
	target := s.issue("o1", "d1")
	c := dial(t, target)
	for i := range schema.MaxUploads {
		if i == 1 {
			c = dial(t, target)
		}
		if _, err := c.Create("/x"); err != nil {
			t.Fatalf("attempt %d: %v", i+1, err)
		}
	}
	if _, err := c.Create("/x"); !errors.Is(err, os.ErrPermission) {
		t.Fatalf("one attempt more: %v", err)
	}
	if _, err := dial(t, s.issue("o2", "d1")).Create("/x"); err != nil {
		t.Fatalf("of another order: %v", err)
	}
}

func TestT36_NamesAreBounded(t *testing.T) {
	s := start(t, Options{})
	c := dial(t, s.issue("o1", "d1"))
	longest := "/" + strings.Repeat("x", schema.MaxUploadPath-1)
	if _, err := c.Create(longest + "x"); !errors.Is(err, os.ErrPermission) {
		t.Fatalf("one byte more: %v", err)
	}
	if err := c.put(longest, []byte("x")); err != nil {
		t.Fatal(err)
	}
	q := &sftp.Request{Filepath: "/x", Attrs: make([]byte, 200_000)}
	h := handlers{r: s.Receiver, u: s.book.find("o1")}
	if h.Filewrite(q); q.Attrs != nil {
		t.Errorf("a handle keeps %d bytes", len(q.Attrs))
	}
}

func TestGate(t *testing.T) {
	g, l := newGate(), limits{handshakes: 3, perAddress: 2, connections: 1}
	steps := []struct {
		address string
		want    bool
	}{{"a", true}, {"a", true}, {"a", false}, {"b", true}, {"c", false}}
	for i, s := range steps {
		if got := g.enter(s.address, l); got != s.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
	g.leave("a")
	if !g.enter("c", l) || !g.join(l) || g.join(l) {
		t.Error("a place that was left is free")
	}
	g.leave("a")
	g.leave("b")
	g.leave("c")
	if len(g.addresses) != 0 {
		t.Errorf("remembered: %v", g.addresses)
	}
}

func TestT36_PasswordTries(t *testing.T) {
	s := start(t, Options{})
	target := s.issue("o1", "d1")
	tries := 0
	config := clientConfig(target)
	config.Auth = []ssh.AuthMethod{ssh.RetryableAuthMethod(ssh.PasswordCallback(func() (string, error) {
		tries++
		return fmt.Sprint("guess ", tries), nil
	}), 100)}
	if c, err := ssh.Dial("tcp", target.Address, config); err == nil {
		c.Close()
		t.Fatal("guessed")
	}
	if tries > 3 {
		t.Fatalf("%d tries on one connection", tries)
	}
}

func FuzzIsID(f *testing.F) {
	for _, s := range []string{"", "1860", "..", "a/b", "a\\b", "CON", "a\x00", "ü"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if isID(s) && (!filepath.IsLocal(s) || filepath.Base(s) != s || s[0] == '.') {
			t.Errorf("%q is no file name", s)
		}
	})
}

func FuzzSubsystem(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x04sftp"))
	f.Add([]byte("\x00\x00\x00\x04sftpx"))
	f.Add([]byte("\xff\xff\xff\xffsftp"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got := subsystem(b); got == "sftp" && !bytes.Equal(b, []byte("\x00\x00\x00\x04sftp")) {
			t.Errorf("%q was taken for sftp", b)
		}
	})
}
