package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

const transcripts = "../../schema/transcripts/"

// TestTranscripts replays every golden conversation against the whole server.
// transcripts/README.md says how they are written.
func TestTranscripts(t *testing.T) {
	for _, file := range transcriptFiles(t) {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if err := newReplay(t).run(archive); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func transcriptFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(transcripts + "*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	return files
}

// TestTranscriptsCoverTheContract: each method, close code and error code of
// the southbound contract is in some transcript.
func TestTranscriptsCoverTheContract(t *testing.T) {
	var all strings.Builder
	for _, file := range transcriptFiles(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	var wanted []string
	for _, method := range []string{
		schema.MethodLogin, schema.MethodPing, schema.MethodUploadStatus, schema.MethodUploadResult, schema.MethodDiscover,
		schema.MethodGiveOrder, schema.MethodRestartConfirm, schema.MethodDeviceUpdate,
	} {
		wanted = append(wanted, `"method":"`+method+`"`)
	}
	for _, code := range []schema.CloseCode{
		schema.CloseDone, schema.CloseProtocol, schema.CloseBinary, schema.CloseUTF8, schema.ClosePolicy, schema.CloseTooBig, schema.CloseRestart,
		schema.CloseNoLogin, schema.CloseLoginFailed, schema.CloseLiveness, schema.CloseTakeover, schema.CloseDeviceGone, schema.CloseLoginLimited,
	} {
		wanted = append(wanted, fmt.Sprintf(" --\n%d", code))
	}
	for _, kind := range []schema.Kind{
		schema.ParseError, schema.InvalidRequest, schema.MethodNotFound, schema.Invalid,
		schema.LoginFailed, schema.LoginRequired, schema.AlreadyLoggedIn, schema.Overloaded,
	} {
		wanted = append(wanted, fmt.Sprintf(`"error":{"code":%d,`, rpc.ErrorCode(kind)))
	}
	for _, text := range wanted {
		if !strings.Contains(all.String(), text) {
			t.Errorf("in no transcript: %q", text)
		}
	}
}

// TestServerSpeaksTheDocument: rpc.discover answers the OpenRPC document, and
// the server knows each of its methods and the codes of its errors.
func TestServerSpeaksTheDocument(t *testing.T) {
	var document struct {
		Methods    []struct{ Name string }
		Components struct{ Errors map[string]struct{ Code int } }
	}
	if err := json.Unmarshal(schema.OpenRPCDevice, &document); err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]schema.Kind{
		"ParseError": schema.ParseError, "InvalidRequest": schema.InvalidRequest, "MethodNotFound": schema.MethodNotFound,
		"InvalidParams": schema.Invalid, "InternalError": schema.Internal, "LoginFailed": schema.LoginFailed,
		"LoginRequired": schema.LoginRequired, "AlreadyLoggedIn": schema.AlreadyLoggedIn, "Overloaded": schema.Overloaded,
	} {
		if got := document.Components.Errors[name].Code; got != rpc.ErrorCode(kind) {
			t.Errorf("%s is %d in the document, %d in the server", name, got, rpc.ErrorCode(kind))
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		id, password := w.addDevice("d")
		c := w.connect("10.0.0.7")
		var want, got any
		if err := errors.Join(json.Unmarshal(schema.OpenRPCDevice, &want), json.Unmarshal(c.call(schema.MethodDiscover, `{}`).Result, &got)); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("rpc.discover answers %v", got)
		}
		c.login(id, password, "b")
		for _, m := range document.Methods {
			if a := c.call(m.Name, `{}`); a.Error != nil && a.Error.Code == rpc.ErrorCode(schema.MethodNotFound) {
				t.Errorf("%s: %s", m.Name, a.Error.Message)
			}
		}
	})
}

// theDevice is registered before each transcript, and theLogin is what the
// step "login" sends.
const (
	theDevice = `{"device_name":"press-7","hardware":{"sn":"SN123","model":"ModelB"},"password":"correct horse"}`
	theLogin  = `{"jsonrpc":"2.0","id":0,"method":"login","params":{"device_id":"<device_id>","password":"correct horse"}}`
)

// step is one section of a transcript.
type step struct {
	verb   string
	number int // of the connection or request
	args   []string
	text   string // its lines, joined
}

var sectionName = regexp.MustCompile(`^(connect|login|client|server|close|drop|business|answer|server stops|note)(?: ([0-9]+))?(?:: (.*))?$`)

// parseStep reads a section. A message may be broken over lines: the breaks
// and the indentation behind them are no part of it.
func parseStep(f txtar.File) (step, error) {
	if pause, ok := strings.CutPrefix(f.Name, "after "); ok {
		return step{verb: "after", args: []string{pause}}, nil
	}
	m := sectionName.FindStringSubmatch(f.Name)
	if m == nil {
		return step{}, errors.New("no such step")
	}
	s := step{verb: m[1], number: 1}
	if m[2] != "" {
		s.number, _ = strconv.Atoi(m[2]) // digits
	}
	if m[3] != "" {
		s.args = strings.Split(m[3], ", ")
	}
	for line := range strings.Lines(string(f.Data)) {
		s.text += strings.TrimSpace(line)
	}
	return s, nil
}

// arg returns the number in the argument that looks like form: "20 times".
func (s step) arg(form string) (n int, ok bool) {
	for _, a := range s.args {
		if _, err := fmt.Sscanf(a, form, &n); err == nil && a == fmt.Sprintf(form, n) {
			return n, true
		}
	}
	return 0, false
}

func (s step) has(word string) bool { return slices.Contains(s.args, word) }

// texts are the messages of a client or server step.
func (s step) texts() []string {
	if n, ok := s.arg("batch of %d"); ok {
		return []string{"[" + strings.Join(numbered(s.text, n), ",") + "]"}
	}
	if n, ok := s.arg("%d times"); ok {
		return numbered(s.text, n)
	}
	return []string{s.text}
}

// numbered repeats text; <n> in it is 1, 2, 3, ….
func numbered(text string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = strings.ReplaceAll(text, "<n>", strconv.Itoa(i+1))
	}
	return all
}

func TestParseStep(t *testing.T) {
	for name, want := range map[string]string{
		"client":                        "{client 1 [] ab}",
		"server 2":                      "{server 2 [] ab}",
		"client 3: raw, 63 times":       "{client 3 [raw 63 times] ab}",
		"client: padded to 65537 bytes": "{client 1 [padded to 65537 bytes] ab}",
		"business 2: GET order_query/1": "{business 2 [GET order_query/1] ab}",
		"after 5s":                      "{after 0 [5s] }",
		"server stops":                  "{server stops 1 [] ab}",
		"clients":                       "no such step",
		"client two":                    "no such step",
		"":                              "no such step",
	} {
		s, err := parseStep(txtar.File{Name: name, Data: []byte("a\n  b\n")})
		got := fmt.Sprint(s)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}

func TestStepTexts(t *testing.T) {
	for arg, want := range map[string]string{
		"": "[x<n>]", "3 times": "[x1 x2 x3]", "batch of 2": "[[x1,x2]]", "2 timesx": "[x<n>]",
	} {
		if got := fmt.Sprint(step{args: []string{arg}, text: "x<n>"}.texts()); got != want {
			t.Errorf("%q: %s, want %s", arg, got, want)
		}
	}
}

func TestMatch(t *testing.T) {
	r := &replay{t: t, values: map[string]string{"device_id": "7"}}
	for _, c := range []struct {
		want, got string
		ok        bool
	}{
		{`{"id":1}`, `{"id":1}`, true},
		{`{"id":1}`, `{"id":1}x`, false},
		{`a.c`, `abc`, false},
		{`{"id":"<device_id>"}`, `{"id":"7"}`, true},
		{`{"id":"<device_id>"}`, `{"id":"8"}`, false},
		{`{"id":<call_id>}`, `{"id":12}`, true},
		{`{"id":<call_id>}`, `{"id":13}`, false}, // it has its value
		{`<a_id> <a_id>`, `1 2`, false},
		{`<b_id> <b_id>`, `2 2`, true},
		{`<ms> <ms>`, `1 2`, true},
		{`{<...>"a":1<...>}`, `{"b":2,"a":1}`, true},
		{`<token>`, `tt_` + strings.Repeat("a", 32), true},
		{`<token_2>`, `tp_` + strings.Repeat("a", 32), false},
		{`<password>`, `tp_` + strings.Repeat("-", 32), true},
		{`anything`, nothing, false},
	} {
		if err := r.match(c.want, c.got); (err == nil) != c.ok {
			t.Errorf("%s against %s: %v", c.got, c.want, err)
		}
	}
	if text, err := r.fill("<device_id>, <call_id>"); text != "7, 12" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := r.fill("<not_yet>"); err == nil {
		t.Error("a placeholder without a value was filled")
	}
}

// TestTranscriptsMustBeWhole: what the server says and the transcript does not
// is a failure, and so is the reverse.
func TestTranscriptsMustBeWhole(t *testing.T) {
	for _, text := range []string{
		"-- client --\nx\n-- server --\n{<...>-32700<...>}\n-- client --\nx\n", // an answer is left out at the end
		"-- client --\nx\n-- after 1s --\n-- server --\n{<...>-32700<...>}\n",  // it came before the pause
		"-- login --\n-- server --\n{<...>}\n",                                 // one too many
		"-- connect --\n-- after 5s --\n",                                      // the close is left out
		"-- connect --\n-- close --\n4408 no login\n",                          // it is not closed yet
		"-- connect --\n-- after 5s --\n-- close --\n4408 silent\n",            // for another reason
		"-- server --\n{}\n",                                                                                 // of no connection
		"-- close --\n1000\n",                                                                                // likewise
		"-- answer: 200 --\n{}\n",                                                                            // of no request
		"-- business: GET device_query/<device_id> --\n",                                                     // the answer is left out
		"-- business: GET device_query/404 --\n-- answer: 200 --\n<...>\n",                                   // another status
		"-- client --\n<not_yet>\n", "-- client: hex --\nxx\n", "-- after never --\n", "-- nonsense --\nx\n", // no transcripts
	} {
		synctest.Test(t, func(t *testing.T) {
			if err := newReplay(t).run(txtar.Parse([]byte(text))); err == nil {
				t.Errorf("taken for good:\n%s", text)
			}
		})
	}
}
