package northapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/edgetether/tether/schema"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-chi/chi/v5"
)

// eachOperation calls f with all that the document has.
func eachOperation(t *testing.T, f func(name string, o *openapi3.Operation)) {
	t.Helper()
	for path, item := range document(t).Paths.Map() {
		for method, o := range item.Operations() {
			f(method+" "+path, o)
		}
	}
}

// TestOpenAPI_Valid: it is OpenAPI 3.1, and its examples are what their schemas
// say, also where objects have no further members.
func TestOpenAPI_Valid(t *testing.T) {
	if err := document(t).Validate(context.Background()); err != nil {
		t.Error(err)
	}
	if v := document(t).OpenAPI; v != "3.1.1" {
		t.Errorf("it is %s", v)
	}
}

// TestOpenAPI_Routes: every route of the router has an operation, every
// operation a route. HEAD is answered as GET is.
func TestOpenAPI_Routes(t *testing.T) {
	var routes, operations []string
	err := chi.Walk(newWorld(t).routes, func(method, pattern string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if method != http.MethodHead {
			routes = append(routes, method+" "+pattern)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	eachOperation(t, func(name string, _ *openapi3.Operation) { operations = append(operations, name) })
	for _, name := range routes {
		if !slices.Contains(operations, name) {
			t.Errorf("schema/openapi.json lacks %s", name)
		}
	}
	for _, name := range operations {
		if !slices.Contains(routes, name) {
			t.Errorf("schema/openapi.json has %s, and the router has not", name)
		}
	}
}

var pathParam = regexp.MustCompile(`\{(\w+)\}`)

// TestOpenAPI_Complete: an operation says all that its reader needs.
func TestOpenAPI_Complete(t *testing.T) {
	ids := map[string]string{}
	eachOperation(t, func(name string, o *openapi3.Operation) {
		if other := ids[o.OperationID]; other != "" || o.OperationID == "" {
			t.Errorf("%s: operationId %q, as %q has", name, o.OperationID, other)
		}
		ids[o.OperationID] = name
		if o.Summary == "" || strings.HasSuffix(o.Summary, ".") || len(o.Tags) != 1 || document(t).Tags.Get(o.Tags[0]) == nil {
			t.Errorf("%s: summary %q, tags %v", name, o.Summary, o.Tags)
		}
		var inPath []string
		for _, p := range o.Parameters {
			if p.Value.In == openapi3.ParameterInPath {
				inPath = append(inPath, p.Value.Name)
			}
		}
		var want []string
		for _, m := range pathParam.FindAllStringSubmatch(name, -1) {
			want = append(want, m[1])
		}
		if !slices.Equal(inPath, want) {
			t.Errorf("%s: parameters of the path are %v", name, inPath)
		}
		checkMedia(t, name, o)
	})
}

// checkMedia: every body and every answer has a schema and an example; no
// answer is left to a default.
func checkMedia(t *testing.T, name string, o *openapi3.Operation) {
	method, path, _ := strings.Cut(name, " ")
	if (o.RequestBody != nil) != (method != get) {
		t.Errorf("%s: has it a body?", name)
	}
	media := map[string]openapi3.Content{}
	if o.RequestBody != nil {
		media["its body"] = o.RequestBody.Value.Content
	}
	good := 0
	for status, r := range o.Responses.Map() {
		if status < "300" {
			good++
		}
		if r.Value.Description == nil || *r.Value.Description == "" {
			t.Errorf("%s: %s has no description", name, status)
		}
		media[status] = r.Value.Content
	}
	if good == 0 || o.Responses.Default() != nil {
		t.Errorf("%s: %d good answers", name, good)
	}
	document := !strings.HasPrefix(path, "/service/") && !strings.HasSuffix(path, "z")
	for where, content := range media {
		for kind, m := range content {
			if m.Schema == nil || m.Example == nil && len(m.Examples) == 0 && !(document && where == "200") {
				t.Errorf("%s: %s as %s has no schema or no example", name, where, kind)
			}
		}
	}
}

// TestOpenAPI_Failures: each code that an answer may have is shown by an
// example of its name; what is shown is what the schema lists.
func TestOpenAPI_Failures(t *testing.T) {
	used := map[string]bool{}
	mark := func(all *openapi3.Responses) {
		for _, r := range all.Map() {
			used[r.Ref] = true
		}
	}
	eachOperation(t, func(_ string, o *openapi3.Operation) { mark(o.Responses) })
	mark(elsewhere(t, document(t)))
	for name, r := range document(t).Components.Responses {
		if !used["#/components/responses/"+name] {
			t.Errorf("%s is the answer of no operation", name)
		}
		m := r.Value.Content.Get("application/json")
		listed := readCodes(t, m.Schema)
		if shown := slices.Sorted(maps.Keys(m.Examples)); !slices.Equal(shown, listed) {
			t.Errorf("%s lists %v and shows %v", name, listed, shown)
		}
		for code, x := range m.Examples {
			if v, ok := x.Value.Value.(map[string]any); !ok || v["code"] != code {
				t.Errorf("%s: the example %s has the code %v", name, code, v["code"])
			}
		}
	}
}

// readCodes are the codes that the schema of a failure lists.
func readCodes(t *testing.T, s *openapi3.SchemaRef) (codes []string) {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		Properties struct {
			Code struct{ Enum []string }
		}
	}
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(slices.Values(read.Properties.Code.Enum))
}

// TestOpenAPI_Used: there is no component that nothing refers to, and no
// reference that leaves the document.
func TestOpenAPI_Used(t *testing.T) {
	refs := map[string]bool{}
	for _, m := range regexp.MustCompile(`"\$ref": "([^"]*)"`).FindAllStringSubmatch(string(schema.OpenAPI), -1) {
		refs[m[1]] = true
		if !strings.HasPrefix(m[1], "#/components/") {
			t.Errorf("%s leaves the document", m[1])
		}
	}
	var doc struct {
		Components map[string]map[string]any
	}
	if err := json.Unmarshal(schema.OpenAPI, &doc); err != nil {
		t.Fatal(err)
	}
	for kind, all := range doc.Components {
		for name := range all {
			if ref := fmt.Sprintf("#/components/%s/%s", kind, name); kind != "securitySchemes" && !refs[ref] {
				t.Errorf("nothing refers to %s", ref)
			}
		}
	}
}
