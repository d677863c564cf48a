package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/edgetether/tether/schema"
)

// shown is what an order of the agent that runs a command answers.
func shown(t *testing.T, a apiReply) string {
	t.Helper()
	o := a.check(t, 200, "", "succeeded", "")
	var data struct{ Stdout string }
	if err := json.Unmarshal(o.Data, &data); err != nil {
		t.Errorf("data %s", o.Data)
	}
	return data.Stdout
}

// TestAgentCarriesOut: what an order carries is one argument of the command on
// the list, whatever is in it, and no other command is ever run.
func TestAgentCarriesOut(t *testing.T) {
	program := agentProgram(t)
	t.Parallel()
	s := serve(t)
	dir := t.TempDir()
	a := s.agent(program, "a", `orders:
  show:
    command: [/usr/bin/printf, '<%s>\n', "${text}", end]
    args: {text: {type: string}}
    dir: `+dir+"\n")
	s.awaitState(a.id, schema.Online)
	for _, text := range []string{
		"plain", "two words   and more", "", "$(touch pwned)", "`touch pwned`", "; touch pwned", "| touch pwned", "&& touch pwned",
		"> pwned", `'"; touch pwned #`, "*", "${text}", "${HOME} $HOME", `%s%n\n`, "end> <end", "~", "灯",
	} {
		params, err := json.Marshal(map[string]string{"text": text})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := shown(t, s.give(a.id, "show", string(params))), "<"+text+">\n<end>\n"; got != want {
			t.Errorf("%q was shown as %q", text, got)
		}
	}
	for params, message := range map[string]string{
		`{"text":"-v"}`:           "params.text: must not begin with a dash",
		`{"text":"a\u0000b"}`:     "params.text: must not hold a NUL",
		`{"text":["a","b"]}`:      "params.text: must be a string",
		`{"text":"a","more":"b"}`: `params: "more" is not an argument of this order`,
	} {
		if o := s.give(a.id, "show", params).check(t, 502, "order_failed", "failed", ""); o.Message != message {
			t.Errorf("%s: %s", params, o.Message)
		}
	}
	if o := s.give(a.id, "touch", `{"text":"pwned"}`).check(t, 502, "order_failed", "failed", ""); o.Message != "order not in config" {
		t.Errorf("an order that is not on the list: %s", o.Message)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("%v, %v in the command's folder", files, err)
	}
}

// TestAgentRestarts: the agent executes itself anew in its own process, and
// its new boot proves the order.
func TestAgentRestarts(t *testing.T) {
	program := agentProgram(t)
	t.Parallel()
	s := serve(t)
	a := s.agent(program, "a", "orders: {parent: {command: [/bin/sh, -c, 'echo $PPID']}}\n")
	s.awaitState(a.id, schema.Online)
	pid := strconv.Itoa(a.cmd.Process.Pid) + "\n"
	if got := shown(t, s.give(a.id, "parent", "{}")); got != pid {
		t.Fatalf("process %q, started as %q", got, pid)
	}

	o := s.give(a.id, "restart", "").check(t, 200, "", "succeeded", "")
	await(t, "a restart that is verified", func() bool {
		o = s.api.order(o.OrderID)
		return o.Verified != nil
	})
	if !*o.Verified || o.State != schema.OrderSucceeded || o.Late {
		t.Errorf("verified %v, state %s, late %v", *o.Verified, o.State, o.Late)
	}
	s.awaitState(a.id, schema.Online)
	if got := shown(t, s.give(a.id, "parent", "{}")); got != pid {
		t.Errorf("process %q after the restart, %q before", got, pid)
	}
	await(t, "the second of two starts", func() bool { return strings.Count(a.err.String(), " starting ") == 2 })
	if got := s.told(a.id, schema.EventRestartVerified, "order_id"); len(got) != 1 || got[0] != o.OrderID {
		t.Errorf("verified %q", got)
	}
	if got := strings.Join(s.told(a.id, schema.EventLogin, "form"), " "); got != "id_password token" {
		t.Errorf("logins by %s", got)
	}
}

// TestAgentStops: a signal is a good end, with a close that says so.
func TestAgentStops(t *testing.T) {
	program := agentProgram(t)
	t.Parallel()
	s := serve(t)
	a := s.agent(program, "a", "")
	s.awaitState(a.id, schema.Online)
	await(t, "the token to be kept", func() bool {
		_, err := os.Stat(filepath.Join(a.state, "token.json"))
		return err == nil
	})
	a.signal(os.Interrupt)
	if code := a.code(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.awaitState(a.id, schema.Offline)
	await(t, "the line of the end", func() bool {
		got := s.told(a.id, schema.EventDisconnect, "reason")
		return len(got) == 1 && got[0] == "closed_by_device"
	})
	for _, file := range []string{"token.json", "journal", "device.log"} {
		info, err := os.Stat(filepath.Join(a.state, file))
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
}
