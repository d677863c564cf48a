package conform

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

var section = regexp.MustCompile(`^southbound [1-6](, [1-6])*$`)

// TestTables: names tell scenarios and rules apart, and every rule says where
// the contract has it.
func TestTables(t *testing.T) {
	checkTable(t, scenarios())
	checkTable(t, serverScenarios())
}

func checkTable[B any](t *testing.T, all []scenario[B]) {
	t.Helper()
	names := map[string]bool{}
	for _, s := range all {
		if names[s.name] || s.title == "" || s.run == nil || len(s.rules) == 0 {
			t.Errorf("%s: not whole, or there twice", s.name)
		}
		names[s.name] = true
		keys := map[string]bool{}
		for _, r := range s.rules {
			if keys[r.key] || !section.MatchString(r.section) || r.text == "" {
				t.Errorf("%s/%s (%s): not whole, or there twice", s.name, r.key, r.section)
			}
			keys[r.key] = true
		}
	}
}

func TestSlack(t *testing.T) {
	s := Slack{Part: 0.25, Fixed: 200 * time.Millisecond}
	if got := s.late(time.Second); got != 1450*time.Millisecond {
		t.Error(got)
	}
	if got := s.early(time.Second); got != 900*time.Millisecond {
		t.Error(got)
	}
	if got := s.early(10 * time.Millisecond); got != 0 {
		t.Error(got)
	}
	if (Slack{}).late(time.Second) != time.Second || (Slack{}).early(time.Second) != time.Second {
		t.Error("no slack is exact")
	}
}

// TestReportText: what a terminal shows, and what a file.
func TestReportText(t *testing.T) {
	r := &Report{Of: "x", Tolerance: "exact", Results: []Result{{Name: "a", Title: "A", Checks: []Check{
		{Name: "p", Rule: "southbound 1", Text: "one", Outcome: Passed},
		{Name: "f", Rule: "southbound 2", Text: "two", Outcome: Failed, Want: "2", Saw: "3"},
		{Name: "n", Rule: "southbound 3", Text: "three", Outcome: NotExercised, Saw: "no time"},
	}}}}
	var plain, coloured strings.Builder
	if r.WriteText(&plain, false) != nil || r.WriteText(&coloured, true) != nil {
		t.Fatal("not written")
	}
	for _, want := range []string{"failed         a                     1/3", "southbound 2: two\n            expected: 2\n            seen:     3", "because:  no time", "3 checks: 1 passed, 1 failed, 1 not exercised"} {
		if !strings.Contains(plain.String(), want) {
			t.Errorf("no %q in\n%s", want, plain.String())
		}
	}
	if strings.Contains(plain.String(), "\x1b") || !strings.Contains(coloured.String(), "\x1b[31m") {
		t.Error("colours")
	}
	r.Results[0].Checks[1].Outcome = Passed
	if !r.Passed(false) || r.Passed(true) {
		t.Error("what was not exercised fails a strict run alone")
	}
}

// TestServerThatSaysYes: a server that answers all requests with success, and
// never closes, breaks most rules.
func TestServerThatSaysYes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemory()
		web := &http.Server{Handler: http.HandlerFunc(sayYes)}
		ended := make(chan struct{})
		go func() { defer close(ended); _ = web.Serve(l) }()
		defer func() { web.Close(); <-ended }()
		r, err := RunServer(t.Context(), ServerOptions{URL: "ws://yes/ws", NetDial: l.dial, Device: pressSeven, Slow: true, API: "http://yes", Key: "k"})
		if err != nil {
			t.Fatal(err)
		}
		failed := map[string]bool{}
		for _, s := range r.Results {
			for _, c := range s.Checks {
				failed[s.Name+"/"+c.Name] = c.Outcome == Failed
			}
		}
		for _, rule := range []string{
			"handshake/origin", "login-password/result", "login-token/new", "login-wrong/error", "login-unusable/error", "login-required/other",
			"login-twice/error", "takeover/closed", "ping/pong", "ping/no-id", "discover/document", "report/refused", "result/refused",
			"unknown-method/error", "invalid/parse", "malformed/nineteen", "unasked/closed", "batch/answers", "frames/binary", "fragments/many",
			"size/over", "order/params", "slow-login/closed", "silence/closed",
		} {
			if !failed[rule] {
				t.Errorf("%s did not fail", rule)
			}
		}
		if t.Failed() {
			t.Log(textOf(t, r))
		}
	})
}

func sayYes(w http.ResponseWriter, r *http.Request) {
	u := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	ws, err := u.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer ws.Close()
	for {
		kind, raw, err := ws.ReadMessage()
		if err != nil {
			return
		}
		messages, _ := parse(raw, time.Now())
		for _, m := range messages {
			id := m.id
			if id == "" {
				id = "null"
			}
			if ws.WriteMessage(kind, fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":{}}`, id)) != nil {
				return
			}
		}
	}
}
