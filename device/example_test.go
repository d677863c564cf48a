package device_test

import (
	"context"
	"errors"
	"log"
	"os"
	"os/signal"

	"github.com/edgetether/tether/device"
)

// A whole device: it stays connected, reports, restarts when it is told to, and
// has one order of its own.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	d, err := device.New(device.Config{
		URL: "wss://devices.example.com/ws", DeviceID: "1860117402213097472", Password: os.Getenv("PASSWORD"),
	})
	if err != nil {
		log.Fatal(err)
	}
	type volume struct {
		Level int `json:"level"`
	}
	device.On(d, "set_volume", func(_ context.Context, v volume) (any, error) {
		if v.Level > 10 {
			return nil, errors.New("the level is 0 to 10")
		}
		return v, nil // the order's data
	})
	log.Print(d.Run(ctx))
}

// The program's own figures go with every report.
func ExampleConfig_custom() {
	cfg := device.Config{Custom: map[string]func(context.Context) (any, error){
		"uses_last_hour": func(context.Context) (any, error) { return 12, nil },
	}}
	_ = cfg
}

// Logs go to a server of the device's own, whose key is pinned.
func ExampleSFTPConfig() {
	cfg := device.Config{SFTP: &device.SFTPConfig{
		Address: "logs.example.com:22", Username: "device", KeyFile: "/etc/device/key",
		HostKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGq1Ndm1tNqYCdX2hcyEhBmWXNLnJ7aeKGxDvWn2VdUQ",
	}}
	_ = cfg
}
