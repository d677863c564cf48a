package logdrop

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

var errRefused = errors.New("logdrop: refused")

// uploadKey is where the password check leaves its upload for the connection.
type uploadKey struct{}

func (r *Receiver) serverConfig() *ssh.ServerConfig {
	config := &ssh.ServerConfig{
		MaxAuthTries:  3,
		ServerVersion: "SSH-2.0-tether",
		PasswordCallback: func(meta ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			u := r.book.login(meta.User(), password, time.Now())
			if u == nil {
				return nil, errRefused
			}
			return &ssh.Permissions{ExtraData: map[any]any{uploadKey{}: u}}, nil
		},
	}
	config.AddHostKey(r.key)
	return config
}

// admit hands a connection to a goroutine of its own, or closes it.
func (r *Receiver) admit(c net.Conn, config *ssh.ServerConfig) {
	source := sourceOf(c)
	if !r.gate.enter(source, r.limits) {
		c.Close()
		return
	}
	owned := r.own(c, func() {
		defer c.Close()
		r.converse(c, source, config)
	})
	if !owned {
		r.gate.leave(source)
		c.Close()
	}
}

// converse carries one connection from its handshake to its end.
func (r *Receiver) converse(c net.Conn, source string, config *ssh.ServerConfig) {
	begun := time.Now()
	timed := &timedConn{Conn: c, idle: r.limits.handshake, until: begun.Add(r.limits.handshake)}
	server, channels, requests, err := ssh.NewServerConn(timed, config)
	joined := err == nil && r.gate.join(r.limits)
	r.gate.leave(source)
	if err != nil {
		r.o.Log("log upload refused", "address", source, "error", err.Error())
		return
	}
	defer server.Close()
	if !joined {
		r.o.Log("log upload refused", "address", source, "error", "too many connections")
		return
	}
	defer r.gate.part()
	if timed.allow(r.limits.idle, begun.Add(r.limits.life)) != nil {
		return
	}
	discarded := make(chan struct{})
	go func() { // ends with the connection; waited for below
		defer close(discarded)
		ssh.DiscardRequests(requests)
	}()
	u, _ := server.Permissions.ExtraData[uploadKey{}].(*upload)
	r.serveChannels(channels, u)
	server.Close()
	<-discarded
}

// serveChannels serves one session at a time. What else a client wants to
// open (forwarding, mostly) is refused, and at once: an offer left waiting
// would hold up the data of the session that there is.
func (r *Receiver) serveChannels(channels <-chan ssh.NewChannel, u *upload) {
	var sessions sync.WaitGroup
	defer sessions.Wait()
	slot := make(chan struct{}, 1)
	for offer := range channels {
		if offer.ChannelType() != "session" {
			offer.Reject(ssh.UnknownChannelType, "sftp only") // an error ends the loop by itself
			continue
		}
		select {
		case slot <- struct{}{}:
			sessions.Go(func() {
				defer func() { <-slot }()
				if channel, requests, err := offer.Accept(); err == nil {
					r.serveSession(channel, requests, u)
				}
			})
		default:
			offer.Reject(ssh.ResourceShortage, "one session at a time")
		}
	}
}

// serveSession waits for the sftp subsystem and serves it. Nothing else can
// be run: no shell, no command, no terminal.
func (r *Receiver) serveSession(channel ssh.Channel, requests <-chan *ssh.Request, u *upload) {
	defer channel.Close()
	for request := range requests {
		wanted := request.Type == "subsystem" && subsystem(request.Payload) == "sftp"
		request.Reply(wanted, nil) // an error ends the loop by itself
		if !wanted {
			continue
		}
		discarded := make(chan struct{})
		go func() { // ends with the channel; waited for below
			defer close(discarded)
			ssh.DiscardRequests(requests)
		}()
		h := handlers{r: r, u: u}
		err := sftp.NewRequestServer(channel, sftp.Handlers{FileGet: h, FilePut: h, FileCmd: h, FileList: h}).Serve()
		if err == nil || errors.Is(err, io.EOF) {
			// The OpenSSH client fails without an exit status.
			channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{}))
		}
		channel.Close()
		<-discarded
		return
	}
}

// subsystem is the name in a subsystem request; empty if it is malformed.
func subsystem(payload []byte) string {
	var p struct{ Name string }
	if ssh.Unmarshal(payload, &p) != nil {
		return ""
	}
	return p.Name
}

// timedConn limits each wait for the peer, and all of them together.
type timedConn struct {
	net.Conn
	mu    sync.Mutex
	idle  time.Duration
	until time.Time
}

// allow sets new limits, for the wait that is going on as well.
func (c *timedConn) allow(idle time.Duration, until time.Time) error {
	c.mu.Lock()
	c.idle, c.until = idle, until
	c.mu.Unlock()
	return c.SetDeadline(c.deadline())
}

// Read puts the end of the idle time off.
func (c *timedConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(c.deadline()); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write puts the end of the idle time off.
func (c *timedConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(c.deadline()); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (c *timedConn) deadline() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if next := time.Now().Add(c.idle); next.Before(c.until) {
		return next
	}
	return c.until
}
