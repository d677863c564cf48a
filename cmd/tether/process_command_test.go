package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
)

// tool runs a command to its end, which must have an exit code.
func tool(t *testing.T, code int, env []string, args ...string) *process {
	t.Helper()
	p := tether(t, env, args...)
	if got := p.code(); got != code {
		t.Errorf("%q: exit code %d, want %d\n%s", args, got, code, &p.err)
	}
	return p
}

// call is a command that needs no process of its own.
func call(t *testing.T, code int, env []string, args ...string) (out, err *output) {
	t.Helper()
	out, err = &output{}, &output{}
	ctx, cancel := context.WithTimeout(t.Context(), patience) // for one that should not have begun
	defer cancel()
	if got := run(ctx, args, env, out, err); got != code {
		t.Errorf("%q: exit code %d, want %d\n%s", args, got, code, err)
	}
	return out, err
}

// TestKeys: a key that is made beside a running service is good at once, and
// one that is revoked is good no more.
func TestKeys(t *testing.T) {
	t.Parallel()
	s := serve(t)
	key := strings.TrimSpace(tool(t, 0, nil, "key", "add", "line-2", "--role", "viewer", "--database", s.database()).out.String())
	if !regexp.MustCompile(`^` + schema.KeyPrefix + `\S+$`).MatchString(key) {
		t.Fatalf("key add told %q", key)
	}
	first := s.api.key
	s.api.key = key
	s.api.must("GET", "device_query_all", "", nil)
	if a := s.api.ask("POST", "device_add", `{}`); a.HTTP != 403 {
		t.Errorf("a viewer adds a device: %d %s", a.HTTP, a.Code)
	}

	list := tool(t, 0, nil, "key", "--database", s.database(), "list").out.String()
	row := regexp.MustCompile(`(?m)^(\d+)  line-2  viewer .*$`).FindStringSubmatch(list)
	if row == nil || strings.Contains(list, schema.KeyPrefix) {
		t.Fatalf("key list told\n%s", list)
	}
	tool(t, 0, nil, "key", "revoke", row[1], "--database", s.database())
	await(t, "a key that is refused", func() bool { return s.api.ask("GET", "device_query_all", "").HTTP == 401 })
	s.api.key = first
	s.api.must("GET", "device_query_all", "", nil)

	if p := tool(t, 1, nil, "key", "revoke", "1", "--database", s.database()); !p.err.has("no such key") {
		t.Errorf("an unknown key: %q", &p.err)
	}
	if p := tool(t, 2, nil, "key", "add", "x", "--role", "root", "--database", s.database()); !p.err.has("--role") {
		t.Errorf("an unknown role: %q", &p.err)
	}
}

// TestMigrate looks at a database's form before and after.
func TestMigrate(t *testing.T) {
	t.Parallel()
	database := "sqlite:" + filepath.Join(t.TempDir(), "some.db")
	for _, c := range []struct {
		flag           string
		applied, other string
	}{{"", "applied", "missing"}, {"--status", "applied", "missing"}} {
		args := strings.Fields("migrate " + c.flag + " --database " + database)
		if told, _ := call(t, 0, nil, args...); !told.has(c.applied) || told.has(c.other) {
			t.Errorf("%q told\n%s", args, told)
		}
	}
	if told, _ := call(t, 0, nil, "migrate", "--down", "--database", database); !told.has("missing") {
		t.Errorf("a step back told\n%s", told)
	}
	if _, err := call(t, 2, nil, "migrate", "--status", "--down", "--database", database); !err.has("--down") {
		t.Errorf("both at once: %q", err)
	}
	if _, err := call(t, 1, nil, "migrate", "--status", "--database", "mongodb://x"); !err.has("database") {
		t.Errorf("an unknown engine: %q", err)
	}
}

// TestDemo: it ends by itself or by Ctrl-C, well either way, and leaves nothing.
func TestDemo(t *testing.T) {
	t.Parallel()
	temp := t.TempDir()
	env := []string{"TMPDIR=" + temp}
	p := tool(t, 0, env, "demo", "--for", "3s")
	if !p.out.has("with three devices") || !p.out.has("curl -s") {
		t.Errorf("it showed\n%s", &p.out)
	}

	p = tether(t, env, "demo")
	await(t, "the tour's end", func() bool { return p.out.has("verified by a new boot") })
	for _, want := range []string{`succeeded: blink done {"blinked":3}`, "identical to the device's own", "press-2 is online: cpu"} {
		if !p.out.has(want) {
			t.Errorf("it does not show %q", want)
		}
	}
	asked := time.Now()
	p.signal(os.Interrupt)
	if code := p.code(); code != 0 {
		t.Errorf("exit code %d after an interrupt", code)
	}
	if took := time.Since(asked); took > 15*time.Second {
		t.Errorf("it took %v to end", took)
	}
	if files, err := os.ReadDir(temp); err != nil || len(files) != 0 {
		t.Errorf("%v, %v left behind", files, err)
	}
	if _, err := call(t, 1, nil, "demo", "--listen", "0.0.0.0:0"); !err.has("loopback") {
		t.Errorf("in the open: %q", err)
	}
}

// TestCalls: help is a good end, a wrong call is 2 and says what is wrong.
func TestCalls(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args string
		says []string
	}{
		{"--help", []string{"Usage: tether", "serve", "demo", "key add", "migrate", "--config"}},
		{"serve --help", []string{"--listen", "--insecure-plaintext", "tether serve --sftp-listen"}},
		{"key add --help", []string{"--role", "--database"}},
	} {
		out, err := call(t, 0, nil, strings.Fields(c.args)...)
		for _, want := range c.says {
			if !out.has(want) {
				t.Errorf("%s does not say %q:\n%s", c.args, want, out)
			}
		}
		if err.String() != "" {
			t.Errorf("%s complains: %s", c.args, err)
		}
	}
	if out, _ := call(t, 0, nil, "--version"); strings.TrimSpace(out.String()) == "" {
		t.Error("no version")
	}
	tool(t, 0, nil, "--help") // the codes are the processes', too
	tool(t, 2, nil, "--no-such-flag")
	for args, says := range map[string]string{
		"":                           "expected one of",
		"serve --no-such-flag":       "--no-such-flag",
		"fly":                        "fly",
		"serve extra":                "extra",
		"serve --auth maybe":         "--auth",
		"serve --status-sample soon": "--status-sample",
		"key add":                    "<name>",
		"--config nowhere.yaml demo": "nowhere.yaml",
	} {
		if _, err := call(t, 2, nil, strings.Fields(args)...); !err.has(says) || strings.Count(err.String(), "\n") != 1 {
			t.Errorf("%q: it said %q, not %q", args, err, says)
		}
	}
}

// TestSettings: the command line is stronger than the environment, and that
// than the file; a name that is no flag is refused.
func TestSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return "sqlite:" + filepath.Join(dir, name) }
	file := filepath.Join(dir, "tether.yaml")
	writeFile(t, file, "database: "+at("file.db")+"\nlog-json: true\nlisten: 127.0.0.1:0\n")
	config, env, flag := slices.Clip([]string{"--config", file}), []string{"TETHER_DATABASE=" + at("env.db")}, []string{"--database", at("flag.db")}
	for _, c := range []struct {
		made string
		env  []string
		args []string
	}{
		{"file.db", nil, append(config, "migrate")},
		{"env.db", env, append(config, "migrate")},
		{"flag.db", env, slices.Concat(config, []string{"migrate"}, flag)},
		{"flag.db", nil, slices.Concat(config, []string{"migrate"}, flag)},
		{"env.db", append(env, "TETHER_CONFIG="+file), []string{"migrate"}}, // --config is no setting of the environment
	} {
		call(t, 0, c.env, c.args...)
		made, err := filepath.Glob(filepath.Join(dir, "*.db"))
		if err != nil || len(made) != 1 || filepath.Base(made[0]) != c.made {
			t.Errorf("%v %v made %v, want %s", c.env, c.args, made, c.made)
		}
		for _, name := range made {
			_ = os.Remove(name) // for the next
		}
	}

	p := tether(t, []string{"TETHER_NODE=some"}, append(config, "serve")...)
	await(t, "a log in JSON, as the file says", func() bool { return servingAt.MatchString(p.err.String()) })
	p.signal(os.Interrupt)
	if code := p.code(); code != 0 {
		t.Errorf("exit code %d", code)
	}

	for text, says := range map[string]string{
		"lisen: x\n":          `"lisen"`,
		"listen: [unclosed\n": "1",
		"log-level: loud\n":   "--log-level",
	} {
		writeFile(t, file, text)
		if _, err := call(t, 2, nil, append(config, "serve")...); !err.has(says) {
			t.Errorf("%q: it said %q", text, err)
		}
	}
	if _, err := call(t, 2, []string{"TETHER_AUTH=maybe"}, "serve"); !err.has("--auth") {
		t.Errorf("a wrong variable: %q", err)
	}
}
