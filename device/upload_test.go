package device

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/edgetether/tether/schema"
)

// newKey makes a key pair: the signer, its authorized_keys form, and the path
// of the private key's file.
func newKey(t *testing.T) (signer ssh.Signer, authorized, file string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	signer, err = ssh.NewSignerFromKey(private)
	must(t, err)
	block, err := ssh.MarshalPrivateKey(private, "")
	must(t, err)
	file = filepath.Join(t.TempDir(), "key")
	must(t, os.WriteFile(file, pem.EncodeToMemory(block), 0o600))
	key, err := ssh.NewPublicKey(public)
	must(t, err)
	return signer, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))), file
}

// sshd starts OpenSSH on a loopback port, for one key.
func sshd(t *testing.T) (address, hostKey, keyFile string) {
	t.Helper()
	_, hostKey, hostFile := newKey(t)
	_, authorized, keyFile := newKey(t)
	dir := t.TempDir()
	must(t, os.MkdirAll("/run/sshd", 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "authorized"), []byte(authorized+"\n"), 0o600))
	address = freeAddress(t)
	_, port, err := net.SplitHostPort(address)
	must(t, err)
	config := fmt.Sprintf("Port %s\nListenAddress 127.0.0.1\nHostKey %s\nAuthorizedKeysFile %s\nStrictModes no\n"+
		"PidFile none\nUsePAM no\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n",
		port, hostFile, filepath.Join(dir, "authorized"))
	must(t, os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o600))
	var said strings.Builder
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", filepath.Join(dir, "config"))
	cmd.Stderr = &said
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has no other end
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	awaitListener(t, address)
	return address, hostKey, keyFile
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

func awaitListener(t *testing.T, address string) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return
		}
	}
	t.Fatal("sshd does not listen")
}

// uploading is an uploader with a log of some size.
func uploading(t *testing.T, c *SFTPConfig) uploader {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, logName), []byte(strings.Repeat("a line of the log\n", 40_000)), 0o600))
	log := logAt(t, dir)
	t.Cleanup(func() { log.close() })
	return uploader{cfg: &Config{SFTP: c, RemoteDir: t.TempDir() + "/logs"}, log: log}
}

func uploadOrder() schema.GiveOrder {
	return schema.GiveOrder{OrderID: "1", OrderType: schema.OrderUploadLog, IsInner: true, DeviceID: deviceID}
}

func TestUploadToOpenSSH(t *testing.T) {
	t.Parallel()
	address, hostKey, keyFile := sshd(t)
	me, err := user.Current()
	must(t, err)
	known := filepath.Join(t.TempDir(), "known_hosts")
	key, err := parseHostKey(hostKey)
	must(t, err)
	must(t, os.WriteFile(known, []byte(knownhosts.Line([]string{address}, key)+"\n"), 0o600))
	for name, c := range map[string]*SFTPConfig{
		"pinned":      {Address: address, Username: me.Username, KeyFile: keyFile, HostKey: hostKey},
		"known_hosts": {Address: address, Username: me.Username, KeyFile: keyFile, KnownHosts: known},
	} {
		must(t, c.check())
		u := uploading(t, c)
		for range 2 { // the second replaces the first
			checkUpload(t, name, u)
			u.log.add("upload", "again")
		}
	}
}

func checkUpload(t *testing.T, name string, u uploader) {
	t.Helper()
	want := read(t, u.log.path())
	result := resultOf(u.run(t.Context(), uploadOrder()))
	var data schema.UploadData
	if err := json.Unmarshal(result.Data, &data); err != nil {
		t.Fatalf("%s: %+v", name, result)
	}
	sum := sha256.Sum256(want)
	if data.RemotePath != u.cfg.RemoteDir+"/"+deviceID+".log" || data.Bytes != int64(len(want)) || data.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("%s: %+v", name, data)
	}
	if got := read(t, data.RemotePath); string(got) != string(want) {
		t.Errorf("%s: %d bytes arrived, %d were sent", name, len(got), len(want))
	}
	for _, dir := range []string{u.cfg.RemoteDir, u.log.dir} {
		if names := logFiles(t, dir); len(names) != 1 {
			t.Errorf("%s: left behind: %v", name, names)
		}
	}
}

// T31: OpenSSH with another key than the pinned one, or one that is not known.
func TestT31_OpenSSHWithAnotherKey(t *testing.T) {
	t.Parallel()
	address, _, keyFile := sshd(t)
	_, other, _ := newKey(t)
	empty := filepath.Join(t.TempDir(), "known_hosts")
	must(t, os.WriteFile(empty, nil, 0o600))
	for _, c := range []*SFTPConfig{
		{Address: address, Username: "root", KeyFile: keyFile, HostKey: other},
		{Address: address, Username: "root", KeyFile: keyFile, KnownHosts: empty},
	} {
		if _, err := uploading(t, c).run(t.Context(), uploadOrder()); !errors.Is(err, errHostKey) {
			t.Errorf("got %v", err)
		}
	}
}

// middleman is an SSH server that lets everyone in and notes what it was shown.
type middleman struct {
	config   ssh.ServerConfig
	listener net.Listener
	asked    atomic.Int32 // credentials
	conns    atomic.Int32
	serve    func(*middleman, net.Conn) // what it does with a connection
	serving  sync.WaitGroup
	written  sync.Map // path: content, as the built-in receiver would have it
}

func newMiddleman(t *testing.T, key ssh.Signer, serve func(*middleman, net.Conn)) *middleman {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	m := &middleman{listener: l, serve: serve}
	m.config.PasswordCallback = func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) {
		m.asked.Add(1)
		return nil, nil
	}
	m.config.AddHostKey(key)
	m.serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			m.conns.Add(1)
			m.serving.Go(func() { defer conn.Close(); m.serve(m, conn) })
		}
	})
	t.Cleanup(func() { l.Close(); m.serving.Wait() })
	return m
}

func (m *middleman) target(hostKey string) *schema.SFTPTarget {
	return &schema.SFTPTarget{Address: m.listener.Addr().String(), HostKey: hostKey, Username: "u", Password: "canary"}
}

// handshake speaks SSH as far as a client goes.
func (m *middleman) handshake(conn net.Conn) (<-chan ssh.NewChannel, bool) {
	_, channels, requests, err := ssh.NewServerConn(conn, &m.config)
	if err != nil {
		return nil, false
	}
	m.serving.Go(func() { ssh.DiscardRequests(requests) })
	return channels, true
}

// accept takes the one channel of a client and hands it on when the client
// has asked for SFTP.
func (m *middleman) accept(conn net.Conn, serve func(ssh.Channel)) {
	channels, ok := m.handshake(conn)
	if !ok {
		return
	}
	for newChannel := range channels {
		channel, requests, err := newChannel.Accept()
		if err != nil {
			return
		}
		m.serving.Go(func() {
			for r := range requests {
				_ = r.Reply(r.Type == "subsystem", nil) // the client may be gone
			}
		})
		m.serving.Go(func() { serve(channel) })
	}
}

// receive is a write-only SFTP server, stricter than the built-in receiver.
func (m *middleman) receive(conn net.Conn) {
	m.accept(conn, func(channel ssh.Channel) {
		h := writeOnly{m}
		s := sftp.NewRequestServer(channel, sftp.Handlers{FileGet: h, FilePut: h, FileCmd: h, FileList: h})
		_ = s.Serve() // ends with the channel
		_ = s.Close()
	})
}

type writeOnly struct{ m *middleman }

func (w writeOnly) Fileread(*sftp.Request) (io.ReaderAt, error) {
	return nil, sftp.ErrSSHFxPermissionDenied
}
func (w writeOnly) Filecmd(*sftp.Request) error { return sftp.ErrSSHFxPermissionDenied }
func (w writeOnly) Filelist(*sftp.Request) (sftp.ListerAt, error) {
	return nil, sftp.ErrSSHFxPermissionDenied
}

func (w writeOnly) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	f := &memory{}
	w.m.written.Store(r.Filepath, f)
	return f, nil
}

type memory struct {
	mu   sync.Mutex
	data []byte
}

func (f *memory) WriteAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if need := int(off) + len(p); need > len(f.data) {
		f.data = append(f.data, make([]byte, need-len(f.data))...)
	}
	return copy(f.data[off:], p), nil
}

// T31: a middleman with another key is shown no credential and gets no byte;
// and it is not asked twice.
func TestT31_NoCredentialForAMiddleman(t *testing.T) {
	t.Parallel()
	key, _, _ := newKey(t)
	_, pinned, _ := newKey(t)
	m := newMiddleman(t, key, (*middleman).receive)
	o := uploadOrder()
	o.SFTP = m.target(pinned)
	if _, err := uploading(t, nil).run(t.Context(), o); !errors.Is(err, errHostKey) {
		t.Errorf("got %v", err)
	}
	if m.asked.Load() != 0 || m.conns.Load() != 1 {
		t.Errorf("%d credentials in %d connections", m.asked.Load(), m.conns.Load())
	}
}

// The target that an order carries may be write-only: one file, nothing else.
func TestUploadToTheOrdersTarget(t *testing.T) {
	t.Parallel()
	key, hostKey, _ := newKey(t)
	m := newMiddleman(t, key, (*middleman).receive)
	u := uploading(t, nil)
	want := string(read(t, u.log.path()))
	o := uploadOrder()
	o.SFTP, o.RemoteDir = m.target(hostKey), "/logs"
	result := resultOf(u.run(t.Context(), o))
	if result.Status != schema.ResultSuccess {
		t.Fatalf("%+v", result)
	}
	got, _ := m.written.Load("/logs/" + deviceID + ".log")
	if f, _ := got.(*memory); f == nil || string(f.data) != want {
		t.Errorf("what arrived is not what was sent")
	}
}

// F57: what passes is tried again, up to three times.
func TestF57_UploadIsTriedAgain(t *testing.T) {
	t.Parallel()
	key, hostKey, _ := newKey(t)
	m := newMiddleman(t, key, func(m *middleman, conn net.Conn) {
		if m.conns.Load() > 1 {
			m.receive(conn)
		}
	})
	o := uploadOrder()
	o.SFTP = m.target(hostKey)
	_, err := uploading(t, nil).run(t.Context(), o)
	if must(t, err); m.conns.Load() != 2 {
		t.Errorf("%d connections", m.conns.Load())
	}
	gone := newMiddleman(t, key, func(*middleman, net.Conn) {})
	o.SFTP = gone.target(hostKey)
	if _, err := uploading(t, nil).run(t.Context(), o); err == nil || gone.conns.Load() != uploadTries {
		t.Errorf("%v after %d connections", err, gone.conns.Load())
	}
}
