package device

import (
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgetether/tether/schema"
)

func TestConfigNamesTheWrongMember(t *testing.T) {
	_, key, _ := newKey(t)
	tests := map[string]func(*Config){
		"": func(*Config) {},
		"URL: must be ws://host:port/path or wss://host/path":     func(c *Config) { c.URL = "http://x/ws" },
		"URL: must not carry a credential":                        func(c *Config) { c.URL = "ws://u:canary@x/ws" },
		"DeviceID: required, or SN and Model":                     func(c *Config) { c.DeviceID = "" },
		"DeviceID: must not be set together with SN and Model":    func(c *Config) { c.SN, c.Model = "s", "m" },
		"DeviceID: must be decimal digits":                        func(c *Config) { c.DeviceID = "../1" },
		"Password: required":                                      func(c *Config) { c.Password = "" },
		"Password: must be at most 72 bytes":                      func(c *Config) { c.Password = strings.Repeat("p", 73) },
		"TLS: InsecureSkipVerify is not allowed":                  func(c *Config) { c.TLS = &tls.Config{InsecureSkipVerify: true} },
		"LogKeep: must not be negative":                           func(c *Config) { c.LogKeep = -1 },
		"OrderTimeout: must not be negative":                      func(c *Config) { c.OrderTimeout = -1 },
		"TimeScale: must be from 0.01 to 1":                       func(c *Config) { c.TimeScale = 1.01 },
		"TimeScale: must be from":                                 func(c *Config) { c.TimeScale = 0.009 },
		"Custom: \"a\" must not be nil":                           func(c *Config) { c.Custom = map[string]func(context.Context) (any, error){"a": nil} },
		"SFTP.Address: must be host:port":                         func(c *Config) { c.SFTP = &SFTPConfig{Address: "x"} },
		"SFTP.Username: required":                                 func(c *Config) { c.SFTP = &SFTPConfig{Address: "x:22"} },
		"SFTP.Password: exactly one of Password and KeyFile":      func(c *Config) { c.SFTP = &SFTPConfig{Address: "x:22", Username: "u"} },
		"SFTP.HostKey: exactly one of HostKey and KnownHosts":     func(c *Config) { c.SFTP = &SFTPConfig{Address: "x:22", Username: "u", Password: "p"} },
		"SFTP.HostKey: must be a public key in the form of autho": func(c *Config) { c.SFTP = &SFTPConfig{Address: "x:22", Username: "u", Password: "p", HostKey: "x"} },
		"StateDir: mkdir /dev/null":                               func(c *Config) { c.StateDir = "/dev/null/x" },
	}
	for want, change := range tests {
		cfg := Config{URL: "ws://x/ws", DeviceID: "1", Password: strings.Repeat("p", schema.MaxPassword), StateDir: t.TempDir()}
		cfg.SFTP = &SFTPConfig{Address: "x:22", Username: "u", KeyFile: "k", HostKey: key}
		change(&cfg)
		_, err := New(cfg)
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), "device: "+want)) {
			t.Errorf("got %v, want %s", err, want)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Error("the error tells a secret")
		}
	}
}

func TestConfigDefaults(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("STATE_DIRECTORY", filepath.Join(dir, "state")+":/elsewhere")
	cfg, err := Config{URL: "wss://x/ws", SN: "s", Model: "m", Password: "p"}.withDefaults()
	must(t, err)
	if cfg.MaxTries != 5 || cfg.LogKeep != 10 || cfg.RemoteDir != schema.RemoteDir || cfg.DiskPath != "/" ||
		len(cfg.BootID) != 32 || cfg.Client.Name != "tether-device" || cfg.Restart == nil || cfg.Rand == nil {
		t.Errorf("got %+v", cfg)
	}
	info, err := os.Stat(cfg.StateDir)
	must(t, err)
	if cfg.StateDir != filepath.Join(dir, "state") || info.Mode().Perm() != 0o700 {
		t.Errorf("%s, mode %v", cfg.StateDir, info.Mode())
	}
	t.Setenv("STATE_DIRECTORY", "")
	t.Setenv("XDG_CONFIG_HOME", dir)
	other, err := Config{URL: "wss://x/ws", SN: "s", Model: "m", Password: "p", BootID: "b"}.withDefaults()
	must(t, err)
	if other.StateDir != filepath.Join(dir, "tether-device") || other.BootID != "b" {
		t.Errorf("got %+v", other)
	}
}
