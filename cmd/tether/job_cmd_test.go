package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
)

// TestJobCommands walks through the lives of some jobs.
func TestJobCommands(t *testing.T) {
	t.Parallel()
	s := serve(t)
	x := newTerminal(t, s)
	x.runs(x.adds("press-7 --sn a --model M"))
	id, password := x.adds("away --sn b --model M --type drill")
	x.types(0, "group add 'hall 2'")
	x.types(0, "group join 'hall 2' press-7 away")
	const rows = "DEVICE               ORDER                STATE    REASON          MESSAGE\n"

	out, errs := x.types(1, "job give say text=hello --group 'hall 2'")
	if alikeText(out) != "job # (say): done; 2 devices: 1 succeeded, 1 refused\n"+rows+"#  #  refused  device_offline  the device is offline\n" ||
		alikeText(errs) != `tether: 1 of 2 devices did not succeed; "tether job retry #" gives them the order again`+"\n" {
		t.Errorf("a group with one that is away:\n%s%s", out, errs)
	}
	first := anID.FindString(out)
	x.shows("job give say text=hello --device press-7", "job # (say): done; 1 devices: 1 succeeded\n")
	out, _ = x.types(1, `job give fail --params '{"text":"\u009b2J"}' --device press-7`)
	if !strings.Contains(out, `failed          \u009b2J`) {
		t.Errorf("a device's words: %q", out)
	}
	out, _ = x.types(1, `job give fail --params '{"text":"\u009b2J"}' --name press --json`)
	if plain(strings.TrimSuffix(out, "\n")) != strings.TrimSuffix(out, "\n") || !strings.Contains(out, `"devices":[{"device_id":"`) ||
		!strings.Contains(out, `"message":"\u009b2J"`) || !strings.Contains(out, `"filter":{"name":"press"}`) {
		t.Errorf("as JSON: %q", out)
	}

	waits := "job give restart --type drill --model M --state offline --queue --wait-turn --ttl 1m --max-parallel 1 --max-failures 0 --no-wait --idempotency-key k1"
	x.shows(waits, "job # (restart): running; 1 devices: 1 pending\n")
	again, _ := x.types(0, waits)
	queued := anID.FindString(again)
	await(t, "an order that waits", func() bool {
		out, _ := x.types(0, "job show "+queued+" --state queued,sent")
		return strings.Contains(out, id)
	})
	x.shows("job show "+queued, `job_id        #
order         restart
params        {}
for           devices with state offline, type drill, model M
at once       1
max failures  0
if offline    queue
if busy       wait
may wait      60 s
state         running
devices       1: 1 queued
by            key:first
given         TIME

DEVICE               ORDER                STATE   REASON  MESSAGE
#  #  queued
`)
	x.says(1, "job give restart --type drill --no-wait --idempotency-key k1", "idempotency_conflict")
	x.says(1, "job retry "+queued, "job_running")
	x.shows("job cancel "+queued, "job # (restart): cancelled; 1 devices: 1 cancelled\n")
	x.says(1, "job cancel "+queued, "job_not_cancellable")

	x.runs(id, password)
	x.shows("job retry "+first, "job # (say): done; 1 devices: 1 succeeded\n")
	out, _ = x.types(0, "job list --limit 3")
	if lines := strings.Split(alikeText(out), "\n"); len(lines) != 5 || !strings.HasPrefix(lines[1], "#  say      done       1        1          0         TIME  TIME  key:first") ||
		!strings.HasPrefix(lines[2], "#  restart  cancelled  1        0          1 ") {
		t.Errorf("the jobs are\n%s", out)
	}
	if out, _ := x.types(0, "job show --json "+anID.FindString(out)); !strings.Contains(out, `"target":{"kind":"retry","job_id":"`+first+`"}`) || !strings.Contains(out, `"devices":[{`) {
		t.Errorf("the retry is\n%s", out)
	}
	if out, _ := x.types(0, "job show "+first+" --state pending"); !strings.HasSuffix(out, "\nDEVICE  ORDER  STATE  REASON  MESSAGE\n") {
		t.Errorf("it shows\n%s", out)
	}

	x.says(1, "job show 77", "job_not_found: no such job")
	x.says(1, "job cancel 77", "job_not_found")
	x.says(1, "job retry 77", "job_not_found")
	x.says(1, "job show x", "must be")
	x.says(1, "job give restart --group nowhere", `no group is called "nowhere"`)
	x.says(1, "job give restart --device press-7 --device nobody", `no device is called "nobody"`)
	x.says(1, "job give restart --model none", "no_devices")
	x.says(1, "job give restart --state gone", "filter.dev_state: must be")
	x.env[1] = "TETHER_KEY=tk_wrong"
	x.says(1, "job give restart --model M", "give one as TETHER_KEY or by --key-file")
}

// TestJobCommands_Wrong: a wrong call asks no service, and is told what to do.
func TestJobCommands_Wrong(t *testing.T) {
	t.Parallel()
	x := &terminal{t: t}
	for line, want := range map[string]string{
		"job give restart":                             "say in one way which devices: --group, --device, or a filter",
		"job give restart --model ''":                  "say in one way",
		"job give restart --group g --device d":        "say in one way",
		"job give restart --device d --type t":         "say in one way",
		"job give restart --group g --max-parallel 0":  "--max-parallel is 1 to 1000",
		"job give restart --group g --max-failures=-1": "--max-failures is 0 to 1000000",
		"job give restart --group g --ttl 1500ms":      "whole seconds",
		"job give say --group g text":                  "must be name=value",
		"job give --group g":                           "<order>",
		"job show 77 --state gone":                     `"gone" is no state of a job's device`,
		"job cancel":                                   "<job>",
		"audit --since soon":                           "--since",
	} {
		if _, errs := x.types(2, line); !strings.Contains(errs, want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: %s", line, errs)
		}
	}
}

// aLook is that a job was asked for.
var aLook = regexp.MustCompile(`tether_http_requests_total\{class="2xx",route="[^"]*group_order_query/[^"]*"\} [1-9]`)

// TestJobGive_GoesOn: who waits waits over a restart of the service, and Ctrl-C
// ends the wait alone.
func TestJobGive_GoesOn(t *testing.T) {
	t.Parallel()
	s := serve(t)
	x := newTerminal(t, s)
	x.adds("away --sn b --model M")
	p := tether(t, x.env, "job", "give", "restart", "--model", "M", "--queue")
	await(t, "a look at the job", func() bool { _, text := look(t, s.ops, "/metrics"); return aLook.MatchString(text) })
	s.kill()
	await(t, "word of the loss", func() bool { return p.err.has("; waiting for the service, and for the job\n") })
	s.begin(t)
	await(t, "word of the return", func() bool { return p.err.has("tether: connected again; the job goes on\n") })
	p.signal(os.Interrupt)
	if code := p.code(); code != codeUnknown {
		t.Errorf("exit code %d", code)
	}
	const want = `tether: interrupted; job # goes on: "tether job show #" knows how it is, "tether job cancel #" ends it` + "\n"
	if errs := alikeText(p.err.String()); !strings.HasSuffix(errs, want) || strings.Count(errs, "; waiting for") != 1 || p.out.String() != "" {
		t.Errorf("it said\n%s%s", &p.err, &p.out)
	}
	out, _ := x.types(0, "job list")
	x.shows("job cancel "+anID.FindString(out), "job # (restart): cancelled; 1 devices: 1 cancelled\n")
}

// TestJobGive_NotMade: what the service refused was not made. Where it has not
// said a word nobody knows, unless nothing was sent.
func TestJobGive_NotMade(t *testing.T) {
	t.Parallel()
	lost := func(err error) error {
		return &url.Error{Op: "Post", URL: "http://host:9090/service", Err: err}
	}
	const unknown = "; whether the job was made is not known: the same again with --idempotency-key k makes it once at most"
	for _, c := range []struct {
		err  error
		sent bool
		code int
		want string
	}{
		{schema.ErrNoDevices, true, codeFailed, "no_devices"},
		{schema.ErrDraining, true, codeFailed, "draining"},
		{schema.ErrStoreUnavailable, true, codeUnknown, unknown},
		{errors.New(`host answers "502 Bad Gateway"`), true, codeUnknown, `"502 Bad Gateway"` + unknown},
		{lost(io.EOF), true, codeUnknown, "http://host:9090 cannot be reached: EOF; "},
		{lost(io.EOF), true, codeUnknown, unknown},
		{lost(io.EOF), false, codeFailed, "EOF"},
		{lost(context.Canceled), true, codeUnknown, "interrupted" + unknown},
		{lost(context.Canceled), false, codeFailed, "interrupted"},
	} {
		err := notMade(c.err, c.sent, "k")
		if codeOf(err) != c.code || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), unknown) != (c.code == codeUnknown) ||
			errors.Is(err, context.Canceled) {
			t.Errorf("%v, %t: %d, %v", c.err, c.sent, codeOf(err), err)
		}
	}
}

// TestJobGive_Progress: a bar on a terminal, which is not in the way of what is
// said of the service; a line elsewhere.
func TestJobGive_Progress(t *testing.T) {
	j := schema.Job{JobID: "7", Counts: schema.JobCounts{Total: 4, Sent: 2, Succeeded: 1, Refused: 1}}
	const half = "50 %  2 of 4 devices, 1 failures"
	for terminal, want := range map[bool]string{
		true: clearLine + "[###############...............]  " + half + clearLine + "tether: gone\\n; waiting for the service, and for the job\n" +
			"tether: connected again; the job goes on\n",
		false: half + "\ntether: gone\\n; waiting for the service, and for the job\ntether: connected again; the job goes on\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			var errs bytes.Buffer
			w := newJobWait(&asking{streams: streams{err: &errs}})
			w.terminal = terminal
			time.Sleep(lineInterval)
			if w.due() {
				w.progress(j)
			}
			w.heard(errors.New("gone\n"))
			w.heard(errors.New("still gone"))
			w.heard(nil)
			w.heard(nil)
			if w.clear(); errs.String() != want {
				t.Errorf("it wrote %q", &errs)
			}
		})
	}
}

// TestAuditCommand: the lines of what was asked for, and of what was refused.
func TestAuditCommand(t *testing.T) {
	t.Parallel()
	s := serve(t)
	x := newTerminal(t, s)
	x.types(0, "group add 'hall 2'")
	x.says(1, "group add 'hall 2'", "group_exists")
	await(t, "the lines", func() bool { out, _ := x.types(0, "audit --service group_add"); return strings.Count(out, "\n") == 3 })
	x.shows("audit --service group_add --by key:first --since 1h", `TIME                 BY         ADDRESS    SERVICE    STATUS  CODE          TARGET
TIME  key:first  127.0.0.1  group_add  409     group_exists  {}
TIME  key:first  127.0.0.1  group_add  201                   {"group_id":"#"}
`)
	if out, _ := x.types(0, "audit --limit 1 --json"); strings.Count(out, "\n") != 1 || !strings.Contains(out, `"code":"group_exists"`) {
		t.Errorf("the newest line is\n%s", out)
	}
	x.shows("audit --until 1h", "TIME  BY  ADDRESS  SERVICE  STATUS  CODE  TARGET\n")
	x.shows("audit --by key:nobody --json", "")
	x.says(1, "audit --since 1h --until 2h", "until: must not be before since")
	var viewer struct{ Key string }
	s.api.must("POST", "key_add", `{"name":"v","role":"viewer"}`, &viewer)
	x.env[1] = "TETHER_KEY=" + viewer.Key
	x.says(1, "audit", "forbidden")
}
