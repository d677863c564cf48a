package northapi

import (
	"net/http"

	"github.com/edgetether/tether/schema"
)

// form is how a kind of error is answered: the HTTP status and the envelope's
// type.
type form struct {
	status int
	word   string
}

// The words of the envelope's type (northbound section 1).
const (
	deviceError   = "DEVICEOP_ERROR"
	groupError    = "GROUPOP_ERROR"
	relationError = "RELATIONOP_ERROR"
	orderError    = "ORDER_ERROR"
	authError     = "AUTH_ERROR"
	generalError  = "GENERAL_ERROR"
	databaseError = "DATABASE_ERROR"
	innerError    = "INNER_ERROR"
)

// forms is the one map from kinds of error to what HTTP says. It is total: a
// test walks schema.Kinds. Kinds of the southbound edge have their row too,
// so that one that strays here is answered in order.
var forms = map[schema.Kind]form{
	schema.Internal:         {http.StatusInternalServerError, innerError},
	schema.ParseError:       {http.StatusBadRequest, generalError},
	schema.InvalidRequest:   {http.StatusBadRequest, generalError},
	schema.MethodNotFound:   {http.StatusNotFound, generalError},
	schema.Invalid:          {http.StatusBadRequest, generalError},
	schema.TooLarge:         {http.StatusRequestEntityTooLarge, generalError},
	schema.NotFound:         {http.StatusNotFound, generalError},
	schema.MethodNotAllowed: {http.StatusMethodNotAllowed, generalError},
	schema.Unauthenticated:  {http.StatusUnauthorized, authError},
	schema.Forbidden:        {http.StatusForbidden, authError},
	schema.LoginFailed:      {http.StatusUnauthorized, authError},
	schema.LoginRequired:    {http.StatusUnauthorized, authError},
	schema.AlreadyLoggedIn:  {http.StatusConflict, authError},
	schema.Overloaded:       {http.StatusTooManyRequests, generalError},
	schema.DeviceNotFound:   {http.StatusNotFound, deviceError},
	schema.DeviceConflict:   {http.StatusConflict, deviceError},
	schema.GroupNotFound:    {http.StatusNotFound, groupError},
	schema.GroupConflict:    {http.StatusConflict, groupError},
	schema.RelationNotFound: {http.StatusNotFound, relationError},
	schema.RelationConflict: {http.StatusConflict, relationError},
	schema.KeyNotFound:      {http.StatusNotFound, authError},
	schema.OrderNotFound:    {http.StatusNotFound, orderError},
	schema.OrderRefused:     {http.StatusConflict, orderError},
	schema.OrderConflict:    {http.StatusConflict, orderError},
	schema.OrderFailed:      {http.StatusBadGateway, orderError},
	schema.OrderUnknown:     {http.StatusGatewayTimeout, orderError},
	schema.Draining:         {http.StatusServiceUnavailable, generalError},
	schema.StoreUnavailable: {http.StatusServiceUnavailable, databaseError},
	schema.Fenced:           {http.StatusConflict, deviceError},
}

// Errors that are always the same.
var (
	errInternal        = schema.Errorf(schema.Internal, "internal", "internal error")
	errNoRoute         = schema.Errorf(schema.NotFound, "not_found", "no such service")
	errNoMethod        = schema.Errorf(schema.MethodNotAllowed, "method_not_allowed", "the service is there for another method: see the header Allow")
	errNotHashed       = schema.Errorf(schema.Overloaded, "overloaded", "password: too many wait to be hashed")
	errUnauthenticated = schema.Errorf(schema.Unauthenticated, "unauthenticated", "Authorization: a good key is required")
)
