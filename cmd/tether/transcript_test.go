package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/schema/transcripts"
)

// TestTranscripts replays every golden conversation against the whole server.
// schema/transcripts/README.md says how they are written.
func TestTranscripts(t *testing.T) {
	contract := newContract(t)
	for _, transcript := range allTranscripts(t) {
		t.Run(transcript.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if err := newReplay(t, contract).run(transcript.Steps); err != nil {
					t.Error(err)
				}
			})
		})
	}
	for method := range contract.methods {
		if !contract.seen[method] {
			t.Errorf("no transcript has %s as the documents have it", method)
		}
	}
}

func allTranscripts(t *testing.T) []transcripts.Transcript {
	t.Helper()
	all, err := transcripts.All()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestTranscriptsCoverTheContract: each method, close code and error code of
// the southbound contract is in some transcript.
func TestTranscriptsCoverTheContract(t *testing.T) {
	var all strings.Builder
	for _, transcript := range allTranscripts(t) {
		for _, s := range transcript.Steps {
			fmt.Fprintf(&all, "%s: %s\n", s.Verb, s.Text)
		}
	}
	var wanted []string
	for _, method := range []string{
		schema.MethodLogin, schema.MethodPing, schema.MethodUploadStatus, schema.MethodUploadResult, schema.MethodDiscover,
		schema.MethodGiveOrder, schema.MethodRestartConfirm, schema.MethodDeviceUpdate,
	} {
		wanted = append(wanted, `"method":"`+method+`"`)
	}
	for _, code := range []schema.CloseCode{
		schema.CloseDone, schema.CloseProtocol, schema.CloseBinary, schema.CloseUTF8, schema.ClosePolicy, schema.CloseTooBig, schema.CloseInternal, schema.CloseRestart,
		schema.CloseNoLogin, schema.CloseLoginFailed, schema.CloseLiveness, schema.CloseTakeover, schema.CloseDeviceGone, schema.CloseLoginLimited,
	} {
		wanted = append(wanted, fmt.Sprintf("close: %d", code))
	}
	for _, kind := range []schema.Kind{
		schema.ParseError, schema.InvalidRequest, schema.MethodNotFound, schema.Invalid,
		schema.Internal, schema.LoginFailed, schema.LoginRequired, schema.AlreadyLoggedIn, schema.Overloaded,
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
		if got := c.call(schema.MethodDiscover, `{}`).Result; !bytes.Equal(got, bytes.TrimSpace(schema.OpenRPCDevice)) {
			t.Errorf("rpc.discover answers %s", got)
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
			transcript, err := transcripts.Parse("x", text)
			if err == nil {
				err = newReplay(t, newContract(t)).run(transcript.Steps)
			}
			if err == nil {
				t.Errorf("taken for good:\n%s", text)
			}
		})
	}
}
