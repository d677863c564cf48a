package device

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/edgetether/tether/schema"
)

// Config says who the device is and where its server is. URL, Password and one
// of DeviceID or SN with Model are required; all else has a default.
type Config struct {
	// URL is the server's endpoint: wss://host/ws, or ws://host:9090/ws.
	URL string
	// DeviceID, or SN together with Model, is what the server knows the device by.
	DeviceID  string
	SN, Model string
	// Password logs in when there is no token of an earlier login. The library
	// keeps the token, and renews it at each login.
	Password string

	// StateDir is the folder of the token, the journal of orders and the
	// operation log; one process at a time may use it. It is made with mode
	// 0700. Default: $STATE_DIRECTORY (as systemd sets it), or else
	// tether-device in the user's folder for configuration.
	StateDir string
	// MaxTries is how many connections in a row may fail to log in before Run
	// gives up. Default 5; negative: unlimited.
	MaxTries int
	// Client is what the device program says of itself at login. Default: the
	// name tether-device.
	Client schema.ClientInfo

	// TLS is for wss: own roots, a client certificate. Certificates are always
	// verified: InsecureSkipVerify is refused.
	TLS *tls.Config
	// NetDial replaces the network's dialer, for proxies and tests.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)

	// SFTP is where upload_log puts the log when the order names no target of
	// its own. Default: nowhere, such an order fails.
	SFTP *SFTPConfig
	// RemoteDir is the log's folder on that target, where the order names none.
	// Default schema.RemoteDir.
	RemoteDir string

	// OrderTimeout bounds the context of a custom order's handler. Default:
	// until the order's deadline, by the server's clock.
	OrderTimeout time.Duration
	// LogKeep is how many rotated operation logs stay beside the current one.
	// Default 10, which is a month.
	LogKeep int
	// Restart is what a restart order does, after the connection is closed and
	// the journal is on the disk; Run returns what it returns. Default: this
	// process executes itself anew, with the same arguments and environment.
	Restart func() error

	// OnUpdate is told the device's record when business changed it. Calls come
	// one after the other; the server learns that the device was told when the
	// call returns.
	OnUpdate func(schema.DeviceUpdate)
	// OnState is told schema.Online after each login and schema.Offline, with
	// the cause, after each connection that was logged in. It must not block.
	OnState func(state schema.DevState, cause string)

	// Custom are the program's own figures, reported under custom: at most
	// 8 KiB of JSON together. They run at once, in goroutines of their own, and
	// have one second; what is not there by then is left out.
	Custom map[string]func(ctx context.Context) (any, error)
	// DiskPath is the file system that is reported. Default "/".
	DiskPath string

	// TimeScale multiplies the contract's times that no message tells: the waits
	// before a reconnect, for the reply to login and for restart_confirm. It is
	// for tests that have no patience, such as those of tether conform: from
	// 0.01 to 1, the default. A server in earnest takes a device that hurries
	// for a flood.
	TimeScale float64

	// Logf gets a copy of each line of the operation log. Default: none.
	Logf func(format string, args ...any)
	// BootID tells one start of the process from the next. Default: random.
	BootID string
	// Rand spreads reconnects: a number in [0, 1). Default: math/rand/v2.
	Rand func() float64
}

// SFTPConfig is a log target of the device's own. The server's key is always
// checked, against HostKey or KnownHosts, before any credential is sent.
type SFTPConfig struct {
	Address    string // host:port
	Username   string
	Password   string // this or KeyFile
	KeyFile    string // path of a private key without a passphrase
	HostKey    string // the server's public key, as in authorized_keys: "ssh-ed25519 AAAA…"
	KnownHosts string // or the path of a known_hosts file that has it
}

const (
	defaultTries   = 5
	defaultLogKeep = 10
	defaultName    = "tether-device"
	minTimeScale   = 0.01
)

// withDefaults checks the configuration and fills in what was left zero. An
// error names the member at fault.
func (c Config) withDefaults() (Config, error) {
	if err := c.check(); err != nil {
		return c, fmt.Errorf("device: %w", err)
	}
	dir, err := stateDir(c.StateDir)
	if err != nil {
		return c, fmt.Errorf("device: StateDir: %w", err)
	}
	c.StateDir = dir
	setDefault(&c.MaxTries, defaultTries)
	setDefault(&c.LogKeep, defaultLogKeep)
	setDefault(&c.Client, schema.ClientInfo{Name: defaultName})
	setDefault(&c.RemoteDir, schema.RemoteDir)
	setDefault(&c.DiskPath, "/")
	setDefault(&c.BootID, newBootID())
	setDefault(&c.TimeScale, 1)
	if c.Restart == nil {
		c.Restart = execSelf
	}
	if c.Rand == nil {
		c.Rand = mathrand.Float64
	}
	return c, nil
}

func setDefault[T comparable](v *T, standard T) {
	var zero T
	if *v == zero {
		*v = standard
	}
}

// check says what is wrong, never repeating a secret.
func (c *Config) check() error {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "ws" && u.Scheme != "wss":
		return wrong("URL", "must be ws://host:port/path or wss://host/path")
	case u.User != nil:
		return wrong("URL", "must not carry a credential")
	case c.DeviceID == "" && (c.SN == "" || c.Model == ""):
		return wrong("DeviceID", "required, or SN and Model")
	case c.DeviceID != "" && (c.SN != "" || c.Model != ""):
		return wrong("DeviceID", "must not be set together with SN and Model")
	case c.DeviceID != "" && schema.CheckID("", c.DeviceID) != nil:
		return wrong("DeviceID", "must be decimal digits")
	case c.Password == "":
		return wrong("Password", "required")
	case len(c.Password) > schema.MaxPassword:
		return wrong("Password", "must be at most %d bytes", schema.MaxPassword)
	case c.TLS != nil && c.TLS.InsecureSkipVerify:
		return wrong("TLS", "InsecureSkipVerify is not allowed; put the server's issuer into RootCAs")
	case c.LogKeep < 0:
		return wrong("LogKeep", "must not be negative")
	case c.OrderTimeout < 0:
		return wrong("OrderTimeout", "must not be negative")
	case c.TimeScale != 0 && !(c.TimeScale >= minTimeScale && c.TimeScale <= 1):
		return wrong("TimeScale", "must be from %g to 1", minTimeScale)
	}
	for name, measure := range c.Custom {
		if measure == nil {
			return wrong("Custom", "%q must not be nil", name)
		}
	}
	if c.SFTP != nil {
		return c.SFTP.check()
	}
	return nil
}

func (s *SFTPConfig) check() error {
	if _, _, err := net.SplitHostPort(s.Address); err != nil {
		return wrong("SFTP.Address", "must be host:port")
	}
	switch {
	case s.Username == "":
		return wrong("SFTP.Username", "required")
	case (s.Password == "") == (s.KeyFile == ""):
		return wrong("SFTP.Password", "exactly one of Password and KeyFile is required")
	case (s.HostKey == "") == (s.KnownHosts == ""):
		return wrong("SFTP.HostKey", "exactly one of HostKey and KnownHosts is required")
	}
	if s.HostKey == "" {
		return nil
	}
	if _, err := parseHostKey(s.HostKey); err != nil {
		return wrong("SFTP.HostKey", "%v", err)
	}
	return nil
}

// scaled is one of the contract's times as this device keeps it.
func (c *Config) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) * c.TimeScale)
}

// wrong is the error for one member of the configuration.
func wrong(member, format string, args ...any) error {
	return fmt.Errorf("%s: %s", member, fmt.Sprintf(format, args...))
}

// stateDir makes the folder.
func stateDir(dir string) (string, error) {
	if dir == "" {
		// systemd may name several, by colons; the first is ours.
		dir, _, _ = strings.Cut(os.Getenv("STATE_DIRECTORY"), ":")
	}
	if dir == "" {
		base, err := os.UserConfigDir()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(base, defaultName)
	}
	return dir, os.MkdirAll(dir, 0o700)
}

func newBootID() string {
	b := make([]byte, 16)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// execSelf is the default Restart. It returns only if it failed.
func execSelf() error {
	path, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(path, os.Args, os.Environ())
}
