package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/edgetether/tether/schema"
)

// sent is what the device says of its upload.
func sent(t *testing.T, a apiReply) (schema.Order, schema.UploadData) {
	t.Helper()
	o := a.check(t, 200, "", "succeeded", "")
	var data schema.UploadData
	if err := json.Unmarshal(o.Data, &data); err != nil {
		t.Fatalf("data %s", o.Data)
	}
	return o, data
}

// checkArrived compares what arrived with the beginning of the device's own
// log: the device goes on writing.
func checkArrived(t *testing.T, a *agent, data schema.UploadData, arrived []byte) {
	t.Helper()
	sum := sha256.Sum256(arrived)
	if len(arrived) == 0 || int64(len(arrived)) != data.Bytes || hex.EncodeToString(sum[:]) != data.SHA256 {
		t.Errorf("%d bytes arrived; the device says %+v", len(arrived), data)
	}
	if !strings.HasPrefix(a.own(), string(arrived)) {
		t.Errorf("what arrived is not the device's log:\n%s", arrived)
	}
}

// TestUploadToTheReceiver: the log comes to the service's own receiver, and
// out of its API.
func TestUploadToTheReceiver(t *testing.T) {
	program := agentProgram(t)
	t.Parallel()
	s := serve(t, "--sftp-listen", "127.0.0.1:0")
	a := s.agent(program, "a", "")
	s.awaitState(a.id, schema.Online)
	var before []byte
	for range 2 {
		o, data := sent(t, s.give(a.id, schema.OrderUploadLog, ""))
		arrived, err := s.logFile(t, o.OrderID)
		if err != nil {
			t.Fatal(err)
		}
		checkArrived(t, a, data, arrived)
		if len(arrived) <= len(before) {
			t.Errorf("the second log has %d bytes, the first %d", len(arrived), len(before))
		}
		before = arrived
	}
	var list schema.List[schema.LogFile]
	if s.api.must("GET", "device_logfile_query/"+a.id, "", &list); len(list.Items) != 2 {
		t.Errorf("%d files of two orders", len(list.Items))
	}
}

// sshKey makes a key pair: the public key in the form of authorized_keys, and
// the private one's file.
func sshKey(t *testing.T) (public, file string) {
	t.Helper()
	pub, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "key")
	writeFile(t, file, string(pem.EncodeToMemory(block)))
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))), file
}

// openSSH is an sshd for one key. It has a root of its own, since the place that
// an order names is one of the system's.
type openSSH struct {
	*process
	root, address, hostKey, keyFile string
}

func newOpenSSH(t *testing.T) *openSSH {
	t.Helper()
	d := &openSSH{address: unusedAddress(t)}
	hostKey, hostFile := sshKey(t)
	authorized, keyFile := sshKey(t)
	d.hostKey, d.keyFile = hostKey, keyFile
	_, port, err := net.SplitHostPort(d.address)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "authorized"), authorized+"\n")
	config := fmt.Sprintf("ListenAddress 127.0.0.1\nPort %s\nHostKey %s\nAuthorizedKeysFile %s\nStrictModes no\nUsePAM no\n"+
		"PasswordAuthentication no\nPidFile none\nLogLevel DEBUG2\nSubsystem sftp internal-sftp\n",
		port, hostFile, filepath.Join(dir, "authorized"))
	command := []string{"/usr/sbin/sshd", "-D", "-e", "-f", filepath.Join(dir, "config")}
	if os.Geteuid() == 0 {
		d.root = chroot(t)
		config += "ChrootDirectory " + d.root + "\n"
	} else {
		command = ownLogs(command)
	}
	writeFile(t, filepath.Join(dir, "config"), config)
	d.process = launch(t, nil, command[0], command[1:]...)
	if d.root == "" {
		d.root = fmt.Sprintf("/proc/%d/root", d.cmd.Process.Pid)
	}
	await(t, "an sshd that listens", func() bool {
		d.mustRun()
		return d.err.has("Server listening on")
	})
	return d
}

// chroot makes a folder that sshd takes as a root: it and all above belong to
// the superuser alone.
func chroot(t *testing.T) string {
	t.Helper()
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := os.MkdirTemp("/run/sshd", "tether-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) }) // the test's own
	return root
}

// ownLogs runs a command that sees an empty /var/log which it may write to: all
// that a user can do who is not the superuser.
func ownLogs(command []string) []string {
	back := fmt.Sprintf("exec unshare --user --map-user=%d --map-group=%d -- \"$@\"", os.Geteuid(), os.Getegid())
	return append([]string{"/usr/bin/unshare", "--user", "--map-root-user", "--mount",
		"/bin/sh", "-c", "mount -t tmpfs tmpfs /var/log && " + back, "sh"}, command...)
}

func unusedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// target is the agent's configuration of it, pinned to a host key.
func (d *openSSH) target(t *testing.T, hostKey string) string {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("sftp: {address: %q, username: %s, key_file: %s, host_key: %q}\n", d.address, me.Username, d.keyFile, hostKey)
}

// TestUploadToTheAgentsTarget: the service has no receiver, and the agent a
// target of its own.
func TestUploadToTheAgentsTarget(t *testing.T) {
	program := agentProgram(t)
	t.Parallel()
	d := newOpenSSH(t)
	s := serve(t)
	a := s.agent(program, "a", d.target(t, d.hostKey))
	s.awaitState(a.id, schema.Online)
	_, data := sent(t, s.give(a.id, schema.OrderUploadLog, ""))
	arrived, err := os.ReadFile(filepath.Join(d.root, data.RemotePath))
	if err != nil {
		t.Fatal(err)
	}
	checkArrived(t, a, data, arrived)
	if want := schema.RemoteDir + "/" + a.id + ".log"; data.RemotePath != want {
		t.Errorf("it went to %s", data.RemotePath)
	}
	await(t, "what TestT31 must not find in sshd's log", func() bool { return d.err.has(offered) })
}

// offered is how sshd logs that a client begins to authenticate.
const offered = "userauth-request"

// TestT31_AnotherHostKey: a server with another key than the one that is
// pinned is offered no credential, and the order says why it failed.
func TestT31_AnotherHostKey(t *testing.T) {
	program := agentProgram(t)
	t.Parallel()
	d := newOpenSSH(t)
	s := serve(t)
	pinned, _ := sshKey(t)
	a := s.agent(program, "a", d.target(t, pinned))
	s.awaitState(a.id, schema.Online)
	o := s.give(a.id, schema.OrderUploadLog, "").check(t, 502, "order_failed", "failed", "")
	if !strings.Contains(o.Message, "host key") {
		t.Errorf("message %q", o.Message)
	}
	await(t, "the end of the connection in sshd's log", func() bool {
		return d.err.has("Connection closed by 127.0.0.1") || d.err.has("Connection reset by 127.0.0.1") || d.err.has("Disconnected from")
	})
	if d.err.has(offered) {
		t.Error("a credential was offered")
	}
	if _, err := os.Stat(filepath.Join(d.root, schema.RemoteDir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something arrived: %v", err)
	}
}
