package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
)

// replay is a transcript being replayed.
type replay struct {
	t       *testing.T
	w       *world
	values  map[string]string // of placeholders
	lines   map[int]*line
	answers map[int]chan httpAnswer
}

// line is a connection of the transcript's client.
type line struct {
	conn *websocket.Conn
	in   chan string
	end  chan string // how the server closed: "4401 login failed"
}

type httpAnswer struct {
	status int
	body   string
}

func newReplay(t *testing.T) *replay {
	w := newWorld(t, func(c *serviceConfig) { c.messageRate = schema.MessageRate })
	r := &replay{t: t, w: w, values: map[string]string{}, lines: map[int]*line{}, answers: map[int]chan httpAnswer{}}
	var added struct {
		DeviceID string `json:"device_id"`
	}
	w.must(http.MethodPost, "device_add", theDevice, &added)
	r.values["device_id"] = added.DeviceID
	return r
}

// run takes the steps. What the server says must be written down in full
// before the next thing that is done to it.
func (r *replay) run(a *txtar.Archive) error {
	for i, f := range a.Files {
		s, err := parseStep(f)
		if err == nil {
			err = r.take(s)
		}
		if err != nil {
			return fmt.Errorf("section %d, %q: %w", i+1, f.Name, err)
		}
	}
	if err := r.quiet(); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	return nil
}

// take does what a step says, or compares what it says with what there is.
func (r *replay) take(s step) error {
	switch s.verb {
	case "note":
		return nil
	case "server":
		return r.expectMessages(s)
	case "close":
		return r.expectClose(s)
	case "answer":
		return r.expectAnswer(s)
	}
	if !s.has("at once") {
		if err := r.quiet(); err != nil {
			return err
		}
	}
	switch s.verb {
	case "after":
		d, err := time.ParseDuration(strings.Join(s.args, ""))
		time.Sleep(d)
		return err
	case "business":
		return r.ask(s)
	case "server stops":
		r.w.stop()
		return nil
	}
	return r.act(s)
}

// act is what a client does on its connection.
func (r *replay) act(s step) error {
	l, err := r.line(s.number)
	if err != nil {
		return err
	}
	switch s.verb {
	case "login":
		return r.login(l)
	case "client":
		return r.send(l, s)
	case "drop":
		delete(r.lines, s.number)
		return l.conn.NetConn().Close()
	}
	return nil // connected
}

// line is a connection of the client, opened when it is first used.
func (r *replay) line(number int) (*line, error) {
	if l := r.lines[number]; l != nil {
		return l, nil
	}
	d := websocket.Dialer{NetDialContext: r.w.listener.dialFrom("10.0.0.7"), WriteBufferSize: 2 * schema.MaxMessage}
	conn, _, err := d.Dial("ws://tether/ws", nil)
	if err != nil {
		return nil, err
	}
	l := &line{conn: conn, in: make(chan string, 1000), end: make(chan string, 1)}
	r.lines[number] = l
	go l.read()
	r.t.Cleanup(func() { conn.Close() })
	return l, nil
}

// read ends with the connection.
func (l *line) read() {
	for {
		_, msg, err := l.conn.ReadMessage()
		var closed *websocket.CloseError
		switch {
		case errors.As(err, &closed):
			l.end <- strings.TrimSpace(fmt.Sprintf("%d %s", closed.Code, closed.Text))
			return
		case err != nil:
			l.end <- err.Error()
			return
		}
		l.in <- string(msg)
	}
}

func (r *replay) login(l *line) error {
	text, err := r.fill(theLogin)
	if err != nil {
		return err
	}
	if err := l.conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		return err
	}
	synctest.Wait()
	return r.match(`{"jsonrpc":"2.0","id":0,"result":{<...>}}`, next(l.in))
}

// send sends what a client step holds, in the way that its arguments say.
func (r *replay) send(l *line, s step) error {
	if code, ok := s.arg("close %d"); ok {
		return l.conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(code, s.text))
	}
	for _, text := range s.texts() {
		text, err := r.fill(text)
		if err != nil {
			return err
		}
		if err := l.write(text, s); err != nil {
			return err
		}
	}
	return nil
}

// write sends one message, or what is to look like one.
func (l *line) write(text string, s step) error {
	b := []byte(text)
	if n, ok := s.arg("padded to %d bytes"); ok {
		b = append(b, bytes.Repeat([]byte(" "), n-len(b))...)
	}
	if s.has("hex") || s.has("raw") {
		var err error
		if b, err = hex.DecodeString(strings.ReplaceAll(text, " ", "")); err != nil {
			return err
		}
	}
	switch {
	case s.has("raw"):
		_, err := l.conn.NetConn().Write(b)
		return err
	case s.has("binary"):
		return l.conn.WriteMessage(websocket.BinaryMessage, b)
	}
	return l.conn.WriteMessage(websocket.TextMessage, b)
}

// ask makes a business service's request; its answer is a step of its own.
func (r *replay) ask(s step) error {
	text, err := r.fill(strings.Join(s.args, ", "))
	if err != nil {
		return err
	}
	body, err := r.fill(s.text)
	if err != nil {
		return err
	}
	method, path, _ := strings.Cut(text, " ")
	req, err := http.NewRequest(method, "http://tether"+northapi.Base+"/"+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+r.w.key)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	got := make(chan httpAnswer, 1)
	r.answers[s.number] = got
	go func() { got <- r.do(req) }()
	return nil
}

func (r *replay) do(req *http.Request) httpAnswer {
	resp, err := r.w.http.Do(req)
	if err != nil {
		return httpAnswer{body: err.Error()}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return httpAnswer{body: err.Error()}
	}
	return httpAnswer{resp.StatusCode, strings.TrimSpace(string(body))}
}

func (r *replay) expectMessages(s step) error {
	l := r.lines[s.number]
	if l == nil {
		return errors.New("there is no such connection")
	}
	synctest.Wait()
	for _, want := range s.texts() {
		if err := r.match(want, next(l.in)); err != nil {
			return err
		}
	}
	return nil
}

func (r *replay) expectClose(s step) error {
	l := r.lines[s.number]
	if l == nil {
		return errors.New("there is no such connection")
	}
	synctest.Wait()
	if text := next(l.in); text != nothing {
		return fmt.Errorf("before it, the server said\n%s", text)
	}
	delete(r.lines, s.number)
	return r.match(s.text, next(l.end))
}

func (r *replay) expectAnswer(s step) error {
	synctest.Wait()
	select {
	case got := <-r.answers[s.number]:
		delete(r.answers, s.number)
		return r.match(strings.Join(s.args, "")+" "+s.text, fmt.Sprintf("%d %s", got.status, got.body))
	default:
		return errors.New("there is no answer yet")
	}
}

// quiet holds the server to having said nothing that is not written down.
func (r *replay) quiet() error {
	synctest.Wait()
	for number, l := range r.lines {
		if text := next(l.in); text != nothing {
			return fmt.Errorf("on connection %d the server said\n%s", number, text)
		}
		if text := next(l.end); text != nothing {
			return fmt.Errorf("connection %d was closed: %s", number, text)
		}
	}
	for number, got := range r.answers {
		select {
		case a := <-got:
			return fmt.Errorf("request %d was answered: %d %s", number, a.status, a.body)
		default:
		}
	}
	return nil
}

const nothing = "(nothing)"

func next(from <-chan string) string {
	select {
	case text := <-from:
		return text
	default:
		return nothing
	}
}

var placeholder = regexp.MustCompile(`<(\.\.\.|[a-z][a-z0-9_]*)>`)

// fill puts the values of placeholders into what a client sends.
func (r *replay) fill(text string) (string, error) {
	var unknown error
	filled := placeholder.ReplaceAllStringFunc(text, func(p string) string {
		v, ok := r.values[p[1:len(p)-1]]
		if !ok {
			unknown = fmt.Errorf("%s has no value yet", p)
		}
		return v
	})
	return filled, unknown
}

// formOf is what a placeholder stands for where it is first met.
func formOf(name string) string {
	switch {
	case strings.HasPrefix(name, "token"):
		return `tt_[A-Za-z0-9_-]{32}`
	case strings.HasPrefix(name, "password"):
		return `tp_[A-Za-z0-9_-]{32}`
	}
	return `[0-9]+`
}

// match compares got with want, letter by letter but for the placeholders,
// and remembers the values of those.
func (r *replay) match(want, got string) error {
	var form strings.Builder
	var names []string
	last := 0
	for _, at := range placeholder.FindAllStringSubmatchIndex(want, -1) {
		form.WriteString(regexp.QuoteMeta(want[last:at[0]]))
		last = at[1]
		switch name := want[at[2]:at[3]]; {
		case name == "...":
			form.WriteString(`.*`)
		case name == "ms":
			form.WriteString(`[0-9]+`)
		case r.values[name] != "":
			form.WriteString(regexp.QuoteMeta(r.values[name]))
		default:
			form.WriteString(`(` + formOf(name) + `)`)
			names = append(names, name)
		}
	}
	form.WriteString(regexp.QuoteMeta(want[last:]))
	m := regexp.MustCompile(`^` + form.String() + `$`).FindStringSubmatch(got)
	if m == nil {
		return fmt.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for i, name := range names {
		if v, ok := r.values[name]; ok && v != m[i+1] {
			return fmt.Errorf("<%s> is both %s and %s in\n%s", name, v, m[i+1], got)
		}
		r.values[name] = m[i+1]
	}
	return nil
}
