package rpc

import (
	"bytes"
	stdjson "encoding/json"
	"io"
	"reflect"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/edgetether/tether/schema"
)

// FuzzReadAll: text is UTF-8 however it is cut, and what is none is not read
// further than to the byte that shows it.
func FuzzReadAll(f *testing.F) {
	for _, seed := range []string{"", "a", "é€😀", "\xff", "\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xed\xa0\x80", "\xf4\x90\x80\x80", "ab\x80c", "\xc3\xc3\xa9"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 5000 { // two sizes of the buffer are enough
			return
		}
		b := buffers.New().(*buffer)
		for _, cut := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader} {
			r := bytes.NewReader(text)
			switch err := b.readAll(cut(r)); {
			case (err == nil) != utf8.Valid(text):
				t.Errorf("%q: %v", text, err)
			case err == nil && !bytes.Equal(b.bytes, text):
				t.Errorf("%q became %q", text, b.bytes)
			}
		}
		r := bytes.NewReader(text)
		if b.readAll(iotest.OneByteReader(r)) != nil && r.Len() > 0 {
			read := text[:len(text)-r.Len()]
			if utf8.Valid(append(bytes.Clone(read[:len(read)-1]), "x"...)) && utf8.RuneStart(read[len(read)-1]) && utf8.Valid(append(bytes.Clone(read), "\x80"...)) {
				t.Errorf("%q was given up after %q", text, read)
			}
		}
	})
}

// wireTypes are all that either side decodes.
var wireTypes = []any{
	schema.LoginParams{}, schema.LoginResult{}, schema.StatusInfo{}, schema.GiveOrder{}, schema.OrderResult{},
	schema.UploadData{}, schema.UploadResult{}, schema.RestartConfirm{}, schema.DeviceUpdate{}, errorData{}, fault{},
}

// FuzzWireTypes: every type of the wire is either decoded, and is the same
// after a way out and back in, or refused with an error that names a member.
func FuzzWireTypes(f *testing.F) {
	seeds := []string{
		`{"device_id":"1860","password":"p","client":{"name":"n"}}`,
		`{"device_id":"1860","token":"tt","token_expires_time":1797897600000,"server_time":1,"unsettled_orders":["1"],"heartbeat":{"ping_interval_ms":5000}}`,
		`{"device_id":"1","CPU_info":{"user_cpu_time":1.5},"Memory_info":{},"Disk_info":{},"custom":{"a":1}}`,
		`{"order_id":"1861","order_type":"restart","is_inner":true,"device_id":"1","params":{},"remote_dir":"/x","sftp":{"address":"a:1","host_key":"k","username":"u","password":"p"},"deadline_time":1}`,
		`{"status":"success","message":"m","data":{"a":[1,2]}}`,
		`{"bytes":1,"sha256":"aa","remote_path":"/x"}`,
		`{"order_id":"1","status":"fail","message":"","data":null}`,
		`{"order_id":"1"}`,
		`{"device_id":"1","device_name":"n","software":{"name":"s","version":"1"},"nic":[{"name":"eth0","mac":"m","ip":"i"}],"updated_time":1}`,
		`{"reason":"r","retryable":true,"retry_after_ms":9223372036854775807}`,
		`{"code":-32000,"message":"m","data":[1]}`,
		`null`, `[]`, `{"a":1,"a":2}`, `{"deadline_time":1.5}`, `{"nic":[{"mac":1}]}`, `{"unsettled_orders":{}}`,
	}
	for i, seed := range seeds {
		f.Add(byte(i), []byte(seed))
	}
	f.Fuzz(func(t *testing.T, which byte, raw []byte) {
		kind := reflect.TypeOf(wireTypes[int(which)%len(wireTypes)])
		first, again := reflect.New(kind).Interface(), reflect.New(kind).Interface()
		if err := Decode(raw, first); err != nil {
			if schema.KindOf(err) != schema.Invalid || !utf8.ValidString(err.Error()) {
				t.Errorf("%s refused as %q", kind, err)
			}
			return
		}
		text, err := stdjson.Marshal(first)
		if err != nil {
			t.Fatalf("%s out of %q: %v", kind, raw, err)
		}
		if err := Decode(text, again); err != nil {
			t.Fatalf("%s out of %q, as %s: %v", kind, raw, text, err)
		}
		if twice, err := stdjson.Marshal(again); err != nil || !bytes.Equal(twice, text) {
			t.Errorf("%s: %s became %s, %v", kind, text, twice, err)
		}
	})
}
