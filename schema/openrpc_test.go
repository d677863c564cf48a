package schema

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// openRPC is what the tests read of a document.
type openRPC struct {
	Methods    []openRPCMethod
	Components struct {
		Schemas map[string]jsonSchema
		Errors  map[string]openRPCError
	}
	CloseCodes []struct {
		Code            int
		Meaning, Device string
	} `json:"x-close-codes"`
	Limits []struct {
		Name, Unit, Description string
		Value                   int
	} `json:"x-limits"`
	Times []struct {
		Name, Side, Description string
		MS                      int64
	} `json:"x-times"`
}

type openRPCMethod struct {
	Name           string
	ParamStructure string
	Params         []openRPCParam
	Result         *struct{ Schema jsonSchema } // nil: a notification
	Errors         []jsonSchema                 // references
	Examples       []openRPCExample
	Inner          map[string]struct{ Message string } `json:"x-inner-orders"`
}

// openRPCExample is one of a success, of a failure, or of a notification.
type openRPCExample struct {
	Name   string
	Params []openRPCParam
	Result *openRPCParam
	Error  *openRPCError `json:"x-error"`
}

type openRPCParam struct {
	Name     string
	Required bool
	Schema   jsonSchema
	Value    json.RawMessage
}

type openRPCError struct {
	Code    int
	Message string
	Data    struct {
		Reason       string
		Retryable    bool
		RetryAfterMS int64 `json:"retry_after_ms"`
	}
}

type jsonSchema struct {
	Ref        string `json:"$ref"`
	Type       string
	OneOf      []jsonSchema
	Required   []string
	Properties map[string]jsonSchema
	Enum       []string
	MaxLength  int
	MinLength  int
	MaxItems   int
	MaxBytes   int `json:"x-max-bytes"`
	Pattern    string
}

// document is one of the two, and what the tests hold it to.
type document struct {
	file    string
	text    json.RawMessage
	methods []string
	// types are what the components describe; params and results name the
	// component of a method.
	types           map[string]reflect.Type
	params, results map[string]string
}

var documents = []document{
	{
		file: "openrpc-device.json", text: OpenRPCDevice,
		methods: []string{MethodLogin, MethodPing, MethodUploadStatus, MethodUploadResult, MethodDiscover},
		types: map[string]reflect.Type{
			"LoginParams":  reflect.TypeFor[LoginParams](),
			"ClientInfo":   reflect.TypeFor[ClientInfo](),
			"LoginResult":  reflect.TypeFor[LoginResult](),
			"Heartbeat":    reflect.TypeFor[Heartbeat](),
			"StatusInfo":   reflect.TypeFor[StatusInfo](),
			"CPUInfo":      reflect.TypeFor[CPUInfo](),
			"MemoryInfo":   reflect.TypeFor[MemoryInfo](),
			"DiskInfo":     reflect.TypeFor[DiskInfo](),
			"UploadResult": reflect.TypeFor[UploadResult](),
		},
		params:  map[string]string{MethodLogin: "LoginParams", MethodUploadStatus: "StatusInfo", MethodUploadResult: "UploadResult"},
		results: map[string]string{MethodLogin: "LoginResult", MethodUploadStatus: "Empty", MethodUploadResult: "Empty"},
	},
	{
		file: "openrpc-cloud.json", text: OpenRPCCloud,
		methods: []string{MethodGiveOrder, MethodRestartConfirm, MethodDeviceUpdate},
		types: map[string]reflect.Type{
			"GiveOrder":      reflect.TypeFor[GiveOrder](),
			"SFTPTarget":     reflect.TypeFor[SFTPTarget](),
			"OrderResult":    reflect.TypeFor[OrderResult](),
			"UploadData":     reflect.TypeFor[UploadData](),
			"RestartConfirm": reflect.TypeFor[RestartConfirm](),
			"DeviceUpdate":   reflect.TypeFor[DeviceUpdate](),
			"Software":       reflect.TypeFor[Software](),
			"NIC":            reflect.TypeFor[NIC](),
		},
		params:  map[string]string{MethodGiveOrder: "GiveOrder", MethodRestartConfirm: "RestartConfirm", MethodDeviceUpdate: "DeviceUpdate"},
		results: map[string]string{MethodGiveOrder: "OrderResult", MethodDeviceUpdate: "Empty"},
	},
}

// mayBeLeftOut are members that a Go type always writes, and that whoever
// writes it in another language need not.
var mayBeLeftOut = []string{"UploadResult.message", "OrderResult.message"}

const components = "#/components/schemas/"

func (d document) read(t *testing.T) openRPC {
	t.Helper()
	var read openRPC
	if err := json.Unmarshal(d.text, &read); err != nil {
		t.Fatal(err)
	}
	return read
}

func eachDocument(t *testing.T, test func(*testing.T, document, openRPC)) {
	for _, d := range documents {
		t.Run(d.file, func(t *testing.T) { test(t, d, d.read(t)) })
	}
}

// TestOpenRPCMethods holds the list of methods, and the params of each, to the
// constants and the types: nothing is missing, nothing else is there.
func TestOpenRPCMethods(t *testing.T) {
	var all []string
	eachDocument(t, func(t *testing.T, d document, read openRPC) {
		var names []string
		for _, m := range read.Methods {
			names = append(names, m.Name)
			if m.ParamStructure != "by-name" {
				t.Errorf("%s: params are %q", m.Name, m.ParamStructure)
			}
			if want := d.results[m.Name]; want != "" && (m.Result == nil || m.Result.Schema.Ref != components+want) {
				t.Errorf("%s: the result is %v", m.Name, m.Result)
			}
			checkParams(t, d, m, read.Components.Schemas[d.params[m.Name]])
		}
		if !slices.Equal(names, d.methods) {
			t.Errorf("methods are %v, want %v", names, d.methods)
		}
		all = append(all, names...)
	})
	source, err := os.ReadFile("wire.go")
	if err != nil {
		t.Fatal(err)
	}
	var constants []string
	for _, m := range regexp.MustCompile(`\tMethod\w+ += "([\w.]+)"`).FindAllSubmatch(source, -1) {
		constants = append(constants, string(m[1]))
	}
	if !slices.Equal(all, constants) {
		t.Errorf("the documents have %v, the constants are %v", all, constants)
	}
}

func checkParams(t *testing.T, d document, m openRPCMethod, component jsonSchema) {
	var names, required []string
	for _, p := range m.Params {
		names = append(names, p.Name)
		if p.Required {
			required = append(required, p.Name)
		}
		if want := components + d.params[m.Name] + "/properties/" + p.Name; p.Schema.Ref != want {
			t.Errorf("%s: %s is %q, want %q", m.Name, p.Name, p.Schema.Ref, want)
		}
	}
	slices.Sort(names)
	if want := slices.Sorted(maps.Keys(component.Properties)); !slices.Equal(names, want) {
		t.Errorf("%s: params are %v, want %v", m.Name, names, want)
	}
	if !slices.Equal(required, component.Required) {
		t.Errorf("%s: %v are required, want %v", m.Name, required, component.Required)
	}
}

// TestOpenRPCTypes: each member of a Go type is a property of its component,
// of the same JSON type, and there is no other. What is always written is
// required, and nothing else is.
func TestOpenRPCTypes(t *testing.T) {
	eachDocument(t, func(t *testing.T, d document, read openRPC) {
		schemas := read.Components.Schemas
		for name, typ := range d.types {
			members, described := map[string]string{}, map[string]string{}
			var required []string
			for i := range typ.NumField() {
				member, options, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
				if member == "-" {
					continue
				}
				members[member] = jsonType(typ.Field(i).Type)
				if options != "omitzero" && !slices.Contains(mayBeLeftOut, name+"."+member) {
					required = append(required, member)
				}
			}
			for member, s := range schemas[name].Properties {
				described[member] = typeOf(schemas, s)
			}
			if !maps.Equal(members, described) {
				t.Errorf("%s: the type has %v, the document %v", name, members, described)
			}
			if got := slices.Sorted(slices.Values(schemas[name].Required)); !slices.Equal(got, slices.Sorted(slices.Values(required))) {
				t.Errorf("%s: %v are required, the type always has %v", name, got, required)
			}
		}
	})
}

// jsonType is the JSON type of a Go type.
func jsonType(t reflect.Type) string {
	if t == reflect.TypeFor[RawObject]() {
		return "object"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return jsonType(t.Elem())
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Int64:
		return "integer"
	case reflect.Float64:
		return "number"
	case reflect.Slice:
		return "array"
	}
	return "object"
}

func typeOf(schemas map[string]jsonSchema, s jsonSchema) string {
	switch {
	case s.Ref != "":
		return schemas[strings.TrimPrefix(s.Ref, components)].Type
	case s.OneOf != nil: // or null
		return typeOf(schemas, s.OneOf[0])
	case s.Enum != nil:
		return "string"
	}
	return s.Type
}

// TestOpenRPCShared: what both documents describe, they describe alike.
func TestOpenRPCShared(t *testing.T) {
	var parts [2]struct {
		Components map[string]map[string]any
	}
	for i, d := range documents {
		if err := json.Unmarshal(d.text, &parts[i]); err != nil {
			t.Fatal(err)
		}
	}
	for kind, all := range parts[0].Components {
		shared := 0
		for name, component := range all {
			if other, ok := parts[1].Components[kind][name]; ok {
				shared++
				if !reflect.DeepEqual(component, other) {
					t.Errorf("%s %s differs", kind, name)
				}
			}
		}
		if shared == 0 {
			t.Errorf("no %s are shared: the test compares nothing", kind)
		}
	}
}

// TestOpenRPCErrors: the codes are those of southbound section 6, and each
// method names errors that there are.
func TestOpenRPCErrors(t *testing.T) {
	var codes []int
	for _, e := range documents[0].read(t).Components.Errors {
		codes = append(codes, e.Code)
	}
	slices.Sort(codes)
	if want := []int{-32700, -32603, -32602, -32601, -32600, -32005, -32003, -32002, -32001}; !slices.Equal(codes, want) {
		t.Errorf("codes are %v, want %v", codes, want)
	}
	eachDocument(t, func(t *testing.T, _ document, read openRPC) {
		for name, fixed := range map[string]*Error{
			"LoginFailed": ErrLoginFailed, "LoginRequired": ErrLoginRequired, "AlreadyLoggedIn": ErrAlreadyLoggedIn,
			"InvalidParams": InvalidMember("m", "wrong"), "InternalError": Public(bytes.ErrTooLarge),
		} {
			if e, ok := read.Components.Errors[name]; ok && e.Data.Reason != fixed.Code {
				t.Errorf("%s: the reason is %q, want %q", name, e.Data.Reason, fixed.Code)
			}
		}
		named := map[string]bool{"ParseError": true, "MethodNotFound": true} // of no method that there is
		for _, m := range read.Methods {
			if m.Result == nil && len(m.Errors) != 0 {
				t.Errorf("%s: a notification has no errors", m.Name)
			}
			for _, e := range m.Errors {
				name := strings.TrimPrefix(e.Ref, "#/components/errors/")
				named[name] = true
				if _, ok := read.Components.Errors[name]; !ok {
					t.Errorf("%s: no error %q", m.Name, e.Ref)
				}
			}
		}
		for name := range read.Components.Errors {
			if !named[name] {
				t.Errorf("%s is the error of no method", name)
			}
		}
	})
}

// TestOpenRPCReferences: every reference is into its own document, and finds
// something there; the document fits into one message.
func TestOpenRPCReferences(t *testing.T) {
	eachDocument(t, func(t *testing.T, d document, _ openRPC) {
		var v any
		if err := json.Unmarshal(d.text, &v); err != nil {
			t.Fatal(err)
		}
		walk(v, func(ref string) {
			if path, ok := strings.CutPrefix(ref, "#/"); !ok || !finds(v, strings.Split(path, "/")) {
				t.Errorf("%s leads nowhere", ref)
			}
		})
		if len(d.text) > MaxMessage-256 {
			t.Errorf("the document has %d bytes", len(d.text))
		}
	})
}

// walk calls f with every reference in v.
func walk(v any, f func(ref string)) {
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			f(ref)
		}
		for _, member := range v {
			walk(member, f)
		}
	case []any:
		for _, member := range v {
			walk(member, f)
		}
	}
}

func finds(v any, path []string) bool {
	for _, name := range path {
		object, _ := v.(map[string]any)
		next, ok := object[name]
		if !ok {
			return false
		}
		v = next
	}
	return true
}
