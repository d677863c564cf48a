package conform

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestHostileClients: whatever a client does, a run ends, with a report, and
// leaves nothing behind (TestMain looks for that).
func TestHostileClients(t *testing.T) {
	dialog := func(do func(*websocket.Conn)) func(*memory) Launch {
		return func(l *memory) Launch {
			return func(ctx context.Context, env map[string]string) error {
				for ctx.Err() == nil {
					d := websocket.Dialer{NetDialContext: l.dial}
					ws, _, err := d.DialContext(ctx, env["TETHER_URL"], nil)
					if err != nil {
						return err
					}
					stop := context.AfterFunc(ctx, func() { ws.Close() })
					do(ws)
					stop()
					ws.Close()
					time.Sleep(time.Second)
				}
				return nil
			}
		}
	}
	until := func(ws *websocket.Conn) {
		for {
			if _, _, err := ws.ReadMessage(); err != nil {
				return
			}
		}
	}
	text := func(ws *websocket.Conn, s string) error { return ws.WriteMessage(websocket.TextMessage, []byte(s)) }
	login := func(ws *websocket.Conn) error {
		return text(ws, `{"jsonrpc":"2.0","id":1,"method":"login","params":{"device_id":"`+pressSeven.ID+`","password":"`+pressSeven.Password+`"}}`)
	}
	for name, c := range map[string]struct {
		launch func(*memory) Launch
		saw    string // somewhere in the report
	}{
		"never connects": {func(*memory) Launch {
			return func(ctx context.Context, _ map[string]string) error { <-ctx.Done(); return ctx.Err() }
		}, "the client did not come any more"},
		"ends at once": {func(*memory) Launch {
			return func(context.Context, map[string]string) error { return errors.New("no such file") }
		}, "the client ended: no such file"},
		"never logs in": {dialog(until), "no login"},
		"says nonsense": {dialog(func(ws *websocket.Conn) { _ = text(ws, "\x1b[2J{{{"); until(ws) }), ".[2J{{{"},
		"floods": {dialog(func(ws *websocket.Conn) {
			go until(ws)
			for n := 0; n < 2000 && login(ws) == nil; n++ { // time stands still meanwhile
			}
		}), "login is the first request"},
		"sends a huge message": {dialog(func(ws *websocket.Conn) {
			go until(ws)
			if login(ws) == nil {
				_ = text(ws, strings.Repeat(" ", 4<<20))
			}
		}), ""},
		"never reads": {dialog(func(ws *websocket.Conn) {
			_ = login(ws)
			time.Sleep(time.Minute)
		}), ""},
		"answers everything wrongly": {dialog(func(ws *websocket.Conn) {
			_ = login(ws)
			for {
				if _, _, err := ws.ReadMessage(); err != nil {
					return
				}
				_ = text(ws, `{"jsonrpc":"2.0","id":1,"result":[]}`)
			}
		}), "a report"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			r := inBubble(t, func(o *Options, l *memory) {
				o.Launch, o.Say = c.launch(l), func(string, ...any) {}
				o.Only = []string{"login-password", "cadence", "order", "restart-confirmed", "close-1012", "malformed"}
			})
			all := textOf(t, r)
			if r.Passed(false) || !strings.Contains(all, c.saw) || strings.Contains(all, "\x1b") {
				t.Errorf("a report without %q:\n%s", c.saw, all)
			}
		})
	}
}

// TestInterrupted: a run that is cut short says so, and its report is what was
// found until then.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l := newMemory()
	r, err := Run(ctx, Options{
		Listener: l, URL: "ws://conform/ws", Device: pressSeven, StateDir: t.TempDir(), HeartbeatScale: 0.1,
		Launch: library{dial: l.dial}.launch,
		Say: func(format string, args ...any) {
			if strings.Contains(format, "%-13s") {
				cancel()
			}
		},
	})
	if !errors.Is(err, context.Canceled) || r.Passed(false) && r.Count(Passed) == 0 {
		t.Errorf("got %v, %d passed", err, r.Count(Passed))
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"ping"}`, `[{"jsonrpc":"2.0","id":"a","method":"login","params":{"device_id":"1"}}]`,
		`{"jsonrpc":"2.0","id":1,"result":{"status":"success","message":"","data":{}}}`, `{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"\u001b"}}`,
		`[`, `[]`, `{"jsonrpc":"2.0","id":1.5,"method":7}`, strings.Repeat("[", 100), "\xff", `{"jsonrpc":"2.0","id":2,"method":"upload_status_info","params":{"CPU_info":{}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		messages, batch := parse(raw, time.Time{})
		if len(messages) == 0 || !batch && len(messages) != 1 {
			t.Fatalf("%d messages", len(messages))
		}
		s := newQuietSession()
		s.judge.frame(s, event{kind: websocket.TextMessage, raw: raw}, batch)
		for _, m := range messages {
			s.judge.message(s, m, batch)
			s.remember(m)
			if (m.kind == invalid) != (m.fault != "") {
				t.Errorf("kind %d with the fault %q", m.kind, m.fault)
			}
			o := outcomeOf(m)
			for _, shown := range []string{m.String(), m.fault, o.String()} {
				if strings.ContainsFunc(shown, func(r rune) bool { return r < ' ' || r == 0x7F || r == 0x202E }) {
					t.Errorf("%q would be shown as it is", shown)
				}
			}
		}
		for key := range s.judge.faults {
			if !known(key) {
				t.Errorf("%s is no rule", key)
			}
		}
	})
}

// newQuietSession is one that has no connection.
func newQuietSession() *session {
	s := &session{answers: map[string]message{}, asked: map[string]bool{}, ids: map[string]bool{}}
	s.judge = newJudge(pressSeven)
	return s
}

func known(key string) bool {
	for _, r := range everyMessage {
		if r.key == key {
			return true
		}
	}
	return false
}
