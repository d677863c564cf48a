package conform

import (
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/edgetether/tether/schema"
)

// everyMessage are the rules that each frame of each connection is held
// against, in whatever scenario it comes.
var everyMessage = []rule{
	{"handshake", "southbound 1", "The endpoint is GET /ws; devices send no Origin"},
	{"one-connection", "southbound 1", "One long-lived connection per device"},
	{"text", "southbound 1", "Frames are text, UTF-8"},
	{"json-rpc", "southbound 1", "One JSON-RPC 2.0 object or batch array in each frame; JSON as the contract limits it"},
	{"size", "southbound 1", "A message has at most 64 KiB, a login 4 KiB"},
	{"ids", "southbound 1", "An id is a string or an integer, and tells a request from all others of its connection"},
	{"first-request", "southbound 2", "login is the first request on a connection, never in a batch, and not repeated"},
	{"login-params", "southbound 2", "login has one of its three forms, and says who the device is"},
	{"methods", "southbound 2", "A device calls login, ping, upload_status_info, upload_instruction_result and rpc.discover, params by name"},
	{"reports", "southbound 2", "A report has CPU_info, Memory_info and Disk_info, their members numbers; device_id is the session's own"},
	{"answers", "southbound 1", "A request is answered once, with the same id of the same type; a notification never"},
	{"rate", "southbound 1", "A device may send 20 messages a second, 100 at once"},
}

// handshake is what the upgrade request had.
type handshake struct {
	path   string
	origin bool
}

func traitsOf(r *http.Request) handshake {
	return handshake{path: r.URL.Path, origin: r.Header.Get("Origin") != ""}
}

// judge holds all connections against everyMessage. It belongs to the
// scenarios' goroutine.
type judge struct {
	device   Identity
	scenario string
	frames   int
	faults   map[string][]string
}

func newJudge(d Identity) *judge { return &judge{device: d, faults: map[string][]string{}} }

// maxFaults of one rule are shown.
const maxFaults = 3

func (j *judge) blame(key, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if n := len(j.faults[key]); n < maxFaults {
		j.faults[key] = append(j.faults[key], fmt.Sprintf("in %s: %s", j.scenario, text))
	} else if n == maxFaults {
		j.faults[key] = append(j.faults[key], "and so on")
	}
}

// opened judges a handshake.
func (j *judge) opened(h handshake) {
	if h.path != "/ws" {
		j.blame("handshake", "GET %s", excerpt([]byte(h.path)))
	}
	if h.origin {
		j.blame("handshake", "an Origin header")
	}
}

// frame judges what can be seen before a message is understood.
func (j *judge) frame(s *session, e event, batch bool) {
	j.frames++
	limit := schema.MaxMessage
	if !s.loggedIn {
		limit = schema.MaxLoginMessage
	}
	if len(e.raw) > limit {
		j.blame("size", "%d bytes, %d are the limit: %s", len(e.raw), limit, excerpt(e.raw))
	}
	if e.kind != websocket.TextMessage {
		j.blame("text", "a binary frame")
	}
	if !utf8.Valid(e.raw) {
		j.blame("text", "no UTF-8: %s", excerpt(e.raw))
	}
	if batch && !s.loggedIn {
		j.blame("first-request", "a batch before the login")
	}
	j.rate(s, e.at)
}

// rate is a bucket of messages, filled by time.
func (j *judge) rate(s *session, at time.Time) {
	if !s.filled.IsZero() {
		s.bucket = min(schema.MessageBurst, s.bucket+at.Sub(s.filled).Seconds()*schema.MessageRate)
	}
	s.filled = at
	if s.bucket--; s.bucket < 0 {
		j.blame("rate", "more than %d messages at once", schema.MessageBurst)
		s.bucket = schema.MessageBurst
	}
}

func (j *judge) message(s *session, m message, batch bool) {
	switch m.kind {
	case invalid:
		j.blame("json-rpc", "%s", m.fault)
	case response:
		j.response(s, m)
	case request:
		if s.ids[m.id] {
			j.blame("ids", "the id %s was used before on this connection: %s", excerpt([]byte(m.id)), m)
		}
		if m.id == "null" {
			j.blame("ids", "a request with the id null: %s", m)
		}
		s.ids[m.id] = true
		j.request(s, m, batch)
	case notification:
		j.blame("methods", "a notification, whose answer nobody would see: %s", m)
	}
}

func (j *judge) request(s *session, m message, batch bool) {
	if m.params != nil && m.params.Kind() != '{' {
		j.blame("methods", "params by position: %s", m)
	}
	first := m.method == schema.MethodLogin
	if !first && !s.loggedIn && m.method != schema.MethodDiscover || first && (s.loggedIn || batch) {
		j.blame("first-request", "%s", m)
	}
	switch m.method {
	case schema.MethodLogin:
		j.login(m)
	case schema.MethodUploadStatus:
		j.report(m)
	case schema.MethodPing, schema.MethodUploadResult, schema.MethodDiscover:
	default:
		j.blame("methods", "%s", m)
	}
}

// login judges the form of the params; whether they are right is the scenario's.
func (j *judge) login(m message) {
	var p schema.LoginParams
	if err := decode(m.params, &p); err != nil {
		j.blame("login-params", "%v", err)
		return
	}
	if err := p.Validate(); err != nil {
		j.blame("login-params", "%v", err)
	}
	bySN := p.SN != "" && p.Model != "" && p.DeviceID == ""
	byID := p.DeviceID != "" && p.SN == "" && p.Model == ""
	switch {
	case !bySN && !byID:
		j.blame("login-params", "neither device_id nor device_sn with device_model, or both")
	case (p.Password == "") == (p.Token == ""):
		j.blame("login-params", "exactly one of password and token is wanted")
	case bySN && p.Token != "":
		j.blame("login-params", "a token goes with the device_id")
	case byID && p.DeviceID != j.device.ID, bySN && (p.SN != j.device.SN || p.Model != j.device.Model):
		j.blame("login-params", "another device: %s %s %s", excerpt([]byte(p.DeviceID)), excerpt([]byte(p.SN)), excerpt([]byte(p.Model)))
	}
}

func (j *judge) report(m message) {
	var s schema.StatusInfo
	err := decode(m.params, &s)
	if err == nil {
		err = s.Validate()
	}
	if err != nil {
		j.blame("reports", "%v: %s", err, excerpt(m.params))
		return
	}
	if s.DeviceID != "" && s.DeviceID != j.device.ID {
		j.blame("reports", "device_id %s", excerpt([]byte(s.DeviceID)))
	}
}

func (j *judge) response(s *session, m message) {
	_, answered := s.answers[m.id]
	switch {
	case (m.id == "null" || m.id == "") && m.err != nil:
		if !s.spoiled {
			j.blame("answers", "an error for no request: %s", m)
		}
	case !s.asked[m.id]:
		j.blame("answers", "id %s, which was not asked: %s", excerpt([]byte(m.id)), m)
	case answered:
		j.blame("answers", "id %s answered again: %s", m.id, m)
	}
}
