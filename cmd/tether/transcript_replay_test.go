package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/schema/transcripts"
	"github.com/edgetether/tether/session"
)

// replay is a transcript being replayed.
type replay struct {
	t        *testing.T
	w        *world
	contract *contract
	broken   atomic.Bool // something inside the server
	values   transcripts.Values
	lines    map[int]*line
	answers  map[int]chan httpAnswer
}

// line is a connection of the transcript's client.
type line struct {
	listener
	conn *websocket.Conn
	in   chan string
	end  chan string // how the server closed: "4401 login failed"
}

type httpAnswer struct {
	status int
	body   string
}

func newReplay(t *testing.T, c *contract) *replay {
	r := &replay{t: t, contract: c, values: transcripts.Values{}, lines: map[int]*line{}, answers: map[int]chan httpAnswer{}}
	w := newWorld(t, func(c *serviceConfig) {
		c.messageRate = schema.MessageRate
		c.logins = func(store session.Logins) session.Logins { return faulty{store, &r.broken} }
	})
	r.w = w
	var added struct {
		DeviceID string `json:"device_id"`
	}
	w.must(http.MethodPost, "device_add", theDevice, &added)
	r.values["device_id"] = added.DeviceID
	return r
}

// run takes the steps. What the server says must be written down in full
// before the next thing that is done to it.
func (r *replay) run(steps []transcripts.Step) error {
	for i, s := range steps {
		if err := r.take(s); err != nil {
			return fmt.Errorf("section %d, %q: %w", i+1, s.Section, err)
		}
	}
	if err := r.quiet(); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	return nil
}

// take does what a step says, or compares what it says with what there is.
func (r *replay) take(s transcripts.Step) error {
	switch s.Verb {
	case "note", "device ends":
		return nil
	case "server":
		return r.expectMessages(s)
	case "close":
		return r.expectClose(s)
	case "answer":
		return r.expectAnswer(s)
	}
	if !s.Has("at once") {
		if err := r.quiet(); err != nil {
			return err
		}
	}
	switch s.Verb {
	case "after":
		return r.pause(s)
	case "business":
		return r.ask(s)
	case "server stops":
		r.w.stop()
		return nil
	case "server starts":
		r.w.end()
		r.w.start()
		return nil
	case "server fails":
		r.broken.Store(true)
		return nil
	case "server recovers":
		r.broken.Store(false)
		return nil
	}
	return r.act(s)
}

func (r *replay) pause(s transcripts.Step) error {
	text, err := r.values.Fill(strings.Join(s.Args, ""))
	if err != nil {
		return err
	}
	d, err := time.ParseDuration(text)
	time.Sleep(d)
	return err
}

// faulty is the store as a login sees it, which something can be wrong with.
type faulty struct {
	session.Logins
	broken *atomic.Bool
}

// Credential panics: how else would something inside the server break?
func (f faulty) Credential(ctx context.Context, p schema.LoginParams, now int64) (schema.Credential, error) {
	if f.broken.Load() {
		panic("injected")
	}
	return f.Logins.Credential(ctx, p, now)
}

// act is what a client does on its connection.
func (r *replay) act(s transcripts.Step) error {
	l, err := r.line(s.Number)
	if err != nil {
		return err
	}
	switch s.Verb {
	case "login":
		return r.login(l)
	case "client":
		return r.send(l, s)
	case "drop":
		delete(r.lines, s.Number)
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
	l := &line{listener: listener{r.contract, map[string]spoken{}}, conn: conn, in: make(chan string, 1000), end: make(chan string, 1)}
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
	text, err := r.values.Fill(theLogin)
	if err != nil {
		return err
	}
	l.sent(text)
	if err := l.conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		return err
	}
	synctest.Wait()
	got := next(l.in)
	if err := r.values.Match(`{"jsonrpc":"2.0","id":0,"result":{<...>}}`, got); err != nil {
		return err
	}
	return l.said(got)
}

// send sends what a client step holds, in the way that its arguments say.
func (r *replay) send(l *line, s transcripts.Step) error {
	if code, ok := s.Arg("close %d"); ok {
		return l.conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(code, s.Text))
	}
	for _, text := range s.Texts() {
		text, err := r.values.Fill(text)
		if err != nil {
			return err
		}
		l.sent(text)
		if err := l.write(text, s); err != nil {
			return err
		}
	}
	return nil
}

// write sends one message, or what is to look like one.
func (l *line) write(text string, s transcripts.Step) error {
	b := []byte(text)
	if n, ok := s.Arg("padded to %d bytes"); ok {
		b = append(b, bytes.Repeat([]byte(" "), n-len(b))...)
	}
	if s.Has("hex") || s.Has("raw") {
		var err error
		if b, err = hex.DecodeString(strings.ReplaceAll(text, " ", "")); err != nil {
			return err
		}
	}
	switch {
	case s.Has("raw"):
		_, err := l.conn.NetConn().Write(b)
		return err
	case s.Has("binary"):
		return l.conn.WriteMessage(websocket.BinaryMessage, b)
	}
	return l.conn.WriteMessage(websocket.TextMessage, b)
}

// ask makes a business service's request; its answer is a step of its own.
func (r *replay) ask(s transcripts.Step) error {
	text, err := r.values.Fill(strings.Join(s.Args, ", "))
	if err != nil {
		return err
	}
	body, err := r.values.Fill(s.Text)
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
	r.answers[s.Number] = got
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

func (r *replay) expectMessages(s transcripts.Step) error {
	l := r.lines[s.Number]
	if l == nil {
		return errors.New("there is no such connection")
	}
	synctest.Wait()
	for _, want := range s.Texts() {
		got := next(l.in)
		if err := r.values.Match(want, got); err != nil {
			return err
		}
		if err := l.said(got); err != nil {
			return err
		}
	}
	return nil
}

func (r *replay) expectClose(s transcripts.Step) error {
	l := r.lines[s.Number]
	if l == nil {
		return errors.New("there is no such connection")
	}
	synctest.Wait()
	if text := next(l.in); text != nothing {
		return fmt.Errorf("before it, the server said\n%s", text)
	}
	delete(r.lines, s.Number)
	return r.values.Match(s.Text, next(l.end))
}

func (r *replay) expectAnswer(s transcripts.Step) error {
	synctest.Wait()
	select {
	case got := <-r.answers[s.Number]:
		delete(r.answers, s.Number)
		return r.values.Match(strings.Join(s.Args, "")+" "+s.Text, fmt.Sprintf("%d %s", got.status, got.body))
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
