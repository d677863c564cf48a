package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"
)

// order is one command on the allow-list.
type order struct {
	About   string          `yaml:"about"`   // for people
	Command []string        `yaml:"command"` // the program's absolute path, and its arguments
	Args    map[string]*arg `yaml:"args"`
	Timeout string          `yaml:"timeout"` // default 8s
	Dir     string          `yaml:"dir"`     // default /
	Env     []string        `yaml:"env"`     // names of variables that are passed on; default defaultEnv
	Output  int             `yaml:"output"`  // bytes kept of each stream's end; default 4096

	expiry  time.Duration // Timeout
	environ []string      // NAME=value, of Env
}

var defaultEnv = []string{"PATH", "HOME", "LANG", "TZ"}

// placeholder is where an argument's value goes.
var placeholder = regexp.MustCompile(`\$\{([a-z][a-z0-9_]*)\}`)

// argv is the command with the values of params. Values are put in in one
// pass: one that looks like a placeholder stays what it is.
func (o *order) argv(params json.RawMessage) ([]string, error) {
	values, err := o.values(params)
	if err != nil {
		return nil, err
	}
	argv := make([]string, len(o.Command))
	for i, argument := range o.Command {
		argv[i] = placeholder.ReplaceAllStringFunc(argument, func(p string) string {
			return values[p[2:len(p)-1]]
		})
	}
	return argv, nil
}

// values checks params against args: each that is declared, and no other.
func (o *order) values(params json.RawMessage) (map[string]string, error) {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(params, &given); err != nil {
		return nil, fmt.Errorf("params: must be an object")
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if o.Args[name] == nil {
			return nil, fmt.Errorf("params: %q is not an argument of this order", name)
		}
	}
	values := make(map[string]string, len(o.Args))
	for _, name := range slices.Sorted(maps.Keys(o.Args)) {
		a := o.Args[name]
		raw, ok := given[name]
		switch {
		case ok:
			text, err := a.text(raw)
			if err != nil {
				return nil, fmt.Errorf("params.%s: %w", name, err)
			}
			values[name] = text
		case a.Default != nil:
			values[name] = a.fallback
		default:
			return nil, fmt.Errorf("params.%s: required", name)
		}
	}
	return values, nil
}
