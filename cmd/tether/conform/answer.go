package conform

import (
	"encoding/json"

	"github.com/edgetether/tether/schema"
)

// answer gives a request of the client what a server would: a scenario that
// wants something else says so in withhold or refuse. login is the scenario's.
func (s *session) answer(m message) {
	switch {
	case m.kind == invalid:
		s.fail("null", -32600, "invalid request: "+m.fault)
		return
	case m.kind != request || m.method == schema.MethodLogin && !s.loggedIn:
		return
	case s.withhold != nil && s.withhold(m):
		return
	}
	if s.refuse != nil {
		if e := s.refuse(m); e != nil {
			s.reply(m.id, "error", e)
			return
		}
	}
	switch m.method {
	case schema.MethodPing:
		s.succeed(m.id, "pong")
	case schema.MethodUploadStatus:
		s.succeed(m.id, struct{}{})
	case schema.MethodUploadResult:
		s.takeResult(m)
	case schema.MethodDiscover:
		s.succeed(m.id, schema.OpenRPCDevice)
	case schema.MethodLogin:
		s.fail(m.id, -32003, "already logged in on this connection")
	default:
		s.fail(m.id, -32601, "method not found")
	}
}

func (s *session) takeResult(m message) {
	var r schema.UploadResult
	err := decode(m.params, &r)
	if err == nil {
		err = r.Validate()
	}
	if err != nil {
		s.fail(m.id, -32602, err.Error())
		return
	}
	s.results = append(s.results, r)
	s.succeed(m.id, struct{}{})
}

func (s *session) succeed(id string, result any) { s.reply(id, "result", result) }

func (s *session) fail(id string, code int, text string) {
	s.reply(id, "error", errorObject(code, text))
}

// errorObject is one of the contract's, without the data where it has no use.
func errorObject(code int, text string) map[string]any {
	return map[string]any{"code": code, "message": text}
}

// reply answers now, or with the rest of the batch. An error of the write shows
// as the connection's end.
func (s *session) reply(id, member string, value any) {
	one := map[string]any{"jsonrpc": "2.0", "id": json.RawMessage(id), member: value}
	raw, err := json.Marshal(one)
	if err != nil {
		return
	}
	if s.batch != nil {
		*s.batch = append(*s.batch, raw)
		return
	}
	_ = s.send(string(raw))
}

// flush sends the answers to a batch.
func (s *session) flush() {
	if s.batch == nil {
		return
	}
	answers := *s.batch
	s.batch = nil
	if len(answers) > 0 {
		_ = s.sendJSON(answers)
	}
}
