package logdrop

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
	"golang.org/x/crypto/ssh"
)

func TestUpload(t *testing.T) {
	s := start(t, Options{})
	b := noise(200_000)
	c := dial(t, s.issue("o1", "d1"))
	if err := c.MkdirAll("/var/log/devices_management"); err != nil {
		t.Fatal(err)
	}
	if err := c.put("/var/log/devices_management/d1.log", b); err != nil {
		t.Fatal(err)
	}
	s.wantNames(".incoming/d1.o1.part")
	if made, err := os.ReadDir(s.dir); err != nil || len(made) != 2 { // .incoming and the host key
		t.Fatalf("folders were made: %v, %v", made, err)
	}
	if info, err := c.Stat("/var/log/devices_management/d1.log"); err != nil || info.Size() != int64(len(b)) {
		t.Fatalf("stat of the file written: %v, %v", info, err)
	}
	now := time.Now()
	if err := s.Complete(t.Context(), "o1", dataOf(b), now); err != nil {
		t.Fatal(err)
	}
	s.wantNames("d1/o1.log")
	s.wantFile("o1", "d1", b)
	want := schema.LogFile{OrderID: "o1", DeviceID: "d1", Bytes: 200_000, SHA256: dataOf(b).SHA256, CreatedTime: now.UnixMilli()}
	if got, err := s.rows.LogFile(t.Context(), schema.Everything, "o1"); got != want || err != nil {
		t.Fatalf("row %+v, %v", got, err)
	}
	for name, mode := range map[string]os.FileMode{"d1/o1.log": 0o600, "d1": 0o700, ".host_ed25519": 0o600} {
		if info, err := os.Stat(filepath.Join(s.dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestEmptyFileIsAFile(t *testing.T) {
	s := start(t, Options{})
	s.upload("o1", "d1", nil)
	s.wantFile("o1", "d1", nil)
}

// TestOpenSSHClient uploads with the client that everybody has, host key
// pinned in a known_hosts file.
func TestOpenSSHClient(t *testing.T) {
	s := start(t, Options{})
	b := noise(3 << 20)
	target := s.issue("o1", "d1")
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return name
	}
	host, port, err := net.SplitHostPort(target.Address)
	if err != nil {
		t.Fatal(err)
	}
	local := write("local.log", string(b), 0o600)
	batch := write("batch", "-mkdir /var\n-mkdir /var/log\nput -p "+local+" /var/log/d1.log\n", 0o600)
	known := write("known_hosts", fmt.Sprintf("[%s]:%s %s\n", host, port, target.HostKey), 0o600)
	askpass := write("askpass", "#!/bin/sh\necho "+target.Password+"\n", 0o700)
	// -b would switch passwords off, were it not for the first option.
	cmd := exec.CommandContext(t.Context(), "sftp", "-F", "/dev/null", "-o", "BatchMode=no", "-o", "StrictHostKeyChecking=yes",
		"-o", "UserKnownHostsFile="+known, "-o", "PubkeyAuthentication=no", "-P", port, "-b", batch, target.Username+"@"+host)
	cmd.Env = append(os.Environ(), "SSH_ASKPASS="+askpass, "SSH_ASKPASS_REQUIRE=force", "DISPLAY=:0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sftp: %v\n%s", err, out)
	}
	if err := s.complete("o1", b); err != nil {
		t.Fatal(err)
	}
	s.wantFile("o1", "d1", b)
}

func TestT35_OneCredentialWritesOneFile(t *testing.T) {
	s := start(t, Options{})
	s.upload("o0", "d0", []byte("another device's log"))
	target := s.issue("o1", "d1")
	c := dial(t, target)
	if err := c.put("/logs/d1.log", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	refused := map[string]func() error{
		"write again":        func() error { return c.put("/logs/d1.log", []byte("x")) },
		"write another":      func() error { return c.put("/logs/d2.log", []byte("x")) },
		"read":               func() error { f, err := c.Open("/logs/d1.log"); return closed(f, err) },
		"read and write":     func() error { f, err := c.OpenFile("/logs/d1.log", os.O_RDWR); return closed(f, err) },
		"append":             func() error { f, err := c.OpenFile("/logs/d1.log", os.O_APPEND|os.O_WRONLY); return closed(f, err) },
		"list":               func() error { _, err := c.ReadDir("/"); return err },
		"list own":           func() error { _, err := c.ReadDir("/logs"); return err },
		"stat another":       func() error { _, err := c.Stat("/d0/o0.log"); return err },
		"delete":             func() error { return c.Remove("/logs/d1.log") },
		"remove directory":   func() error { return c.RemoveDirectory("/d0") },
		"rename":             func() error { return c.Rename("/logs/d1.log", "/d0/o0.log") },
		"posix rename":       func() error { return c.PosixRename("/logs/d1.log", "/d0/o0.log") },
		"symlink":            func() error { return c.Symlink("/d0/o0.log", "/l") },
		"link":               func() error { return c.Link("/d0/o0.log", "/l") },
		"read link":          func() error { _, err := c.ReadLink("/logs/d1.log"); return err },
		"truncate":           func() error { return c.Truncate("/logs/d1.log", 0) },
		"chmod another":      func() error { return c.Chmod("/d0/o0.log", 0o777) },
		"statvfs":            func() error { _, err := c.StatVFS("/"); return err },
		"shell":              func() error { return session(c, (*ssh.Session).Shell) },
		"command":            func() error { return session(c, func(s *ssh.Session) error { return s.Start("id") }) },
		"another subsystem":  func() error { return session(c, func(s *ssh.Session) error { return s.RequestSubsystem("x") }) },
		"forward":            func() error { n, err := c.ssh.Dial("tcp", "127.0.0.1:1"); return closed(n, err) },
		"reverse forward":    func() error { l, err := c.ssh.Listen("tcp", "127.0.0.1:0"); return closed(l, err) },
		"log in for another": func() error { c2, err := tryDial(t, target); return closed(c2, err) },
	}
	for name, try := range refused {
		if try() == nil {
			t.Errorf("%s: allowed", name)
		}
	}
	if err := s.complete("o1", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	s.wantFile("o0", "d0", []byte("another device's log"))
	s.wantNames("d0/o0.log", "d1/o1.log")
}

// closed closes what should not have been opened.
func closed[C io.Closer](c C, err error) error {
	if err == nil {
		c.Close()
	}
	return err
}

func session(c *client, begin func(*ssh.Session) error) error {
	s, err := c.ssh.NewSession()
	if err != nil {
		return err
	}
	return errors.Join(begin(s), ignoreEOF(s.Close()))
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func TestT35_SecondSessionIsRefusedAtOnce(t *testing.T) {
	s := start(t, Options{})
	c := dial(t, s.issue("o1", "d1"))
	for range 50 { // more than any buffer of the library holds
		if _, err := c.ssh.NewSession(); err == nil {
			t.Fatal("a second session was opened")
		}
	}
	if err := c.put("/x", []byte("still served")); err != nil {
		t.Fatal(err)
	}
}

func TestT32_PathsAreMetadata(t *testing.T) {
	paths := []string{
		"", ".", "..", "/", "x", "/d2/o9.log", "../../../../etc/passwd", "/etc/passwd", "..\\..\\x",
		"/logs/../../x", "CON", "a\x00b", "/\x00", ".incoming/d9.o9.part", "/.host_ed25519", "~root/.ssh/authorized_keys",
		"\u202egol.exe", "new\nline", strings.Repeat("a", 4095), strings.Repeat("../", 1000), "\xff\xfe", "-rf",
	}
	s := start(t, Options{KeepPerDevice: 100})
	var want []string
	for i, p := range paths {
		order := fmt.Sprintf("o%02d", i)
		if err := dial(t, s.issue(order, "d1")).put(p, []byte(order)); err != nil {
			t.Fatalf("%q: %v", p, err)
		}
		if err := s.complete(order, []byte(order)); err != nil {
			t.Fatalf("%q: %v", p, err)
		}
		s.wantFile(order, "d1", []byte(order))
		want = append(want, "d1/"+order+".log")
	}
	s.wantNames(want...)
	if around, err := os.ReadDir(filepath.Dir(s.dir)); err != nil || len(around) != 1 {
		t.Fatalf("beside the directory: %v, %v", around, err)
	}
}

// A link that somebody put into the directory leads no write out of it.
func TestT32_SymlinkLeadsNowhere(t *testing.T) {
	s := start(t, Options{})
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(s.dir, "d1")); err != nil {
		t.Fatal(err)
	}
	if err := dial(t, s.issue("o1", "d1")).put("x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := s.complete("o1", []byte("x")); err == nil {
		t.Fatal("completed through a link")
	}
	if names, err := os.ReadDir(outside); err != nil || len(names) != 0 {
		t.Fatalf("outside: %v, %v", names, err)
	}
}

func TestT32_IdentifiersThatAreNoNames(t *testing.T) {
	s := start(t, Options{})
	for _, id := range []string{"", ".", "..", "a/b", "a.b", "ü", "a\x00", strings.Repeat("1", 65)} {
		if _, err := s.Issue(id, "d1", time.Now()); err == nil {
			t.Errorf("order %q: issued", id)
		}
		if _, err := s.Issue("o1", id, time.Now()); err == nil {
			t.Errorf("device %q: issued", id)
		}
		if _, err := s.OpenLog(schema.LogFile{OrderID: id, DeviceID: "d1"}); !errors.Is(err, schema.ErrFileNotFound) {
			t.Errorf("open %q: %v", id, err)
		}
	}
	if _, err := s.OpenLog(schema.LogFile{OrderID: "o1", DeviceID: "d1"}); !errors.Is(err, schema.ErrFileNotFound) {
		t.Error(err)
	}
}

func TestT35_CredentialsDoNotCross(t *testing.T) {
	s := start(t, Options{})
	a, b := s.issue("o1", "d1"), s.issue("o2", "d2")
	crossed := a
	crossed.Password = b.Password
	unknown := a
	unknown.Username = "nobody"
	empty := a
	empty.Password = ""
	for _, target := range []schema.SFTPTarget{crossed, unknown, empty} {
		if _, err := tryDial(t, target); err == nil {
			t.Errorf("logged in as %s", target.Username)
		}
	}
	if err := dial(t, a).put("/d2.log", []byte("a")); err != nil {
		t.Fatal(err)
	}
	wantInvalid(t, s.complete("o2", []byte("a")), "nothing was uploaded")
	if err := s.complete("o1", []byte("a")); err != nil {
		t.Fatal(err)
	}
}

func TestT35_CredentialEnds(t *testing.T) {
	s := start(t, Options{})
	for age, good := range map[time.Duration]bool{
		schema.UploadLifetime - time.Minute: true,
		schema.UploadLifetime:               false,
	} {
		target, err := s.Issue("o1", "d1", time.Now().Add(-age))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tryDial(t, target); (err == nil) != good {
			t.Errorf("credential of age %s: %v", age, err)
		}
	}
}

// A session that began in time cannot begin a file out of time.
func TestT35_CredentialEndsForOpenSessions(t *testing.T) {
	s := start(t, Options{})
	c := dial(t, s.issue("o1", "d1"))
	u := s.book.find("o1")
	u.mu.Lock()
	u.expires = time.Now()
	u.mu.Unlock()
	if c.put("/x", []byte("x")) == nil {
		t.Fatal("written after its time")
	}
}

func TestConcurrentUploads(t *testing.T) {
	s := start(t, Options{}, func(l *limits) { l.perAddress = 100 })
	var all sync.WaitGroup
	for i := range 20 {
		order, device := fmt.Sprintf("o%d", i), fmt.Sprintf("d%d", i%7)
		target, b := s.issue(order, device), noise(100_000+i)
		all.Go(func() {
			c, err := tryDial(t, target)
			if err == nil {
				err = c.put("/same/name.log", b)
			}
			if err == nil {
				err = s.complete(order, b)
			}
			if err != nil {
				t.Errorf("%s: %v", order, err)
			}
		})
	}
	all.Wait()
	for i := range 20 {
		s.wantFile(fmt.Sprintf("o%d", i), fmt.Sprintf("d%d", i%7), noise(100_000+i))
	}
}
