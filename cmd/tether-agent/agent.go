package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/edgetether/tether/device"
	"github.com/edgetether/tether/schema"
	"github.com/rs/zerolog"
)

// runAgent is a device until ctx ends, the server says that there is no such
// device any more, or max_tries is used up.
func runAgent(ctx context.Context, cfg *config, log zerolog.Logger) error {
	options, err := cfg.options(log)
	if err != nil {
		return err
	}
	d, err := device.New(options)
	if err != nil {
		return err
	}
	for name, o := range cfg.Orders {
		d.On(name, carryOut(name, o, log))
	}
	log.Info().Str("server", cfg.Server).Int("orders", len(cfg.Orders)).Msg("starting")
	err = d.Run(ctx)
	log.Info().Err(err).Msg("ended")
	return err
}

// options are the device library's, made of the file's.
func (c *config) options(log zerolog.Logger) (device.Config, error) {
	roots, err := c.roots()
	if err != nil {
		return device.Config{}, err
	}
	tries := c.MaxTries
	if tries == 0 {
		tries = -1 // the library's unlimited: an agent has nobody to start it again
	}
	return device.Config{
		URL: c.Server, TLS: roots,
		DeviceID: c.DeviceID, SN: c.SN, Model: c.Model, Password: string(c.Password),
		Client:   schema.ClientInfo{Name: "tether-agent"},
		StateDir: c.StateDir, MaxTries: tries, DiskPath: c.DiskPath,
		SFTP: c.SFTP.options(), RemoteDir: c.RemoteDir,
		OrderTimeout: c.longestOrder(), Custom: c.figures(),
		OnUpdate: func(u schema.DeviceUpdate) {
			log.Info().Str("device_name", u.Name).Int64("updated_time", u.UpdatedTime).Msg("record changed")
		},
		Logf: showLines(log), TimeScale: c.timeScale,
	}, nil
}

// showLines shows the lines of the operation log as they are written. That a
// report went well, four times a minute, is for the curious.
func showLines(log zerolog.Logger) func(format string, args ...any) {
	return func(format string, args ...any) {
		level, line := zerolog.InfoLevel, fmt.Sprintf(format, args...)
		if strings.HasPrefix(line, "report ok") {
			level = zerolog.DebugLevel
		}
		log.WithLevel(level).Msg(line)
	}
}

func (c *config) roots() (*tls.Config, error) {
	if c.CAFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_file: %s holds no certificate", c.CAFile)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

func (s *sftpConfig) options() *device.SFTPConfig {
	if s == nil {
		return nil
	}
	return &device.SFTPConfig{
		Address: s.Address, Username: s.Username, Password: string(s.Password), KeyFile: s.KeyFile,
		HostKey: s.HostKey, KnownHosts: s.KnownHosts,
	}
}

// longestOrder bounds the library's patience: each order has its own limit.
func (c *config) longestOrder() time.Duration {
	longest := defaultTimeout
	for _, o := range c.Orders {
		longest = max(longest, o.expiry)
	}
	return longest + 2*pipeWait
}

func (c *config) figures() map[string]func(context.Context) (any, error) {
	figures := make(map[string]func(context.Context) (any, error), len(c.Custom))
	for name, f := range c.Custom {
		p := process{argv: f.Command, dir: "/", env: f.environ, limit: figureLimit, expiry: defaultTimeout}
		figures[name] = p.figure
	}
	return figures
}

// carryOut is the handler of one order.
func carryOut(name string, o *order, log zerolog.Logger) func(context.Context, json.RawMessage) (any, error) {
	return func(ctx context.Context, params json.RawMessage) (any, error) {
		argv, err := o.argv(params)
		if err != nil {
			log.Warn().Str("order", name).Err(err).Msg("order refused")
			return nil, err
		}
		out, err := o.process(argv).run(ctx)
		log.Info().Str("order", name).Err(err).Int64("duration_ms", out.DurationMS).Msg("order carried out")
		if err != nil {
			return nil, err
		}
		return out, nil
	}
}

func (o *order) process(argv []string) process {
	p := process{argv: argv, dir: o.Dir, env: o.environ, limit: o.Output, expiry: o.expiry}
	if p.dir == "" {
		p.dir = "/"
	}
	if p.limit == 0 {
		p.limit = defaultOutput
	}
	return p
}

// try has the device library check the configuration too. It makes its state's
// folder, hence in a place that is removed again.
func (c *config) try() error {
	options, err := c.options(zerolog.Nop())
	if err != nil {
		return err
	}
	if options.StateDir, err = os.MkdirTemp("", "tether-agent-check-"); err != nil {
		return err
	}
	_, err = device.New(options)
	return errors.Join(err, os.RemoveAll(options.StateDir))
}

// describe prints what a configuration allows.
func describe(w io.Writer, c *config) error {
	if err := c.try(); err != nil {
		return err
	}
	var b strings.Builder
	identity := c.DeviceID
	if identity == "" {
		identity = c.SN + " " + c.Model
	}
	fmt.Fprintf(&b, "device   %s\nserver   %s\n", identity, c.Server)
	if c.SFTP != nil {
		fmt.Fprintf(&b, "logs to  %s@%s\n", c.SFTP.Username, c.SFTP.Address)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Custom)) {
		fmt.Fprintf(&b, "figure   %s: %q\n", name, c.Custom[name].Command)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Orders)) {
		o := c.Orders[name]
		fmt.Fprintf(&b, "order    %s: %q, at most %s\n", name, o.Command, o.expiry)
		for _, argument := range slices.Sorted(maps.Keys(o.Args)) {
			fmt.Fprintf(&b, "         ${%s} is %s\n", argument, o.Args[argument])
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
