package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/edgetether/tether/schema"
)

// Bounds of an order's settings. The server waits 10 s for a reply; what takes
// longer is told as the order's late result.
const (
	defaultTimeout = 8 * time.Second
	maxTimeout     = time.Hour
	defaultOutput  = 4 << 10
	maxOutput      = 16 << 10
)

var (
	argName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
	envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
)

// check says what is wrong with the file's content. What package device checks
// (the URL, the identity) is left to it.
func (c *config) check() error {
	if err := c.checkIdentity(); err != nil {
		return err
	}
	if c.SFTP != nil && c.SFTP.Password != "" && c.SFTP.PasswordFile != "" {
		return faultf([]string{"sftp", "password_file"}, "must not be set together with password")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Custom)) {
		at := []string{"custom", name, "command"}
		if c.Custom[name] == nil {
			return faultf(at, "required")
		}
		if err := checkCommand(c.Custom[name].Command, at, nil); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Orders)) {
		if err := checkOrder(name, c.Orders[name]); err != nil {
			return err
		}
	}
	return nil
}

func (c *config) checkIdentity() error {
	switch {
	case c.Server == "":
		return faultf([]string{"server"}, "required")
	case c.DeviceID == "" && (c.SN == "" || c.Model == ""):
		return faultf([]string{"device_id"}, "required, or sn and model")
	case c.DeviceID != "" && (c.SN != "" || c.Model != ""):
		return faultf([]string{"device_id"}, "must not be set together with sn and model")
	case c.Password != "" && c.PasswordFile != "":
		return faultf([]string{"password_file"}, "must not be set together with password")
	case c.MaxTries < 0:
		return faultf([]string{"max_tries"}, "must not be negative; 0 is unlimited")
	}
	return nil
}

func checkOrder(name string, o *order) error {
	at := func(rest ...string) []string { return append([]string{"orders", name}, rest...) }
	if err := schema.CheckOrder("name", name); err != nil {
		return faultf(at(), "%s", schema.Public(err).Message)
	}
	switch {
	case schema.IsInner(name):
		return faultf(at(), "the framework carries it out itself")
	case o == nil:
		return faultf(at(), "command: required")
	case o.Dir != "" && !filepath.IsAbs(o.Dir):
		return faultf(at("dir"), "must be an absolute path")
	case o.Output < 0 || o.Output > maxOutput:
		return faultf(at("output"), "must be from 1 to %d bytes", maxOutput)
	}
	if err := o.checkTimeout(); err != nil {
		return faultf(at("timeout"), "%s", err)
	}
	for _, arg := range slices.Sorted(maps.Keys(o.Args)) {
		if err := o.Args[arg].check(arg); err != nil {
			return faultf(at("args", arg), "%s", err)
		}
	}
	for _, variable := range o.Env {
		if !envName.MatchString(variable) || strings.HasPrefix(variable, "TETHER_") {
			return faultf(at("env"), "%q: must be the name of a variable, and none of the agent's own", variable)
		}
	}
	return checkCommand(o.Command, at("command"), o.Args)
}

// checkTimeout reads the timeout. A number without a unit is refused: nobody
// agrees what it would mean.
func (o *order) checkTimeout() (err error) {
	if o.expiry = defaultTimeout; o.Timeout == "" {
		return nil
	}
	o.expiry, err = time.ParseDuration(o.Timeout)
	if err != nil || o.expiry <= 0 || o.expiry > maxTimeout {
		return fmt.Errorf("must be a time such as 8s or 2m, of at most %s", maxTimeout)
	}
	return nil
}

// checkCommand holds a command to its form: an absolute path and arguments
// whose placeholders are args, each of which is used.
func checkCommand(command, path []string, args map[string]*arg) error {
	if len(command) == 0 {
		return faultf(path, "required")
	}
	if !filepath.IsAbs(command[0]) || strings.Contains(command[0], "${") {
		return faultf(path, "%q: the program must be an absolute path, and fixed", command[0])
	}
	used := map[string]bool{}
	for _, argument := range command {
		if strings.ContainsRune(argument, 0) {
			return faultf(path, "%q: must not hold a NUL", argument)
		}
		rest := placeholder.ReplaceAllStringFunc(argument, func(p string) string {
			used[p[2:len(p)-1]] = true
			return ""
		})
		if strings.Contains(rest, "${") {
			return faultf(path, "%q: a placeholder is ${name}, with a name of small letters, digits and _", argument)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if args[name] == nil {
			return faultf(path, "${%s} is not among args", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(args)) {
		if !used[name] {
			return faultf(append(path[:len(path)-1:len(path)-1], "args", name), "is not used in command")
		}
	}
	return nil
}
