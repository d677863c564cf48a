package northapi

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/edgetether/tether/schema"
	"github.com/go-chi/chi/v5"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// An endpoint reads one request, has it carried out for who asked, and
// returns what to answer. It never writes: the frame alone does.
type endpoint struct {
	handle func(who caller, r *http.Request) (reply, error)
	// stream is for a body of any length, which is still read while the answer
	// is written.
	stream bool
	// apart is that its answer has a limit of its own, and takes no place among the
	// requests of its key.
	apart bool
}

// reply is what an endpoint answers, if it is no error.
type reply struct {
	status int
	data   any // encoded in the envelope, unless it is served
	cookie *http.Cookie
	asked  any     // what a command was given
	who    *caller // who has logged in by it; nil: it is who was let in
}

// served is data that is not put into the envelope: it writes itself.
type served interface {
	serve(http.ResponseWriter, *http.Request)
}

// query makes the endpoint of a GET from its handler. The request type takes
// its members from the path and the query string by bind.
func query[Q any, P interface {
	*Q
	bind(*params)
}, A any](handle func(context.Context, caller, Q) (A, error)) endpoint {
	return endpoint{handle: func(who caller, r *http.Request) (reply, error) {
		var q Q
		if err := decodeParams(r, P(&q).bind); err != nil {
			return reply{}, err
		}
		data, err := handle(r.Context(), who, q)
		return reply{status: http.StatusOK, data: data}, err
	}}
}

// stream makes an endpoint that reads its body by itself.
func stream(handle func(caller, *http.Request) (reply, error)) endpoint {
	return endpoint{handle: handle, stream: true}
}

// apart makes an endpoint whose answer has a limit of its own.
func apart(e endpoint) endpoint {
	e.apart = true
	return e
}

// command makes the endpoint of a POST, PUT or DELETE from its handler. The
// request type is the JSON body; check names the member that is wrong.
func command[Q interface{ check() error }, A any](status int, handle func(context.Context, caller, Q) (A, error)) endpoint {
	return endpoint{handle: func(who caller, r *http.Request) (reply, error) {
		var q Q
		if err := decode(r, &q); err != nil {
			return reply{asked: q}, err
		}
		data, err := handle(r.Context(), who, q)
		return reply{status: status, data: data, asked: q}, err
	}}
}

// decode reads a command's body and its Idempotency-Key, and has the body check itself.
func decode[Q interface{ check() error }](r *http.Request, q *Q) error {
	if err := decodeBody(r, q); err != nil {
		return err
	}
	if err := decodeOnce(r.Header, q); err != nil {
		return err
	}
	return (*q).check()
}

// direct makes an endpoint that takes its request as it is.
func direct(handle func(caller, *http.Request) (reply, error)) endpoint {
	return endpoint{handle: handle}
}

// limitBody bounds a body's size, and the time until it is whole (T16). The
// time is over with the body: an order's outcome is waited for without it.
func limitBody(w http.ResponseWriter, r *http.Request) io.ReadCloser {
	if r.Body == http.NoBody {
		return r.Body
	}
	rc := http.NewResponseController(w)
	if rc.SetReadDeadline(time.Now().Add(bodyTimeout)) != nil {
		return http.MaxBytesReader(w, r.Body, schema.MaxBody) // no connection below, as in a test
	}
	return &timedBody{http.MaxBytesReader(w, r.Body, schema.MaxBody), rc}
}

type timedBody struct {
	io.ReadCloser
	rc *http.ResponseController
}

// Read lifts the limit once the body is whole.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.rc.SetReadDeadline(time.Time{}) // an error means that the caller is gone
	}
	return n, err
}

// used notes now and then that a key, and the log-in in its place, was used.
func (a *api) used(who caller) {
	if a.AuthOff || !a.limits.due(who.key+who.session, a.Now()) {
		return
	}
	a.Keys.UsedKey(who.key, a.millis())
	if who.session != "" {
		a.KeySessions.UsedKeySession(who.session, a.millis())
	}
}

// caught is deferred: it makes an error of a panic.
func caught(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
	}
}

// The envelopes of northbound section 1.
type (
	success struct {
		Status string `json:"status"`
		Data   any    `json:"data"`
	}
	failure struct {
		Status  string `json:"status"`
		Type    string `json:"type"`
		Code    string `json:"code"`
		Message string `json:"message"`
		Data    any    `json:"data,omitzero"`
	}
)

// succeed answers what was done.
func (c *call) succeed(rep reply) {
	body, err := encode(success{"success", rep.data})
	if err != nil {
		c.fail(c, c.at.name, err)
		return
	}
	if rep.cookie != nil {
		http.SetCookie(c, rep.cookie)
	}
	write(c, rep.status, body)
}

// fail answers err.
func (a *api) fail(w http.ResponseWriter, name string, err error) {
	a.refuse(w, name, a.shown(name, err))
}

// refuse answers what may be shown of an error.
func (a *api) refuse(w http.ResponseWriter, name string, e *schema.Error) {
	form := forms[e.Kind]
	body, err := encode(failure{"fail", form.word, e.Code, e.Message, e.Data})
	if err != nil {
		a.Log(name, err)
		body, _ = encode(failure{"fail", form.word, e.Code, e.Message, nil})
	}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(seconds(e.RetryAfter), 10))
	}
	if e.Kind == schema.Unauthenticated {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	write(w, form.status, body)
}

// shown is what may be shown of err. What is of the inside is logged instead.
func (a *api) shown(name string, err error) *schema.Error {
	e := schema.Public(err)
	if e.Kind == schema.Internal {
		a.Log(name, err)
		e = errInternal
	}
	return e
}

// seconds rounds up: who comes back too early is refused again.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// encode is lenient with what a device once said in an order's data: what was
// stored must remain readable. It leaves nothing that a terminal would obey.
func encode(v any) ([]byte, error) {
	body, err := json.Marshal(v, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return schema.EscapeControls(body), err
}

func write(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	guard(h)
	w.WriteHeader(status)
	w.Write(body) // an error means that the caller is gone
}

// guard sets what every answer has: it is nobody's to keep, nor to guess the
// type of.
func guard(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
}

func (a *api) notFound(w http.ResponseWriter, r *http.Request) {
	w.(*call).observed = NoRoute
	a.fail(w, r.Method, errNoRoute)
}

func (a *api) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	w.(*call).observed = NoRoute
	var allowed []string
	for _, method := range []string{get, head, post, put, del} {
		if a.router.Match(chi.NewRouteContext(), method, r.URL.Path) {
			allowed = append(allowed, method)
		}
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	a.fail(w, r.Method, errNoMethod)
}
