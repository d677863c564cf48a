package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/edgetether/tether/cmd/tether/sim"
	"github.com/edgetether/tether/northapi/client"
)

type simCmd struct {
	Devices int    `default:"100" help:"How many devices."`
	URL     string `name:"url" default:"http://127.0.0.1:9090" help:"Where the service is."`
	WS      string `name:"ws" placeholder:"URL" help:"Where devices connect; default: ws://…/ws of --url."`
	Key     string `help:"An API key, role admin. Better as TETHER_KEY: other users can see a command line."`

	Prefix  string `default:"sim" help:"Begins names and serial numbers; a later run finds its own devices by it."`
	State   string `placeholder:"FILE" help:"Keep ids, passwords and tokens here: the fleet comes back without being registered."`
	Cleanup bool   `help:"Delete the devices at the end."`
	Bcrypt  int    `placeholder:"N" help:"So many have a password that is checked with bcrypt."`
	Group   string `placeholder:"NAME" help:"Put the devices into this group; it is made if it is not there."`

	Mode    string        `default:"auto" enum:"auto,library,lean" help:"library: on the device library; lean: the wire and the times of a device alone; auto: library up to 200."`
	Patient bool          `help:"Devices never hang up, whatever is not answered."`
	Sources int           `default:"-1" placeholder:"N" help:"Connect from 127.0.0.2 and the N-1 after it; default: one for 4,500 devices, if the server is on loopback; 0: the kernel's choice."`
	Rate    float64       `default:"500" help:"First connects a second."`
	Spread  time.Duration `help:"Or all of them at random within this time."`
	For     time.Duration `help:"How long, from the first connect; default: until Ctrl-C."`

	Order         string        `default:"sim" help:"The order that devices know."`
	OrderDelay    time.Duration `help:"How long an order takes a device."`
	OrderFailures float64       `placeholder:"SHARE" help:"Share of orders that fail, 0 to 1."`
	Orders        float64       `placeholder:"R" help:"Give so many orders a second, to random devices."`
	Callers       int           `default:"16" help:"REST requests at once."`
	GroupOrder    bool          `help:"Give the group one order, and time all outcomes."`
	MaxParallel   int           `placeholder:"N" help:"max_parallel of that order; default: the server's."`

	Flap        float64       `placeholder:"SHARE" help:"Share of devices that lose their connection every 30 s or so, 0 to 1."`
	HalfOpen    int           `placeholder:"N" help:"So many devices whose line goes silent again and again, without a FIN."`
	Slow        int           `placeholder:"N" help:"So many devices that ask for much and never read."`
	Herd        time.Duration `placeholder:"TIME" help:"Drop all connections at once, this long after the last device arrived."`
	Churn       float64       `placeholder:"R" help:"So many devices a second restart in good order."`
	WrongLogins float64       `placeholder:"R" help:"So many logins a second with a wrong secret, for devices of the fleet, from addresses of their own; each leaves after some seconds."`

	ServerPID int           `name:"server-pid" placeholder:"PID" help:"Read the server's memory and processor time from /proc."`
	Metrics   string        `placeholder:"URL" help:"Or from its Prometheus endpoint."`
	JSON      string        `name:"json" placeholder:"FILE" help:"Write the report as JSON; - is standard output."`
	MaxP99    time.Duration `name:"max-p99" placeholder:"TIME" help:"The exit code is 1 if the p99 of pings is longer."`
}

// Help is printed below the flags.
func (c *simCmd) Help() string {
	return `Registers devices with a running service, connects them, and measures what the service makes of it. Take a
service that is there for that: the devices are real to it. They report at once, ping after 5 s, report every 15 s, await
a reply for 3 s, hang up after three misses and come back after 10 s, obey close codes and carry out orders.

A connection that was lost though its device behaved is a false disconnect. The exit code is 1 if there was one, if a
device never logged in, or if pings took longer than --max-p99; it is 0 otherwise, and a gate by that.

18,000 devices need one processor core beside the server's, 18,300 open files (ulimit -n) here and as many there.

Examples:
  tether sim --devices 50 --for 1m --cleanup
  tether sim --devices 18000 --state fleet.json --server-pid 4711 --for 10m --json report.json
  tether sim --devices 2000 --mode lean --orders 100 --order-delay 50ms --order-failures 0.01 --for 5m
  tether sim --devices 2000 --flap 0.05 --half-open 20 --slow 5 --herd 1m --wrong-logins 20 --for 5m --max-p99 50ms
  tether sim --devices 5000 --group presses --group-order --for 2m`
}

// Validate finds a wrong call.
func (c *simCmd) Validate() error {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("--url: must be http://host:port or https://host")
	}
	if c.ServerPID != 0 && c.Metrics != "" {
		return errors.New("--server-pid and --metrics: one of them")
	}
	o, err := c.options()
	if err != nil {
		return err
	}
	return o.Check()
}

// simGCPercent is the GOGC of a simulator whose environment has none: its
// processor time is better spent on the fleet, and what it disturbs is measured.
const simGCPercent = 400

// Run is the command.
func (c *simCmd) Run(ctx context.Context, s streams) error {
	v := &simView{bar: newBar(s.err, isTerminal(s.err))}
	o, err := c.options()
	if err != nil {
		return err
	}
	o.Show, o.ShowEvery, o.Say = v.progress, lineInterval, v.say
	if v.terminal {
		o.ShowEvery = time.Second
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(simGCPercent)
	}
	report, err := sim.Run(ctx, o)
	v.clear()
	if report == nil {
		return err
	}
	if err := errors.Join(err, c.show(s, report)); err != nil {
		return err
	}
	if why := report.Failure(c.MaxP99); why != "" {
		return errors.New(why)
	}
	return nil
}

// simView shows how a run stands. Several goroutines tell it.
type simView struct {
	mu sync.Mutex
	bar
}

func (v *simView) progress(p sim.Progress) {
	v.mu.Lock()
	defer v.mu.Unlock()
	part := -1.0
	if p.For > 0 {
		part = p.Elapsed.Seconds() / p.For.Seconds()
	}
	v.show(part, p.String())
}

func (v *simView) say(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clear()
	fmt.Fprintf(v.err, format+"\n", args...)
}

func (c *simCmd) options() (sim.Options, error) {
	api, err := c.api()
	o := sim.Options{
		Devices: c.Devices, URL: c.WS, API: api,
		Prefix: c.Prefix, State: c.State, Cleanup: c.Cleanup, Bcrypt: c.Bcrypt, Group: c.Group,
		Mode: sim.Mode(c.Mode), Patient: c.Patient, Sources: c.Sources, Rate: c.Rate, Spread: c.Spread, For: c.For,
		Order: c.Order, OrderDelay: c.OrderDelay, OrderFailures: c.OrderFailures, Orders: c.Orders, Callers: c.Callers,
		GroupOrder: c.GroupOrder, MaxParallel: c.MaxParallel,
		Faults: sim.Faults{
			Flap: c.Flap, HalfOpen: c.HalfOpen, Slow: c.Slow, Herd: c.Herd, Churn: c.Churn, WrongLogins: c.WrongLogins,
		},
	}
	if o.URL == "" {
		o.URL = "ws" + strings.TrimPrefix(strings.TrimSuffix(c.URL, "/"), "http") + "/ws"
	}
	if c.Sources < 0 {
		o.Sources = sim.SourcesFor(c.Devices, o.URL)
	}
	switch {
	case c.ServerPID != 0:
		o.Meter = sim.ProcessMeter(strconv.Itoa(c.ServerPID))
	case c.Metrics != "":
		o.Meter = sim.MetricsMeter(c.Metrics)
	}
	return o, err
}

// show writes the report: the table goes where JSON does not.
func (c *simCmd) show(s streams, r *sim.Report) error {
	var out outputs
	text := s.out
	if c.JSON == "-" {
		text = s.err
	}
	w, err := out.open(c.JSON, s.out)
	if err != nil {
		return err
	}
	return errors.Join(r.WriteText(text), r.WriteJSON(w), out.close())
}

// api is the simulator's way to the service, which keeps a connection for each caller.
func (c *simCmd) api() (*client.Client, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = c.Callers
	t.MaxIdleConns = 0
	return client.New(client.Options{URL: c.URL, Key: c.Key, HTTP: &http.Client{Transport: t}})
}
