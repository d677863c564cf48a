package rpc

import (
	"time"

	json "github.com/go-json-experiment/json"
	"github.com/sourcegraph/jsonrpc2"

	"github.com/edgetether/tether/schema"
)

// The codes of southbound section 6.
const (
	codeParse           = jsonrpc2.CodeParseError
	codeRequest         = jsonrpc2.CodeInvalidRequest
	codeMethod          = jsonrpc2.CodeMethodNotFound
	codeParams          = jsonrpc2.CodeInvalidParams
	codeInternal        = jsonrpc2.CodeInternalError
	codeLoginFailed     = -32001
	codeLoginRequired   = -32002
	codeAlreadyLoggedIn = -32003
	codeOverloaded      = -32005
)

// codes maps every kind of error to its code. Those below the line belong to
// the northbound side; they have the code that a device could act on best.
var codes = map[schema.Kind]int{
	schema.Internal:        codeInternal,
	schema.ParseError:      codeParse,
	schema.InvalidRequest:  codeRequest,
	schema.MethodNotFound:  codeMethod,
	schema.Invalid:         codeParams,
	schema.LoginFailed:     codeLoginFailed,
	schema.LoginRequired:   codeLoginRequired,
	schema.AlreadyLoggedIn: codeAlreadyLoggedIn,
	schema.Overloaded:      codeOverloaded,

	schema.TooLarge:         codeParams,
	schema.NotFound:         codeParams,
	schema.MethodNotAllowed: codeMethod,
	schema.Unauthenticated:  codeLoginRequired,
	schema.Forbidden:        codeParams,
	schema.DeviceNotFound:   codeParams,
	schema.DeviceConflict:   codeParams,
	schema.GroupNotFound:    codeParams,
	schema.GroupConflict:    codeParams,
	schema.RelationNotFound: codeParams,
	schema.RelationConflict: codeParams,
	schema.KeyNotFound:      codeParams,
	schema.OrderNotFound:    codeParams,
	schema.OrderRefused:     codeOverloaded,
	schema.OrderConflict:    codeParams,
	schema.OrderFailed:      codeInternal,
	schema.OrderUnknown:     codeInternal,
	schema.Draining:         codeOverloaded,
	schema.StoreUnavailable: codeOverloaded,
	schema.Fenced:           codeInternal,
}

// kinds is the way back.
var kinds = map[int]schema.Kind{
	codeParse:           schema.ParseError,
	codeRequest:         schema.InvalidRequest,
	codeMethod:          schema.MethodNotFound,
	codeParams:          schema.Invalid,
	codeInternal:        schema.Internal,
	codeLoginFailed:     schema.LoginFailed,
	codeLoginRequired:   schema.LoginRequired,
	codeAlreadyLoggedIn: schema.AlreadyLoggedIn,
	codeOverloaded:      schema.Overloaded,
}

// retryable are the codes whose request may be sent again as it is.
var retryable = map[int]bool{codeInternal: true, codeLoginFailed: true, codeOverloaded: true}

// ErrorCode is the JSON-RPC code of a kind of error.
func ErrorCode(k schema.Kind) int {
	if code, ok := codes[k]; ok {
		return code
	}
	return codeInternal
}

// FromCode is the kind of error of a JSON-RPC code; Internal if unknown.
func FromCode(code int) schema.Kind { return kinds[code] }

// wireError is the error object, as it is sent.
type wireError struct {
	Code    int       `json:"code"`
	Message string    `json:"message"`
	Data    errorData `json:"data"`
}

type errorData struct {
	Reason       string `json:"reason"`
	Retryable    bool   `json:"retryable"`
	RetryAfterMS int64  `json:"retry_after_ms,omitzero"`
}

// toWire maps err; of an internal one nothing is told.
func toWire(err error) wireError {
	e := schema.Public(err)
	code := ErrorCode(e.Kind)
	if code == codeInternal {
		e = &schema.Error{Code: "internal", Message: "internal error", RetryAfter: e.RetryAfter}
	}
	return wireError{code, e.Message, errorData{
		Reason:       e.Code,
		Retryable:    retryable[code],
		RetryAfterMS: ceilMS(e.RetryAfter),
	}}
}

// ceilMS rounds up: nobody is asked back too early.
func ceilMS(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

// fromWire maps the other side's error back. Its text is theirs, not ours, and
// may be shown.
func fromWire(f *jsonrpc2.Error) *schema.Error {
	e := &schema.Error{Kind: FromCode(int(f.Code)), Message: f.Message}
	var data errorData
	if f.Data != nil && json.Unmarshal(*f.Data, &data) == nil {
		e.Code = data.Reason
		e.RetryAfter = time.Duration(max(0, min(data.RetryAfterMS, maxRetryMS))) * time.Millisecond
	}
	if e.Code == "" {
		e.Code = "peer_error"
	}
	return e
}

// maxRetryMS keeps what a peer says within a duration.
const maxRetryMS = int64(24 * time.Hour / time.Millisecond)

// answer is the error response to an invalid message.
func (m message) answer() []byte {
	e := schema.Errorf(schema.InvalidRequest, "invalid_request", "invalid request: %s", m.why)
	if m.code == codeParse {
		e = schema.Errorf(schema.ParseError, "parse_error", "parse error")
	}
	return encodeError(m.id, e)
}
