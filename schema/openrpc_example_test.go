package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// validator compiles schemas of a document, by their place in it.
type validator struct {
	t        *testing.T
	compiler *jsonschema.Compiler
}

func newValidator(t *testing.T, text []byte) *validator {
	t.Helper()
	c := jsonschema.NewCompiler()
	if err := c.AddResource("tether:document", parsed(t, text)); err != nil {
		t.Fatal(err)
	}
	return &validator{t, c}
}

// parsed keeps numbers as they are written.
func parsed(t *testing.T, text []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// check validates text against the schema at a place: "/components/schemas/X".
func (v *validator) check(place string, text []byte) error {
	v.t.Helper()
	s, err := v.compiler.Compile("tether:document#" + place)
	if err != nil {
		v.t.Fatal(err)
	}
	return s.Validate(parsed(v.t, text))
}

// object makes the params of an example.
func (e openRPCExample) object(t *testing.T) []byte {
	t.Helper()
	members := map[string]json.RawMessage{}
	for _, p := range e.Params {
		members[p.Name] = p.Value
	}
	text, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestOpenRPCExamples: every method has examples; what they hold is what the
// schemas and the Go types take, and their failures are errors of the method.
func TestOpenRPCExamples(t *testing.T) {
	eachDocument(t, func(t *testing.T, d document, read openRPC) {
		v := newValidator(t, d.text)
		for i, m := range read.Methods {
			if len(m.Examples) == 0 {
				t.Errorf("%s: no example", m.Name)
			}
			for _, e := range m.Examples {
				name := m.Name + ", " + e.Name
				if e.Error != nil {
					checkFailure(t, name, m, e, read)
					continue
				}
				checkExample(t, name, d, m, e, v)
				if (e.Result == nil) != (m.Result == nil) {
					t.Errorf("%s: the result is %v", name, e.Result)
				} else if e.Result != nil {
					checkText(t, name, v.check(fmt.Sprintf("/methods/%d/result/schema", i), e.Result.Value), d.types[d.results[m.Name]], e.Result.Value)
				}
			}
		}
	})
}

func checkExample(t *testing.T, name string, d document, m openRPCMethod, e openRPCExample, v *validator) {
	component := d.params[m.Name]
	if component == "" {
		if len(e.Params) != 0 {
			t.Errorf("%s: the method has no params", name)
		}
		return
	}
	checkText(t, name, v.check("/components/schemas/"+component, e.object(t)), d.types[component], e.object(t))
	for _, p := range m.Params {
		less := e
		less.Params = slices.DeleteFunc(slices.Clone(e.Params), func(o openRPCParam) bool { return o.Name == p.Name })
		err := v.check("/components/schemas/"+component, less.object(t))
		if p.Required && err == nil {
			t.Errorf("%s: %s can be left out", name, p.Name)
		}
		if validates, ok := reflect.New(d.types[component]).Interface().(interface{ Validate() error }); ok && m.Name != MethodLogin {
			if json.Unmarshal(less.object(t), validates) != nil || (validates.Validate() == nil) != (err == nil) {
				t.Errorf("%s without %s: the schema says %v, the type %v", name, p.Name, err, validates.Validate())
			}
		}
	}
}

// checkText: the schema took the text (err), and so does the type, no member left over.
func checkText(t *testing.T, name string, err error, typ reflect.Type, text []byte) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if typ == nil {
		return
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(reflect.New(typ).Interface()); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

func checkFailure(t *testing.T, name string, m openRPCMethod, e openRPCExample, read openRPC) {
	if e.Result != nil {
		t.Errorf("%s: a result beside an error", name)
	}
	for _, ref := range m.Errors {
		known := read.Components.Errors[strings.TrimPrefix(ref.Ref, "#/components/errors/")]
		if known.Code != e.Error.Code {
			continue
		}
		if known.Data.Reason != e.Error.Data.Reason || known.Data.Retryable != e.Error.Data.Retryable ||
			(known.Data.RetryAfterMS == 0) != (e.Error.Data.RetryAfterMS == 0) {
			t.Errorf("%s: %+v is not like %+v", name, *e.Error, known)
		}
		if !strings.HasPrefix(known.Message, "(") && known.Message != e.Error.Message {
			t.Errorf("%s: the message is %q, want %q", name, e.Error.Message, known.Message)
		}
		return
	}
	t.Errorf("%s: %d is no error of the method", name, e.Error.Code)
}

// TestOpenRPCBounds: the schemas and the Go types draw the same line.
func TestOpenRPCBounds(t *testing.T) {
	report := func(members string) string { return `{"CPU_info":{},"Memory_info":{},"Disk_info":{}` + members + `}` }
	long := func(n int) string { return strings.Repeat("x", n) }
	v := newValidator(t, OpenRPCDevice)
	for _, c := range []struct {
		component, text string
		good            bool
	}{
		{"StatusInfo", report(``), true},
		{"StatusInfo", report(`,"mood":"good"`), true},
		{"StatusInfo", report(`,"dev_state":"` + long(MaxDevState) + `"`), true},
		{"StatusInfo", report(`,"dev_state":"` + long(MaxDevState+1) + `"`), false},
		{"StatusInfo", report(`,"dev_state":7`), false},
		{"StatusInfo", report(`,"custom":{}`), true},
		{"StatusInfo", report(`,"custom":[]`), false},
		{"StatusInfo", `{"CPU_info":{"user_cpu_time":9223372036854775807},"Memory_info":{"free_memory_mb":0},"Disk_info":{"root_used_percent":100}}`, true},
		{"StatusInfo", `{"CPU_info":{"user_cpu_time":1e19},"Memory_info":{},"Disk_info":{}}`, false},
		{"StatusInfo", `{"CPU_info":{"user_cpu_time":-1},"Memory_info":{},"Disk_info":{}}`, false},
		{"StatusInfo", `{"CPU_info":{"user_cpu_time":"1"},"Memory_info":{},"Disk_info":{}}`, false},
		{"StatusInfo", `{"CPU_info":{},"Memory_info":{},"Disk_info":{"root_used_percent":100.1}}`, false},
		{"StatusInfo", `{"CPU_info":{},"Memory_info":{}}`, false},
		{"UploadResult", `{"order_id":"1","status":"success"}`, true},
		{"UploadResult", `{"order_id":"1","status":"fail","message":"","data":{}}`, true},
		{"UploadResult", `{"order_id":"1","status":"Success"}`, false},
		{"UploadResult", `{"order_id":"1","status":"fail","data":[]}`, false},
		{"UploadResult", `{"order_id":"","status":"fail"}`, false},
		{"UploadResult", `{"status":"fail"}`, false},
		{"UploadResult", `{"order_id":1,"status":"fail"}`, false},
	} {
		value := reflect.New(documents[0].types[c.component]).Interface().(interface{ Validate() error })
		byType := json.Unmarshal([]byte(c.text), value)
		if byType == nil {
			byType = value.Validate()
		}
		bySchema := v.check("/components/schemas/"+c.component, []byte(c.text))
		if (bySchema == nil) != c.good || (byType == nil) != c.good {
			t.Errorf("%s: the schema says %v, the type %v", c.text, bySchema, byType)
		}
	}
}

// TestOpenRPCSpecification validates both documents against the schema of
// OpenRPC 1.4 itself, and what they hold of JSON Schema against that one's, as
// their makers publish them.
func TestOpenRPCSpecification(t *testing.T) {
	dir := t.TempDir()
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	for url, p := range map[string]npmFile{
		"https://meta.open-rpc.org/":      {"@open-rpc/spec", "1.4.1", "dist/1_4/schema.json"},
		"https://meta.json-schema.tools/": {"@json-schema-tools/meta-schema", "1.8.0", "schema.json"},
	} {
		schema := parsed(t, p.fetch(t, dir)).(map[string]any)
		delete(schema, "$schema") // each says that it is described by the other, or by itself
		delete(schema, "$id")     // and is referred to with and without a slash at its end
		for _, u := range []string{url, strings.TrimSuffix(url, "/")} {
			if err := c.AddResource(u, schema); err != nil {
				t.Fatal(err)
			}
		}
	}
	specification, err := c.Compile("https://meta.open-rpc.org/")
	if err != nil {
		t.Fatal(err)
	}
	eachDocument(t, func(t *testing.T, d document, _ openRPC) {
		if err := specification.Validate(parsed(t, d.text)); err != nil {
			t.Error(err)
		}
		wrong := bytes.Replace(d.text, []byte(`"paramStructure": "by-name"`), []byte(`"paramStructure": "by-mood"`), 1)
		if specification.Validate(parsed(t, wrong)) == nil {
			t.Error("a wrong document is taken for good: the test validates nothing")
		}
	})
}

// npmFile is a file of a package of the npm registry.
type npmFile struct{ name, version, file string }

func (f npmFile) fetch(t *testing.T, dir string) []byte {
	t.Helper()
	archive := strings.NewReplacer("@", "", "/", "-").Replace(f.name) + "-" + f.version + ".tgz"
	for _, command := range [][]string{
		{"npm", "pack", "--silent", "--prefer-offline", f.name + "@" + f.version},
		{"tar", "xzf", archive, "package/" + f.file},
	} {
		run := exec.Command(command[0], command[1:]...)
		run.Dir = dir
		if out, err := run.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", command, err, out)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "package", f.file))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
