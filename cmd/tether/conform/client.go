package conform

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
)

// ErrKilled is the cause with which a Launch is cancelled that has to end as by
// SIGKILL: without a chance to tidy up.
var ErrKilled = errors.New("conform: killed")

var errStopped = errors.New("conform: stopped")

// Launch runs the client under test until it ends by itself or ctx is done. env
// are the TETHER_ variables that say where to connect, and as whom.
type Launch func(ctx context.Context, env map[string]string) error

// client is the client under test as a program. Without a launch it is a
// person's, who is told what to do.
type client struct {
	launch Launch
	env    map[string]string // of the next start
	folder string            // of the state folders
	states int
	starts int

	cancel context.CancelCauseFunc
	ended  chan struct{} // closed when it has ended; nil: not started
	err    error         // why, then
}

// start starts it if it does not run.
func (c *client) start(ctx context.Context) {
	if c.launch == nil || c.running() {
		return
	}
	c.starts++
	ctx, c.cancel = context.WithCancelCause(ctx)
	ended := make(chan struct{})
	c.ended = ended
	env := c.env
	go func() {
		defer close(ended)
		c.err = c.launch(ctx, env)
	}()
}

func (c *client) running() bool {
	if c.ended == nil {
		return false
	}
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// done is closed when the client has ended; nil, which never is, if it is not
// ours.
func (c *client) done() <-chan struct{} { return c.ended }

// stop ends it and waits for it.
func (c *client) stop(cause error) {
	if c.ended == nil {
		return
	}
	c.cancel(cause)
	<-c.ended
}

// howEnded is for reports.
func (c *client) howEnded() string {
	if c.err == nil {
		return "the client ended by itself"
	}
	return fmt.Sprintf("the client ended: %v", c.err)
}

// freshState gives the next start an empty folder.
func (c *client) freshState() error {
	if c.launch == nil {
		return nil
	}
	c.states++
	dir := filepath.Join(c.folder, fmt.Sprintf("state-%d", c.states))
	c.env = maps.Clone(c.env) // a program that runs has the old one
	c.env["TETHER_STATE_DIR"] = dir
	return os.MkdirAll(dir, 0o700)
}

// identify says whom the next start is: by device_id, or by sn and model.
func (c *client) identify(d Identity, bySN bool) {
	env := maps.Clone(c.env)
	env["TETHER_DEVICE_ID"], env["TETHER_DEVICE_SN"], env["TETHER_DEVICE_MODEL"] = d.ID, d.SN, d.Model
	if bySN {
		env["TETHER_DEVICE_ID"] = ""
	}
	env["TETHER_PASSWORD"] = d.Password
	c.env = env
}
