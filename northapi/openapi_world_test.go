package northapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/edgetether/tether/schema"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/go-chi/chi/v5"
)

// contract is the OpenAPI document as answers are held to it: it is told that
// objects have no members but those that it names, so that none is forgotten.
var contract = sync.OnceValues(func() (*openapi3.T, error) {
	var v any
	if err := json.Unmarshal(schema.OpenAPI, &v); err != nil {
		return nil, err
	}
	closeObjects(v)
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	for _, media := range []string{"application/x-ndjson", "text/csv", "text/html", "text/event-stream"} {
		openapi3filter.RegisterBodyDecoder(media, openapi3filter.PlainBodyDecoder)
	}
	return openapi3.NewLoader().LoadFromData(text)
})

func closeObjects(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, said := v["additionalProperties"]; !said && v["type"] == "object" && v["properties"] != nil {
			v["additionalProperties"] = false
		}
		for name, member := range v {
			if name != "example" && name != "examples" {
				closeObjects(member)
			}
		}
	case []any:
		for _, member := range v {
			closeObjects(member)
		}
	}
}

func document(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// held is a server whose every answer is held to the contract, and with it
// every request that it did not refuse.
type held struct {
	t      testing.TB
	doc    *openapi3.T
	next   http.Handler
	routes chi.Routes
}

func (h held) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var sent bytes.Buffer
	if r.Body != http.NoBody {
		r.Body = teeBody{io.TeeReader(r.Body, &sent), r.Body}
	}
	a := &teeAnswer{ResponseWriter: w, status: http.StatusOK}
	h.next.ServeHTTP(a, r)
	h.holds(r, sent.Bytes(), a)
}

type teeBody struct {
	io.Reader
	io.Closer
}

// maxKept is how much is kept of a stream of events.
const maxKept = 256 << 10

// teeAnswer keeps what is written, and of a stream of events the beginning.
type teeAnswer struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (a *teeAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *teeAnswer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

func (a *teeAnswer) Write(p []byte) (int, error) {
	if a.body.Len() < maxKept || !a.streams() {
		a.body.Write(p)
	}
	return a.ResponseWriter.Write(p)
}

func (a *teeAnswer) streams() bool { return a.Header().Get("Content-Type") == "text/event-stream" }

func (h held) holds(r *http.Request, sent []byte, a *teeAnswer) {
	if r.Context().Err() != nil { // the caller has left
		return
	}
	asked, ok := h.asked(r, sent)
	if !ok {
		return
	}
	answered := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: asked, Status: a.status, Header: a.Header(), Options: asked.Options,
	}
	answered.SetBodyBytes(a.body.Bytes())
	if err := openapi3filter.ValidateResponse(context.Background(), answered); err != nil {
		h.t.Errorf("%s %s: the document does not know the answer %d %.300s: %v", r.Method, r.URL, a.status, a.body.Bytes(), err)
	}
	h.lines(asked.Route.Operation.Responses.Status(a.status), a)
	if a.status/100 == 2 {
		h.takes(r, sent)
	}
}

// takes holds a request that was not refused. A member that is null is as good
// as left out.
func (h held) takes(r *http.Request, sent []byte) {
	var err error
	for _, body := range [][]byte{sent, withoutNull(sent)} {
		asked, _ := h.asked(r, body)
		if err = openapi3filter.ValidateRequest(context.Background(), asked); err == nil {
			return
		}
	}
	h.t.Errorf("%s %s %.300s was taken, and the document would not: %v", r.Method, r.URL, sent, err)
}

// asked finds what is asked for. What no route is for has the answers that are
// given elsewhere.
func (h held) asked(r *http.Request, sent []byte) (*openapi3filter.RequestValidationInput, bool) {
	found := chi.NewRouteContext()
	path := r.URL.Path
	if r.URL.RawPath != "" {
		path = r.URL.RawPath
	}
	pattern := h.routes.Find(found, r.Method, path)
	operation := &openapi3.Operation{Responses: elsewhere(h.t, h.doc)}
	if pattern != "" {
		operation = h.operation(r.Method, pattern)
	}
	if operation == nil {
		return nil, false
	}
	params := map[string]string{}
	for i, name := range found.URLParams.Keys {
		params[name] = found.URLParams.Values[i]
	}
	copied := r.Clone(context.Background())
	copied.Body = io.NopCloser(bytes.NewReader(sent))
	if r.Header.Get("Last-Event-ID") == "" { // none, then
		copied.Header.Del("Last-Event-ID")
	}
	copied.URL.RawQuery = withoutEmpty(r.URL.Query()).Encode()
	return &openapi3filter.RequestValidationInput{
		Request: copied, PathParams: params,
		Route:   &routers.Route{Spec: h.doc, Path: pattern, PathItem: &openapi3.PathItem{}, Method: r.Method, Operation: operation},
		Options: &openapi3filter.Options{IncludeResponseStatus: true, SkipSettingDefaults: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	}, true
}

// operation is the one of a route. Devices speak another contract.
func (h held) operation(method, pattern string) *openapi3.Operation {
	if pattern == "/ws" {
		return nil
	}
	if item := h.doc.Paths.Value(pattern); item != nil {
		if method == http.MethodHead {
			method = get
		}
		if o := item.GetOperation(method); o != nil {
			return o
		}
	}
	h.t.Errorf("%s %s is not in schema/openapi.json", method, pattern)
	return nil
}

// elsewhere are the answers to what no operation is for.
func elsewhere(t testing.TB, doc *openapi3.T) *openapi3.Responses {
	t.Helper()
	text, err := json.Marshal(doc.Extensions["x-elsewhere"])
	if err != nil {
		t.Fatal(err)
	}
	var refs map[string]struct {
		Ref string `json:"$ref"`
	}
	if err := json.Unmarshal(text, &refs); err != nil {
		t.Fatal(err)
	}
	all := openapi3.NewResponses()
	all.Delete("default")
	for status, ref := range refs {
		r := doc.Components.Responses[strings.TrimPrefix(ref.Ref, "#/components/responses/")]
		all.Set(status, &openapi3.ResponseRef{Ref: ref.Ref, Value: r.Value})
	}
	return all
}

// lines holds the lines of an answer that is made of them.
func (h held) lines(response *openapi3.ResponseRef, a *teeAnswer) {
	if a.streams() {
		h.events(a)
	}
	if response == nil || response.Value.Content.Get("application/x-ndjson") == nil {
		return
	}
	for line := range bytes.Lines(a.body.Bytes()) {
		if err := visit(h.doc.Components.Schemas["ImportLine"].Value, line); err != nil {
			h.t.Errorf("the document does not know the line %s: %v", line, err)
		}
	}
}

// events holds the data of a stream of events.
func (h held) events(a *teeAnswer) {
	for line := range bytes.Lines(a.body.Bytes()) {
		data, ok := bytes.CutPrefix(line, []byte("data: "))
		if !ok || !bytes.HasSuffix(data, []byte("\n")) { // the reader may have left
			continue
		}
		if err := visit(h.doc.Components.Schemas["StreamData"].Value, data); err != nil {
			h.t.Errorf("the document does not know the event %s: %v", data, err)
		}
	}
}

// visit holds JSON to a schema.
func visit(s *openapi3.Schema, text []byte) error {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return err
	}
	return s.VisitJSON(v, openapi3.EnableJSONSchema2020())
}

// withoutEmpty leaves out filters that are empty: they filter nothing.
func withoutEmpty(query url.Values) url.Values {
	maps.DeleteFunc(query, func(_ string, all []string) bool { return slices.Equal(all, []string{""}) })
	return query
}

// withoutNull leaves members out that are null.
func withoutNull(text []byte) []byte {
	var v any
	if json.Unmarshal(text, &v) != nil {
		return text
	}
	left, err := json.Marshal(stripped(v))
	if err != nil {
		return text
	}
	return left
}

func stripped(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if member == nil {
				delete(v, name)
			} else {
				v[name] = stripped(member)
			}
		}
	case []any:
		for i := range v {
			v[i] = stripped(v[i])
		}
	}
	return v
}
