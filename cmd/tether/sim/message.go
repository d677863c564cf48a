package sim

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// Messages that a whole fleet sends differ in their id alone.
const (
	head      = `{"jsonrpc":"2.0","id":`
	pingTail  = `,"method":"` + schema.MethodPing + `"}`
	aboutTail = `,"method":"` + schema.MethodDiscover + `"}`
)

// reportTail is the report of every simulated device.
var reportTail = `,"method":"` + schema.MethodUploadStatus + `","params":{` +
	`"CPU_info":{"user_cpu_time":4112.78,"system_cpu_time":923.85,"idle_cpu_time":179258.0,"io_wait_cpu_time":120.6},` +
	`"Memory_info":{"total_memory_mb":1673,"free_memory_mb":91,"buff_cache_mb":258},` +
	`"Disk_info":{"root_total_size_mb":39942,"root_used_size_mb":10509,"root_used_percent":27.6},` +
	`"dev_state":"online","custom":{"simulated":true}}}`

func request(id uint64, tail string) []byte {
	b := make([]byte, 0, len(head)+10+len(tail))
	b = append(b, head...)
	b = strconv.AppendUint(b, id, 10)
	return append(b, tail...)
}

// requestOf is a request whose params are its own.
func requestOf(id uint64, method string, params any) []byte {
	raw, err := json.Marshal(params)
	if err != nil { // of our own types, it cannot
		raw = []byte("{}")
	}
	return request(id, `,"method":"`+method+`","params":`+string(raw)+"}")
}

func reply(id jsontext.Value, result any) []byte {
	raw, err := json.Marshal(result)
	if err != nil { // the data of a handler that is no JSON
		return replyError(id, schema.Errorf(schema.Internal, "internal", "internal error"))
	}
	return bytes.Join([][]byte{[]byte(head), id, []byte(`,"result":`), raw, []byte("}")}, nil)
}

func replyError(id jsontext.Value, e *schema.Error) []byte {
	var object struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Data    struct {
			Reason    string `json:"reason"`
			Retryable bool   `json:"retryable"`
		} `json:"data"`
	}
	object.Code, object.Message, object.Data.Reason = rpc.ErrorCode(e.Kind), e.Message, e.Code
	raw, err := json.Marshal(object)
	if err != nil { // it is made of words
		raw = []byte("{}")
	}
	return bytes.Join([][]byte{[]byte(head), id, []byte(`,"error":`), raw, []byte("}")}, nil)
}

// message is what the server sent.
type message struct {
	Version string         `json:"jsonrpc"`
	ID      jsontext.Value `json:"id"`
	Method  *string        `json:"method"`
	Params  jsontext.Value `json:"params"`
	Result  jsontext.Value `json:"result"`
	Error   *wireError     `json:"error"`

	number uint64 // the id of a reply, if it is one of ours; 0: it is none
}

type wireError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    struct {
		RetryAfter int64 `json:"retry_after_ms"`
	} `json:"data"`
}

func (e *wireError) kind() schema.Kind { return rpc.FromCode(e.Code) }

func (e *wireError) retryAfter() time.Duration {
	return time.Duration(min(e.Data.RetryAfter, time.Hour.Milliseconds())) * time.Millisecond
}

// parse takes a message apart; false: it is none. Nothing of
// raw is kept.
func parse(raw []byte) (m message, ok bool) {
	if json.Unmarshal(raw, &m) != nil || m.Version != "2.0" {
		return m, false
	}
	if m.Method != nil {
		return m, len(m.ID) == 0 || isID(m.ID)
	}
	if n, err := strconv.ParseUint(string(m.ID), 10, 64); err == nil {
		m.number = n
	}
	return m, len(m.ID) > 0 && (m.Error != nil) != (len(m.Result) > 0)
}

// shortTails are all that follows the id in the replies to a ping and a report,
// as most servers write them.
var shortTails = []string{`,"result":"pong"}`, `,"result":{}}`}

// parseShort takes the two replies apart that a fleet gets without end. It is not
// only faster: parse needs a stack of 8 KiB, which its goroutine would keep.
func parseShort(raw []byte) (m message, ok bool) {
	rest, found := bytes.CutPrefix(raw, []byte(head))
	if !found {
		return m, false
	}
	digits := 0
	for digits < len(rest) && digits < 19 && '0' <= rest[digits] && rest[digits] <= '9' {
		m.number = m.number*10 + uint64(rest[digits]-'0')
		digits++
	}
	return m, digits > 0 && rest[0] != '0' && slices.Contains(shortTails, string(rest[digits:]))
}

// isID says whether a request may have this id: a string or an integer.
func isID(id jsontext.Value) bool {
	return id.Kind() == '"' || id.Kind() == '0' && !bytes.ContainsAny(id, ".eE")
}

// isBatch says whether a message is an array.
func isBatch(raw []byte) bool {
	text := bytes.TrimLeft(raw, " \t\r\n")
	return len(text) > 0 && text[0] == '['
}
