package device

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/edgetether/tether/schema"
)

// T36, F57: a server that stalls, at whatever point, is given up. In a bubble:
// a goroutine that stayed would keep the test from ending.
func TestT36_StallingServer(t *testing.T) {
	phases := map[string]func(*middleman, net.Conn){
		"before the version": func(_ *middleman, conn net.Conn) { drain(conn) },
		"before the key": func(_ *middleman, conn net.Conn) {
			_, _ = io.WriteString(conn, "SSH-2.0-stall\r\n")
			drain(conn)
		},
		"at the credential": func(m *middleman, conn net.Conn) { m.handshake(conn) },
		"at the channel": func(m *middleman, conn net.Conn) {
			if channels, ok := m.handshake(conn); ok {
				for range channels { // never accepted
				}
			}
		},
		"at the subsystem": func(m *middleman, conn net.Conn) { m.accept(conn, func(ssh.Channel) {}) },
		"at the write": func(m *middleman, conn net.Conn) {
			m.accept(conn, func(c ssh.Channel) {
				stuck := stalled{writeOnly{m}}
				s := sftp.NewRequestServer(c, sftp.Handlers{FileGet: stuck, FilePut: stuck, FileCmd: stuck, FileList: stuck})
				_ = s.Serve()
			})
		},
	}
	for phase, serve := range phases {
		t.Run(phase, func(t *testing.T) {
			key, hostKey, _ := newKey(t)
			synctest.Test(t, func(t *testing.T) {
				m := &middleman{}
				m.config.PasswordCallback = func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) {
					if phase == "at the credential" {
						time.Sleep(time.Minute)
					}
					return nil, nil
				}
				m.config.AddHostKey(key)
				defer m.serving.Wait()
				u := uploading(t, nil)
				u.dial = func(context.Context, string, string) (net.Conn, error) {
					ours, theirs := net.Pipe()
					m.serving.Go(func() { defer ours.Close(); serve(m, ours) })
					return theirs, nil
				}
				o := uploadOrder()
				o.SFTP = &schema.SFTPTarget{Address: "pipe:22", HostKey: hostKey, Username: "u", Password: "canary"}
				start := time.Now()
				_, err := u.run(t.Context(), o)
				took := time.Since(start)
				limit := uploadTries*(sftpHandshakeTimeout+sftpIdleTimeout) + 3*uploadPause
				if err == nil || took > limit || took < uploadTries*sftpIdleTimeout {
					t.Errorf("%v after %v", err, took)
				}
				if strings.Contains(err.Error(), o.SFTP.Password) {
					t.Error("the error tells the password")
				}
			})
		})
	}
}

func drain(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// stalled takes an upload and never finishes a write.
type stalled struct{ writeOnly }

func (s stalled) Filewrite(*sftp.Request) (io.WriterAt, error) { return s, nil }

func (stalled) WriteAt([]byte, int64) (int, error) {
	time.Sleep(time.Minute)
	return 0, io.ErrClosedPipe
}
