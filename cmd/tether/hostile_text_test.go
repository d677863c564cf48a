package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/edgetether/tether/schema"
)

// hostileTexts are what a device may say to whoever reads what it said.
var hostileTexts = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</style><svg onload=alert(1)>`, `javascript:alert(1)`, `{{7*7}} ${7*7} %s%n`,
	"a\nb", "a\r\nb", "\r", "level=info msg=forged\n{\"level\":\"info\",\"message\":\"forged\"}\n", "x\n\nid: 1\nevent: forged\ndata: {}\n\n",
	"\x1b[2J\x1b[31mred", "\x1b]0;title\x07", "\x9b31m", "\b\b\b", "\x7f", "\u0085next", "\u2028line\u2029paragraph", "\u202Edesrever", "\u200Bhidden",
	`=cmd|' /C calc'!A0`, `+1+1`, `@SUM(A1)`, "a,b\n\"c", "\ufeff", strings.Repeat("A\n", 100),
}

// isControl says whether a character ends a line, or begins what a terminal obeys.
func isControl(r rune) bool { return unicode.IsControl(r) }

// logText is a log as a file of it would be.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// check: it has one line a record, as many as there were, and no character
// that a terminal would obey.
func (l *logText) check(t *testing.T, asJSON bool) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		text := strings.TrimSuffix(line, "\n")
		if strings.ContainsFunc(text, isControl) {
			t.Errorf("a raw control character in %q", text)
		}
		if asJSON && !json.Valid([]byte(text)) || !asJSON && !strings.HasPrefix(text, "20") {
			t.Errorf("not a record of its own: %q", text)
		}
	}
	if l.text.Len() == 0 {
		t.Error("nothing was logged")
	}
}

// TestT19_DeviceTexts sends hostile texts by every member that a device may set
// freely. Answers are JSON of one line, a stream's records stay what they are, and a
// log has one line a record. No page of the service shows what a device said.
func TestT19_DeviceTexts(t *testing.T) {
	for _, asJSON := range []bool{true, false} {
		t.Run(fmt.Sprint("json ", asJSON), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log logText
				w := newWorld(t, func(c *serviceConfig) {
					c.log, c.statusSample = newLog(cli{LogLevel: "debug", LogJSON: asJSON}, &log), -1
				})
				id, password := w.addDevice("a")
				stream := w.follows(t)
				for _, text := range hostileTexts {
					w.says(id, password, text)
					w.config.log.Info("a device said", "text", text, "error", errors.New(text), "list", []string{text})
				}
				w.settle()
				for _, path := range []string{
					"device_query/" + id, "device_query_all", "device_log_query/" + id + "?limit=1000", "device_orders_query/" + id + "?limit=1000",
					"device_statusInfo_history/" + id, "audit_query_all",
				} {
					if a := w.ask("GET", path, ""); strings.ContainsFunc(string(a.Data), isControl) || !json.Valid(a.Data) {
						t.Errorf("%s: %.300q", path, a.Data)
					}
				}
				stream(len(hostileTexts))
				log.check(t, asJSON)
			})
		})
	}
}

// says has a device say a text wherever it may.
func (w *world) says(id, password, text string) {
	w.t.Helper()
	quoted, err := json.Marshal(text)
	if err != nil {
		w.t.Fatal(err)
	}
	s := string(quoted)
	stranger := w.connect("10.0.0.8")
	stranger.send(`{"jsonrpc":"2.0","id":` + s + `,"method":"login","params":{"device_sn":` + s + `,"device_model":` + s + `,"password":` + s + `}}`)
	time.Sleep(2 * time.Second)
	stranger.drop()
	c := w.connect("10.0.0.7")
	defer c.drop()
	c.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"login","params":{"device_id":%q,"password":%q,"boot_id":%[3]s,"client":{"name":%[3]s,"version":%[3]s}}}`, id, password, s))
	if m := c.next(); m.Error != nil { // refused for its form, then, and without it
		c = w.connect("10.0.0.7")
		defer c.drop()
		c.login(id, password, "boot")
	}
	c.call(schema.MethodUploadStatus, `{"CPU_info":null,"dev_state":`+s+`,"custom":{`+s+`:`+s+`}}`)
	c.call("method "+text, `{}`)
	answered := w.giveOrder(id, "blink", `,"params":{}`)
	call, _ := c.asked()
	c.answer(call, `{"status":"success","message":`+s+`,"data":{`+s+`:`+s+`}}`)
	<-answered
	w.settle()
}

// follows reads the stream of events. What it returns ends that, and holds the
// stream to its form: records of id, event and data, whose data is JSON; at least so many.
func (w *world) follows(t *testing.T) (check func(least int)) {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", "http://tether/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.key)
	resp, err := w.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = text.ReadFrom(resp.Body) // which we end
	}()
	return func(least int) {
		t.Helper()
		time.Sleep(time.Second)
		leave()
		<-ended
		resp.Body.Close()
		records := 0
		for record := range strings.SplitSeq(text.String(), "\n\n") {
			for line := range strings.SplitSeq(record, "\n") {
				name, value, _ := strings.Cut(line, ": ")
				switch name {
				case "data":
					records++
					if !json.Valid([]byte(value)) || strings.ContainsFunc(value, isControl) {
						t.Errorf("data %.200q", value)
					}
				case "event":
					if !schema.EventKind(value).Valid() {
						t.Errorf("an event of kind %q", value)
					}
				case "id", "retry", ":", "":
				default:
					t.Errorf("a line %.200q", line)
				}
			}
		}
		if records < least {
			t.Errorf("%d records, and %d were to be expected at the least", records, least)
		}
	}
}
