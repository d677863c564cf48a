package session

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// FuzzMethods holds the decoders of all methods to their word: what they take
// is valid, what they refuse is refused with an error that names no more than a
// member.
func FuzzMethods(f *testing.F) {
	for _, seed := range [][2]string{
		{"login", `{"device_id":"1860","password":"canary-password"}`},
		{"login", `{"device_sn":"S","device_model":"M","password":"x","boot_id":"b","client":{"name":"n","version":"1"}}`},
		{"login", `{"device_id":"1860","token":"tt_x","password":"tp_x"}`},
		{"login", `{"device_id":1860,"password":["canary-password"]}`},
		{"upload_status_info", `{"device_id":"1","CPU_info":{"user_cpu_time":-0.0},"Memory_info":{"free_memory_mb":1e308},"Disk_info":{},"custom":{"a":[1]}}`},
		{"upload_status_info", `{"CPU_info":{"user_cpu_time":1e999},"Memory_info":null,"Disk_info":{}}`},
		{"upload_instruction_result", `{"order_id":"1861","status":"success","message":"m","data":{"bytes":1,"sha256":"aa","remote_path":"/x"}}`},
		{"upload_instruction_result", `{"order_id":"1861","status":"maybe","message":null,"data":[]}`},
		{"ping", `[]`}, {"rpc.discover", `{}`}, {"give_order", `{}`}, {"", ``}, {"login", `null`}, {"login", `[1,2]`},
	} {
		f.Add(seed[0], []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, method string, params []byte) {
		before := bytes.Clone(params)
		switch ev := decode(&rpc.Request{Method: method, Params: params}).(type) {
		case loginRequest:
			if ev.err != nil {
				mustBeHarmless(t, ev.err, params)
			} else if err := ev.params.Validate(); err != nil {
				t.Errorf("took %+v: %v", ev.params, err)
			}
		case statusRequest:
			mustBeStable(t, &ev.info, ev.info.Validate())
		case resultRequest:
			mustBeStable(t, &ev.result, ev.result.Validate())
		case badRequest:
			mustBeHarmless(t, ev.err, params)
		case pingRequest, discoverRequest:
		default:
			t.Errorf("%s became %T", method, ev)
		}
		if !bytes.Equal(before, params) {
			t.Error("the params were changed")
		}
	})
}

// mustBeHarmless: a refusal is public and repeats no value of the message.
func mustBeHarmless(t *testing.T, err error, params []byte) {
	t.Helper()
	if k := schema.KindOf(err); k != schema.Invalid && k != schema.MethodNotFound {
		t.Errorf("refused with %v", err)
	}
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("%q repeats a secret of %q", err, params)
	}
}

// mustBeStable: what was taken is valid, and the same after a way through JSON.
func mustBeStable(t *testing.T, v any, invalid error) {
	t.Helper()
	text, err := json.Marshal(v)
	if invalid != nil || err != nil {
		t.Fatal(invalid, err)
	}
	again := reflect.New(reflect.TypeOf(v).Elem()).Interface()
	if err := rpc.Decode(text, again); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if twice, err := json.Marshal(again); err != nil || !bytes.Equal(twice, text) {
		t.Errorf("%s became %s, %v", text, twice, err)
	}
}

// FuzzVerdict: whatever a device answers to give_order is success or fail, and
// success only if it says so.
func FuzzVerdict(f *testing.F) {
	for _, seed := range []string{
		`{"status":"success","message":"m","data":{"a":1}}`, `{"status":"fail","message":"m"}`, `{"status":"Success"}`, `{"STATUS":"success"}`,
		`{"status":"success","message":"wait Server Confirm"}`, `{"status":"success","data":[]}`, `{}`, `null`, `"success"`, `[]`, ``, `{"status":1}`,
		`{"status":"success","data":{"bytes":9223372036854775808,"sha256":1,"remote_path":"\u0000"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, result []byte) {
		out := verdict(rpc.Response{Result: result})
		if out.State != schema.OrderSucceeded && out.State != schema.OrderStateFail {
			t.Fatalf("%q is %s", result, out.State)
		}
		if out.State == schema.OrderSucceeded && !bytes.Contains(result, []byte("succ")) && !bytes.Contains(result, []byte(`\u`)) {
			t.Errorf("%q is a success", result)
		}
		if len(out.Data) > 0 && !json.Valid(out.Data) {
			t.Errorf("%q has the data %q", result, out.Data)
		}
		for _, order := range []string{schema.OrderUploadLog, schema.OrderRestart, "blink", ""} {
			if data, ok := uploadOf(order, out); ok && (out.State != schema.OrderSucceeded || order == "blink" && data.SHA256 != "") {
				t.Errorf("%s: %q is an upload of %+v", order, result, data)
			}
		}
	})
}

// strange are events that the sequences leave out: they change nothing in who
// owns the device.
var strange = []event{
	statusRequest{noResponder{}, &schema.StatusInfo{}},
	statusRequest{noResponder{}, &schema.StatusInfo{DeviceID: "1861"}},
	statusRequest{noResponder{}, &schema.StatusInfo{DeviceID: testDevice}},
	discoverRequest{noResponder{}},
	badRequest{noResponder{}, errInternal},
	loginRequest{to: noResponder{}, err: errInternal},
	replied{call: 1 << 40, resp: rpc.Response{Result: []byte("{}")}},
}

// FuzzCore reads a byte string as a start and as what then happens, to either
// of two connections of one device, and holds the cores to what the world of
// world_test.go checks after each step, and at the end.
func FuzzCore(f *testing.F) {
	names := slices.Sorted(maps.Keys(starts))
	for i := range names {
		f.Add([]byte{byte(i), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
		f.Add(bytes.Repeat([]byte{byte(i), 251, 7, 3}, 20))
		f.Add([]byte{byte(i), 250, 249, 248, 247, 246, 245, 244, 0, 250, 12, 249, 1, 248, 2})
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || len(b) > 500 {
			return
		}
		w := lead(t, starts[names[int(b[0])%len(names)]])
		for _, letter := range b[1:] {
			w.happen(letter)
			if w.trouble != "" {
				t.Fatal(w.trouble)
			}
		}
		w.finish()
		if w.trouble != "" {
			t.Fatal(w.trouble)
		}
	})
}

// happen lets one thing happen: a letter that is great is something strange,
// any other is one of the moves that can come.
func (w *world) happen(letter byte) {
	const plain = 240
	moves := w.moves()
	if letter < plain && len(moves) > 0 {
		w.play(moves[int(letter)%len(moves)])
		return
	}
	who := int(letter) % len(w.conns)
	c := &w.conns[who]
	if c.gone {
		return
	}
	w.now = w.now.Add(time.Millisecond)
	w.ask(who, strange[int(letter)/2%len(strange)])
	c.silent, c.due = 0, w.now.Add(7500*time.Millisecond)
	w.check()
}
