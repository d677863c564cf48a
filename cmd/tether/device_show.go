package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
)

// showEvents is how many events "device show" has.
const showEvents = 5

type deviceShowCmd struct {
	remote
	oneDevice
}

// Help is printed below the flags.
func (c *deviceShowCmd) Help() string {
	return `Examples:
  tether device show press-7
  tether device show 2124685218223751168 --json`
}

// shownDevice is what is shown of a device.
type shownDevice struct {
	schema.Device
	ReportTime *int64             `json:"report_time"`
	Report     *schema.StatusInfo `json:"report"`
	Groups     []schema.Group     `json:"groups"`
	Events     []schema.Event     `json:"events"` // the newest first
}

// Run is the command.
func (c *deviceShowCmd) Run(ctx context.Context, a *asking) error {
	id, err := a.device(ctx, c.Device)
	if err != nil {
		return err
	}
	d, err := a.whole(ctx, id)
	if err != nil || a.json {
		return orJSON(a, d, err)
	}
	if err := a.fields(deviceFields(d)...); err != nil {
		return err
	}
	if len(d.Events) == 0 {
		return nil
	}
	fmt.Fprintln(a.out)
	slices.Reverse(d.Events)
	return printEvents(a, d.Events)
}

// orJSON is err, or else v as JSON.
func orJSON(a *asking, v any, err error) error {
	if err != nil {
		return err
	}
	return writeJSON(a.out, v)
}

// whole is all that is known of a device now.
func (a *asking) whole(ctx context.Context, id string) (d shownDevice, err error) {
	if d.Device, err = a.DeviceQuery(ctx, id); err != nil {
		return d, err
	}
	status, err := a.DeviceStatusInfoQuery(ctx, id)
	switch code := schema.Public(err).Code; {
	case err == nil:
		d.ReportTime, d.Report = status.ReportTime, status.Report
	case code != "device_offline" && code != "no_report":
		return d, err
	}
	d.Groups = []schema.Group{}
	for g, err := range a.DeviceGroups(ctx, id) {
		if err != nil {
			return d, err
		}
		d.Groups = append(d.Groups, g)
	}
	page, err := a.DeviceLogQuery(ctx, schema.EventFilter{DeviceID: id}, schema.Page{Limit: showEvents})
	d.Events = page.Items
	return d, err
}

func deviceFields(d shownDevice) []string {
	state := string(d.State)
	if d.StateReason != "" {
		state += ", " + d.StateReason
	}
	if !d.Enabled {
		state += "; disabled"
	}
	var groups []string
	for _, g := range d.Groups {
		groups = append(groups, g.Name)
	}
	fields := []string{
		"device_id", d.DeviceID, "name", d.Name, "type", d.Type, "description", d.Description,
		"model", d.Hardware.Model, "serial number", d.Hardware.SN,
		"software", softwareText(d.Software), "business software", softwareText(d.BusinessSoftware),
		"state", state, "last seen", momentOr(d.LastSeenTime, "never"), "groups", strings.Join(groups, ", "),
	}
	for _, n := range d.NIC {
		fields = append(fields, "network", strings.Join(slices.DeleteFunc([]string{n.Type, n.MAC, n.IPv4, n.IMEI}, func(s string) bool { return s == "" }), " "))
	}
	if d.Report != nil {
		f := figuresOf(*d.Report)
		fields = append(fields, "report", momentOr(d.ReportTime, ""),
			"  processor", fmt.Sprintf("user %s s, system %s s, idle %s s", f.user, f.system, f.idle),
			"  memory", fmt.Sprintf("%s MiB, %s free", f.memory, f.free),
			"  disk", fmt.Sprintf("%s MiB, %s %% used", f.disk, f.used), "  custom", string(d.Report.Custom))
	}
	return append(fields, "registered", moment(d.CreatedTime), "changed", moment(d.UpdatedTime))
}

// figures are those of a report, as people read them; those that it has not are "-".
type figures struct{ user, system, idle, memory, free, disk, used string }

func figuresOf(r schema.StatusInfo) figures {
	cpu, memory, disk := r.CPU, r.Memory, r.Disk
	if cpu == nil {
		cpu = &schema.CPUInfo{}
	}
	if memory == nil {
		memory = &schema.MemoryInfo{}
	}
	if disk == nil {
		disk = &schema.DiskInfo{}
	}
	return figures{
		figure(cpu.User, 0), figure(cpu.System, 0), figure(cpu.Idle, 0),
		figure(memory.Total, 0), figure(memory.Free, 0), figure(disk.RootTotal, 0), figure(disk.RootPercent, 1),
	}
}

func figure(p *float64, digits int) string {
	if p == nil {
		return "-"
	}
	return strconv.FormatFloat(*p, 'f', digits, 64)
}

type deviceLogCmd struct {
	remote
	oneDevice
	Follow bool             `short:"f" help:"Go on with what happens, until Ctrl-C."`
	Kind   schema.EventKind `placeholder:"KIND" help:"Events of this kind alone, such as state."`
	Since  instant          `placeholder:"TIME" help:"Not before this: 2h ago, or a time such as 2026-11-23 02:03."`
	Until  instant          `placeholder:"TIME" help:"Before this, likewise."`
	Limit  int              `default:"20" help:"The newest so many; 0: all that are kept."`
}

// Help is printed below the flags.
func (c *deviceLogCmd) Help() string {
	return `The newest event is the last.

Examples:
  tether device log press-7 --follow
  tether device log press-7 --kind state --since 24h --limit 0`
}

// Run is the command.
func (c *deviceLogCmd) Run(ctx context.Context, a *asking) error {
	id, err := a.device(ctx, c.Device)
	if err != nil {
		return err
	}
	from := int64(0) // the newest of all: if none of them is shown, what follows it is
	if c.Follow {
		if from, err = newest(ctx, a, id); err != nil {
			return err
		}
	}
	var events []schema.Event
	f := schema.EventFilter{DeviceID: id, Kind: c.Kind, Since: int64(c.Since), Until: int64(c.Until)}
	for e, err := range a.DeviceEvents(ctx, f) {
		if err != nil {
			return err
		}
		if events = append(events, e); len(events) == c.Limit {
			break
		}
	}
	slices.Reverse(events)
	if !c.Follow {
		return printEvents(a, events)
	}
	return c.follow(ctx, a, id, events, from)
}

// newest is the position of the device's last event; 0: it has none.
func newest(ctx context.Context, a *asking, id string) (int64, error) {
	for e, err := range a.DeviceEvents(ctx, schema.EventFilter{DeviceID: id}) {
		return e.Pos, err
	}
	return 0, nil
}

// follow shows the events, and those after the last of them, or after from.
func (c *deviceLogCmd) follow(ctx context.Context, a *asking, id string, events []schema.Event, from int64) error {
	q := client.EventQuery{EventSelection: schema.EventSelection{DeviceID: id}, After: &from, Resumed: true}
	if c.Kind != "" {
		q.Kinds = []schema.EventKind{c.Kind}
	}
	show := newEventTable(a)
	for _, e := range events {
		q.After = &e.Pos
		if err := show(e); err != nil {
			return err
		}
	}
	return tail(ctx, a, q, show)
}

func printEvents(a *asking, events []schema.Event) error {
	return list(a, values(events), 0, eventHead, eventRow)
}

// values are items that are there already.
func values[T any](items []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
	}
}

type deviceHistoryCmd struct {
	remote
	oneDevice
	Since instant       `placeholder:"TIME" default:"24h" help:"Not before this: 2h ago, or a time such as 2026-11-23 02:03."`
	Until instant       `placeholder:"TIME" help:"Before this, likewise."`
	Step  time.Duration `default:"1h" help:"Averages over this time; 0: the reports as they were kept."`
	Limit int           `default:"0" help:"The newest so many; 0: all."`
}

// Help is printed below the flags.
func (c *deviceHistoryCmd) Help() string {
	return `The newest is the first. Processor times are cumulative, in seconds; memory and disk are in MiB.

Examples:
  tether device history press-7
  tether device history press-7 --since 2h --step 10m
  tether device history press-7 --step 0 --json`
}

// Run is the command.
func (c *deviceHistoryCmd) Run(ctx context.Context, a *asking) error {
	id, err := a.device(ctx, c.Device)
	if err != nil {
		return err
	}
	f := schema.HistoryFilter{DeviceID: id, Since: int64(c.Since), Until: int64(c.Until), Step: c.Step.Milliseconds()}
	head := []string{"TIME", "REPORTS", "USER", "SYSTEM", "IDLE", "MEMORY", "FREE", "DISK", "USED %"}
	return list(a, a.DeviceHistory(ctx, f), c.Limit, head, func(p schema.HistoryPoint) []string {
		r := figuresOf(p.Report)
		return []string{moment(p.Time), strconv.FormatInt(p.Samples, 10), r.user, r.system, r.idle, r.memory, r.free, r.disk, r.used}
	})
}

// instant is a moment in milliseconds, given as a time or as how long ago it was.
type instant int64

// UnmarshalText reads one.
func (i *instant) UnmarshalText(text []byte) error {
	if ago, err := time.ParseDuration(string(text)); err == nil && ago >= 0 {
		*i = instant(time.Now().Add(-ago).UnixMilli())
		return nil
	}
	for _, form := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(form, string(text), time.Local); err == nil && at.UnixMilli() >= 0 {
			*i = instant(at.UnixMilli())
			return nil
		}
	}
	return fmt.Errorf(`must be a time such as "2026-11-23 02:03", or how long ago, such as 2h`)
}

// readJSON reads a flag that is JSON, if it is given; null clears.
func readJSON[T any](flag string, text *string, into **T) error {
	if text == nil {
		return nil
	}
	var v T
	d := json.NewDecoder(strings.NewReader(*text))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil || d.More() {
		return wrong("%s: must be JSON as the help shows it: %v", flag, err)
	}
	*into = &v
	return nil
}
