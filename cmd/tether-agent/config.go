package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxConfig is more than any honest configuration needs.
const maxConfig = 1 << 20

// config is the configuration file. Unknown keys are errors.
type config struct {
	Server       string             `yaml:"server"`
	CAFile       string             `yaml:"ca_file"`
	DeviceID     string             `yaml:"device_id"`
	SN           string             `yaml:"sn"`
	Model        string             `yaml:"model"`
	Password     secret             `yaml:"password"`
	PasswordFile string             `yaml:"password_file"`
	StateDir     string             `yaml:"state_dir"`
	MaxTries     int                `yaml:"max_tries"` // 0: unlimited
	DiskPath     string             `yaml:"disk_path"`
	RemoteDir    string             `yaml:"remote_dir"`
	SFTP         *sftpConfig        `yaml:"sftp"`
	Custom       map[string]*figure `yaml:"custom"`
	Orders       map[string]*order  `yaml:"orders"`

	timeScale float64 // a flag's, not the file's
}

// sftpConfig is the device's own target for logs.
type sftpConfig struct {
	Address      string `yaml:"address"`
	Username     string `yaml:"username"`
	Password     secret `yaml:"password"`
	PasswordFile string `yaml:"password_file"`
	KeyFile      string `yaml:"key_file"`
	HostKey      string `yaml:"host_key"`
	KnownHosts   string `yaml:"known_hosts"`
}

// figure is a command whose output is reported with the device's status.
type figure struct {
	Command []string `yaml:"command"`

	environ []string // NAME=value
}

// fault is something wrong at a place of the file: a path such as
// orders.turn.args.n, whose line is looked up when it is reported.
type fault struct {
	path []string
	text string
}

// Error names the member and what is wrong with it.
func (f *fault) Error() string { return strings.Join(f.path, ".") + ": " + f.text }

func faultf(path []string, format string, args ...any) error {
	return &fault{path: path, text: fmt.Sprintf(format, args...)}
}

// readConfig reads and checks a file, and the files that hold its secrets.
func readConfig(name string, lookup func(string) string) (*config, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	cfg, err := parseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", name, err)
	}
	if cfg.Password != "" || cfg.SFTP != nil && cfg.SFTP.Password != "" {
		if err := checkPrivate(name); err != nil {
			return nil, err
		}
	}
	if err := cfg.loadSecrets(lookup); err != nil {
		return nil, err
	}
	cfg.passOn(lookup)
	return cfg, cfg.checkFiles()
}

// passOn gives each command the variables that it may see.
func (c *config) passOn(lookup func(string) string) {
	for _, f := range c.Custom {
		f.environ = variables(defaultEnv, lookup)
	}
	for _, o := range c.Orders {
		names := o.Env
		if names == nil {
			names = defaultEnv
		}
		o.environ = variables(names, lookup)
	}
}

// variables are those of the environment that have one of the names.
func variables(names []string, lookup func(string) string) (env []string) {
	for _, name := range names {
		if value := lookup(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// parseConfig decodes and checks a text. The error begins with the line.
func parseConfig(text []byte) (*config, error) {
	if len(text) > maxConfig {
		return nil, fmt.Errorf("1: the file is larger than %d bytes", maxConfig)
	}
	cfg := &config{}
	file, err := decode(text, cfg)
	if err != nil {
		return nil, err
	}
	if err := cfg.check(); err != nil {
		return nil, withLine(file, err)
	}
	return cfg, nil
}

// decode reads a text strictly. The YAML library panics on some texts that are
// no YAML: those are errors like others.
func decode(text []byte, into *config) (file *ast.File, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("1: this is no YAML")
		}
	}()
	file, err = parser.ParseBytes(text, 0)
	if err != nil {
		return nil, positioned(err)
	}
	if len(file.Docs) > 1 {
		return nil, errors.New("1: one document is expected, not several")
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return file, nil
	}
	if err := plain(file.Docs[0].Body); err != nil {
		return nil, err
	}
	// The text is read again: given the parsed nodes, the library does not see
	// keys that are there twice.
	if err := yaml.UnmarshalWithOptions(text, into, yaml.Strict()); err != nil {
		return nil, positioned(err)
	}
	return file, nil
}

// plain refuses what a configuration has no use for, and with it files that
// grow when they are read.
func plain(node ast.Node) error {
	var v refuser
	ast.Walk(&v, node)
	return v.err
}

type refuser struct{ err error }

// Visit looks at one node.
func (v *refuser) Visit(node ast.Node) ast.Visitor {
	if v.err != nil {
		return nil // the first is told
	}
	switch node.Type() {
	case ast.AnchorType, ast.AliasType, ast.MergeKeyType, ast.TagType, ast.DirectiveType:
		v.err = fmt.Errorf("%d: anchors, aliases, merges and tags are not taken", node.GetToken().Position.Line)
		return nil
	}
	return v
}

// positioned tells line and message of a decoder's error, without the lines
// around it that its own text shows: a password may be among them.
func positioned(err error) error {
	var at yaml.Error
	if !errors.As(err, &at) || at.GetToken() == nil {
		return fmt.Errorf("1: %s", err)
	}
	return fmt.Errorf("%d: %s", at.GetToken().Position.Line, at.GetMessage())
}

// withLine puts the line of a fault's place before it. A key that is not there
// is reported at what would hold it.
func withLine(file *ast.File, err error) error {
	var f *fault
	if !errors.As(err, &f) || len(file.Docs) == 0 {
		return fmt.Errorf("1: %w", err)
	}
	line := 1
	node := file.Docs[0].Body
	for _, key := range f.path {
		value := entry(node, key)
		if value == nil {
			break
		}
		line, node = value.Key.GetToken().Position.Line, value.Value
	}
	return fmt.Errorf("%d: %w", line, err)
}

// entry finds a key of a mapping.
func entry(node ast.Node, key string) *ast.MappingValueNode {
	var values []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	}
	for _, v := range values {
		if v.Key.GetToken().Value == key {
			return v
		}
	}
	return nil
}

// checkFiles looks whether the commands are there and can be run.
func (c *config) checkFiles() error {
	for name, o := range c.Orders {
		if err := runnable(o.Command[0]); err != nil {
			return fmt.Errorf("orders.%s.command: %w", name, err)
		}
	}
	for name, f := range c.Custom {
		if err := runnable(f.Command[0]); err != nil {
			return fmt.Errorf("custom.%s.command: %w", name, err)
		}
	}
	return nil
}

func runnable(name string) error {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no %s", name)
	case err != nil:
		return err
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		return fmt.Errorf("%s is no program", name)
	}
	return nil
}
