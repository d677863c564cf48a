package schema

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// openRPC is what the tests read of the document.
type openRPC struct {
	Methods    []openRPCMethod
	Components struct {
		Schemas map[string]jsonSchema
		Errors  map[string]openRPCError
	}
}

type openRPCMethod struct {
	Name           string
	ParamStructure string
	Params         []openRPCParam
	Result         struct{ Schema jsonSchema }
	Errors         []jsonSchema // references
	Examples       []struct {
		Name   string
		Params []openRPCParam
		Result openRPCParam
	}
}

type openRPCParam struct {
	Name     string
	Required bool
	Schema   jsonSchema
	Value    json.RawMessage
}

type openRPCError struct {
	Code int
	Data struct {
		Reason    string
		Retryable bool
	}
}

type jsonSchema struct {
	Ref        string `json:"$ref"`
	Type       string
	Required   []string
	Properties map[string]jsonSchema
	Enum       []string
	MaxLength  int
	MinLength  int
	MaxItems   int
	MaxBytes   int `json:"x-max-bytes"`
	Pattern    string
}

func readOpenRPC(t *testing.T) openRPC {
	t.Helper()
	var d openRPC
	if err := json.Unmarshal(OpenRPCDevice, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// devicePath are the types that the document's components describe.
var devicePath = map[string]reflect.Type{
	"LoginParams":  reflect.TypeFor[LoginParams](),
	"ClientInfo":   reflect.TypeFor[ClientInfo](),
	"LoginResult":  reflect.TypeFor[LoginResult](),
	"Heartbeat":    reflect.TypeFor[Heartbeat](),
	"StatusInfo":   reflect.TypeFor[StatusInfo](),
	"CPUInfo":      reflect.TypeFor[CPUInfo](),
	"MemoryInfo":   reflect.TypeFor[MemoryInfo](),
	"DiskInfo":     reflect.TypeFor[DiskInfo](),
	"UploadResult": reflect.TypeFor[UploadResult](),
}

// paramsOf and resultOf name the component of a method's params and result.
var (
	paramsOf = map[string]string{MethodLogin: "LoginParams", MethodUploadStatus: "StatusInfo", MethodUploadResult: "UploadResult"}
	resultOf = map[string]string{MethodLogin: "LoginResult", MethodUploadStatus: "Empty", MethodUploadResult: "Empty"}
)

const components = "#/components/schemas/"

// TestOpenRPCMethods holds the list of methods, and the params of each, to the
// constants and the types: nothing is missing, nothing else is there.
func TestOpenRPCMethods(t *testing.T) {
	d := readOpenRPC(t)
	var names []string
	for _, m := range d.Methods {
		names = append(names, m.Name)
		if m.ParamStructure != "by-name" {
			t.Errorf("%s: params are %q", m.Name, m.ParamStructure)
		}
		if want := resultOf[m.Name]; want != "" && m.Result.Schema.Ref != components+want {
			t.Errorf("%s: the result is %q", m.Name, m.Result.Schema.Ref)
		}
		checkParams(t, m, d.Components.Schemas[paramsOf[m.Name]])
	}
	want := []string{MethodLogin, MethodPing, MethodUploadStatus, MethodUploadResult, MethodDiscover}
	if !slices.Equal(names, want) {
		t.Errorf("methods are %v, want %v", names, want)
	}
}

func checkParams(t *testing.T, m openRPCMethod, component jsonSchema) {
	var names, required []string
	for _, p := range m.Params {
		names = append(names, p.Name)
		if p.Required {
			required = append(required, p.Name)
		}
		if want := components + paramsOf[m.Name] + "/properties/" + p.Name; p.Schema.Ref != want {
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
// of the same JSON type, and there is no other.
func TestOpenRPCTypes(t *testing.T) {
	schemas := readOpenRPC(t).Components.Schemas
	for name, typ := range devicePath {
		members := map[string]string{}
		for i := range typ.NumField() {
			f := typ.Field(i)
			member, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			members[member] = jsonType(f.Type)
		}
		described := map[string]string{}
		for member, s := range schemas[name].Properties {
			described[member] = typeOf(schemas, s)
		}
		if !maps.Equal(members, described) {
			t.Errorf("%s: the type has %v, the document %v", name, members, described)
		}
	}
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
	case s.Enum != nil:
		return "string"
	}
	return s.Type
}

// TestOpenRPCLimits: the numbers of the document are those of limits.go.
func TestOpenRPCLimits(t *testing.T) {
	schemas := readOpenRPC(t).Components.Schemas
	of := func(name, member string) jsonSchema { return schemas[name].Properties[member] }
	for what, pair := range map[string][2]int{
		"boot_id":          {of("LoginParams", "boot_id").MaxLength, MaxBootID},
		"device_sn":        {of("LoginParams", "device_sn").MaxLength, MaxHardware},
		"device_model":     {of("LoginParams", "device_model").MaxLength, MaxHardware},
		"shortest secret":  {of("LoginParams", "password").MinLength, MinPassword},
		"longest secret":   {of("LoginParams", "password").MaxLength, MaxPassword},
		"client.name":      {of("ClientInfo", "name").MaxLength, MaxClientWord},
		"client.version":   {of("ClientInfo", "version").MaxLength, MaxClientWord},
		"unsettled_orders": {of("LoginResult", "unsettled_orders").MaxItems, MaxUnsettled},
		"dev_state":        {of("StatusInfo", "dev_state").MaxLength, MaxDevState},
		"custom":           {of("StatusInfo", "custom").MaxBytes, MaxCustom},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: the document says %d, the code %d", what, pair[0], pair[1])
		}
	}
	if got := of("LoginParams", "token").Pattern; got != "^"+TokenPrefix {
		t.Errorf("token: %s", got)
	}
	if got := of("UploadResult", "status").Enum; !slices.Equal(got, []string{ResultSuccess, ResultFail}) {
		t.Errorf("status: %v", got)
	}
}

// TestOpenRPCErrors: the codes are those of southbound section 6, and each
// method names errors that there are.
func TestOpenRPCErrors(t *testing.T) {
	d := readOpenRPC(t)
	var codes []int
	for _, e := range d.Components.Errors {
		codes = append(codes, e.Code)
	}
	slices.Sort(codes)
	if want := []int{-32700, -32603, -32602, -32601, -32600, -32005, -32003, -32002, -32001}; !slices.Equal(codes, want) {
		t.Errorf("codes are %v, want %v", codes, want)
	}
	for name, fixed := range map[string]*Error{
		"LoginFailed": ErrLoginFailed, "LoginRequired": ErrLoginRequired, "AlreadyLoggedIn": ErrAlreadyLoggedIn,
		"InvalidParams": InvalidMember("m", "wrong"), "InternalError": Public(bytes.ErrTooLarge),
	} {
		if got := d.Components.Errors[name].Data.Reason; got != fixed.Code {
			t.Errorf("%s: the reason is %q, want %q", name, got, fixed.Code)
		}
	}
	for _, m := range d.Methods {
		for _, e := range m.Errors {
			if _, ok := d.Components.Errors[strings.TrimPrefix(e.Ref, "#/components/errors/")]; !ok {
				t.Errorf("%s: no error %q", m.Name, e.Ref)
			}
		}
	}
}

// TestOpenRPCExamples decodes the examples into the Go types, without a member
// left over. What is required is: an example with one member less is refused.
func TestOpenRPCExamples(t *testing.T) {
	d := readOpenRPC(t)
	for _, m := range d.Methods {
		if len(m.Examples) == 0 {
			t.Errorf("%s: no example", m.Name)
		}
		for _, e := range m.Examples {
			if typ, ok := devicePath[paramsOf[m.Name]]; ok {
				checkExample(t, m, typ, e.Params)
			}
			if typ, ok := devicePath[resultOf[m.Name]]; ok {
				if _, err := strictly(typ, e.Result.Value); err != nil {
					t.Errorf("%s: result of %s: %v", m.Name, e.Name, err)
				}
			}
		}
	}
}

func checkExample(t *testing.T, m openRPCMethod, typ reflect.Type, params []openRPCParam) {
	if err := decodeExample(typ, params); err != nil {
		t.Errorf("%s: %v", m.Name, err)
	}
	for _, p := range m.Params {
		less := slices.DeleteFunc(slices.Clone(params), func(o openRPCParam) bool { return o.Name == p.Name })
		if err := decodeExample(typ, less); (err != nil) != p.Required {
			t.Errorf("%s without %s: %v", m.Name, p.Name, err)
		}
	}
}

// decodeExample makes an object of the params and validates it.
func decodeExample(typ reflect.Type, params []openRPCParam) error {
	object := map[string]json.RawMessage{}
	for _, p := range params {
		object[p.Name] = p.Value
	}
	text, err := json.Marshal(object)
	if err != nil {
		return err
	}
	v, err := strictly(typ, text)
	if err != nil {
		return err
	}
	return v.(interface{ Validate() error }).Validate()
}

// strictly decodes text into a new typ; a member that typ has not is an error.
func strictly(typ reflect.Type, text []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	v := reflect.New(typ).Interface()
	return v, dec.Decode(v)
}

// TestOpenRPCReferences: every reference into the document finds something,
// and the document fits into one message.
func TestOpenRPCReferences(t *testing.T) {
	var d any
	if err := json.Unmarshal(OpenRPCDevice, &d); err != nil {
		t.Fatal(err)
	}
	walk(d, func(ref string) {
		if path, ok := strings.CutPrefix(ref, "#/"); ok && !finds(d, strings.Split(path, "/")) {
			t.Errorf("%s leads nowhere", ref)
		}
	})
	if len(OpenRPCDevice) > MaxMessage {
		t.Errorf("the document has %d bytes", len(OpenRPCDevice))
	}
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
