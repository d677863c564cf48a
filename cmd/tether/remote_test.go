package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgetether/tether/device"
	"github.com/edgetether/tether/schema"
)

// terminal is an operator at a service: commands run in this process.
type terminal struct {
	t   *testing.T
	s   *site
	env []string
}

func newTerminal(t *testing.T, s *site) *terminal {
	return &terminal{t, s, []string{"TETHER_URL=http://" + s.address, "TETHER_KEY=" + s.api.key}}
}

// types runs a command line, whose words may be in quotes, and returns what it printed.
func (x *terminal) types(code int, line string) (out, err string) {
	x.t.Helper()
	words := shellWord.FindAllString(line, -1)
	for i := range words {
		words[i] = strings.Trim(words[i], "'")
	}
	o, e := call(x.t, code, x.env, words...)
	return o.String(), e.String()
}

var (
	anID      = regexp.MustCompile(`\d{18,20}`)
	aMoment   = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`)
	aPassword = regexp.MustCompile(schema.PasswordPrefix + `\S+`)
	someEpoch = regexp.MustCompile(`"epoch":\d+`)
	aMilli    = regexp.MustCompile(`_time":\d{13}`)
)

// alikeText is a text without what differs each time.
func alikeText(text string) string {
	text = anID.ReplaceAllString(text, "#")
	text = aMoment.ReplaceAllString(text, "TIME")
	text = aPassword.ReplaceAllString(text, "PASSWORD")
	text = someEpoch.ReplaceAllString(text, `"epoch":#`)
	return aMilli.ReplaceAllString(text, `_time":#`)
}

// shows runs a command that must print this to standard output.
func (x *terminal) shows(line, want string) {
	x.t.Helper()
	out, errs := x.types(0, line)
	if got := alikeText(out); got != want || errs != "" {
		x.t.Errorf("tether %s\nprinted\n%swant\n%sand said %s", line, got, want, errs)
	}
}

// says runs a command that must end with a code and one line on standard error.
func (x *terminal) says(code int, line, want string) {
	x.t.Helper()
	if _, errs := x.types(code, line); !strings.Contains(alikeText(errs), want) || strings.Count(errs, "\n") != 1 || !strings.HasPrefix(errs, "tether: ") {
		x.t.Errorf("tether %s\nsaid %s\nwant %s", line, errs, want)
	}
}

// adds registers a device by a command.
func (x *terminal) adds(line string) (id, password string) {
	x.t.Helper()
	out, _ := x.types(0, "device add --json "+line)
	var who struct{ Device_ID, Password string }
	if err := json.Unmarshal([]byte(out), &who); err != nil || who.Password == "" {
		x.t.Fatalf("%v: %s", err, out)
	}
	return who.Device_ID, who.Password
}

// runs has a device in this process, until the test ends: it says what it is
// told to, fails when it is told to, and holds for as long as it is told to.
func (x *terminal) runs(id, password string) {
	x.t.Helper()
	d, err := device.New(device.Config{URL: "ws://" + x.s.address + "/ws", DeviceID: id, Password: password, StateDir: x.t.TempDir(), MaxTries: -1})
	if err != nil {
		x.t.Fatal(err)
	}
	type word struct {
		Text string `json:"text"`
	}
	device.On(d, "say", func(_ context.Context, p word) (any, error) { return p, nil })
	device.On(d, "fail", func(_ context.Context, p word) (any, error) { return nil, errors.New(p.Text) })
	device.On(d, "hold", func(ctx context.Context, _ struct{}) (any, error) { <-ctx.Done(); return nil, ctx.Err() })
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = d.Run(ctx) })
	x.t.Cleanup(func() { stop(); wg.Wait() })
	x.s.awaitState(id, schema.Online)
}

// TestDeviceCommands: what they print, with ids, times and passwords taken out.
func TestDeviceCommands(t *testing.T) {
	t.Parallel()
	s := serve(t)
	x := newTerminal(t, s)
	x.shows("device add press-7 --sn SN-7 --model ModelB --type press --description 'hall 2'", "device_id  #\npassword   PASSWORD\n")
	x.adds("灯 --sn SN-8 --model ModelB --disabled --software '{\"version\":\"1.4\",\"last_update\":\"\",\"status\":\"\"}'")
	x.shows("device list", `ID                   NAME     STATE     LAST SEEN  TYPE   MODEL   SN
#  press-7  offline   never      press  ModelB  SN-7
#  灯       disabled  never             ModelB  SN-8
`)
	x.shows("device list --type press --limit 1 --json", `{"device_id":"#","device_name":"press-7","device_type":"press","dev_description":"hall 2",`+
		`"hardware":{"sn":"SN-7","model":"ModelB"},"software":null,"business_software":null,"nic":[],"enabled":true,"dev_state":"offline",`+
		`"last_seen_time":null,"state_reason":"","created_time":#,"updated_time":#}`+"\n")
	x.shows("device show press-7", `device_id      #
name           press-7
type           press
description    hall 2
model          ModelB
serial number  SN-7
state          offline
last seen      never
registered     TIME
changed        TIME

TIME                 DEVICE               KIND    OUTCOME  BY         DETAIL
TIME  #  update  success  key:first  {"change":"add"}
`)
	x.shows("device update press-7 --name press-9 --type '' --disable", "press-9 (#) was changed\n")
	x.shows("device update press-9 --enable --nic '[{\"type\":\"ethernet\",\"mac\":\"02:00:00:00:00:01\",\"ipv4\":\"\"}]'", "press-9 (#) was changed\n")
	x.shows("device password press-9", "device_id  #\npassword   PASSWORD\n")
	if out, _ := x.types(0, "device show press-9"); !strings.Contains(out, "network        ethernet 02:00:00:00:00:01\n") || strings.Contains(out, "type  ") {
		t.Errorf("it shows\n%s", out)
	}
	id, password := x.adds("press-1 --sn SN-1 --model ModelC")
	x.runs(id, password)
	await(t, "a report", func() bool { out, _ := x.types(0, "device show press-1"); return strings.Contains(out, "  disk ") })
	await(t, "its history", func() bool {
		out, _ := x.types(0, "device history press-1 --step 0")
		return regexp.MustCompile(`(?m)^TIME  1 +\d+ +\d+ +\d+ +\d+ +\d+ +\d+ +[\d.]+$`).MatchString(alikeText(out))
	})
	x.shows("device log press-1 --kind login", "TIME                 DEVICE               KIND   OUTCOME  BY      DETAIL\n"+
		`TIME  #  login  success  device  {"address":"127.0.0.1","client":{"name":"tether-device"},"epoch":#,"form":"id_password"}`+"\n")
	x.shows("device log press-1 --kind login --until 1h", "TIME  DEVICE  KIND  OUTCOME  BY  DETAIL\n")
	x.shows("device logfiles press-1", "ORDER  SENT  BYTES  SHA-256\n")
	x.shows("device rm press-1 --yes", "press-1 (#) was deleted\n")
	x.says(1, "device show "+id, "device_not_found: no such device")
}

// TestDeviceCommands_Refused: what is wrong is said in a line that tells what to do.
func TestDeviceCommands_Refused(t *testing.T) {
	t.Parallel()
	s := serve(t)
	x := newTerminal(t, s)
	x.adds("twin --sn a --model M")
	x.adds("twin --sn b --model M")
	x.says(1, "device show nobody", `no device is called "nobody": "tether device list" shows them`)
	x.says(1, "device show twin", `2 devices are called "twin": say which by its id: #, #`)
	x.says(1, "group show nowhere", `no group is called "nowhere"`)
	x.says(1, "device list --group nowhere", `no group is called "nowhere"`)
	x.says(1, "device add twin --sn a --model M", "device_exists")
	x.says(1, "device list --state gone", "dev_state: must be online, Unknown or offline")
	x.says(2, "device update twin", "say what changes")
	x.says(2, "device update twin --nic {", "--nic: must be JSON")
	x.says(2, "device update twin --software '{\"versoin\":\"1\"}'", "--software: must be JSON")
	x.says(2, "device update twin --enable --disable", "can't be used together")
	x.says(2, "device rm "+onlyID(x), "say --yes")
	x.says(2, "device log twin --since soon", "--since")
	x.says(2, "device add x", "--sn")
	x.says(1, "order show 77", "order_not_found: no such order")
	x.says(1, "order cancel 77", "order_not_found: no such order")

	unused := unusedAddress(t)
	x.env = []string{"TETHER_URL=http://" + unused}
	x.says(1, "device list", "http://"+unused+" cannot be reached: dial tcp "+unused+": connect: connection refused; is the service running there?")
	x.says(1, "order give 1 restart", "cannot be reached")
	x.says(1, "events", "cannot be reached")
	x.env = []string{"TETHER_URL=http://" + s.address, "TETHER_KEY=tk_wrong"}
	x.says(1, "device list", "give one as TETHER_KEY or by --key-file")
	x.says(1, "events", "give one as TETHER_KEY or by --key-file")
	x.says(2, "device list --key-file nowhere", "are both given")
	x.env = x.env[:1]
	x.says(1, "device list --key-file nowhere", "no such file")
	file := filepath.Join(t.TempDir(), "key")
	writeFile(t, file, "\n")
	x.says(2, "device list --key-file "+file, "first line is empty")
	writeFile(t, file, s.api.key+"\n")
	x.types(0, "device list --key-file "+file)
	x.env[0] = "TETHER_URL=ftp://x"
	x.says(2, "device list", "must be https://host or http://host:9090")

	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>\x1b[2J") }))
	defer page.Close()
	x.env[0] = "TETHER_URL=" + page.URL
	x.says(1, "device list", "is it a tether service?")
}

// onlyID is the id of some device.
func onlyID(x *terminal) string {
	out, _ := x.types(0, "device list --limit 1")
	return anID.FindString(out)
}

// TestGroupCommands walks through a group's life.
func TestGroupCommands(t *testing.T) {
	t.Parallel()
	s := serve(t)
	x := newTerminal(t, s)
	x.adds("press-7 --sn a --model M")
	x.adds("press-8 --sn b --model M")
	x.shows("group add 'hall 2' --description 'by the window'", "group_id  #\n")
	x.shows("group join 'hall 2' press-7 press-8", "press-7 is now in hall 2\npress-8 is now in hall 2\n")
	x.says(1, "group join 'hall 2' press-7", "press-7: relation_exists")
	x.shows("group show 'hall 2'", `group_id     #
name         hall 2
description  by the window
devices      0 online, 0 Unknown, 2 offline
made         TIME
changed      TIME
`)
	x.shows("group leave 'hall 2' press-8", "press-8 is no longer in hall 2\n")
	x.shows("group devices 'hall 2'", "ID                   NAME     STATE    LAST SEEN  TYPE  MODEL  SN\n#  press-7  offline  never            M      a\n")
	x.shows("device list --group 'hall 2' --json --sn b", "")
	x.shows("group update 'hall 2' --name 'hall 3' --description ''", "hall 3 (#) was changed\n")
	x.says(2, "group update 'hall 3'", "say what changes")
	x.shows("group list", "ID                   NAME    MADE                 DESCRIPTION\n#  hall 3  TIME\n")
	x.says(2, "group clear 'hall 3'", "say --yes")
	x.shows("group clear 'hall 3' --yes", "1 devices of hall 3 were taken out\n")
	x.types(0, "group join 'hall 3' press-7")
	x.shows("group clear 'hall 3' --delete-devices --yes --json", `{"device_ids":["#"],"group_id":"#"}`+"\n")
	x.shows("group rm 'hall 3' --yes", "hall 3 (#) was deleted\n")
	x.shows("device list", "ID                   NAME     STATE    LAST SEEN  TYPE  MODEL  SN\n#  press-8  offline  never            M      b\n")
}

// TestOrderCommands: every outcome has its line and its exit code.
func TestOrderCommands(t *testing.T) {
	t.Parallel()
	s := serve(t)
	x := newTerminal(t, s)
	x.runs(x.adds("press-7 --sn a --model M"))
	x.adds("away --sn b --model M")
	x.shows("order give press-7 say text=hello", "order # (say): succeeded: done\n"+`{"text":"hello"}`+"\n")
	x.shows("order give press-7 say --params '{\"text\":\"a\u009bb\"}'", "order # (say): succeeded: done\n"+`{"text":"a\u009bb"}`+"\n")
	x.says(1, "order give press-7 fail 'text=\x1b[2J'", "the order failed")
	if out, _ := x.types(1, "order give press-7 fail 'text=\x1b[2J'"); alikeText(out) != `order # (fail): failed: \x1b[2J`+"\n" {
		t.Errorf("a device's words: %q", out)
	}
	x.says(1, "order give away restart", "device_offline: the device is offline; --queue lets")
	x.shows("order give away restart --queue --ttl 1m --wait 0", "order # (restart): queued\n")
	begun := time.Now()
	out, errs := x.types(3, "order give away restart --queue --wait 1500ms")
	if alikeText(out) != "order # (restart): queued\n" || !strings.Contains(errs, `no outcome after 1.5s; "tether order show`) || time.Since(begun) < 1500*time.Millisecond {
		t.Errorf("after a wait: %s and %s", out, errs)
	}
	list, _ := x.types(0, "order list away")
	id := anID.FindString(strings.SplitN(list, "\n", 2)[1])
	x.shows("order cancel "+id, "order # (restart) was cancelled\n")
	x.says(1, "order cancel "+id, "order_not_cancellable")
	x.shows("order show "+id, `order_id   #
device_id  #
order      restart
params     {}
state      cancelled
by         key:first
given      TIME
ended      TIME
`)
	first, _ := x.types(0, "order give press-7 say text=one --json --idempotency-key k1")
	again, _ := x.types(0, "order give press-7 say text=one --json --idempotency-key k1")
	if first != again || !strings.Contains(first, `"params":{"text":"one"},"state":"succeeded"`) {
		t.Errorf("given twice:\n%s%s", first, again)
	}
	if _, errs := x.types(1, "order give press-7 say text=1"); !strings.Contains(errs, "the order failed") { // a number is no text
		t.Errorf("a number: %s", errs)
	}
	x.says(1, "order give press-7 say text=2 --idempotency-key k1", "idempotency_conflict")

	x.types(0, "order give press-7 hold --wait 0")
	x.says(1, "order give press-7 say text=x", "; --wait-turn lets")
	x.says(1, "order logfile 77", "logfile_not_found")
	there := filepath.Join(t.TempDir(), "there.log")
	writeFile(t, there, "")
	x.says(1, "order logfile 77 --to "+there, "file exists")
	x.says(1, "order logfile 77 --to "+there+"2", "logfile_not_found")
	if _, err := os.Stat(there + "2"); err == nil {
		t.Error("half a log is left behind")
	}
	for line, want := range map[string]string{
		"order give press-7 say text":                     `must be name=value`,
		"order give press-7 say a=1 a=2":                  `each name once`,
		"order give press-7 say a=1 --params {}":          `--params has all params`,
		"order give press-7 say --params []":              `must be a JSON object`,
		"order give press-7 say --ttl 1500ms --wait-turn": `whole seconds`,
		"order give press-7 say --wait -1s":               `expected`,
	} {
		if _, errs := x.types(2, line); !strings.Contains(errs, want) {
			t.Errorf("%s: %s", line, errs)
		}
	}
}

// TestOrderGive_Unknown: bytes went to the device and no outcome came: the exit code is 3.
func TestOrderGive_Unknown(t *testing.T) {
	t.Parallel()
	s := serve(t)
	x := newTerminal(t, s)
	id, password := x.adds("press-7 --sn a --model M")
	c := s.dialWire(t)
	c.login(id, password, "boot-1")
	done := make(chan string, 1)
	go func() {
		_, errs := call(t, 3, x.env, "order", "give", id, "never")
		done <- errs.String()
	}()
	c.next()
	c.conn.Close()
	if errs := <-done; !strings.Contains(errs, "may have been carried out") {
		t.Errorf("it said %s", errs)
	}
}

// TestOrderGive_LeftInDoubt: who leaves in the midst of the request, or loses the
// service while he waits for the outcome, is told where to look.
func TestOrderGive_LeftInDoubt(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	mute := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or nobody sees that the caller leaves
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	defer mute.Close()
	p := tether(t, []string{"TETHER_KEY=tk_x", "TETHER_URL=" + mute.URL}, "order", "give", "7", "blink")
	<-asked
	p.signal(os.Interrupt)
	if code := p.code(); code != codeUnknown || !p.err.has(`interrupted; "tether order list 7" knows whether the order was given`) {
		t.Errorf("exit code %d, and it said %s", code, &p.err)
	}
	gone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"status":"success","data":{"order_id":"9","device_id":"7","order":"blink","params":{},"state":"queued"}}`)
	}))
	defer gone.Close()
	p = tether(t, []string{"TETHER_KEY=tk_x", "TETHER_URL=" + mute.URL}, "device", "list", "--json")
	<-asked
	p.signal(os.Interrupt)
	if code := p.code(); code != codeFailed || p.err.String() != "tether: interrupted\n" {
		t.Errorf("exit code %d, and it said %s", code, &p.err)
	}
	p = tether(t, []string{"TETHER_KEY=tk_x", "TETHER_URL=" + gone.URL}, "order", "give", "7", "blink")
	if code := p.code(); code != codeUnknown || !p.err.has(`order 9 goes on: "tether order show 9" knows what became of it`) {
		t.Errorf("exit code %d, and it said %s", code, &p.err)
	}
}

// TestEventsCommand: a tail goes on over a killed server, with every event once,
// and says what happens on standard error.
func TestEventsCommand(t *testing.T) {
	t.Parallel()
	s := serve(t)
	x := newTerminal(t, s)
	id, _ := x.adds("press-7 --sn a --model M")
	p := tether(t, x.env, "events", "--after", "0", "--device", "press-7", "--json")
	log := tether(t, x.env, "device", "log", id, "--follow")
	recent := tether(t, x.env, "device", "log", id, "--follow", "--since", "1ms")
	await(t, "the first event", func() bool { return strings.Count(p.out.String(), "\n") == 1 })
	await(t, "the log", func() bool { return log.out.has(`{"change":"add"}`) })
	await(t, "three streams", func() bool {
		_, text := look(t, s.ops, "/metrics")
		return strings.Contains(text, "tether_event_streams 3\n")
	})
	s.kill()
	await(t, "word of the loss", func() bool { return p.err.has("tether: the connection was lost") })
	s.begin(t)
	x.types(0, "device update press-7 --name press-8")
	await(t, "the next event", func() bool { return strings.Count(p.out.String(), "\n") == 2 })
	await(t, "the next line of few", func() bool { return strings.Count(recent.out.String(), " update ") > 0 })
	if recent.out.has(`{"change":"add"}`) {
		t.Errorf("the log since then is\n%s", &recent.out)
	}
	await(t, "the next line", func() bool { return strings.Count(log.out.String(), " update ") == 2 })
	await(t, "word of the return", func() bool { return p.err.has("tether: connected again; nothing was skipped") })
	if strings.Count(p.out.String(), `"seq":2,`) != 1 {
		t.Errorf("it printed\n%s\nand said\n%s", &p.out, &p.err)
	}
	for _, follower := range []*process{p, log, recent} {
		follower.signal(os.Interrupt)
		if code := follower.code(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	if !strings.HasPrefix(log.out.String(), "TIME                 DEVICE               KIND              OUTCOME    BY            DETAIL\n") {
		t.Errorf("the log is\n%s", &log.out)
	}
	x.says(1, "events --device 77", "device_not_found: no such device")
	x.says(1, "events --kind nonsense", "kind: must be kinds of events")
	x.says(1, "events --after 99999999", "must be the id of an event")
}
