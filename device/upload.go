package device

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/edgetether/tether/schema"
)

// Bounds of one attempt to upload; the whole of an order has
// schema.UploadLifetime, after which its credential is void.
const (
	sftpDialTimeout      = 10 * time.Second
	sftpHandshakeTimeout = 10 * time.Second
	sftpIdleTimeout      = 10 * time.Second
	uploadTries          = 3
	uploadPause          = time.Second // doubled after each try
)

// uploader carries out upload_log.
type uploader struct {
	cfg  *Config
	log  *oplog
	dial dialFunc // nil: the network's
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// run takes a snapshot of the log and brings it to the target.
func (u uploader) run(ctx context.Context, o schema.GiveOrder) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, schema.UploadLifetime)
	defer cancel()
	to, err := u.target(o.SFTP)
	if err != nil {
		return nil, err
	}
	if to.dial = u.dial; to.dial == nil {
		to.dial = (&net.Dialer{Timeout: sftpDialTimeout}).DialContext
	}
	local, size, sum, err := u.log.snapshot()
	if err != nil {
		return nil, fmt.Errorf("snapshot of the log: %w", err)
	}
	defer os.Remove(local)
	remote := path.Join(u.remoteDir(o), o.DeviceID+".log")
	if err := to.putWithRetry(ctx, local, remote); err != nil {
		u.log.add("upload", "failed", "order_id", o.OrderID, "cause", err)
		return nil, err
	}
	u.log.add("upload", "ok", "order_id", o.OrderID, "bytes", size, "remote_path", remote)
	return schema.UploadData{Bytes: size, SHA256: sum, RemotePath: remote}, nil
}

func (u uploader) remoteDir(o schema.GiveOrder) string {
	if o.RemoteDir != "" {
		return o.RemoteDir
	}
	return u.cfg.RemoteDir
}

// target is the order's own, or the configured one.
func (u uploader) target(t *schema.SFTPTarget) (target, error) {
	if t != nil {
		return orderTarget(t)
	}
	if u.cfg.SFTP == nil {
		return target{}, errors.New("no SFTP target is configured and the order carries none")
	}
	return configuredTarget(u.cfg.SFTP)
}

// putWithRetry tries again after what may pass. A host key that differs will
// not pass, and is not asked twice.
func (t target) putWithRetry(ctx context.Context, local, remote string) error {
	pause := uploadPause
	for try := 1; ; try++ {
		err := t.put(ctx, local, remote)
		if err == nil || try == uploadTries || errors.Is(err, errHostKey) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
			pause *= 2
		}
	}
}

// put makes one attempt over a connection of its own.
func (t target) put(ctx context.Context, local, remote string) error {
	src, err := os.Open(local)
	if err != nil {
		return err
	}
	defer src.Close()
	client, hangUp, err := t.connect(ctx)
	if err != nil {
		return err
	}
	defer hangUp()
	if t.direct {
		return write(client, src, remote)
	}
	// Best effort: where the folder cannot be made, the write tells.
	_ = client.MkdirAll(path.Dir(remote))
	temp := remote + ".part"
	err = write(client, src, temp)
	if err == nil {
		err = rename(client, temp, remote)
	}
	if err != nil {
		_ = client.Remove(temp) // nothing more can be done about a part left behind
	}
	return err
}

// write sends the file in sequence, so that what lies there after a failure is a
// beginning and never has holes (reliability T34). After a failure the handle
// is not closed: closing it says that the file is whole.
func write(client *sftp.Client, src *os.File, remote string) error {
	dst, err := client.OpenFile(remote, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return fmt.Errorf("open %s: %w", remote, err)
	}
	if _, err := dst.ReadFrom(src); err != nil {
		return fmt.Errorf("write %s: %w", remote, err)
	}
	if err := dst.Close(); err != nil {
		return fmt.Errorf("close %s: %w", remote, err)
	}
	return nil
}

// rename puts the whole file into place, over an older one. Servers without
// posix-rename do not replace: there the older one goes first.
func rename(client *sftp.Client, from, to string) error {
	if _, posix := client.HasExtension("posix-rename@openssh.com"); posix {
		return client.PosixRename(from, to)
	}
	_ = client.Remove(to) // it may not be there
	return client.Rename(from, to)
}

// connect dials, checks the host key, authenticates and opens SFTP, each within
// its time. hangUp ends it all.
func (t target) connect(ctx context.Context) (client *sftp.Client, hangUp func(), err error) {
	raw, err := t.dial(ctx, "tcp", t.address)
	if err != nil {
		return nil, nil, err
	}
	// Closing the socket is what ends every wait in ssh and sftp.
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	hangUp = func() { stop(); raw.Close() }
	slow := time.AfterFunc(sftpHandshakeTimeout, func() { raw.Close() })
	defer slow.Stop()
	if client, err = t.open(idleConn{raw}); err != nil {
		hangUp()
		return nil, nil, err
	}
	return client, hangUp, nil
}

func (t target) open(conn net.Conn) (*sftp.Client, error) {
	var refused error
	config := &ssh.ClientConfig{
		User: t.username, Auth: t.auth, HostKeyAlgorithms: t.algorithms,
		HostKeyCallback: func(host string, remote net.Addr, key ssh.PublicKey) error {
			refused = t.checkKey(host, remote, key)
			return refused
		},
	}
	c, channels, requests, err := ssh.NewClientConn(conn, t.address, config)
	if refused != nil {
		return nil, fmt.Errorf("%w: %w", errHostKey, refused)
	}
	if err != nil {
		return nil, err
	}
	return sftp.NewClient(ssh.NewClient(c, channels, requests))
}

// idleConn gives every read and write its time: a server that stalls is given
// up at whatever point it does.
type idleConn struct{ net.Conn }

// Read waits for sftpIdleTimeout at most.
func (c idleConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(sftpIdleTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write waits for sftpIdleTimeout at most.
func (c idleConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(sftpIdleTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
