package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/edgetether/tether/cmd/tether/conform"
	"github.com/edgetether/tether/schema"
)

type conformCmd struct {
	Exec     string `placeholder:"COMMAND" help:"Start the client with this command line, and start it again whenever it ends. Default: you start it."`
	Listen   string `default:"127.0.0.1:9190" help:"Where the client has to connect."`
	DeviceID string `name:"device-id" default:"1860117402213097472" help:"The device that the client has to be."`
	SN       string `name:"sn" default:"CONFORM-1" help:"Its serial number."`
	Model    string `default:"conform" help:"Its model."`
	Password string `default:"conform-password" help:"Its password. Better as TETHER_PASSWORD: other users can see a command line."`

	TimeScale      float64       `default:"1" help:"The client's own fixed times were multiplied by this: 0.1 makes its 10 s before a reconnect 1 s."`
	HeartbeatScale float64       `default:"0.1" help:"Multiply the intervals that the login result tells the client."`
	Slack          time.Duration `default:"200ms" help:"By how much a time may be late, besides a quarter of it."`
	Wait           time.Duration `default:"2m" help:"How long you have to start the client."`
	EchoOrder      string        `default:"conform_echo" help:"The order that gives its params back."`
	SleepOrder     string        `default:"conform_sleep" help:"The order that takes params.ms milliseconds."`

	Server string `placeholder:"URL" help:"The other way round: hold the server at this ws:// or wss:// address against the contract, as the device."`
	API    string `name:"api" placeholder:"URL" help:"With --server: its REST side, for orders."`
	Key    string `help:"With --api: an API key, role operator. Better as TETHER_KEY."`
	Slow   bool   `help:"With --server: wait for what takes 5, 10 and 18.5 s too."`

	Only      []string `placeholder:"NAME,…" help:"These scenarios alone."`
	List      bool     `help:"Print the scenarios and their rules, and end."`
	JSON      string   `name:"json" placeholder:"FILE" help:"Write the report as JSON; - is standard output."`
	JUnit     string   `name:"junit" placeholder:"FILE" help:"Write the report as JUnit XML; - is standard output."`
	Strict    bool     `help:"What was not exercised fails too."`
	Wire      string   `placeholder:"FILE" help:"Write the conversation, a line for each message; - is standard error."`
	ClientLog string   `placeholder:"FILE" help:"Write what the client prints; - is standard error."`
}

// Help is printed below the flags.
func (c *conformCmd) Help() string {
	return `A server that walks your client through the device's contract, and says which rule it broke and what was
seen. It knows one device. The client connects to ws://LISTEN/ws as that device, and carries out two orders:

  conform_echo    success, with the order's params as data
  conform_sleep   waits params.ms milliseconds, then success

With --exec the client finds everything in its environment: TETHER_URL, TETHER_DEVICE_ID (empty: log in by
TETHER_DEVICE_SN and TETHER_DEVICE_MODEL), TETHER_PASSWORD, TETHER_STATE_DIR (a folder that lasts when the client
is started again) and TETHER_TIME_SCALE. It may end whenever it has to: to restart, or because it was told to stop.

Intervals of pings and reports are told to the client by the login result, a tenth of the usual ones. Times that no
message tells take minutes; a client that multiplies them by TETHER_TIME_SCALE is done in one.

With --server it is the device, and tests a server that you say, with the same rules: --device-id and --password of a
device that is not connected, --sn and --model if you have them, and --api with --key to give orders.

The exit code is 0 if no check failed, 1 if one did, 2 for a wrong call.

Examples:
  tether conform --exec 'python3 my_device.py' --time-scale 0.1
  tether conform --exec ./my-device --only login-password,cadence --junit report.xml
  tether conform --listen 0.0.0.0:9190
  tether conform --list
  tether conform --server ws://127.0.0.1:9090/ws --device-id 1860… --password tp_… --sn SN-1 --model ModelB \
    --api http://127.0.0.1:9090 --key tk_… --slow`
}

// Validate finds a wrong call.
func (c *conformCmd) Validate() error {
	for _, scale := range []float64{c.TimeScale, c.HeartbeatScale} {
		if !(scale > 0 && scale <= 1) {
			return errors.New("a scale is more than 0 and at most 1")
		}
	}
	if err := schema.CheckID("--device-id", c.DeviceID); err != nil {
		return err
	}
	if c.Server == "" && (c.API != "" || c.Slow) {
		return errors.New("--api and --slow go with --server")
	}
	if c.Server != "" && c.Exec != "" {
		return errors.New("--exec starts a client, --server tests a server: one of them")
	}
	return conform.CheckNames(c.Only, c.Server != "")
}

// Run is the command.
func (c *conformCmd) Run(ctx context.Context, s streams) error {
	if c.List {
		return conform.WriteList(s.out, c.Server != "")
	}
	var out outputs
	defer out.close()
	report, err := c.test(ctx, s, &out)
	if report == nil {
		return err
	}
	shown := c.show(s, &out, report)
	if err != nil {
		return fmt.Errorf("interrupted: %d checks were made", report.Count(conform.Passed)+report.Count(conform.Failed))
	}
	return shown
}

func (c *conformCmd) test(ctx context.Context, s streams, out *outputs) (*conform.Report, error) {
	say := func(format string, args ...any) { fmt.Fprintf(s.err, format+"\n", args...) }
	if c.Server != "" {
		return conform.RunServer(ctx, conform.ServerOptions{
			URL: c.Server, Device: c.device(), API: c.API, Key: c.Key, Slow: c.Slow,
			Slack: conform.Slack{Part: 0.05, Fixed: c.Slack}, Only: c.Only, Say: say,
		})
	}
	o, clean, err := c.options(s, out)
	if err != nil {
		return nil, err
	}
	defer clean()
	o.Say = say
	return conform.Run(ctx, o)
}

func (c *conformCmd) device() conform.Identity {
	return conform.Identity{ID: c.DeviceID, SN: c.SN, Model: c.Model, Password: c.Password}
}

func (c *conformCmd) options(s streams, out *outputs) (o conform.Options, clean func(), err error) {
	wire, err := out.open(c.Wire, s.err)
	if err != nil {
		return o, nil, err
	}
	clientLog, err := out.open(c.ClientLog, s.err)
	if err != nil {
		return o, nil, err
	}
	dir, err := os.MkdirTemp("", "tether-conform-")
	if err != nil {
		return o, nil, err
	}
	clean = func() { _ = os.RemoveAll(dir) }
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		clean()
		return o, nil, err
	}
	o = conform.Options{
		Listener: l, Device: c.device(),
		TimeScale: c.TimeScale, HeartbeatScale: c.HeartbeatScale, Slack: conform.Slack{Part: 0.25, Fixed: c.Slack},
		StateDir: dir, Patience: c.Wait, EchoOrder: c.EchoOrder, SleepOrder: c.SleepOrder, Only: c.Only,
	}
	if c.Wire != "" {
		o.Log = func(line string) { fmt.Fprintln(wire, line) }
	}
	if c.Exec != "" {
		o.Launch = conform.Exec(c.Exec, clientLog)
	}
	return o, clean, nil
}

// show writes the report in all forms that are wanted: the table goes where no
// other goes.
func (c *conformCmd) show(s streams, out *outputs, r *conform.Report) error {
	table := s.out
	for _, form := range []struct {
		name  string
		write func(io.Writer) error
	}{{c.JSON, r.WriteJSON}, {c.JUnit, r.WriteJUnit}} {
		if form.name == "" {
			continue
		}
		if form.name == "-" {
			table = s.err
		}
		w, err := out.open(form.name, s.out)
		if err != nil {
			return err
		}
		if err := form.write(w); err != nil {
			return err
		}
	}
	if err := r.WriteText(table, isTerminal(table)); err != nil {
		return err
	}
	if err := out.close(); err != nil {
		return err
	}
	if !r.Passed(c.Strict) {
		return fmt.Errorf("%d checks failed, %d were not exercised", r.Count(conform.Failed), r.Count(conform.NotExercised))
	}
	return nil
}

// outputs are files that a command writes.
type outputs struct{ files []*os.File }

// open makes a file; - is standard, and no name is nowhere.
func (o *outputs) open(name string, standard io.Writer) (io.Writer, error) {
	switch name {
	case "":
		return io.Discard, nil
	case "-":
		return standard, nil
	}
	f, err := os.Create(name)
	if err == nil {
		o.files = append(o.files, f)
	}
	return f, err
}

func (o *outputs) close() error {
	var all []error
	for _, f := range o.files {
		all = append(all, f.Close())
	}
	o.files = nil
	return errors.Join(all...)
}
