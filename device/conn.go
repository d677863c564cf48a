package device

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// conn is one connection, from its handshake to its end. Two goroutines serve
// it: the loop, which is the one that called run, owns the cadence and decides;
// the reader hands in what arrives (see receive.go). The reader and those who
// work aside post functions to the loop; the loop never waits for them.
type conn struct {
	*runner
	peer *rpc.Peer
	ctx  context.Context // ends with run
	todo chan func()

	// Of the reader alone.
	id string // ours, once logged in

	// Of the loop alone.
	deviceID string
	cadence  *cadence // nil before login
	timer    *time.Timer
	end      ending
	ping     uint64         // the call that is awaited; 0: none
	report   uint64         // likewise
	reports  uint64         // begun so far
	aside    sync.WaitGroup // collecting
}

func newConn(r *runner, peer *rpc.Peer) *conn {
	return &conn{runner: r, peer: peer, todo: make(chan func())}
}

// run serves the connection until it ends, for whatever reason, and leaves
// nothing of it behind.
func (c *conn) run(ctx context.Context) ending {
	stop, restart := ctx.Done(), c.orders.restart
	var cancel context.CancelFunc
	c.ctx, cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer c.aside.Wait()
	defer cancel()
	served := make(chan rpc.End, 1)
	go func() { served <- c.peer.Serve(c) }()

	c.timer = time.NewTimer(c.d.cfg.scaled(loginTimeout))
	defer c.timer.Stop()
	c.login()
	for {
		select {
		case end := <-served:
			return c.over(end)
		case do := <-c.todo:
			do()
		case <-c.timer.C:
			c.timeUp()
		case <-stop:
			stop = nil
			c.peer.Close(schema.CloseDone, "stopped")
		case <-restart:
			restart = nil
			c.peer.Close(schema.CloseDone, "restart")
		}
	}
}

// over makes the ending. Only what the server closed with is the server's word.
func (c *conn) over(end rpc.End) ending {
	if end.Reason == rpc.ReasonClosedByPeer {
		c.end.code, c.end.reason = end.Code, end.Text
	} else if c.end.reason == "" {
		c.end.reason = end.Reason
	}
	if c.end.loggedIn {
		c.log.add("connect", "lost", "cause", c.end)
		c.notice(schema.Offline, c.end.String())
	}
	return c.end
}

// post has the loop do something; false: the connection is over.
func (c *conn) post(do func()) bool {
	select {
	case c.todo <- do:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// leave gives the connection up.
func (c *conn) leave(cause string) {
	if c.end.reason == "" {
		c.end.reason = cause
	}
	c.peer.Close(schema.CloseLiveness, cause)
}

// timeUp: the login reply did not come, or the cadence is due.
func (c *conn) timeUp() {
	if c.cadence == nil {
		c.leave("no reply to login")
		return
	}
	c.turn(tick)
}

// login sends the one request that comes first. Its answer arrives on the
// reader, where the requests behind it may already rely on it.
func (c *conn) login() {
	p := c.credentials()
	form := "password"
	if p.Token != "" {
		form = "token"
	}
	_, err := c.peer.Call(schema.MethodLogin, p, func(resp rpc.Response) {
		if resp.Err != nil {
			c.post(func() { c.refused(resp.Err) })
			return
		}
		var result schema.LoginResult
		if rpc.Decode(resp.Result, &result) != nil || schema.CheckID("device_id", result.DeviceID) != nil {
			c.post(func() { c.leave("login reply not understood") })
			return
		}
		c.id = result.DeviceID
		c.d.setServerTime(result.ServerTime)
		at := time.Now()
		c.post(func() { c.loggedIn(result, form, at) })
	})
	if err != nil {
		c.log.add("login", "failed", "cause", err)
		c.leave("login could not be sent")
	}
}

// refused: the server's close follows, and says the rest.
func (c *conn) refused(err *schema.Error) {
	c.end.refused = err
	c.log.add("login", "refused", "cause", err.Message)
}

func (c *conn) loggedIn(result schema.LoginResult, form string, at time.Time) {
	c.end.loggedIn = true
	c.deviceID = result.DeviceID
	c.cadence = newCadence(result.Heartbeat, at)
	c.log.add("login", "ok", "device_id", result.DeviceID, "form", form)
	c.turn(tick)
	c.keepToken(result)
	c.notice(schema.Online, "login")
	c.handIn(result.Unsettled[:min(len(result.Unsettled), schema.MaxUnsettled)])
}

// turn tells the cadence what happened and does what it says.
func (c *conn) turn(e event) {
	for {
		do, wake := c.cadence.next(time.Now(), e)
		e = tick
		switch do {
		case sendPing:
			c.sendPing()
		case sendReport:
			c.beginReport()
		case leave:
			c.timer.Stop()
			c.leave("no replies")
			return
		case wait:
			c.timer.Reset(time.Until(wake))
			return
		}
	}
}

// sendPing gives the ping before it up, answered or not: one is awaited.
func (c *conn) sendPing() {
	c.peer.Forget(c.ping)
	var id uint64
	id, _ = c.peer.Call(schema.MethodPing, nil, func(rpc.Response) {
		c.post(func() {
			if c.ping == id {
				c.ping = 0
				c.turn(pingReply)
			}
		})
	})
	c.ping = id // an error leaves 0: the connection is ending
}

// beginReport collects the figures aside from the loop, which sends them.
func (c *conn) beginReport() {
	c.peer.Forget(c.report)
	c.report = 0
	c.reports++
	number, deviceID := c.reports, c.deviceID
	c.aside.Go(func() {
		status, err := c.collector.collect(c.ctx, deviceID)
		if err != nil {
			c.log.add("report", "incomplete", "cause", err)
		}
		c.post(func() {
			if number == c.reports {
				c.sendReport(status)
			}
		})
	})
}

func (c *conn) sendReport(status schema.StatusInfo) {
	var id uint64
	var err error
	id, err = c.peer.Call(schema.MethodUploadStatus, status, func(resp rpc.Response) {
		c.post(func() {
			if c.report == id {
				c.report = 0
				c.reported(resp.Err)
				c.turn(reportReply)
			}
		})
	})
	c.report = id
	if err != nil && !errors.Is(err, rpc.ErrClosed) {
		c.log.add("report", "failed", "cause", err)
	}
	c.turn(reportSent)
}

func (c *conn) reported(err *schema.Error) {
	if err != nil {
		c.log.add("report", "failed", "cause", err.Message)
		return
	}
	c.log.add("report", "ok")
}
