package device

import (
	"os"
	"testing"
)

func TestTokenFile(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{URL: "ws://a/ws", DeviceID: "1", StateDir: dir}
	token := tokenFile{URL: cfg.URL, DeviceID: "1", Token: "tt_secret", Expires: 5}
	if got := loadToken(&cfg); got != (tokenFile{}) {
		t.Errorf("without a file: %+v", got)
	}
	must(t, token.save(dir))
	must(t, token.save(dir)) // replaces
	info, err := os.Stat(tokenPath(dir))
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if got := loadToken(&cfg); got != token {
		t.Errorf("got %+v", got)
	}
	must(t, forgetToken(dir))
	must(t, forgetToken(dir)) // harmless
	if got := loadToken(&cfg); got != (tokenFile{}) {
		t.Errorf("after forgetting: %+v", got)
	}
}

// T11: a credential is shown to its own server by its own device alone.
func TestT11_TokenBelongs(t *testing.T) {
	byID := tokenFile{URL: "ws://a/ws", DeviceID: "1", Token: "tt_x"}
	bySN := tokenFile{URL: "ws://a/ws", SN: "S", Model: "M", DeviceID: "1", Token: "tt_x"}
	tests := []struct {
		token tokenFile
		cfg   Config
		want  bool
	}{
		{byID, Config{URL: "ws://a/ws", DeviceID: "1"}, true},
		{byID, Config{URL: "ws://a/ws", DeviceID: "2"}, false},
		{byID, Config{URL: "ws://b/ws", DeviceID: "1"}, false},
		{byID, Config{URL: "ws://a/ws", SN: "S", Model: "M"}, false},
		{bySN, Config{URL: "ws://a/ws", SN: "S", Model: "M"}, true},
		{bySN, Config{URL: "ws://a/ws", SN: "S", Model: "N"}, false},
		{tokenFile{URL: "ws://a/ws", DeviceID: "1"}, Config{URL: "ws://a/ws", DeviceID: "1"}, false},
	}
	for _, test := range tests {
		if got := test.token.belongs(&test.cfg); got != test.want {
			t.Errorf("%+v with %+v: %v", test.token, test.cfg, got)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add([]byte(`{"url":"ws://a/ws","device_id":"1","token":"tt_x","token_expires_time":1}`))
	f.Add([]byte(`{"url":"ws://a/ws"`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		token, err := parseToken(data)
		if err != nil {
			return
		}
		dir := t.TempDir()
		must(t, token.save(dir))
		again, err := parseToken(read(t, tokenPath(dir)))
		if err != nil || again != token {
			t.Errorf("%+v became %+v, %v", token, again, err)
		}
	})
}
