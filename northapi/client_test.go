package northapi

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	goclient "github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
)

// answered is err as a client has it, after it was answered.
func answered(t *testing.T, err error) *schema.Error {
	t.Helper()
	a := build(Config{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { a.fail(w, "test", err) }))
	defer s.Close()
	c, bad := goclient.New(goclient.Options{URL: s.URL})
	if bad != nil {
		t.Fatal(bad)
	}
	bad = c.DeviceDelete(t.Context(), "1")
	var e *schema.Error
	if !errors.As(bad, &e) {
		t.Fatalf("%v is told as %v", err, bad)
	}
	return e
}

// stray are the codes of kinds that no service answers, as package rpc and the
// contract have them, and of kinds that are answered alike.
var stray = map[schema.Kind]string{
	schema.ParseError: "parse_error", schema.InvalidRequest: "invalid_request", schema.MethodNotFound: "method_not_found",
	schema.LoginFailed: "login_failed", schema.LoginRequired: "login_required", schema.Fenced: "fenced",
	schema.OrderRefused: "device_busy", schema.Internal: "internal",
}

// TestClientMapsBack: the client's map of errors is the inverse of forms: each
// kind comes out as what it was, with all that is beside it.
func TestClientMapsBack(t *testing.T) {
	for _, kind := range schema.Kinds() {
		code := stray[kind]
		if code == "" {
			code = "some_code"
		}
		err := &schema.Error{Kind: kind, Code: code, Message: "internal error", RetryAfter: 1500 * time.Millisecond, Data: schema.Holder{OrderID: "7"}}
		e := answered(t, err)
		if !errors.Is(e, err) || e.Message != err.Message {
			t.Errorf("kind %d, %v, is kind %d, %v", kind, err, e.Kind, e)
		}
		if held, ok := goclient.Data[schema.Holder](e); kind != schema.Internal && (!ok || held.OrderID != "7" || e.RetryAfter != 2*time.Second) {
			t.Errorf("kind %d: data %s, retry after %v", kind, e.Data, e.RetryAfter)
		}
	}
}

var errorOfKind = regexp.MustCompile(`(?:Errorf\((?:schema\.)?|schema\.)(\w+), "([a-z_]+)"[,)]`)

// TestClientKnowsAllCodes: what the rooms behind these routes may answer is
// told back as the kind that it has there.
func TestClientKnowsAllCodes(t *testing.T) {
	names := map[string]schema.Kind{}
	text, err := os.ReadFile("../schema/errors.go")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile(`(?s)Internal +Kind = iota.*?kindEnd`).FindString(string(text))
	for line := range strings.Lines(block) {
		if name := regexp.MustCompile(`^\s*(\w+)`).FindString(line); strings.TrimSpace(name) != "kindEnd" {
			names[strings.TrimSpace(name)] = schema.Kind(len(names))
		}
	}
	n := 0
	for _, room := range []string{"../schema", "../store", "../session", "."} {
		files, err := filepath.Glob(room + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil || strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, m := range errorOfKind.FindAllStringSubmatch(string(text), -1) {
				kind, known := names[m[1]]
				if !known || kind == schema.Internal {
					continue
				}
				n++
				if e := answered(t, schema.Errorf(kind, m[2], "m")); e.Kind != kind || e.Code != m[2] {
					t.Errorf("%s: %s %s is told back as kind %d: the tables in client/errors.go need a row", file, m[1], m[2], e.Kind)
				}
			}
		}
	}
	if n < 30 {
		t.Error(fmt.Sprint("found only ", n, " codes"))
	}
}
