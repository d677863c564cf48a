package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
)

type jobGiveCmd struct {
	remote
	givenOrder
	targets
	MaxParallel int           `default:"100" help:"Orders that are under way at once."`
	MaxFailures *int64        `placeholder:"N" help:"Once more devices than this did not succeed, no order is begun any more. Default: it goes on."`
	Queue       bool          `help:"A device is not there: its order waits for it."`
	WaitTurn    bool          `help:"Another order is under way on a device: it waits its turn."`
	TTL         time.Duration `name:"ttl" placeholder:"TIME" help:"How long an order may wait in all, with --queue or --wait-turn. Default: 1h."`
	madeJob
}

// targets say which devices a job is for.
type targets struct {
	Group  string          `help:"For the devices in this group: its id or name."`
	Device []string        `sep:"none" placeholder:"DEVICE" help:"For this device: its id or whole name; may be repeated."`
	State  schema.DevState `placeholder:"STATE" help:"For those that are online, Unknown or offline."`
	Type   string          `help:"For those of this type."`
	Model  string          `help:"For those of this model."`
	Name   string          `placeholder:"TEXT" help:"For those whose name has this in it."`
}

// madeJob says how a command goes on with the job that it makes.
type madeJob struct {
	NoWait         bool   `help:"Print the job, and do not wait for its end."`
	IdempotencyKey string `placeholder:"TEXT" help:"However often the job is given with this key, it is one. Default: one of its own, for lost connections."`
}

// Help is printed below the flags.
func (c *jobGiveCmd) Help() string {
	return `For the devices of one group, for those that --device names, or for those that match --state, --type, --model
and --name. Which they are is looked up once, now. Each is given the order once at most.

Waits until the job has ended, and prints how many devices succeeded, and a row for each that did not. The wait goes
on over a restart of the service, and so does the job; Ctrl-C ends the wait alone. The exit code is

  0   every device says success; with --no-wait, the job was made
  1   not every device does, or the job was refused: message and code say why
  2   a wrong call
  3   the wait was ended, or nobody knows whether the job was made

Examples:
  tether job give restart --group "hall 2"
  tether job give say text=hello --device press-7 --device press-8
  tether job give set_volume --params '{"level":3}' --model ModelB --max-parallel 50 --max-failures 10
  tether job give upload_log --state offline --queue --ttl 24h --no-wait`
}

// jobLook is between two looks at a job.
const jobLook = 500 * time.Millisecond

// didNotSucceed are the states of devices that have another outcome than success.
var didNotSucceed = []schema.JobDeviceState{
	schema.DeviceFailed, schema.DeviceLost, schema.DeviceCancelled, schema.DeviceExpired, schema.DeviceRefused,
}

// Validate finds a wrong call.
func (c *jobGiveCmd) Validate() error {
	switch {
	case c.ways() != 1:
		return errors.New("say in one way which devices: --group, --device, or a filter of --state, --type, --model and --name")
	case c.MaxParallel < 1 || c.MaxParallel > schema.MaxParallel:
		return fmt.Errorf("--max-parallel is 1 to %d", schema.MaxParallel)
	case c.MaxFailures != nil && (*c.MaxFailures < 0 || *c.MaxFailures > schema.MaxJobFailures):
		return fmt.Errorf("--max-failures is 0 to %d", schema.MaxJobFailures)
	case c.TTL < 0 || c.TTL%time.Second != 0:
		return errors.New("--ttl is at least 0, and whole seconds")
	}
	_, err := c.params()
	return err
}

// ways is in how many ways it is said which devices.
func (t targets) ways() (n int) {
	for _, said := range []bool{t.Group != "", len(t.Device) > 0, t.filter() != schema.JobFilter{}} {
		if said {
			n++
		}
	}
	return n
}

func (t targets) filter() schema.JobFilter {
	return schema.JobFilter{State: t.State, Type: t.Type, Model: t.Model, Name: t.Name}
}

// aim has a job be for the devices, whose names it looks up.
func (t targets) aim(ctx context.Context, a *asking, j *client.NewJob) (err error) {
	if f := t.filter(); f != (schema.JobFilter{}) {
		j.Filter = &f
	}
	for _, name := range t.Device {
		id, err := a.device(ctx, name)
		if err != nil {
			return err
		}
		j.DeviceIDs = append(j.DeviceIDs, id)
	}
	j.GroupID, err = a.optionalGroup(ctx, t.Group)
	return err
}

// Run is the command.
func (c *jobGiveCmd) Run(ctx context.Context, a *asking) error {
	params, err := c.params()
	if err != nil {
		return wrong("%w", err)
	}
	n := client.NewJob{
		Order: c.Order, Params: params, MaxParallel: c.MaxParallel, MaxFailures: c.MaxFailures,
		Queue: c.Queue, WaitTurn: c.WaitTurn, TTL: c.TTL,
	}
	if err := c.aim(ctx, a, &n); err != nil {
		return notMade(err, false, "")
	}
	return c.goOn(ctx, a, func(ctx context.Context, key string) (schema.Job, error) {
		n.IdempotencyKey = key
		return a.GroupGiveOrder(ctx, n)
	})
}

type jobRetryCmd struct {
	remote
	oneJob
	madeJob
}

// Help is printed below the flags.
func (c *jobRetryCmd) Help() string {
	return `Makes a new job for the devices that did not succeed and are still there, with the order and the limits of the old
one; also for those whose outcome is unknown, which may have carried it out. Waits as "tether job give" does.

Examples:
  tether job retry 2124685243716730880
  tether job retry 2124685243716730880 --no-wait`
}

// Run is the command.
func (c *jobRetryCmd) Run(ctx context.Context, a *asking) error {
	return c.goOn(ctx, a, func(ctx context.Context, key string) (schema.Job, error) {
		return a.GroupOrderRetry(ctx, c.Job, key)
	})
}

// goOn makes a job with a key, waits for its end unless nobody wants that, and
// shows it.
func (m madeJob) goOn(ctx context.Context, a *asking, give func(ctx context.Context, key string) (schema.Job, error)) error {
	if m.IdempotencyKey == "" {
		m.IdempotencyKey = rand.Text()
	}
	var sent atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }})
	j, err := give(traced, m.IdempotencyKey)
	if err != nil {
		return notMade(err, sent.Load(), m.IdempotencyKey)
	}
	if m.NoWait {
		return a.done(j, "%s", jobText(j))
	}
	if j, err = newJobWait(a).end(ctx, j); err != nil {
		return ended{codeUnknown, fmt.Errorf("%w; job %s goes on: \"tether job show %[2]s\" knows how it is, \"tether job cancel %[2]s\" ends it", explained(err), j.JobID)}
	}
	return a.jobOutcome(ctx, j)
}

// notMade is why there is no job. If something was sent and the service has not
// said what became of it, nobody knows whether there is one.
func notMade(err error, sent bool, key string) error {
	if errors.Is(err, context.Canceled) {
		err = errInterrupted
	}
	if !sent || saidNo(err) {
		return err
	}
	return ended{codeUnknown, fmt.Errorf("%w; whether the job was made is not known: "+
		"the same again with --idempotency-key %s makes it once at most", explained(err), key)}
}

// saidNo says whether the service has said no, and means it.
func saidNo(err error) bool {
	if !errors.As(err, new(*schema.Error)) {
		return false // it has not said anything
	}
	switch schema.KindOf(err) {
	case schema.StoreUnavailable, schema.Internal:
		return false
	}
	return true
}

// jobWait waits for a job's end, and shows how it is meanwhile.
type jobWait struct {
	*asking
	bar
	lost bool // the service does not answer
}

func newJobWait(a *asking) *jobWait {
	return &jobWait{asking: a, bar: newBar(a.err, isTerminal(a.err))}
}

// end is the job when it has ended. A service that goes away comes back, and the
// job with it.
func (w *jobWait) end(ctx context.Context, j schema.Job) (schema.Job, error) {
	defer w.clear()
	for j.EndedTime == nil {
		if w.due() {
			w.progress(j)
		}
		select {
		case <-time.After(jobLook):
		case <-ctx.Done():
			return j, ctx.Err()
		}
		r, err := w.GroupOrderQuery(ctx, j.JobID, schema.Page{Limit: 1})
		switch {
		case ctx.Err() != nil:
			return j, ctx.Err()
		case err == nil:
			j = r.Job
		case saidNo(err) && !later(err):
			return j, err
		}
		w.heard(err)
	}
	return j, nil
}

// later says whether the service will answer, but not now.
func later(err error) bool {
	kind := schema.KindOf(err)
	return kind == schema.Draining || kind == schema.Overloaded
}

// progress shows how many devices have an outcome.
func (w *jobWait) progress(j schema.Job) {
	failures := j.Counts.Failures()
	done := j.Counts.Succeeded + failures
	w.show(float64(done)/float64(max(j.Counts.Total, 1)), fmt.Sprintf("%d of %d devices, %d failures", done, j.Counts.Total, failures))
}

// heard says that the service went away, or is back.
func (w *jobWait) heard(err error) {
	switch {
	case err != nil && !w.lost:
		w.clear()
		fmt.Fprintf(w.err, "tether: %s; waiting for the service, and for the job\n", plain(err.Error()))
	case err == nil && w.lost:
		w.clear()
		fmt.Fprintln(w.err, "tether: connected again; the job goes on")
	}
	w.lost = err != nil
}

// jobOutcome shows a job that has ended. It is an error if not all succeeded.
func (a *asking) jobOutcome(ctx context.Context, j schema.Job) error {
	failures := j.Counts.Failures()
	if err := a.endedJob(ctx, j); err != nil || failures == 0 {
		return err
	}
	return fmt.Errorf("%d of %d devices did not succeed; \"tether job retry %s\" gives them the order again", failures, j.Counts.Total, j.JobID)
}

// endedJob shows the counts, and the devices that did not succeed.
func (a *asking) endedJob(ctx context.Context, j schema.Job) error {
	if a.json {
		return a.jobJSON(ctx, j, didNotSucceed)
	}
	if err := a.done(j, "%s", jobText(j)); err != nil || j.Counts.Failures() == 0 {
		return err
	}
	return a.jobDevices(ctx, j.JobID, didNotSucceed)
}
