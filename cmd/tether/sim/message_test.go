package sim

import (
	"testing"
)

func TestParse(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"jsonrpc":"2.0","id":7,"result":"pong"}`:                          true,
		`{"jsonrpc":"2.0","id":7,"error":{"code":-32001,"message":"no"}}`:   true,
		`{"jsonrpc":"2.0","id":"a","method":"x"}`:                           true,
		`{"jsonrpc":"2.0","method":"x"}`:                                    true,
		`{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"x"}}`: true,
		`{"jsonrpc":"2.0","id":null,"method":"x"}`:                          false,
		`{"jsonrpc":"2.0","id":1.5,"method":"x"}`:                           false,
		`{"jsonrpc":"2.0","id":{},"method":"x"}`:                            false,
		`{"jsonrpc":"1.0","id":7,"result":"pong"}`:                          false,
		`{"jsonrpc":"2.0","id":7}`:                                          false,
		`{"jsonrpc":"2.0","id":7,"id":8,"result":{}}`:                       false,
		`{"jsonrpc":"2.0","id":7,"result":{}`:                               false,
		`[]`:                                                                false,
		``:                                                                  false,
	} {
		if _, got := parse([]byte(text)); got != ok {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// FuzzParse: what the short way takes, the long way takes, and both see the same.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		`{"jsonrpc":"2.0","id":7,"result":"pong"}`, `{"jsonrpc":"2.0","id":7,"result":{}}`, `{"jsonrpc":"2.0","id":,"result":{}}`,
		`{"jsonrpc":"2.0","id":07,"result":{}}`, `{"jsonrpc":"2.0","id":0,"result":{}}`, `{"jsonrpc":"2.0","id":99999999999999999999,"result":{}}`,
		`{"jsonrpc":"2.0","id":7,"result":"pong"} `, `[{"jsonrpc":"2.0","id":7,"result":"pong"}]`, `{"jsonrpc":"2.0","id":"7","method":"ping"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		long, ok := parse(raw)
		if short, taken := parseShort(raw); taken {
			if !ok || long.Method != nil || long.Error != nil || long.number != short.number || short.number == 0 {
				t.Errorf("%s: %+v and %+v", raw, short, long)
			}
		}
		if ok && long.Method == nil && len(long.ID) == 0 {
			t.Errorf("%s: a reply without an id", raw)
		}
	})
}

// TestRequests are what goes over the wire.
func TestRequests(t *testing.T) {
	for want, got := range map[string][]byte{
		`{"jsonrpc":"2.0","id":18446744073709551615,"method":"ping"}`:            request(1<<64-1, pingTail),
		`{"jsonrpc":"2.0","id":2,"method":"rpc.discover"}`:                       request(2, aboutTail),
		`{"jsonrpc":"2.0","id":3,"method":"login","params":{"device_id":"7"}}`:   requestOf(3, "login", map[string]string{"device_id": "7"}),
		`{"jsonrpc":"2.0","id":"a","result":{"status":"fail","message":"busy"}}`: reply([]byte(`"a"`), *failed("busy")),
	} {
		if string(got) != want {
			t.Errorf("%s\n%s", got, want)
		}
	}
	if m, ok := parse(request(5, reportTail)); !ok || m.Method == nil {
		t.Error("the report is no request")
	}
}
