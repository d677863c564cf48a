package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/schema/transcripts"
)

// stage is where a transcript is played: the service's part by the transcript,
// the device's by the library, and the business services' not at all.
type stage struct {
	t       *testing.T
	network *server
	arrived chan *wire // connections that the device has opened
	wires   map[int]*wire
	foreign map[int]bool // connections of somebody else
	values  transcripts.Values
	calls   int

	device  *running
	dir     string
	waiting atomic.Int32            // handlers, for what the transcript says
	done    chan schema.OrderResult // to them
	code    string                  // of the last close
}

// wire is a connection as its server sees it.
type wire struct {
	conn *websocket.Conn
	in   chan string
	end  chan string       // "1000 stopped"
	ids  map[string]string // of the device's requests, by those in the transcript: it may choose its own
	read []string          // and not yet asked for
	over bool
}

func newStage(t *testing.T) *stage {
	s := &stage{
		t: t, network: &server{t: t, start: time.Now(), conns: make(chan net.Conn), done: make(chan struct{})},
		arrived: make(chan *wire, 8), wires: map[int]*wire{}, foreign: map[int]bool{},
		values: transcripts.Values{"device_id": deviceID}, dir: t.TempDir(), done: make(chan schema.OrderResult),
	}
	web := &http.Server{Handler: http.HandlerFunc(s.accept)}
	var serving sync.WaitGroup
	serving.Go(func() { web.Serve(s.network) })
	t.Cleanup(func() {
		s.stop()
		for _, w := range s.wires {
			w.conn.Close()
		}
		web.Close()
		serving.Wait()
	})
	return s
}

func (s *stage) accept(rw http.ResponseWriter, r *http.Request) {
	up := websocket.Upgrader{Subprotocols: []string{schema.Subprotocol}}
	conn, err := up.Upgrade(rw, r, nil)
	if err != nil {
		return
	}
	w := &wire{conn: conn, in: make(chan string, 100), end: make(chan string, 1), ids: map[string]string{}}
	s.arrived <- w
	go w.receive()
}

// receive ends with the connection.
func (w *wire) receive() {
	for {
		_, text, err := w.conn.ReadMessage()
		var closed *websocket.CloseError
		switch {
		case errors.As(err, &closed):
			w.end <- strings.TrimSpace(fmt.Sprintf("%d %s", closed.Code, closed.Text))
			return
		case err != nil:
			w.end <- "lost"
			return
		}
		w.in <- string(text)
	}
}

// play takes the steps. What the device says must be written down before time
// goes on.
func (s *stage) play(steps []transcripts.Step) error {
	for i, step := range steps {
		if step.Has("elsewhere") {
			s.foreign[step.Number] = true
		}
		if s.foreign[step.Number] {
			continue
		}
		if err := s.take(step); err != nil {
			return fmt.Errorf("section %d, %q: %w", i+1, step.Section, err)
		}
	}
	return s.quiet()
}

func (s *stage) take(step transcripts.Step) error {
	switch step.Verb {
	case "client":
		return s.expect(step)
	case "server":
		return s.say(step)
	case "close":
		return s.close(step)
	case "drop":
		w := s.wires[step.Number]
		w.over = true
		return w.conn.NetConn().Close()
	case "device ends":
		return s.ended()
	case "after":
		return s.pause(step)
	}
	return nil // between the service and business
}

func (s *stage) pause(step transcripts.Step) error {
	if err := s.quiet(); err != nil {
		return err
	}
	text, err := s.values.Fill(step.Args[0])
	if err != nil {
		return err
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return err
	}
	time.Sleep(d - time.Millisecond)
	if err := s.quiet(); err != nil {
		return fmt.Errorf("too early: %w", err)
	}
	time.Sleep(time.Millisecond)
	return nil
}

// expect is what the device has to say now.
func (s *stage) expect(step transcripts.Step) error {
	text, err := s.values.Fill(step.Text)
	if err != nil {
		return err
	}
	w, err := s.wire(step.Number, text)
	if err != nil {
		return err
	}
	if code, ok := step.Arg("close %d"); ok {
		return s.expectClose(w, fmt.Sprintf("%d %s", code, text))
	}
	s.finish(text)
	synctest.Wait()
	for len(w.in) > 0 {
		w.read = append(w.read, <-w.in)
	}
	for i, got := range w.read {
		if w.same(text, got) {
			w.read = append(w.read[:i:i], w.read[i+1:]...)
			return nil
		}
	}
	return fmt.Errorf("the device said\n%s\nwant\n%s", strings.Join(w.read, "\n"), text)
}

// wire is a connection, which the device must have opened when it first speaks
// on it. A device that does not run is started.
func (s *stage) wire(number int, text string) (*wire, error) {
	if w := s.wires[number]; w != nil {
		return w, nil
	}
	if s.device == nil {
		if err := s.start(text); err != nil {
			return nil, err
		}
	}
	synctest.Wait()
	select {
	case w := <-s.arrived:
		s.wires[number] = w
		return w, nil
	default:
		return nil, errors.New("the device has not connected")
	}
}

// start makes the device whose login text is. Its orders end as, and when, the
// transcript says.
func (s *stage) start(text string) error {
	var login struct{ Params schema.LoginParams }
	if err := json.Unmarshal([]byte(text), &login); err != nil {
		return err
	}
	p := login.Params
	cfg := Config{
		URL: "ws://service/ws", DeviceID: p.DeviceID, SN: p.SN, Model: p.Model, Password: p.Password, BootID: p.BootID, Client: p.Client,
		StateDir: s.dir, NetDial: s.network.dial, Rand: func() float64 { return 0.5 }, Restart: func() error { return nil },
	}
	if cfg.Password == "" {
		cfg.Password = "correct horse" // it has a token, and logs in with that
	}
	d, err := New(cfg)
	if err != nil {
		return err
	}
	d.custom["blink"] = func(context.Context, schema.GiveOrder) schema.OrderResult {
		s.waiting.Add(1)
		return <-s.done
	}
	s.device = s.network.run(d)
	return nil
}

// finish ends the order that the device is at, if it is the transcript's to
// end and text holds its result.
func (s *stage) finish(text string) {
	synctest.Wait()
	var m struct {
		Result, Params schema.OrderResult
	}
	if s.waiting.Load() == 0 || json.Unmarshal([]byte(text), &m) != nil {
		return
	}
	for _, r := range []schema.OrderResult{m.Result, m.Params} {
		if r.Status != "" {
			s.waiting.Add(-1)
			s.done <- r
		}
	}
}

// expectClose: the device closes, by itself or because it is asked to stop.
func (s *stage) expectClose(w *wire, want string) error {
	synctest.Wait()
	if len(w.end) == 0 {
		s.device.stop()
		synctest.Wait()
	}
	w.over = true
	select {
	case got := <-w.end:
		if got != want {
			return fmt.Errorf("the device closed with %s, want %s", got, want)
		}
		return nil
	default:
		return errors.New("the device has not closed")
	}
}

// say is what the service says now.
func (s *stage) say(step transcripts.Step) error {
	w, text := s.wires[step.Number], s.invent(step.Text)
	if m := readEnvelope(text); m.Method == "" {
		text = strings.Replace(text, `"id":`+string(m.ID)+`,`, `"id":`+w.ids[string(m.ID)]+`,`, 1)
	}
	return w.conn.WriteMessage(websocket.TextMessage, []byte(text))
}

func (s *stage) close(step transcripts.Step) error {
	w := s.wires[step.Number]
	if w.over {
		return nil // it answers the device's
	}
	w.over = true
	var code int
	code1, reason, _ := strings.Cut(s.invent(step.Text), " ")
	if _, err := fmt.Sscan(code1, &code); err != nil {
		return err
	}
	s.code = code1
	return w.conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason))
}

var placeholder = regexp.MustCompile(`("([a-z_]+)":)?"?<([a-z0-9_]+)>`)

// invent fills in what a service would: times, tokens, identifiers.
func (s *stage) invent(text string) string {
	for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
		switch member, name := m[2], m[3]; {
		case name == "ms":
			at := time.Now().Add(map[string]time.Duration{"token_expires_time": schema.TokenLifetime, "deadline_time": schema.OrderTimeout}[member])
			text = strings.Replace(text, m[0], strings.Replace(m[0], "<ms>", fmt.Sprint(at.UnixMilli()), 1), 1)
		case s.values[name] != "":
		case strings.HasPrefix(name, "token"):
			s.values[name] = "tt_" + strings.Repeat("t", 24) + fmt.Sprintf("%08d", len(s.values))
		case name == "retry":
			s.values[name] = "7000"
		default:
			s.calls++
			s.values[name] = fmt.Sprint(s.calls)
		}
	}
	filled, err := s.values.Fill(text)
	if err != nil {
		s.t.Error(err)
	}
	return filled
}

// ended: Run has returned, with the error that fits.
func (s *stage) ended() error {
	synctest.Wait()
	select {
	case <-s.device.done:
	default:
		return errors.New("the device still runs")
	}
	want := map[string]error{"4410": ErrGone, "4401": ErrTries}[s.code]
	if err := s.device.err; !errors.Is(err, want) {
		return fmt.Errorf("the device ended with %v, want %v", err, want)
	}
	s.device = nil
	return nil
}

// quiet holds the device to having said nothing that is not written down.
func (s *stage) quiet() error {
	synctest.Wait()
	for number, w := range s.wires {
		for len(w.in) > 0 {
			w.read = append(w.read, <-w.in)
		}
		if len(w.read) > 0 {
			return fmt.Errorf("on connection %d the device said\n%s", number, strings.Join(w.read, "\n"))
		}
		if len(w.end) > 0 && !w.over {
			return fmt.Errorf("on connection %d the device closed with %s", number, <-w.end)
		}
	}
	if len(s.arrived) > 0 {
		return errors.New("the device has connected")
	}
	if s.device == nil {
		return nil
	}
	select {
	case <-s.device.done:
		return fmt.Errorf("the device ended: %v", s.device.err)
	default:
		return nil
	}
}

// stop ends the device, and with it an order that nobody ended.
func (s *stage) stop() {
	if s.device == nil {
		return
	}
	s.device.stop()
	synctest.Wait()
	if s.waiting.Load() > 0 {
		s.done <- failed("the transcript is over")
	}
	<-s.device.done
}

type envelope struct {
	ID     json.RawMessage
	Method string
}

func readEnvelope(text string) (m envelope) {
	_ = json.Unmarshal([]byte(text), &m) // an error leaves it empty, which equals nothing
	return m
}

// same compares messages as JSON. The identifier of a request is the device's
// own choice, and is remembered; the figures of a report are this host's.
func (w *wire) same(want, got string) bool {
	var a, b map[string]any
	if json.Unmarshal([]byte(want), &a) != nil || json.Unmarshal([]byte(got), &b) != nil {
		return false
	}
	theirs, ours := readEnvelope(want), readEnvelope(got)
	request := theirs.Method != "" && theirs.Method == ours.Method && theirs.ID != nil && ours.ID != nil
	if request {
		a["id"], b["id"] = nil, nil
	}
	if theirs.Method == schema.MethodUploadStatus && !(anyFigures(a) && anyFigures(b)) {
		return false
	}
	if !reflect.DeepEqual(a, b) {
		return false
	}
	if request {
		w.ids[string(theirs.ID)] = string(ours.ID)
	}
	return true
}

// anyFigures takes the figures out of a report, if all of them are numbers.
func anyFigures(report map[string]any) bool {
	params, _ := report["params"].(map[string]any)
	for _, group := range []string{"CPU_info", "Memory_info", "Disk_info"} {
		figures, ok := params[group].(map[string]any)
		if !ok {
			return false
		}
		for _, figure := range figures {
			if _, ok := figure.(float64); !ok {
				return false
			}
		}
		params[group] = nil
	}
	return true
}
