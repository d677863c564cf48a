package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/edgetether/tether/schema"
)

type jobCmd struct {
	Give   jobGiveCmd   `cmd:"" help:"Give many devices an order, and wait for the outcome of each."`
	List   jobListCmd   `cmd:"" help:"List jobs."`
	Show   jobShowCmd   `cmd:"" help:"Show a job, and what became of its devices."`
	Cancel jobCancelCmd `cmd:"" help:"Begin no more orders of a job."`
	Retry  jobRetryCmd  `cmd:"" help:"Give the order again to the devices that did not succeed."`
}

// oneJob is the argument of commands about one job.
type oneJob struct {
	Job string `arg:"" help:"The job's id."`
}

// jobStates are the states of a job's devices, in the order of a device's way.
var jobStates = []schema.JobDeviceState{
	schema.DevicePending, schema.DeviceQueued, schema.DeviceSent, schema.DeviceSucceeded,
	schema.DeviceFailed, schema.DeviceLost, schema.DeviceCancelled, schema.DeviceExpired, schema.DeviceRefused,
}

type jobListCmd struct {
	remote
	Limit int `default:"20" help:"The newest so many; 0: all that are kept."`
}

// Help is printed below the flags.
func (c *jobListCmd) Help() string {
	return `The newest is the first. Failures are the devices that have another outcome than success.

Examples:
  tether job list
  tether job list --limit 0 --json | jq -r 'select(.state=="running").job_id'`
}

// Run is the command.
func (c *jobListCmd) Run(ctx context.Context, a *asking) error {
	head := []string{"ID", "ORDER", "STATE", "DEVICES", "SUCCEEDED", "FAILURES", "GIVEN", "ENDED", "BY"}
	return list(a, a.Jobs(ctx), c.Limit, head, func(j schema.Job) []string {
		n := func(i int64) string { return strconv.FormatInt(i, 10) }
		return []string{j.JobID, j.Order, string(j.State), n(j.Counts.Total), n(j.Counts.Succeeded), n(j.Counts.Failures()),
			moment(j.CreatedTime), momentOr(j.EndedTime, ""), j.By}
	})
}

type jobShowCmd struct {
	remote
	oneJob
	State []schema.JobDeviceState `placeholder:"STATE,…" help:"Devices in these states alone: pending, queued, sent, succeeded, failed, unknown, cancelled, expired, refused."`
}

// Help is printed below the flags.
func (c *jobShowCmd) Help() string {
	return `Devices are listed in the order of their turn, whose orders "tether order show" knows once they are queued or sent.

Examples:
  tether job show 2124685243716730880
  tether job show 2124685243716730880 --state failed,unknown,refused
  tether job show 2124685243716730880 --json | jq .counts`
}

// Validate finds a wrong call.
func (c *jobShowCmd) Validate() error {
	for _, s := range c.State {
		if !s.Valid() {
			return fmt.Errorf("--state: %q is no state of a job's device", s)
		}
	}
	return nil
}

// Run is the command.
func (c *jobShowCmd) Run(ctx context.Context, a *asking) error {
	r, err := a.GroupOrderQuery(ctx, c.Job, schema.Page{Limit: 1})
	if err != nil {
		return err
	}
	if a.json {
		return a.jobJSON(ctx, r.Job, c.State)
	}
	if err := a.fields(jobFields(r.Job)...); err != nil {
		return err
	}
	fmt.Fprintln(a.out)
	return a.jobDevices(ctx, r.JobID, c.State)
}

// shownJob is a job with its devices.
type shownJob struct {
	schema.Job
	Devices []schema.JobDevice `json:"devices"`
}

// jobJSON shows a job and its devices, of those in some states or of all, as
// one record.
func (a *asking) jobJSON(ctx context.Context, j schema.Job, states []schema.JobDeviceState) error {
	shown := shownJob{j, []schema.JobDevice{}}
	for d, err := range a.JobDevices(ctx, j.JobID, states...) {
		if err != nil {
			return err
		}
		shown.Devices = append(shown.Devices, d)
	}
	return writeJSON(a.out, shown)
}

// jobDevices shows a row for each device of a job, of those in some states or of all.
func (a *asking) jobDevices(ctx context.Context, jobID string, states []schema.JobDeviceState) error {
	head := []string{"DEVICE", "ORDER", "STATE", "REASON", "MESSAGE"}
	return list(a, a.JobDevices(ctx, jobID, states...), 0, head, func(d schema.JobDevice) []string {
		reason := ""
		if d.Reason != nil {
			reason = *d.Reason
		}
		return []string{d.DeviceID, d.OrderID, string(d.State), reason, d.Message}
	})
}

func jobFields(j schema.Job) []string {
	failures, cancelledBy := "", ""
	if j.MaxFailures != nil {
		failures = strconv.FormatInt(*j.MaxFailures, 10)
	}
	if j.CancelledBy != nil {
		cancelledBy = *j.CancelledBy
	}
	return []string{
		"job_id", j.JobID, "order", j.Order, "params", string(j.Params), "for", targetText(j.Target),
		"at once", strconv.FormatInt(j.MaxParallel, 10), "max failures", failures,
		"if offline", j.IfOffline, "if busy", j.IfBusy, "may wait", waitText(j),
		"state", string(j.State), "cancelled by", cancelledBy, "devices", fmt.Sprintf("%d: %s", j.Counts.Total, countsText(j.Counts)),
		"by", j.By, "given", moment(j.CreatedTime), "ended", momentOr(j.EndedTime, ""),
	}
}

// targetText says in words which devices a job is for.
func targetText(t schema.JobTarget) string {
	switch t.Kind {
	case schema.TargetGroup:
		return "the group " + t.GroupID
	case schema.TargetFilter:
		return "devices with " + filterText(*t.Filter)
	case schema.TargetRetry:
		return "those of job " + t.JobID + " that did not succeed"
	}
	return "devices of a list"
}

func filterText(f schema.JobFilter) string {
	var parts []string
	for _, part := range [][2]string{{"state", string(f.State)}, {"type", f.Type}, {"model", f.Model}, {"name", f.Name}} {
		if part[1] != "" {
			parts = append(parts, part[0]+" "+part[1])
		}
	}
	return strings.Join(parts, ", ")
}

// waitText is how long an order of the job may wait; empty if none waits.
func waitText(j schema.Job) string {
	if j.IfOffline == schema.IfFail && j.IfBusy == schema.IfFail {
		return ""
	}
	return fmt.Sprintf("%d s", j.TTL)
}

// countsText is how many devices are in each state, such as "2 succeeded, 1 failed".
func countsText(c schema.JobCounts) string {
	var parts []string
	for _, s := range jobStates {
		if n := *c.Of(s); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	return strings.Join(parts, ", ")
}

// jobText is a job in a line.
func jobText(j schema.Job) string {
	state := string(j.State)
	if j.State != schema.JobRunning && j.EndedTime == nil {
		state += ", but not ended"
	}
	return fmt.Sprintf("job %s (%s): %s; %d devices: %s", j.JobID, j.Order, state, j.Counts.Total, countsText(j.Counts))
}

type jobCancelCmd struct {
	remote
	oneJob
}

// Help is printed below the flags.
func (c *jobCancelCmd) Help() string {
	return `What waits is cancelled; orders that were sent already have their outcome. A job that does not run any more
is not cancelled: exit code 1.

Examples:
  tether job cancel 2124685243716730880`
}

// Run is the command.
func (c *jobCancelCmd) Run(ctx context.Context, a *asking) error {
	j, err := a.GroupOrderCancel(ctx, c.Job)
	if err != nil {
		return err
	}
	return a.done(j, "%s", jobText(j))
}
