package logdrop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
	"github.com/pkg/sftp"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memoryRows keeps records as the store does, and fails when it is told to.
type memoryRows struct {
	mu    sync.Mutex
	files []schema.LogFile // oldest first
	err   error
}

func (m *memoryRows) AddLogFile(_ context.Context, f schema.LogFile, keep int) ([]schema.LogFile, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return nil, m.err
	}
	m.files = append(m.files, f)
	var mine, others []schema.LogFile
	for _, f2 := range m.files {
		if f2.DeviceID == f.DeviceID {
			mine = append(mine, f2)
		} else {
			others = append(others, f2)
		}
	}
	cut := max(0, len(mine)-keep)
	m.files = append(others, mine[cut:]...)
	return mine[:cut], nil
}

func (m *memoryRows) LogFile(_ context.Context, _ schema.Scope, orderID string) (schema.LogFile, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return schema.LogFile{}, m.err
	}
	for _, f := range m.files {
		if f.OrderID == orderID {
			return f, nil
		}
	}
	return schema.LogFile{}, schema.ErrFileNotFound
}

func (m *memoryRows) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// server is a receiver that listens on loopback.
type server struct {
	*Receiver
	t    *testing.T
	dir  string
	rows *memoryRows
}

func start(t *testing.T, o Options, change ...func(*limits)) *server {
	t.Helper()
	rows := &memoryRows{}
	if o.Rows == nil {
		o.Rows = rows
	}
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "logs")
	}
	r, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(&r.limits)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.announce(l.Addr()); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.Serve(l) }()
	t.Cleanup(func() {
		if err := errors.Join(r.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
	return &server{Receiver: r, t: t, dir: o.Dir, rows: rows}
}

func (s *server) issue(order, device string) schema.SFTPTarget {
	s.t.Helper()
	target, err := s.Issue(order, device, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	return target
}

func clientConfig(target schema.SFTPTarget) *ssh.ClientConfig {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(target.HostKey))
	if err != nil {
		panic(err)
	}
	return &ssh.ClientConfig{
		User:              target.Username,
		Auth:              []ssh.AuthMethod{ssh.Password(target.Password)},
		HostKeyCallback:   ssh.FixedHostKey(key),
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	}
}

// client is a device's side of an upload.
type client struct {
	*sftp.Client
	conn net.Conn // to be cut
	ssh  *ssh.Client
}

func dial(t *testing.T, target schema.SFTPTarget) *client {
	t.Helper()
	c, err := tryDial(t, target)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tryDial(t testing.TB, target schema.SFTPTarget) (*client, error) {
	conn, err := net.Dial("tcp", target.Address)
	if err != nil {
		return nil, err
	}
	c, channels, requests, err := ssh.NewClientConn(conn, target.Address, clientConfig(target))
	if err != nil {
		conn.Close()
		return nil, err
	}
	sc := ssh.NewClient(c, channels, requests)
	f, err := sftp.NewClient(sc)
	if err != nil {
		sc.Close()
		return nil, err
	}
	t.Cleanup(func() { f.Close(); sc.Close() })
	return &client{Client: f, conn: conn, ssh: sc}, nil
}

// put uploads b in one go.
func (c *client) put(name string, b []byte) error {
	f, err := c.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

func dataOf(b []byte) schema.UploadData {
	sum := sha256.Sum256(b)
	return schema.UploadData{Bytes: int64(len(b)), SHA256: hex.EncodeToString(sum[:]), RemotePath: "/x/y.log"}
}

func (s *server) complete(order string, b []byte) error {
	return s.Complete(s.t.Context(), order, dataOf(b), time.Now())
}

// upload does all that a good device and session do.
func (s *server) upload(order, device string, b []byte) {
	s.t.Helper()
	if err := dial(s.t, s.issue(order, device)).put("/logs/"+device+".log", b); err != nil {
		s.t.Fatal(err)
	}
	if err := s.complete(order, b); err != nil {
		s.t.Fatal(err)
	}
}

// wantFile checks what is kept of an order.
func (s *server) wantFile(order, device string, want []byte) {
	s.t.Helper()
	f, err := s.OpenLog(schema.LogFile{OrderID: order, DeviceID: device})
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, want) {
		s.t.Fatalf("%s has %d bytes, want the %d that were sent (%v)", order, len(got), len(want), err)
	}
}

// wantNames checks all files under the directory, except the host key.
func (s *server) wantNames(want ...string) {
	s.t.Helper()
	var got []string
	err := filepath.WalkDir(s.dir, func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != ".host_ed25519" {
			rel, _ := filepath.Rel(s.dir, name)
			got = append(got, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if len(got) != len(want) {
		s.t.Fatalf("files are %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			s.t.Fatalf("files are %q, want %q", got, want)
		}
	}
}

// eventually waits for what another goroutine is about to do.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func wantInvalid(t *testing.T, err error, text string) {
	t.Helper()
	if schema.KindOf(err) != schema.Invalid || !bytes.Contains([]byte(err.Error()), []byte(text)) {
		t.Fatalf("got %v, want an Invalid error with %q", err, text)
	}
}

func wantUnknown(t *testing.T, err error) {
	t.Helper()
	if schema.KindOf(err) != schema.NotFound {
		t.Fatalf("got %v, want a NotFound error", err)
	}
}

// noise is n bytes that do not repeat soon.
func noise(n int) []byte {
	b := make([]byte, n)
	x := uint32(n) + 1
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}
