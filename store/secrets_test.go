package store

import (
	"strings"
	"testing"

	"github.com/edgetether/tether/schema"
)

// quick is what tests hash with.
var quick = Secrets{Cost: minCost}

// credential is that of an enabled device.
func credential(t testing.TB, password string, tokens ...string) schema.Credential {
	t.Helper()
	hash, err := quick.HashPassword(password)
	must(t, err)
	c := schema.Credential{DeviceID: "1", Enabled: true, Version: 1, Password: hash}
	for _, token := range tokens {
		c.Tokens = append(c.Tokens, quick.HashToken(token))
	}
	return c
}

func byPassword(p string) schema.LoginParams {
	return schema.LoginParams{DeviceID: "1", Password: p}
}

func byToken(token string) schema.LoginParams {
	return schema.LoginParams{DeviceID: "1", Token: token}
}

func TestVerify(t *testing.T) {
	chosen, made := "correct horse", quick.NewPassword()
	first, second, other := quick.NewToken(), quick.NewToken(), quick.NewToken()
	byChoice := credential(t, chosen, first, second)
	byServer := credential(t, made)
	disabled := credential(t, chosen, first)
	disabled.Enabled = false
	for name, c := range map[string]struct {
		credential schema.Credential
		params     schema.LoginParams
		want       bool
	}{
		"chosen password":              {byChoice, byPassword(chosen), true},
		"wrong chosen password":        {byChoice, byPassword("wrong horse"), false},
		"made password":                {byServer, byPassword(made), true},
		"another made password":        {byServer, byPassword(quick.NewPassword()), false},
		"made password, chosen stored": {byChoice, byPassword(made), false},
		"chosen password, made stored": {byServer, byPassword(chosen), false},
		"newest token":                 {byChoice, byToken(first), true},
		"token before it":              {byChoice, byToken(second), true},
		"unknown token":                {byChoice, byToken(other), false},
		"token where there is none":    {byServer, byToken(first), false},
		"token as password":            {byChoice, byPassword(first), false},
		"password as token":            {byServer, byToken(made), false},
		"chosen password as token":     {byChoice, byToken(chosen), false},
		"the stored hash itself":       {byServer, byPassword(byServer.Password), false},
		"unknown device":               {schema.Credential{}, byPassword(chosen), false},
		"unknown device, made":         {schema.Credential{}, byPassword(made), false},
		"unknown device, token":        {schema.Credential{}, byToken(first), false},
		"disabled":                     {disabled, byPassword(chosen), false},
		"disabled, token":              {disabled, byToken(first), false},
		"nothing":                      {byChoice, schema.LoginParams{DeviceID: "1"}, false},
	} {
		equal(t, name, quick.Verify(c.credential, c.params), c.want)
	}
}

// bcrypt ignores what follows the 72nd byte, and ends at a NUL.
func TestT8_LengthsAndNUL(t *testing.T) {
	for password, good := range map[string]bool{
		"": false, "7 bytes": false, "8 bytes.": true, strings.Repeat("x", 72): true, strings.Repeat("x", 73): false,
		strings.Repeat("x", 1<<20): false, "null\x00null": false, "ünïcödé": true,
	} {
		hash, err := quick.HashPassword(password)
		if !good {
			wantKind(t, err, schema.Invalid, "")
		} else {
			must(t, err)
		}
		equal(t, "verified", quick.Verify(schema.Credential{Enabled: true, Password: hash}, byPassword(password)), good)
	}
	long := strings.Repeat("x", 72)
	equal(t, "73 bytes", quick.Verify(credential(t, long), byPassword(long+"y")), false)
}

// What a peer presents is never taken for a hash, and a stored cost that
// would keep the server busy is not run.
func TestT9_CostsAreWhitelisted(t *testing.T) {
	costly := "$2a$31$abcdefghijklmnopqrstuuAbCdEfGhIjKlMnOpQrStUvWxYz01234"
	equal(t, "presented", quick.Verify(credential(t, "correct horse"), byPassword(costly)), false)
	for _, stored := range []string{"bcrypt:" + costly, costly, "bcrypt:", "sha256:", "bcrypt:$2a$16$" + costly[7:], ""} {
		c := schema.Credential{Enabled: true, Password: stored}
		equal(t, stored, quick.Verify(c, byPassword("correct horse")), false)
	}
	equal(t, "cost", Secrets{}.cost(), DefaultCost)
	equal(t, "cost", Secrets{Cost: 99}.cost(), maxCost)
	equal(t, "cost", Secrets{Cost: 1}.cost(), minCost)
}

func TestDummy_IsAHashOfTheSameCost(t *testing.T) {
	equal(t, "length", len(quick.dummy()), 60)
	hash, err := Secrets{Cost: 5}.HashPassword("correct horse")
	must(t, err)
	equal(t, "head", Secrets{Cost: 5}.dummy()[:7], strings.TrimPrefix(hash, bcryptPrefix)[:7])
}

// The form alone decides what a check costs.
func TestIsCheap(t *testing.T) {
	for range 100 {
		for _, secret := range []string{quick.NewPassword(), quick.NewToken()} {
			equal(t, secret, IsCheap(secret), true)
		}
		equal(t, "key", IsCheap(quick.NewKey()), false)
	}
	body := strings.Repeat("a", secretText)
	for secret, want := range map[string]bool{
		"": false, "tp_": false, "tp_secret-of-mine": false, body: false, "tk_" + body: false, "TP_" + body: false,
		"tp_" + body: true, "tt_" + body: true, "tp_" + body + "a": false, "tp_" + body[1:]: false, "tp_" + body[1:] + "!": false,
	} {
		equal(t, secret, IsCheap(secret), want)
	}
}

// A dump of the store logs nobody in: it holds hashes alone.
func TestT39_SecretsAreRandomAndHashed(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		p := quick.NewPassword()
		if seen[p] || len(p) != len("tp_")+secretText {
			t.Fatal(p)
		}
		seen[p] = true
		hash, err := quick.HashPassword(p)
		must(t, err)
		equal(t, "form", hash, quick.HashToken(p))
		equal(t, "holds the secret", strings.Contains(hash, p[3:]), false)
		equal(t, "the hash logs in", quick.Verify(schema.Credential{Enabled: true, Password: hash}, byPassword(hash)), false)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("bcrypt:$2a$04$", "password", "")
	f.Add("sha256:", "", "tt_")
	f.Add("", "tp_"+strings.Repeat("a", secretText), "")
	f.Fuzz(func(t *testing.T, stored, password, token string) {
		c := schema.Credential{Enabled: true, Password: "sha256:" + stored, Tokens: []string{stored}}
		if quick.Verify(c, schema.LoginParams{Password: password, Token: token}) {
			t.Fatalf("%q logs in with %q %q", stored, password, token)
		}
	})
}
