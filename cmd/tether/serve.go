package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
)

type serveCmd struct {
	Listen               string         `default:"127.0.0.1:9090" help:"Address for REST and devices."`
	Database             string         `default:"${database}" help:"Where everything is kept: sqlite:PATH, or postgres://…"`
	Node                 string         `default:"tether-1" help:"Name of this server among those of its database."`
	TLSCert              string         `name:"tls-cert" placeholder:"FILE" help:"Certificate chain, PEM."`
	TLSKey               string         `name:"tls-key" placeholder:"FILE" help:"Its key, PEM."`
	InsecurePlaintext    bool           `help:"Listen without TLS on an address that is not loopback."`
	OpsListen            string         `default:"127.0.0.1:9091" placeholder:"ADDRESS" help:"Address for metrics, profiles and the state, on loopback asked for as localhost or a loopback address; \"\": none."`
	OpsInsecurePlaintext bool           `help:"Let --ops-listen be an address that is not loopback. It has neither TLS nor keys."`
	Auth                 string         `default:"on" enum:"on,off" help:"off: requests need no key; loopback only, asked for as localhost or a loopback address."`
	Origin               []string       `placeholder:"URL" help:"Origin header that a WebSocket handshake may carry."`
	TrustedProxy         []netip.Prefix `placeholder:"CIDR" help:"Proxies whose X-Forwarded-For is believed; may be repeated."`
	KeyRate              float64        `default:"1000" help:"Requests a second of one API key, twice that at once; 0 is no limit."`
	KeyWaiting           int            `default:"5000" help:"Requests of one API key that may wait at once for their answer, or for it to be taken, streams of events apart; 0 is no limit."`
	SessionIdle          time.Duration  `default:"30m" help:"When a log-in by cookie that is not used ends."`
	SessionLifetime      time.Duration  `default:"12h" help:"When a log-in by cookie ends in any case."`
	DeviceMessageRate    float64        `default:"20" help:"Messages a second of one device, 100 at once; 0 is no limit."`
	StatusSample         time.Duration  `default:"1m" help:"How often a device's report is kept in its history; 0 keeps every one."`
	RestartWindow        time.Duration  `default:"1m" help:"How long after a restart order a new boot proves it."`
	KeepEvents           age            `default:"30d" help:"How long events are kept: 30d, 12h; 0 is for ever."`
	KeepHistory          age            `default:"7d" help:"How long the history of reports is kept; 0 is for ever."`
	KeepOrders           age            `default:"90d" help:"How long orders are kept after their end, 7d at least; 0 is for ever."`
	KeepAudit            age            `default:"90d" help:"How long the audit log is kept; 0 is for ever."`
	BcryptCost           int            `default:"12" help:"Cost of checking a password that a person chose, 4 to 15."`
	SFTPListen           string         `name:"sftp-listen" placeholder:"ADDRESS" help:"Receive device logs here, by SFTP."`
	SFTPPublic           string         `name:"sftp-public" placeholder:"HOST:PORT" help:"What devices are told of it, if not --sftp-listen."`
	SFTPDir              string         `name:"sftp-dir" placeholder:"FOLDER" help:"Where the logs are kept; default: logs, beside the SQLite file, or in ./data."`
}

// Help is printed below the flags.
func (c *serveCmd) Help() string {
	return `On an empty database a key with the role admin is made and printed, once.

Examples:
  tether serve                                    loopback, SQLite in ./data
  tether serve --sftp-listen 127.0.0.1:9022       and receive device logs
  tether serve --database postgres://tether@db.example/tether?sslmode=verify-full
  tether serve --listen :9090 --tls-cert c.pem --tls-key k.pem`
}

// Run is the command.
func (c *serveCmd) Run(ctx context.Context, s streams) error {
	if err := c.check(); err != nil {
		return err
	}
	defer keepPace(c.Database)()
	hurry, stop := secondSignal()
	defer stop()
	return inTime(ctx, stopTime, func() error { return c.serve(ctx, hurry, s) })
}

// linger is for what nobody waits for: a fleet's samples and events come one by
// one, hundreds a second, and a kill may lose a second of them (reliability section 1).
const linger = 100 * time.Millisecond

// serve listens first: who cannot listen must not touch what is stored.
func (c *serveCmd) serve(ctx, hurry context.Context, s streams) error {
	l, cert, err := c.listen(s.log)
	if err != nil {
		return err
	}
	ops, err := startOperations(c.OpsListen, c.settings(), s.log)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer ops.onSignal(s.err)()
	config := c.service(s)
	config.metrics, config.hurry = ops.metrics, hurry
	svc, err := newService(ctx, config)
	if err != nil {
		return errors.Join(started(ctx, err), l.Close(), ops.close())
	}
	ops.serves(svc)
	if err = firstKey(ctx, s, svc); err != nil {
		err = started(ctx, err)
	} else {
		if cert != nil {
			svc.renew(cert)
		}
		s.log.Info("serving", "url", fmt.Sprintf("%s://%s", c.scheme(), l.Addr()), "devices", "/ws", "ops", ops.address(),
			"open_files_at_most", openFiles(), "version", version(), "pid", os.Getpid())
		err = svc.serve(ctx, l)
	}
	return errors.Join(err, svc.close(), closed(l.Close()), ops.close())
}

// started is the error of a start; that it was called off is none.
func started(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// closed forgives that something was closed before.
func closed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (c *serveCmd) scheme() string {
	if c.TLSCert != "" {
		return "https"
	}
	return "http"
}

// check refuses what would be unsafe or cannot be meant.
func (c *serveCmd) check() error {
	local := northapi.Loopback(c.Listen)
	secure := c.TLSCert != ""
	switch {
	case secure != (c.TLSKey != ""):
		return errors.New("--tls-cert and --tls-key belong together")
	case !secure && !local && !c.InsecurePlaintext:
		return fmt.Errorf("--listen %s is not loopback: give --tls-cert and --tls-key, or say --insecure-plaintext", c.Listen)
	case c.OpsListen != "" && !northapi.Loopback(c.OpsListen) && !c.OpsInsecurePlaintext:
		return fmt.Errorf("--ops-listen %s is not loopback, and asks for no key: keep it there, or say --ops-insecure-plaintext", c.OpsListen)
	case c.Auth == "off" && !local:
		return fmt.Errorf("--auth off: only on loopback, and --listen is %s", c.Listen)
	case isEverywhere(c.SFTPListen) && c.SFTPPublic == "":
		return fmt.Errorf("--sftp-listen %s names no address that devices could be told: give --sftp-public", c.SFTPListen)
	case c.BcryptCost < 4 || c.BcryptCost > 15:
		return errors.New("--bcrypt-cost must be 4 to 15")
	case c.RestartWindow <= 0:
		return errors.New("--restart-window must be positive")
	case c.KeyRate < 0 || c.KeyWaiting < 0:
		return errors.New("--key-rate and --key-waiting must not be negative")
	case c.SessionIdle < 2*schema.UsedEvery || c.SessionLifetime < c.SessionIdle:
		return fmt.Errorf("--session-idle must be at least %s, and --session-lifetime at least as long", 2*schema.UsedEvery)
	case c.DeviceMessageRate < 0:
		return errors.New("--device-message-rate must not be negative")
	case c.StatusSample < 0:
		return errors.New("--status-sample must not be negative")
	case c.KeepOrders != 0 && time.Duration(c.KeepOrders) < schema.UnsettledWindow:
		return errors.New("--keep-orders must be 0 or at least 7d: until then an unknown order may have its outcome")
	}
	return nil
}

// masked are networks as they are compared: 10.0.0.1/8 is 10.0.0.0/8.
func masked(all []netip.Prefix) []netip.Prefix {
	for i, p := range all {
		all[i] = p.Masked()
	}
	return all
}

// isEverywhere says whether an address stands for all of this machine's.
func isEverywhere(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// logsBeside is the folder of the received logs where none is given: beside
// the file of the database, or where that would be if there were one.
func logsBeside(database string) string {
	path, ok := strings.CutPrefix(database, "sqlite:")
	if !ok {
		path = filepath.Join("data", "tether.db")
	}
	return filepath.Join(filepath.Dir(path), "logs")
}

func (c *serveCmd) service(s streams) serviceConfig {
	logs := logsConfig{listen: c.SFTPListen, public: c.SFTPPublic, dir: c.SFTPDir}
	if logs.dir == "" {
		logs.dir = logsBeside(c.Database)
	}
	sample := c.StatusSample
	if sample == 0 {
		sample = -1 // the hub's word for every one
	}
	return serviceConfig{
		database: c.Database, node: c.Node, authOff: c.Auth == "off", messageRate: c.DeviceMessageRate,
		bcryptCost: c.BcryptCost, statusSample: sample, linger: linger, restartWindow: c.RestartWindow, origins: c.Origin, logs: logs, log: s.log,
		keep: ages{events: c.KeepEvents, history: c.KeepHistory, orders: c.KeepOrders, audit: c.KeepAudit},
		access: accessConfig{
			keyRate: c.KeyRate, keyWaiting: c.KeyWaiting, sessionIdle: c.SessionIdle, sessionLifetime: c.SessionLifetime, proxies: masked(c.TrustedProxy),
		},
	}
}

// listen also opens the certificate, if there is to be one.
func (c *serveCmd) listen(log *slog.Logger) (net.Listener, *certificate, error) {
	l, err := net.Listen("tcp", c.Listen)
	if err != nil || c.TLSCert == "" {
		return l, nil, err
	}
	cert, err := openCertificate(c.TLSCert, c.TLSKey, log)
	if err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	return tls.NewListener(l, cert.config()), cert, nil
}

// firstKey makes a key for an empty store and prints it, once (T30).
func firstKey(ctx context.Context, s streams, svc *service) error {
	has, err := svc.store.HasKeys(ctx)
	if err != nil || has {
		return err
	}
	key, err := svc.addKey(ctx, "first", schema.Admin)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "The first API key, role admin, name \"first\". It is not shown again:\n  %s\n", key)
	return err
}
