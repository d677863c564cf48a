package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/edgetether/tether/schema"
)

// form is how a kind of error is answered: the HTTP status and the envelope's type.
type form struct {
	status int
	word   string
}

// kinds is the inverse of the one map that package northapi answers errors by
// (northbound section 1). Of kinds that are answered alike it has the one that
// promises least; told has the others. A test walks all kinds both ways.
var kinds = map[form]schema.Kind{
	{http.StatusInternalServerError, "INNER_ERROR"}:     schema.Internal,
	{http.StatusBadRequest, "GENERAL_ERROR"}:            schema.Invalid,
	{http.StatusRequestEntityTooLarge, "GENERAL_ERROR"}: schema.TooLarge,
	{http.StatusNotFound, "GENERAL_ERROR"}:              schema.NotFound,
	{http.StatusMethodNotAllowed, "GENERAL_ERROR"}:      schema.MethodNotAllowed,
	{http.StatusTooManyRequests, "GENERAL_ERROR"}:       schema.Overloaded,
	{http.StatusServiceUnavailable, "GENERAL_ERROR"}:    schema.Draining,
	{http.StatusServiceUnavailable, "DATABASE_ERROR"}:   schema.StoreUnavailable,
	{http.StatusUnauthorized, "AUTH_ERROR"}:             schema.Unauthenticated,
	{http.StatusForbidden, "AUTH_ERROR"}:                schema.Forbidden,
	{http.StatusConflict, "AUTH_ERROR"}:                 schema.AlreadyLoggedIn,
	{http.StatusNotFound, "AUTH_ERROR"}:                 schema.KeyNotFound,
	{http.StatusNotFound, "DEVICEOP_ERROR"}:             schema.DeviceNotFound,
	{http.StatusConflict, "DEVICEOP_ERROR"}:             schema.DeviceConflict,
	{http.StatusNotFound, "GROUPOP_ERROR"}:              schema.GroupNotFound,
	{http.StatusConflict, "GROUPOP_ERROR"}:              schema.GroupConflict,
	{http.StatusNotFound, "RELATIONOP_ERROR"}:           schema.RelationNotFound,
	{http.StatusConflict, "RELATIONOP_ERROR"}:           schema.RelationConflict,
	{http.StatusNotFound, "ORDER_ERROR"}:                schema.OrderNotFound,
	{http.StatusConflict, "ORDER_ERROR"}:                schema.OrderConflict,
	{http.StatusBadGateway, "ORDER_ERROR"}:              schema.OrderFailed,
	{http.StatusGatewayTimeout, "ORDER_ERROR"}:          schema.OrderUnknown,
}

// told are the codes of kinds that have no row in kinds, by the envelope's type.
var told = map[[2]string]schema.Kind{
	{"ORDER_ERROR", "device_busy"}:        schema.OrderRefused,
	{"ORDER_ERROR", "device_offline"}:     schema.OrderRefused,
	{"ORDER_ERROR", "device_unknown"}:     schema.OrderRefused,
	{"ORDER_ERROR", "job_over"}:           schema.OrderRefused,
	{"ORDER_ERROR", "order_cancelled"}:    schema.OrderRefused,
	{"ORDER_ERROR", "order_exists"}:       schema.OrderRefused,
	{"ORDER_ERROR", "order_expired"}:      schema.OrderRefused,
	{"ORDER_ERROR", "queue_full"}:         schema.OrderRefused,
	{"DEVICEOP_ERROR", "fenced"}:          schema.Fenced,
	{"AUTH_ERROR", "login_failed"}:        schema.LoginFailed,
	{"AUTH_ERROR", "login_required"}:      schema.LoginRequired,
	{"GENERAL_ERROR", "parse_error"}:      schema.ParseError,
	{"GENERAL_ERROR", "invalid_request"}:  schema.InvalidRequest,
	{"GENERAL_ERROR", "method_not_found"}: schema.MethodNotFound,
}

// kindOf is the kind of an error as it was answered. A newer service may have
// answers that are not in the tables: their status says the most of it.
func kindOf(status int, word, code string) schema.Kind {
	if kind, ok := told[[2]string{word, code}]; ok {
		return kind
	}
	if kind, ok := kinds[form{status, word}]; ok {
		return kind
	}
	if status/100 == 4 {
		return schema.Invalid
	}
	return schema.Internal
}

func errorOf(resp *http.Response, e envelope) *schema.Error {
	err := &schema.Error{
		Kind: kindOf(resp.StatusCode, e.Type, e.Code), Code: e.Code, Message: e.Message, RetryAfter: retryAfter(resp.Header),
	}
	if len(e.Data) > 0 && string(e.Data) != "null" {
		err.Data = e.Data
	}
	return err
}

// Data reads what an error carries beside its message, such as the order that
// keeps a device busy, a schema.Holder. It is false if there is nothing of that form.
func Data[T any](err error) (data T, ok bool) {
	var e *schema.Error
	if !errors.As(err, &e) {
		return data, false
	}
	raw, ok := e.Data.(json.RawMessage)
	return data, ok && json.Unmarshal(raw, &data) == nil
}

// Record is the record of the order that an error is about, if it carries one.
func Record(err error) (schema.Order, bool) {
	o, ok := Data[schema.Order](err)
	return o, ok && o.OrderID != "" && o.State != ""
}

// foreign is an answer that no tether service gives.
type foreign struct {
	host, status, to string
	code             int
	retryAfter       time.Duration
}

func newForeign(resp *http.Response) *foreign {
	f := &foreign{host: resp.Request.URL.Host, status: resp.Status, code: resp.StatusCode, retryAfter: retryAfter(resp.Header)}
	if to, err := resp.Location(); err == nil && resp.StatusCode/100 == 3 {
		f.to = to.Scheme + "://" + to.Host
	}
	return f
}

// Error asks what it was that answered.
func (f *foreign) Error() string {
	if f.to != "" {
		return fmt.Sprintf("%s points to %q: redirects are not followed, since the key would go along; if that is the service, give its address", f.host, f.to)
	}
	return fmt.Sprintf("%s answers %q: is it a tether service?", f.host, f.status)
}

// comeBack says whether err means to come back later, and after what time; 0:
// that was not said.
func comeBack(err error) (after time.Duration, later bool) {
	var e *schema.Error
	if errors.As(err, &e) {
		return e.RetryAfter, e.Kind == schema.Overloaded || e.Kind == schema.Draining || e.Kind == schema.StoreUnavailable
	}
	var f *foreign
	if errors.As(err, &f) {
		return f.retryAfter, f.code == http.StatusTooManyRequests || f.code == http.StatusServiceUnavailable
	}
	return 0, false
}

// retryAfter reads the header of that name, in seconds or as a date.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if s, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
