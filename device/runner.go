package device

import (
	"context"
	"fmt"
	"time"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// Times of one connection attempt.
const (
	dialTimeout  = 10 * time.Second // TCP, TLS and the WebSocket handshake
	loginTimeout = 10 * time.Second // from the login request to its reply
)

// runner is one Run: what outlives its connections.
type runner struct {
	d         *Device
	log       *oplog
	orders    *orders
	updates   *updates
	collector *collector

	// Of the goroutine of Run alone.
	token tokenFile
	retry retry
}

// stayConnected makes connection after connection until there is a reason to
// stop; restart says that a restart order is it.
func (r *runner) stayConnected(ctx context.Context) (restart bool, err error) {
	for {
		end := r.connect(ctx)
		select {
		case <-r.orders.restart:
			return true, nil
		default:
		}
		if ctx.Err() != nil {
			return false, nil
		}
		v := r.retry.after(end)
		if v.forgetToken {
			r.forgetToken()
		}
		if v.stop {
			r.log.add("connect", "stop", "cause", end)
			return false, v.err
		}
		r.log.add("connect", "wait", "for", v.wait.Round(time.Millisecond), "cause", end)
		select {
		case <-ctx.Done():
			return false, nil
		case <-r.orders.restart:
			return true, nil
		case <-time.After(v.wait):
		}
	}
}

// connect makes one connection and stays with it to its end.
func (r *runner) connect(ctx context.Context) ending {
	url := r.d.cfg.URL
	peer, err := r.dial(ctx)
	if err != nil {
		r.log.add("connect", "failed", "url", url, "cause", err)
		return ending{reason: fmt.Sprintf("connect: %v", err)}
	}
	r.log.add("connect", "ok", "url", url)
	return newConn(r, peer).run(ctx)
}

func (r *runner) dial(ctx context.Context) (*rpc.Peer, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	cfg := &r.d.cfg
	return rpc.Dial(ctx, cfg.URL, rpc.Options{NetDial: cfg.NetDial, TLS: cfg.TLS, Admit: newAdmission()})
}

// credentials are the params of login: the token while it is good, or else the
// password.
func (r *runner) credentials() schema.LoginParams {
	cfg := &r.d.cfg
	p := schema.LoginParams{BootID: cfg.BootID, Client: cfg.Client}
	if r.token.Token != "" && r.d.serverTime().UnixMilli() < r.token.Expires {
		p.DeviceID, p.Token = r.token.DeviceID, r.token.Token
		return p
	}
	p.DeviceID, p.SN, p.Model, p.Password = cfg.DeviceID, cfg.SN, cfg.Model, cfg.Password
	return p
}

// keepToken takes the credential of a login, in memory and on the disk.
func (r *runner) keepToken(login schema.LoginResult) {
	cfg := &r.d.cfg
	r.token = tokenFile{
		URL: cfg.URL, SN: cfg.SN, Model: cfg.Model,
		DeviceID: login.DeviceID, Token: login.Token, Expires: login.TokenExpires,
	}
	if err := r.token.save(cfg.StateDir); err != nil {
		r.log.add("login", "token_not_kept", "cause", err)
	}
}

// forgetToken: it was refused.
func (r *runner) forgetToken() {
	r.token = tokenFile{}
	if err := forgetToken(r.d.cfg.StateDir); err != nil {
		r.log.add("login", "token_not_forgotten", "cause", err)
	}
}

// notice tells the program of a change.
func (r *runner) notice(state schema.DevState, cause string) {
	if tell := r.d.cfg.OnState; tell != nil {
		tell(state, cause)
	}
}
