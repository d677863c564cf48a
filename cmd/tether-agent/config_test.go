package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func nothing(string) string { return "" }

func TestExampleIsAConfiguration(t *testing.T) {
	c, err := parseConfig([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if c.DeviceID != "1860117402213097472" || len(c.Orders) != 3 || len(c.Custom) != 1 {
		t.Errorf("%+v", c)
	}
	blink := c.Orders["blink"]
	if blink.expiry != 8*time.Second || blink.Args["times"].fallback != "5" || *blink.Args["times"].Max != 60 {
		t.Errorf("%+v", blink)
	}
	// What is commented out must be right as well.
	text := strings.NewReplacer("# sftp:", "sftp:", "#   ", "  ", "# remote_dir", "remote_dir", "# ca_file", "ca_file").Replace(example)
	if c, err = parseConfig([]byte(text)); err != nil || c.SFTP == nil || c.RemoteDir == "" || c.CAFile == "" {
		t.Errorf("%v, %+v", err, c)
	}
}

func TestConfigFaults(t *testing.T) {
	order := func(text string) string { return minimal + "orders:\n  turn:\n    " + text + "\n" }
	args := func(text string) string {
		return order("command: [/bin/x, \"${n}\"]\n    args:\n      n: " + text)
	}
	for name, c := range map[string]struct{ text, want string }{
		"empty":                 {"", "1: server: required"},
		"no mapping":            {"hello", "1: "},
		"broken":                {"server: [", "1: "},
		"anchor":                {minimal + "state_dir: &a x\n", "3: anchors, aliases"},
		"alias":                 {minimal + "state_dir: &a x\ndisk_path: *a\n", "3: anchors, aliases"},
		"tag":                   {minimal + "state_dir: !!str 1\n", "3: anchors, aliases"},
		"merge":                 {minimal + "orders:\n  <<: {a: 1}\n", "4: anchors, aliases"},
		"two documents":         {minimal + "---\n" + minimal, "one document"},
		"unknown key":           {minimal + "nosuch: 1\n", "3: unknown field \"nosuch\""},
		"key twice":             {minimal + "server: x\n", "3: "},
		"wrong type":            {minimal + "max_tries: many\n", "3: "},
		"no device":             {"server: ws://x/\n", "device_id: required"},
		"half a pair":           {"server: ws://x/\nsn: a\n", "device_id: required"},
		"both identities":       {minimal + "sn: a\nmodel: b\n", "2: device_id: must not be set together"},
		"two passwords":         {minimal + "password: a\npassword_file: b\n", "4: password_file: must not"},
		"tries":                 {minimal + "max_tries: -1\n", "3: max_tries: must not be negative"},
		"two sftp passwords":    {minimal + "sftp:\n  password: a\n  password_file: b\n", "5: sftp.password_file: must not"},
		"figure without":        {minimal + "custom:\n  f: {}\n", "4: custom.f.command: required"},
		"figure null":           {minimal + "custom:\n  f:\n", "4: custom.f.command: required"},
		"figure with arg":       {minimal + "custom:\n  f: {command: [/bin/x, \"${n}\"]}\n", "4: custom.f.command: ${n} is not among args"},
		"order null":            {minimal + "orders:\n  turn:\n", "4: orders.turn: command: required"},
		"order name":            {minimal + "orders:\n  1turn: {command: [/bin/x]}\n", "4: orders.1turn: "},
		"inner order":           {minimal + "orders:\n  restart: {command: [/bin/x]}\n", "the framework carries it out"},
		"unknown order key":     {order("shell: true"), "5: unknown field \"shell\""},
		"no command":            {order("timeout: 1s"), "orders.turn.command: required"},
		"relative program":      {order("command: [x]"), "5: orders.turn.command: \"x\": the program must be an absolute path"},
		"program by argument":   {order("command: [\"/bin/${n}\"]\n    args:\n      n: {type: int}"), "absolute path, and fixed"},
		"bad placeholder":       {order("command: [/bin/x, \"${N}\"]"), "a placeholder is ${name}"},
		"open placeholder":      {order("command: [/bin/x, \"${n\"]"), "a placeholder is ${name}"},
		"NUL":                   {order("command: [/bin/x, \"a\\0b\"]"), "must not hold a NUL"},
		"undeclared":            {order("command: [/bin/x, \"${m}\"]"), "${m} is not among args"},
		"unused":                {order("command: [/bin/x]\n    args:\n      n: {type: int}"), "7: orders.turn.args.n: is not used in command"},
		"long timeout":          {order("command: [/bin/x]\n    timeout: 1h0m1s"), "6: orders.turn.timeout: must be a time such as 8s or 2m, of at most 1h0m0s"},
		"negative timeout":      {order("command: [/bin/x]\n    timeout: -1s"), "orders.turn.timeout"},
		"word as timeout":       {order("command: [/bin/x]\n    timeout: soon"), "6: orders.turn.timeout: must be a time"},
		"number as timeout":     {order("command: [/bin/x]\n    timeout: 5"), "6: orders.turn.timeout: must be a time"},
		"relative dir":          {order("command: [/bin/x]\n    dir: x"), "6: orders.turn.dir: must be an absolute path"},
		"much output":           {order("command: [/bin/x]\n    output: 16385"), "6: orders.turn.output: must be from 1 to 16384"},
		"env with value":        {order("command: [/bin/x]\n    env: [A=b]"), "6: orders.turn.env: \"A=b\""},
		"own env":               {order("command: [/bin/x]\n    env: [TETHER_PASSWORD]"), "none of the agent's own"},
		"arg null":              {args(""), "7: orders.turn.args.n: type: required"},
		"arg without type":      {args("{min: 1}"), "type: must be int, string, bool or enum"},
		"arg type":              {args("{type: float}"), "type: must be"},
		"foreign setting":       {args("{type: int, pattern: a}"), "pattern: means nothing for type int"},
		"foreign setting 2":     {args("{type: bool, values: [a]}"), "values: means nothing for type bool"},
		"bounds":                {args("{type: int, min: 2, max: 1}"), "max: must not be less than min"},
		"bounds by default":     {args("{type: int, max: -1}"), "max: must not be less than min (default 0)"},
		"no length":             {args("{type: string, max: 0}"), "max: must be at least 1"},
		"pattern":               {args("{type: string, pattern: \"(\"}"), "pattern: error parsing regexp"},
		"no values":             {args("{type: enum}"), "values: required"},
		"value with NUL":        {args("{type: enum, values: [\"a\\0\"]}"), "values: must not hold a NUL"},
		"default out of range":  {args("{type: int, max: 3, default: 4}"), "default: must be from 0 to 3"},
		"default of other type": {args("{type: bool, default: maybe}"), "default: must be true or false"},
		"argument name":         {order("command: [/bin/x]\n    args:\n      N: {type: int}"), "7: orders.turn.args.N: the name must be"},
		"too large":             {strings.Repeat("#", maxConfig+1), "larger than"},
	} {
		_, err := parseConfig([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestConfigThatIsRight(t *testing.T) {
	for name, text := range map[string]string{
		"least":        minimal,
		"pair":         "server: ws://x/\nsn: a\nmodel: b\n",
		"flow":         "{server: ws://x/, device_id: 18601174022130974721}",
		"limits":       minimal + "orders: {x: {command: [/bin/x], timeout: 1h, output: 16384, dir: /tmp, env: []}}",
		"large enough": minimal + "#" + strings.Repeat(" ", maxConfig-len(minimal)-1),
	} {
		if _, err := parseConfig([]byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	c, err := parseConfig([]byte("{server: ws://x/, device_id: 18601174022130974721}"))
	if err != nil || c.DeviceID != "18601174022130974721" {
		t.Errorf("an id without quotes became %q, %v", c.DeviceID, err)
	}
}

// TestT44_ErrorsShowNoSecret: the errors of the YAML library quote the lines
// around a fault.
func TestT44_ErrorsShowNoSecret(t *testing.T) {
	for _, text := range []string{
		minimal + "password: canary\nnosuch: 1\n",
		minimal + "password: canary\npassword: canary\n",
		minimal + "password: canary\nmax_tries: [\n",
		minimal + "password: [canary]\n",
		minimal + "password: {canary: 1}\n",
		minimal + "password: \"canary\n",
		minimal + "sftp:\n  password: canary\n  nosuch: 1\n",
	} {
		_, err := parseConfig([]byte(text))
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", text, err)
		}
	}
	c := config{Password: "canary", SFTP: &sftpConfig{Password: "canary"}}
	for _, shown := range []string{fmt.Sprintf("%v %+v %s %#v", c, c, c.Password, c), fmt.Sprintf("%+v %#v", *c.SFTP, *c.SFTP)} {
		if strings.Contains(shown, "canary") {
			t.Errorf("formatting shows it: %s", shown)
		}
	}
}

func TestPasswords(t *testing.T) {
	file := write(t, "password", "from file\r\n", 0o600)
	for name, c := range map[string]struct {
		extra, env, want, fault string
		mode                    os.FileMode
	}{
		"inline":           {"password: inline\n", "", "inline", "", 0o600},
		"inline and env":   {"password: inline\n", "env", "inline", "", 0o640},
		"file":             {"password_file: " + file + "\n", "env", "from file", "", 0o644},
		"env":              {"", "env", "env", "", 0o644},
		"none":             {"", "", "", "password: required", 0o600},
		"no file":          {"password_file: /no/such\n", "env", "", "password_file: ", 0o600},
		"open file":        {"password_file: " + write(t, "p", "x", 0o604) + "\n", "", "", "mode 0604", 0o600},
		"empty file":       {"password_file: " + write(t, "p", "\n", 0o600) + "\n", "", "", "is empty", 0o600},
		"no sftp file":     {"password: x\nsftp: {password_file: /no/such}\n", "", "", "sftp.password_file: ", 0o600},
		"sftp inline":      {"password_file: " + file + "\nsftp: {password: x}\n", "", "", "mode 0644", 0o644},
		"open inline":      {"password: inline\n", "", "", "mode 0604", 0o604},
		"figure is no exe": {"password: x\ncustom: {f: {command: [" + file + "]}}\n", "", "", "is no program", 0o600},
	} {
		config, err := readConfig(write(t, "c.yaml", minimal+c.extra, c.mode), func(string) string { return c.env })
		switch {
		case c.fault != "":
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: %v, want %q", name, err, c.fault)
			}
		case err != nil || string(config.Password) != c.want:
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSFTPPasswordFile(t *testing.T) {
	file := write(t, "password", "sftp secret\n", 0o600)
	c, err := readConfig(write(t, "c.yaml", minimal+"password: x\nsftp: {password_file: "+file+"}\n", 0o600), nothing)
	if err != nil || c.SFTP.options().Password != "sftp secret" {
		t.Fatal(err)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte(minimal))
	f.Add([]byte(minimal + "orders: {x: {command: [/bin/x, \"${n}\"], args: {n: {type: int, default: 1}}}}"))
	f.Add([]byte("a: &a [*a]\nb: *a"))
	f.Add([]byte("? {x: y}\n: z"))
	f.Add([]byte("orders: {x: {args: {n: {default: {1: 2}}}}}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseConfig(text)
		if err != nil {
			if !strings.Contains(err.Error(), ": ") {
				t.Errorf("no line: %v", err)
			}
			return
		}
		for name, o := range c.Orders {
			if len(o.Command) == 0 || o.Command[0] == "" || o.Command[0][0] != '/' {
				t.Errorf("order %q has no program", name)
			}
		}
	})
}
