package northapi_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"github.com/edgetether/tether/northapi"
	"github.com/getkin/kin-openapi/openapi3"
)

// randomBodies is how many bodies with members at random each command gets.
const randomBodies = 40

// TestOpenAPI_GeneratedBodies gives every command what its schema takes, which
// is not refused for its form, and what it does not, which is 400 and says
// which member is wrong. That no answer is 5xx, and that each is documented, is
// held by the world.
func TestOpenAPI_GeneratedBodies(t *testing.T) {
	eachOperation(t, func(name string, o *openapi3.Operation) {
		if o.RequestBody == nil || o.RequestBody.Value.Content["application/json"] == nil {
			return
		}
		t.Run(o.OperationID, func(t *testing.T) {
			body := o.RequestBody.Value.Content["application/json"].Schema.Value
			method, path, _ := strings.Cut(name, " ")
			w := newWorld(t)
			ask := func(v any) answer { return w.do("admin", method, path, w.marshal(v)) }
			taken, forbidden := takenBodies(t, body)
			for _, v := range taken {
				if a := ask(v); a.status == 400 || a.status == 413 || a.status >= 500 {
					t.Errorf("%s is good, and answered %s", w.marshal(v), a.body)
				}
			}
			for _, v := range forbidden {
				if a := ask(v); a.status != 400 {
					t.Errorf("%s is what a condition forbids, and answered %d %s", w.marshal(v), a.status, a.body)
				}
			}
			for _, f := range faults(body) {
				if !beyondSchema[f.why] && visit(body, []byte(w.marshal(f.value))) == nil {
					t.Errorf("%s is %s, and the document takes %s", f.at, f.why, clipped(w.marshal(f.value)))
				}
				a := ask(f.value)
				if a.status != 400 || !names(a.Message, f.at) {
					t.Errorf("%s: %s is %s, and answered %d %s", clipped(w.marshal(f.value)), f.at, f.why, a.status, a.body)
				}
			}
		})
	})
}

// beyondSchema is what JSON Schema has no word for.
var beyondSchema = map[string]bool{"given twice": true, "too short by one": true, "too long in bytes": true}

// takenBodies are what is good of a schema, and what would be but for its
// conditions.
func takenBodies(t *testing.T, s *openapi3.Schema) (all, forbidden []any) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	candidates := goods(s)
	for range randomBodies {
		candidates = append(candidates, random(r, s))
	}
	for _, v := range candidates {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err = visit(s, text); err == nil {
			all = append(all, v)
		} else if forbidden = append(forbidden, v); s.If == nil {
			t.Errorf("made as good: %s, and %v", text, err)
		}
	}
	if 2*len(all) < len(candidates) {
		t.Errorf("%d of %d candidates are good", len(all), len(candidates))
	}
	return all, forbidden
}

// names says whether a message begins with the member: with it, or with one
// inside it.
func names(message, at string) bool {
	at = strings.TrimPrefix(at, ".")
	rest, ok := strings.CutPrefix(message, at)
	return ok && (at == "" && rest != "" || rest != "" && strings.ContainsAny(rest[:1], ":.["))
}

func clipped(text string) string { return fmt.Sprintf("%.200s", text) }

// TestOpenAPI_GeneratedLines is the same for the lines of an import, all in
// one stream.
func TestOpenAPI_GeneratedLines(t *testing.T) {
	body := document(t).Components.Schemas["DeviceAdd"].Value
	w := newWorld(t)
	var stream strings.Builder
	good, _ := takenBodies(t, body)
	bad := faults(body)
	for i, v := range good {
		object := with(v.(map[string]any), "hardware", map[string]any{"sn": fmt.Sprint("new", i), "model": "M"})
		stream.WriteString(w.marshal(object) + "\n")
	}
	for _, f := range bad {
		stream.WriteString(w.marshal(f.value) + "\n")
	}
	lines := w.imports("?dry_run=true", ndjson, strings.NewReader(stream.String()))
	if len(lines) != len(good)+len(bad)+1 {
		t.Fatalf("%d lines are answered with %d", len(good)+len(bad), len(lines)-1)
	}
	for i, v := range good {
		if l := lines[i]; l.Code != "" {
			t.Errorf("%s is good, and answered %+v", w.marshal(v), l)
		}
	}
	for i, f := range bad {
		if l := lines[len(good)+i]; l.Type != "GENERAL_ERROR" || !names(l.Message, f.at) {
			t.Errorf("%s: %s is %s, and answered %+v", clipped(w.marshal(f.value)), f.at, f.why, l)
		}
	}
}

// TestOpenAPI_GeneratedQueries gives every query good and bad parameters.
func TestOpenAPI_GeneratedQueries(t *testing.T) {
	eachOperation(t, func(name string, o *openapi3.Operation) {
		method, path, _ := strings.Cut(name, " ")
		if method != get || !strings.HasPrefix(path, northapi.Base) && o.Tags[0] == "Documents" {
			return
		}
		t.Run(o.OperationID, func(t *testing.T) {
			w := newWorld(t)
			for _, p := range o.Parameters {
				for _, v := range goods(p.Value.Schema.Value) {
					if a := w.asks(path, p.Value, text(v)); refusesForm(p.Value, a) {
						t.Errorf("%s=%v is good, and answered %s", p.Value.Name, v, a.body)
					}
				}
				w.refusesAll(path, p.Value)
			}
			if a := w.do("admin", get, at(path, nil, "")+"?colour=1", ""); a.status != 400 || !names(a.Message, "colour") {
				t.Errorf("an unknown parameter is answered %d %s", a.status, a.body)
			}
		})
	})
}

// refusesForm says whether a good parameter is refused. What is in a cursor
// is the server's own.
func refusesForm(p *openapi3.Parameter, a answer) bool {
	return a.status >= 500 || a.status == 400 && p.Name != "cursor"
}

// refusesAll gives a parameter what its schema does not take.
func (w *world) refusesAll(path string, p *openapi3.Parameter) {
	w.t.Helper()
	refuses := func(a answer, member, why string) {
		w.t.Helper()
		if a.status != 400 || !names(a.Message, member) {
			w.t.Errorf("%s: %s is %s, and answered %d %s", path, member, why, a.status, a.body)
		}
	}
	for _, f := range faults(p.Schema.Value) {
		if v := text(f.value); v != "" && !strings.HasPrefix(f.why, "of type") { // all are texts here, and none is not given
			refuses(w.asks(path, p, v), p.Name, f.why)
		}
	}
	if p.In == openapi3.ParameterInQuery {
		v := text(goods(p.Schema.Value)[0])
		if !p.Schema.Value.Type.Is("array") {
			refuses(w.do("admin", get, at(path, p, v)+"&"+url.Values{p.Name: {v}}.Encode(), ""), p.Name, "given twice")
		}
		other := strings.ToUpper(p.Name[:1]) + p.Name[1:]
		refuses(w.do("admin", get, at(path, nil, "")+"?"+url.Values{other: {v}}.Encode(), ""), other, "in another case")
	}
}

// text is a value as a parameter is written: a list with commas.
func text(v any) string {
	list, ok := v.([]any)
	if !ok {
		return fmt.Sprint(v)
	}
	var all []string
	for _, item := range list {
		all = append(all, text(item))
	}
	return strings.Join(all, ",")
}

// asks gives one parameter, wherever it is.
func (w *world) asks(path string, p *openapi3.Parameter, v string) answer {
	w.t.Helper()
	if p.In != openapi3.ParameterInHeader {
		return w.do("admin", get, at(path, p, v), "")
	}
	r := w.request("admin", get, at(path, nil, ""), "")
	r.Header.Set(p.Name, v)
	return w.send(r)
}

// at is a path with its things, and one parameter set.
func at(path string, p *openapi3.Parameter, v string) string {
	query := ""
	if p != nil && p.In == openapi3.ParameterInPath {
		path = strings.Replace(path, "{"+p.Name+"}", url.PathEscape(v), 1)
	} else if p != nil {
		query = "?" + url.Values{p.Name: {v}}.Encode()
	}
	return things["own"].Replace(path) + query
}
