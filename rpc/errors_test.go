package rpc

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sourcegraph/jsonrpc2"

	"github.com/edgetether/tether/schema"
)

// overTheWire is what the other side makes of err.
func overTheWire(t *testing.T, err error) *schema.Error {
	t.Helper()
	var answer struct {
		Error *jsonrpc2.Error `json:"error"`
	}
	if e := stdjson.Unmarshal(encodeError([]byte("1"), err), &answer); e != nil {
		t.Fatal(e)
	}
	return fromWire(answer.Error)
}

func TestEveryKindHasACode(t *testing.T) {
	for _, kind := range schema.Kinds() {
		code, ok := codes[kind]
		if !ok || code == 0 {
			t.Errorf("kind %d has no code", kind)
		}
		if back := FromCode(ErrorCode(kind)); ErrorCode(back) != code {
			t.Errorf("kind %d: code %d comes back as kind %d", kind, code, back)
		}
	}
	for code, kind := range kinds {
		if ErrorCode(kind) != code {
			t.Errorf("code %d: kind %d has code %d", code, kind, ErrorCode(kind))
		}
	}
	if ErrorCode(255) != codeInternal || FromCode(-1) != schema.Internal {
		t.Error("unknown ones are not internal")
	}
}

func TestErrorsComeBack(t *testing.T) {
	for _, e := range []*schema.Error{
		schema.ErrLoginFailed, schema.ErrLoginRequired, schema.ErrAlreadyLoggedIn,
		schema.InvalidMember("CPU_info", "must be an object"),
		schema.Errorf(schema.MethodNotFound, "method_not_found", "no such method"),
		{Kind: schema.Overloaded, Code: "busy", Message: "later", RetryAfter: 1500 * time.Millisecond},
	} {
		back := overTheWire(t, fmt.Errorf("wrapped: %w", e))
		if !errors.Is(back, e) || back.Message != e.Message || back.RetryAfter != e.RetryAfter {
			t.Errorf("%+v came back as %+v", e, back)
		}
	}
}

func TestInternalErrorsShowNothing(t *testing.T) {
	for _, err := range []error{
		errors.New("canary"),
		schema.Errorf(schema.Internal, "canary", "canary"),
		schema.Errorf(schema.OrderUnknown, "canary", "canary"),
	} {
		if b := string(encodeError(nil, err)); strings.Contains(b, "canary") || !strings.Contains(b, `"id":null`) ||
			!strings.Contains(b, `{"code":-32603,"message":"internal error","data":{"reason":"internal","retryable":true}}`) {
			t.Errorf("%s", b)
		}
	}
}

func TestRetryAfterIsRoundedUpAndBounded(t *testing.T) {
	e := &schema.Error{Kind: schema.Overloaded, Code: "busy", RetryAfter: 1}
	if b := string(encodeError(nil, e)); !strings.Contains(b, `"retry_after_ms":1}`) {
		t.Errorf("%s", b)
	}
	for ms, want := range map[string]time.Duration{"-5": 0, "99999999999999999": 24 * time.Hour, "1.5": 0} {
		data := stdjson.RawMessage(`{"reason":"busy","retry_after_ms":` + ms + `}`)
		if e := fromWire(&jsonrpc2.Error{Code: -32005, Data: &data}); e.RetryAfter != want {
			t.Errorf("%s: %v", ms, e.RetryAfter)
		}
	}
	if e := fromWire(&jsonrpc2.Error{Code: 42, Message: "theirs"}); e.Kind != schema.Internal || e.Code != "peer_error" || e.Message != "theirs" {
		t.Errorf("%+v", e)
	}
}

func TestDecode(t *testing.T) {
	type nics struct {
		NIC   []schema.NIC `json:"nic"`
		Count int8         `json:"count"`
		On    bool         `json:"on"`
		Any   error        `json:"any"`
	}
	for _, test := range []struct {
		raw  string
		into any
		want string
	}{
		{`{"CPU_info":{"user_cpu_time":1.5},"unknown":{"a":[]}}`, new(schema.StatusInfo), ""},
		{`{"CPU_info":{"user_cpu_time":"x"}}`, new(schema.StatusInfo), "CPU_info.user_cpu_time: must be a number"},
		{`{"CPU_info":{"user_cpu_time":1e999999999}}`, new(schema.StatusInfo), "CPU_info.user_cpu_time: is out of range"},
		{`{"CPU_info":[]}`, new(schema.StatusInfo), "CPU_info: must be an object"},
		{`{"device_id":5}`, new(schema.StatusInfo), "device_id: must be a string"},
		{`[]`, new(schema.StatusInfo), "params: must be an object"},
		{`{"nic":{}}`, new(nics), "nic: must be an array"},
		{`{"nic":[{},{"mac":1}]}`, new(nics), "nic[1].mac: must be a string"},
		{`{"count":300}`, new(nics), "count: must be an integer in range"},
		{`{"count":1.5}`, new(nics), "count: must be an integer in range"},
		{`{"on":1}`, new(nics), "on: must be true or false"},
		{`{"any":1}`, new(nics), "any: is not valid"},
		{`{"device_id":"1","device_id":"2"}`, new(schema.StatusInfo), "params: is not well-formed"},
		{`{`, new(schema.StatusInfo), "params: is not well-formed"},
	} {
		err := (&Request{Params: []byte(test.raw)}).Decode(test.into)
		switch {
		case test.want == "" && err == nil:
		case err == nil || schema.KindOf(err) != schema.Invalid || schema.Public(err).Message != test.want:
			t.Errorf("%s: %v, want %s", test.raw, err, test.want)
		}
	}
	var s schema.StatusInfo
	if err := (&Request{}).Decode(&s); err == nil || schema.Public(err).Message != "params: is required" {
		t.Errorf("no params: %v", err)
	}
	if err := Decode([]byte(`{"DEVICE_ID":"1","device_id":"2"}`), &s); err != nil || s.DeviceID != "2" {
		t.Errorf("%+v %v", s, err)
	}
}

func TestReplyThatCannotBeEncodedIsAnInternalError(t *testing.T) {
	h := handler{request: func(r *Request) {
		if r.Method == "ping" {
			r.Reply("pong")
			return
		}
		r.Reply(func() {})
	}}
	run(t, Options{}, h, []exchange{{"function", `{"jsonrpc":"2.0","id":1,"method":"x"}`,
		`{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"internal error","data":{"reason":"internal","retryable":true}}}`}})
}

func TestBadUTF8IsReplaced(t *testing.T) {
	b, err := appendResult(nil, []byte("1"), "a\xffb")
	if err != nil || string(b) != `{"jsonrpc":"2.0","id":1,"result":"a`+"\ufffd"+`b"}` {
		t.Errorf("%s %v", b, err)
	}
}

// TestResultThatIsJSON: it is sent as it stands, white space within it and all.
func TestResultThatIsJSON(t *testing.T) {
	b, err := appendResult(nil, []byte(`"a"`), stdjson.RawMessage("\n{\n  \"x\": [ 1, 2 ]\n}\n"))
	if want := "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{\n  \"x\": [ 1, 2 ]\n}}"; string(b) != want || err != nil {
		t.Errorf("%s, %v", b, err)
	}
}
