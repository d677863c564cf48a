package conform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgetether/tether/schema"
)

// What a hostile client can cost.
const (
	readLimit  = 1 << 20 // bytes of a message: more than is allowed, so that it can be told
	maxEvents  = 4096    // frames that nobody has looked at yet
	maxHistory = 20000   // messages of one connection that are remembered
	writeLimit = 10 * time.Second
	closeLimit = time.Second // for the other side's close frame
)

var (
	errTimeUp  = errors.New("the time was up")
	errTooMuch = errors.New("the client sent more than could be read")
)

// session is one connection of the client under test. A reader takes the
// frames, with their time; the scenario pumps them and answers. What has no
// comment on it belongs to the scenario's goroutine.
type session struct {
	ctx    context.Context
	ws     *websocket.Conn
	opened time.Time   // the handshake's arrival
	events chan event  // closed by the reader, which has set ending before
	ending *ending     // how it ended
	muted  atomic.Bool // as if the host had vanished
	buried chan struct{}
	pongs  chan string  // payloads of transport pongs
	judge  *judge       // is shown every message
	traits handshake    // what the upgrade request had
	log    func(string) // the conversation, for those who want to see it

	withhold func(message) bool // true: this request gets no answer
	refuse   func(message) any  // an error in place of the answer; nil: none
	seen     []message
	results  []schema.UploadResult
	answers  map[string]message // to our calls
	asked    map[string]bool    // ids of our calls
	ids      map[string]bool    // of its requests
	spoiled  bool               // it was sent what is no request: it may answer with id null
	loggedIn bool
	loginAt  time.Time // when its login was answered
	lastID   int64
	bucket   float64 // messages that it may send at once
	filled   time.Time
	batch    *[]json.RawMessage // answers being collected
}

// event is one frame.
type event struct {
	at   time.Time
	kind int
	raw  []byte
}

// ending is how a connection ended; it is the error of whoever waited on it.
type ending struct {
	at   time.Time
	code schema.CloseCode // 0: without a close frame
	text string
}

// Error says it in a report's words.
func (e *ending) Error() string {
	if e.code == 0 {
		return "the client cut the connection: " + e.text
	}
	return fmt.Sprintf("the client closed with %d %s", e.code, excerpt([]byte(e.text)))
}

func newSession(ctx context.Context, ws *websocket.Conn, traits handshake) *session {
	s := &session{
		ctx: ctx, ws: ws, traits: traits, opened: time.Now(), events: make(chan event, maxEvents), pongs: make(chan string, 16), buried: make(chan struct{}),
		answers: map[string]message{}, asked: map[string]bool{}, ids: map[string]bool{}, bucket: schema.MessageBurst,
	}
	ws.SetReadLimit(readLimit)
	answerClose, answerPing := ws.CloseHandler(), ws.PingHandler()
	ws.SetCloseHandler(func(code int, text string) error {
		if s.muted.Load() {
			return nil
		}
		return answerClose(code, text)
	})
	ws.SetPingHandler(func(text string) error {
		if s.muted.Load() {
			return nil
		}
		return answerPing(text)
	})
	ws.SetPongHandler(func(text string) error {
		select {
		case s.pongs <- text:
		default:
		}
		return nil
	})
	return s
}

// read is the reader's goroutine. It ends with the connection.
func (s *session) read() {
	defer close(s.events)
	for {
		kind, raw, err := s.ws.ReadMessage()
		if s.muted.Load() && err == nil {
			continue
		}
		if err != nil {
			s.ending = newEnding(err)
			s.linger()
			return
		}
		select {
		case s.events <- event{time.Now(), kind, raw}:
		default:
			s.ending = newEnding(errTooMuch)
			s.ws.Close() //nolint:errcheck // the reader's error counts
			return
		}
	}
}

// linger keeps the socket of a host that has vanished until nobody needs it.
func (s *session) linger() {
	if !s.muted.Load() {
		return
	}
	select {
	case <-s.buried:
	case <-s.ctx.Done():
	}
}

func newEnding(err error) *ending {
	e := &ending{at: time.Now(), text: err.Error()}
	var closed *websocket.CloseError
	if errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure {
		e.code, e.text = schema.CloseCode(closed.Code), closed.Text
	}
	return e
}

// pump takes what arrives and answers it until done says that it was what was
// waited for. An error is errTimeUp, the ending, or the context's.
func (s *session) pump(limit time.Duration, done func(message) bool) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case e, open := <-s.events:
			if !open {
				return s.ending
			}
			if s.take(e, done) {
				return nil
			}
		case <-timer.C:
			return errTimeUp
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
	}
}

// stay pumps for a while; nil says that the connection is still there.
func (s *session) stay(d time.Duration) error {
	if err := s.pump(d, func(message) bool { return false }); !errors.Is(err, errTimeUp) {
		return err
	}
	return nil
}

// take judges and answers the messages of a frame.
func (s *session) take(e event, done func(message) bool) (found bool) {
	messages, batch := parse(e.raw, e.at)
	s.note("<", e.raw)
	s.judge.frame(s, e, batch)
	if batch {
		s.batch = &[]json.RawMessage{}
	}
	for _, m := range messages {
		s.judge.message(s, m, batch)
		s.remember(m)
		s.answer(m)
		found = done(m) || found
	}
	s.flush()
	return found
}

func (s *session) remember(m message) {
	if len(s.seen) < maxHistory {
		s.seen = append(s.seen, m)
	}
	if m.kind == response && s.asked[m.id] {
		if _, twice := s.answers[m.id]; !twice {
			s.answers[m.id] = m
		}
	}
}

// call asks the client for something; the id is what its answer will have.
func (s *session) call(method string, params any) (id string, err error) {
	s.lastID++
	id = fmt.Sprint(s.lastID)
	return id, s.callAs(id, method, params)
}

// callAs is call with an id of the caller's, as JSON.
func (s *session) callAs(id, method string, params any) error {
	s.asked[id] = true
	return s.sendJSON(map[string]any{"jsonrpc": "2.0", "id": json.RawMessage(id), "method": method, "params": params})
}

func (s *session) notify(method string, params any) error {
	return s.sendJSON(map[string]any{"jsonrpc": "2.0", "method": method, "params": params})
}

// await pumps until the answer to a call is there.
func (s *session) await(id string, limit time.Duration) (message, error) {
	if m, here := s.answers[id]; here {
		return m, nil
	}
	err := s.pump(limit, func(m message) bool { return m.kind == response && m.id == id })
	return s.answers[id], err
}

func (s *session) sendJSON(v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.send(string(raw))
}

// send writes a text frame, whatever it holds.
func (s *session) send(text string) error {
	s.note(">", []byte(text))
	if err := s.ws.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	return s.orEnding(s.ws.WriteMessage(websocket.TextMessage, []byte(text)))
}

// orEnding prefers how the connection ended to the error of a write that found
// it so.
func (s *session) orEnding(err error) error {
	if err != nil && s.drain() {
		return s.ending
	}
	return err
}

// sendRaw writes bytes below the WebSocket library: frames that it would not make.
func (s *session) sendRaw(b []byte) error {
	conn := s.ws.NetConn()
	if err := conn.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	_, err := conn.Write(b)
	return s.orEnding(err)
}

// close sends a close frame, waits for the client's, and ends the connection.
// It returns when the frame went out.
func (s *session) close(code schema.CloseCode, reason string) (at time.Time) {
	at = time.Now()
	s.note(">", fmt.Appendf(nil, "close %d %s", code, reason))
	_ = s.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(int(code), reason), at.Add(closeLimit))
	s.drain()
	s.ws.Close() //nolint:errcheck // the other side may have been first
	return at
}

// drain waits until the client has closed too, or has had its time for it.
func (s *session) drain() (ended bool) {
	timer := time.NewTimer(closeLimit)
	defer timer.Stop()
	for {
		select {
		case _, open := <-s.events:
			if !open {
				return true
			}
		case <-timer.C:
			return false
		case <-s.ctx.Done():
			return false
		}
	}
}

// reset cuts the connection without a close frame, by RST where there is TCP.
func (s *session) reset() (at time.Time) {
	s.note(">", []byte("reset"))
	if tcp, ok := s.ws.NetConn().(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	s.ws.Close() //nolint:errcheck // it is meant to be abrupt
	return time.Now()
}

// vanish leaves the connection open and answers nothing any more, neither
// frames of control nor the client's end of the connection, until bury.
func (s *session) vanish() { s.muted.Store(true) }

func (s *session) bury() { close(s.buried) }

// alive says whether the connection has not ended, as far as it was pumped.
func (s *session) alive() bool {
	select {
	case e, open := <-s.events:
		if open {
			s.take(e, func(message) bool { return false })
		}
		return open
	default:
		return true
	}
}

func (s *session) note(direction string, raw []byte) {
	if s.log != nil {
		s.log(direction + " " + string(raw))
	}
}
