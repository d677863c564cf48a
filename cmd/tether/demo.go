package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/edgetether/tether/device"
	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
)

type demoCmd struct {
	For    time.Duration `help:"End by itself after this time; default: at Ctrl-C."`
	Dir    string        `placeholder:"FOLDER" help:"Keep everything here; default: a temporary folder, removed at the end."`
	Listen string        `default:"127.0.0.1:0" help:"Address of the service; loopback only."`
}

// Help is printed below the flags.
func (c *demoCmd) Help() string {
	return `Starts the service on SQLite with a receiver of device logs, registers three devices and runs them
in this process through the device library, over real sockets. Then it gives some orders, and shows
every event as it happens. The curl lines that it prints are for another terminal.

Examples:
  tether demo
  tether demo --for 30s
  tether demo --dir ./demo --listen 127.0.0.1:9090`
}

// demoDevices is how many devices the demo has.
const demoDevices = 3

// Run is the command.
func (c *demoCmd) Run(ctx context.Context, s streams) error {
	if !northapi.Loopback(c.Listen) {
		return fmt.Errorf("--listen %s: the demo listens on loopback only", c.Listen)
	}
	dir, cleanUp, err := demoDir(c.Dir)
	if err != nil {
		return err
	}
	defer cleanUp()
	if c.For > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, c.For)
		defer stop()
	}
	show := newShow(s.out)
	svc, err := newService(ctx, serviceConfig{
		database: "sqlite:" + filepath.Join(dir, "tether.db"), node: "demo", messageRate: schema.MessageRate,
		statusSample: time.Minute, logs: logsConfig{listen: "127.0.0.1:0", dir: filepath.Join(dir, "logs")},
		onEvents: show.events, log: s.log,
	})
	if err != nil {
		return started(ctx, err)
	}
	return errors.Join(runDemo(ctx, c.Listen, dir, svc, show), svc.close())
}

func demoDir(dir string) (string, func(), error) {
	if dir != "" {
		return dir, func() {}, os.MkdirAll(dir, 0o700)
	}
	dir, err := os.MkdirTemp("", "tether-demo-")
	return dir, func() { _ = os.RemoveAll(dir) }, err
}

// runDemo serves, runs the devices and the tour of orders until ctx ends, and
// waits for all of them.
func runDemo(ctx context.Context, listen, dir string, svc *service, show *show) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	key, err := svc.addKey(ctx, "demo", schema.Admin)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	api, err := client.New(client.Options{URL: "http://" + l.Addr().String(), Key: key})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer api.Close()
	serving, stop := context.WithCancel(context.Background())
	failed := make(chan error, 1)
	go func() { failed <- svc.serve(serving, l) }()

	fleet := &fleet{dir: dir, url: "ws://" + l.Addr().String() + "/ws", show: show}
	err = fleet.register(ctx, api)
	if err == nil {
		show.welcome(api.String(), key, fleet.devices)
		err = fleet.run(ctx, api)
	}
	stop()
	return errors.Join(demoEnd(ctx, err), <-failed)
}

// demoEnd is no error if the time was up.
func demoEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// fleet are the demo's devices.
type fleet struct {
	dir, url string
	show     *show
	devices  []*demoDevice
	wg       sync.WaitGroup
}

type demoDevice struct {
	id, name, password, dir string
	boots                   int
}

// register makes the devices known to the service. A folder that was used
// before has them already: they get new passwords.
func (f *fleet) register(ctx context.Context, api *client.Client) error {
	for i := range demoDevices {
		d := &demoDevice{name: fmt.Sprintf("press-%d", i+1)}
		d.dir = filepath.Join(f.dir, "devices", d.name)
		if err := d.register(ctx, api); err != nil {
			return err
		}
		f.devices = append(f.devices, d)
	}
	return nil
}

// register adds a device, or gives a known one a new password.
func (d *demoDevice) register(ctx context.Context, api *client.Client) error {
	hardware := schema.Hardware{SN: "DEMO-" + d.name, Model: "demo"}
	who, err := api.DeviceAdd(ctx, client.NewDevice{Name: d.name, Type: "press", Hardware: hardware})
	if errors.Is(err, &schema.Error{Kind: schema.DeviceConflict, Code: "device_exists"}) {
		for known, err := range api.Devices(ctx, schema.DeviceFilter{Model: hardware.Model, SN: hardware.SN}) {
			if err != nil {
				return err
			}
			who.DeviceID = known.DeviceID
		}
		who, err = api.DevicePasswordUpdate(ctx, who.DeviceID, "")
	}
	d.id, d.password = who.DeviceID, who.Password
	return err
}

// run runs the devices and the tour until ctx ends.
func (f *fleet) run(ctx context.Context, api *client.Client) error {
	ctx, stop := context.WithCancel(ctx)
	defer f.wg.Wait()
	defer stop()
	for _, d := range f.devices {
		f.wg.Go(func() { f.live(ctx, d) })
	}
	if err := f.tour(ctx, api); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// live is one device for as long as the demo lasts: a restart order ends the
// device's Run, and the next one is a new boot.
func (f *fleet) live(ctx context.Context, d *demoDevice) {
	for ctx.Err() == nil {
		d.boots++
		err := f.boot(ctx, d)
		if err != nil && !errors.Is(err, errRestart) && ctx.Err() == nil {
			f.show.line("%s ended: %v", d.name, err)
			return
		}
	}
}

// errRestart is how the demo's devices restart: in this process, not by it.
var errRestart = errors.New("restart")

func (f *fleet) boot(ctx context.Context, d *demoDevice) error {
	dev, err := device.New(device.Config{
		URL: f.url, DeviceID: d.id, Password: d.password, StateDir: d.dir, MaxTries: -1,
		Client:  schema.ClientInfo{Name: "tether-demo", Version: version()},
		Restart: func() error { return errRestart },
		Custom: map[string]func(context.Context) (any, error){
			"boots": func(context.Context) (any, error) { return d.boots, nil },
		},
		OnUpdate: func(u schema.DeviceUpdate) { f.show.line("%s was told its record: %s", d.name, u.Description) },
	})
	if err != nil {
		return err
	}
	device.On(dev, "blink", func(_ context.Context, p struct {
		N int `json:"n"`
	}) (any, error) {
		return map[string]int{"blinked": p.N}, nil
	})
	return dev.Run(ctx)
}

// tour shows what the service can do: each device's figures, a custom order,
// a log, a restart and its proof.
func (f *fleet) tour(ctx context.Context, api *client.Client) error {
	for _, d := range f.devices {
		if err := f.showReport(ctx, api, d); err != nil {
			return err
		}
	}
	first := f.devices[0]
	if err := f.order(ctx, api, first, "blink", json.RawMessage(`{"n":3}`)); err != nil {
		return err
	}
	if err := f.showLog(ctx, api, f.devices[1]); err != nil {
		return err
	}
	return f.restart(ctx, api, f.devices[2])
}

func (f *fleet) showReport(ctx context.Context, api *client.Client, d *demoDevice) error {
	var info client.DeviceStatus
	err := until(ctx, func() (err error) {
		info, err = api.DeviceStatusInfoQuery(ctx, d.id)
		return err
	})
	if err == nil {
		f.show.report(d.name, info)
	}
	return err
}

func (f *fleet) order(ctx context.Context, api *client.Client, d *demoDevice, order string, params json.RawMessage) error {
	f.show.line("order %s to %s", order, d.name)
	o, err := api.GiveOrder(ctx, client.NewOrder{DeviceID: d.id, Order: order, Params: params})
	if err == nil {
		f.show.line("  %s: %s %s %s", o.State, order, o.Message, o.Data)
	}
	return err
}

// showLog has a device send its log, and compares what arrived with the
// device's own file, byte for byte.
func (f *fleet) showLog(ctx context.Context, api *client.Client, d *demoDevice) error {
	f.show.line("order upload_log to %s", d.name)
	o, err := api.GiveOrder(ctx, client.NewOrder{DeviceID: d.id, Order: schema.OrderUploadLog})
	if err != nil {
		return err
	}
	var arrived bytes.Buffer
	if _, err := api.DeviceLogfile(ctx, o.OrderID, &arrived); err != nil {
		return err
	}
	received := arrived.Bytes()
	own, err := os.ReadFile(filepath.Join(d.dir, "device.log"))
	if err != nil {
		return err
	}
	// The device goes on writing: what arrived is the beginning of its log.
	if len(received) == 0 || len(own) < len(received) || string(own[:len(received)]) != string(received) {
		return fmt.Errorf("the log of %s arrived with %d bytes that are not the device's own", d.name, len(received))
	}
	f.show.line("  %s: %d bytes arrived, identical to the device's own", o.State, len(received))
	return nil
}

// restart restarts a device and waits until a new boot has proven it.
func (f *fleet) restart(ctx context.Context, api *client.Client, d *demoDevice) error {
	f.show.line("order restart to %s", d.name)
	o, err := api.GiveOrder(ctx, client.NewOrder{DeviceID: d.id, Order: schema.OrderRestart})
	if err != nil {
		return err
	}
	f.show.line("  %s: the restart is confirmed; waiting for the new boot", o.State)
	err = until(ctx, func() error {
		if o, err = api.OrderQuery(ctx, o.OrderID); err != nil {
			return err
		}
		if o.Verified == nil || !*o.Verified {
			return errors.New("not verified yet")
		}
		return nil
	})
	if err == nil {
		f.show.line("  verified by a new boot of %s", d.name)
	}
	return err
}

// until tries again until try succeeds or ctx ends.
func until(ctx context.Context, try func() error) error {
	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-every.C:
		}
	}
}
