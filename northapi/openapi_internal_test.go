package northapi

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/edgetether/tether/schema"
)

// openAPI is what the tests of this file read of the document.
type openAPI struct {
	Paths      map[string]map[string]operation
	Components struct {
		Schemas   map[string]jsonSchema
		Responses map[string]struct {
			Content map[string]struct {
				Examples map[string]struct{ Value failure }
			}
		}
		Parameters map[string]struct{ Schema jsonSchema }
	}
	Elsewhere map[string]jsonSchema `json:"x-elsewhere"`
}

type operation struct {
	Role      schema.Role `json:"x-role"`
	Unlimited bool        `json:"x-unlimited"`
	Security  *[]any      // empty: no key
	Responses map[string]jsonSchema
}

type jsonSchema struct {
	Ref           string `json:"$ref"`
	Type          any
	OneOf         []jsonSchema
	Required      []string
	Properties    map[string]jsonSchema
	Additional    *bool `json:"additionalProperties"`
	Enum          []string
	Const         string
	Pattern       string
	Default       any
	Items         *jsonSchema
	MinLength     int64
	MaxLength     int64
	MaxItems      int64
	Minimum       int64
	Maximum       int64
	MinBytes      int64 `json:"x-min-bytes"`
	MaxBytes      int64 `json:"x-max-bytes"`
	MaxProperties *int
}

func readOpenAPI(t *testing.T) (doc openAPI) {
	t.Helper()
	if err := json.Unmarshal(schema.OpenAPI, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestOpenAPI_Access: the document and the table of routes agree on who may.
func TestOpenAPI_Access(t *testing.T) {
	doc, a := readOpenAPI(t), build(Config{})
	check := func(rt route, path string) {
		o := doc.Paths[path][strings.ToLower(rt.method)]
		if o.Role != rt.access.role || o.Unlimited != rt.access.unlimited || (o.Security != nil && len(*o.Security) == 0) == rt.access.keyed() {
			t.Errorf("%s %s: role %q, unlimited %t, security %v", rt.method, path, o.Role, o.Unlimited, o.Security)
		}
		asks := rt.access.keyed() || path == "/login" // which asks for a key in its body
		for status, may := range map[string]bool{"401": asks, "429": asks, "403": asks && (rt.method != get || rt.access != viewer)} {
			if _, says := o.Responses[status]; says != may {
				t.Errorf("%s %s: %s is there: %t", rt.method, path, status, says)
			}
		}
	}
	for _, rt := range a.services() {
		check(rt, Base+rt.pattern)
	}
	for _, rt := range slices.Concat(a.probes(), a.streams(), a.logins(), documents()) {
		if rt.method != head {
			check(rt, rt.pattern)
		}
	}
}

// described are the types that components describe.
var described = map[string]reflect.Type{
	"DeviceAdd": reflect.TypeFor[deviceAdd](), "DeviceUpdate": reflect.TypeFor[deviceUpdate](), "PasswordUpdate": reflect.TypeFor[passwordUpdate](),
	"DeviceRef": reflect.TypeFor[deviceRef](), "Credential": reflect.TypeFor[credential](), "Device": reflect.TypeFor[schema.Device](),
	"Hardware": reflect.TypeFor[schema.Hardware](), "Software": reflect.TypeFor[schema.Software](), "NIC": reflect.TypeFor[schema.NIC](),
	"DeviceList": reflect.TypeFor[schema.List[schema.Device]](), "DeviceStatus": reflect.TypeFor[deviceStatus](), "LastSeen": reflect.TypeFor[lastSeen](),
	"GroupAdd": reflect.TypeFor[groupAdd](), "GroupUpdate": reflect.TypeFor[groupUpdate](), "GroupRef": reflect.TypeFor[groupRef](),
	"GroupEmpty": reflect.TypeFor[groupEmpty](), "Emptied": reflect.TypeFor[emptied](), "Group": reflect.TypeFor[schema.Group](),
	"GroupList": reflect.TypeFor[schema.List[schema.Group]](), "GroupStatus": reflect.TypeFor[groupStatus](), "StateCounts": reflect.TypeFor[stateCounts](),
	"DeviceGroups": reflect.TypeFor[deviceGroups](), "RelationRef": reflect.TypeFor[relationRef](), "Relation": reflect.TypeFor[relation](),
	"Related": reflect.TypeFor[related](), "GiveOrder": reflect.TypeFor[giveOrder](), "Order": reflect.TypeFor[schema.Order](),
	"OrderList": reflect.TypeFor[schema.List[schema.Order]](), "OrderRef": reflect.TypeFor[orderRef](), "OrderCancel": reflect.TypeFor[orderCancel](), "Holder": reflect.TypeFor[schema.Holder](),
	"Event": reflect.TypeFor[schema.Event](), "EventList": reflect.TypeFor[schema.List[schema.Event]](), "StatusInfo": reflect.TypeFor[schema.StatusInfo](),
	"GroupGiveOrder": reflect.TypeFor[groupGiveOrder](), "JobFilter": reflect.TypeFor[jobFilter](), "JobRef": reflect.TypeFor[jobRef](),
	"Job": reflect.TypeFor[schema.Job](), "JobResults": reflect.TypeFor[schema.JobResults](), "JobList": reflect.TypeFor[schema.List[schema.Job]](),
	"JobTarget": reflect.TypeFor[schema.JobTarget](), "JobCounts": reflect.TypeFor[schema.JobCounts](), "JobDevice": reflect.TypeFor[schema.JobDevice](),
	"Gap": reflect.TypeFor[gap](), "Dropped": reflect.TypeFor[dropped](),
	"CPUInfo": reflect.TypeFor[schema.CPUInfo](), "MemoryInfo": reflect.TypeFor[schema.MemoryInfo](), "DiskInfo": reflect.TypeFor[schema.DiskInfo](),
	"HistoryPoint": reflect.TypeFor[schema.HistoryPoint](), "HistoryPointList": reflect.TypeFor[schema.List[schema.HistoryPoint]](),
	"LogFile": reflect.TypeFor[schema.LogFile](), "LogFileList": reflect.TypeFor[schema.List[schema.LogFile]](),
	"KeyAdd": reflect.TypeFor[keyAdd](), "KeyRef": reflect.TypeFor[keyRef](), "Key": reflect.TypeFor[schema.Key](), "NewKey": reflect.TypeFor[newKey](),
	"KeyList": reflect.TypeFor[schema.List[schema.Key]](), "Health": reflect.TypeFor[health](), "Failure": reflect.TypeFor[failure](),
	"KeyLogin": reflect.TypeFor[keyLogin](), "LoggedIn": reflect.TypeFor[loggedIn](),
	"Audit": reflect.TypeFor[schema.Audit](), "AuditList": reflect.TypeFor[schema.List[schema.Audit]](),
	"ImportGood": reflect.TypeFor[importGood](), "ImportBad": reflect.TypeFor[importBad](), "ImportEnd": reflect.TypeFor[importEnd](),
}

// taken are the components that are the body of a command, or are in one:
// whoever writes one may leave out what the component does not require.
func taken(typ reflect.Type) bool {
	_, command := typ.MethodByName("check")
	return command || typ.Implements(reflect.TypeFor[interface{ check() error }]()) ||
		slices.Contains([]reflect.Type{reflect.TypeFor[schema.Hardware](), reflect.TypeFor[schema.Software](), reflect.TypeFor[schema.NIC]()}, typ)
}

// TestOpenAPI_Types: each member of a Go type is a property of its component,
// of the same JSON type, and there is no other. What an answer always has is
// required; what is taken is closed.
func TestOpenAPI_Types(t *testing.T) {
	doc := readOpenAPI(t)
	for name, s := range doc.Components.Schemas {
		if s.Properties != nil && described[name] == nil {
			t.Errorf("%s is described, and held to no type", name)
		}
	}
	for name, typ := range described {
		s, ok := doc.Components.Schemas[name]
		if !ok {
			t.Errorf("%s is not described", name)
		}
		members, properties := map[string]string{}, map[string]string{}
		var always []string
		for field := range fieldsOf(typ) {
			member, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			members[member] = jsonTypeOf(field.Type)
			if options != "omitzero" {
				always = append(always, member)
			}
		}
		for member, p := range s.Properties {
			properties[member] = doc.typeOf(p)
		}
		if !maps.Equal(members, properties) {
			t.Errorf("%s: the type has %v, the document %v", name, members, properties)
		}
		closed := s.Additional != nil && !*s.Additional
		if closed != taken(typ) {
			t.Errorf("%s: further members are refused: %t", name, closed)
		}
		if got, want := slices.Sorted(slices.Values(s.Required)), slices.Sorted(slices.Values(always)); !taken(typ) && !slices.Equal(got, want) {
			t.Errorf("%s: %v are required, the type always has %v", name, got, want)
		}
	}
}

// fieldsOf are those that are encoded, embedded ones too.
func fieldsOf(typ reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for _, f := range reflect.VisibleFields(typ) {
			if f.Tag.Get("json") != "" && !yield(f) {
				return
			}
		}
	}
}

func jsonTypeOf(typ reflect.Type) string {
	if typ == reflect.TypeFor[schema.RawObject]() || typ.Kind() == reflect.Interface {
		return "object"
	}
	switch typ.Kind() {
	case reflect.Pointer:
		return jsonTypeOf(typ.Elem())
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
	if value, ok := typ.FieldByName("value"); ok && strings.HasPrefix(typ.Name(), "optional[") {
		return jsonTypeOf(value.Type)
	}
	return "object"
}

// typeOf is the JSON type of a property that may be null.
func (d openAPI) typeOf(s jsonSchema) string {
	switch typ := s.Type.(type) {
	case string:
		return typ
	case []any:
		return typ[0].(string)
	}
	switch {
	case s.Ref != "":
		return d.typeOf(d.Components.Schemas[s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]])
	case s.OneOf != nil:
		return d.typeOf(s.OneOf[0])
	}
	return "string" // a constant
}

// TestOpenAPI_Limits: the bounds are those of the code.
func TestOpenAPI_Limits(t *testing.T) {
	doc := readOpenAPI(t)
	s, p := doc.Components.Schemas, doc.Components.Parameters
	give, group, filter := s["GiveOrder"].Properties, s["GroupGiveOrder"].Properties, s["JobFilter"].Properties
	for what, pair := range map[string][2]int64{
		"Name":                {s["Name"].MaxLength, schema.MaxName},
		"Word":                {s["Word"].MaxLength, schema.MaxType},
		"Word of software":    {s["Word"].MaxLength, schema.MaxSoftware},
		"Description":         {s["Description"].MaxLength, schema.MaxDescription},
		"Printable":           {s["Printable"].MaxLength, schema.MaxHardware},
		"NICs":                {s["NICs"].MaxItems, schema.MaxNICs},
		"NIC.type":            {s["NIC"].Properties["type"].MaxLength, schema.MaxType},
		"Password":            {s["Password"].MinBytes, schema.MinPassword},
		"Password, most":      {s["Password"].MaxBytes, schema.MaxPassword},
		"group_ids":           {s["DeviceGroups"].Properties["group_ids"].MaxItems, schema.MaxIdentifiers},
		"group_ids of a key":  {s["KeyAdd"].Properties["group_ids"].MaxItems, schema.MaxIdentifiers},
		"items":               {s["DeviceList"].Properties["items"].MaxItems, schema.MaxPageLimit},
		"params":              {give["params"].MaxBytes, schema.MaxParams},
		"wait_ms":             {give["wait_ms"].Maximum, schema.OrderTimeout.Milliseconds()},
		"ttl_s":               {give["ttl_s"].Maximum, int64(schema.MaxQueueTTL.Seconds())},
		"ttl_s left out":      {int64(give["ttl_s"].Default.(float64)), int64(schema.QueueTTL.Seconds())},
		"Idempotency-Key":     {p["Idempotency-Key"].Schema.MaxLength, schema.MaxOnceKey},
		"device_ids":          {group["device_ids"].MaxItems, schema.MaxIdentifiers},
		"params of a group":   {group["params"].MaxBytes, schema.MaxParams},
		"max_parallel":        {group["max_parallel"].Maximum, schema.MaxParallel},
		"max_parallel unsaid": {int64(group["max_parallel"].Default.(float64)), schema.DefaultParallel},
		"job_id of a stream":  {p["of_jobs"].Schema.MaxItems, schema.MaxStreamJobs},
		"max_failures":        {group["max_failures"].Maximum, schema.MaxJobFailures},
		"ttl_s of a group":    {group["ttl_s"].Maximum, int64(schema.MaxQueueTTL.Seconds())},
		"filter.device_type":  {filter["device_type"].MaxLength, schema.MaxType},
		"filter.model":        {filter["model"].MaxLength, schema.MaxHardware},
		"filter.name":         {filter["name"].MaxLength, schema.MaxName},
		"limit":               {p["limit"].Schema.Maximum, schema.MaxPageLimit},
		"limit left out":      {int64(p["limit"].Schema.Default.(float64)), schema.DefaultPageLimit},
		"cursor":              {p["cursor"].Schema.MaxLength, maxCursor},
		"step":                {p["step"].Schema.Minimum, schema.MinHistoryStep.Milliseconds()},
		"step, most":          {p["step"].Schema.Maximum, schema.MaxHistoryStep.Milliseconds()},
		"key of a log-in":     {s["KeyLogin"].Properties["key"].MaxLength, maxKey},
		"the filter by":       {p["by"].Schema.MaxLength, int64(maxBy)},
		"the filter service":  {p["service"].Schema.MaxLength, maxService},
		"the filter name":     {p["name"].Schema.MaxLength, schema.MaxName},
		"the filter sn":       {p["sn"].Schema.MaxLength, schema.MaxHardware},
		"the filter model":    {p["model"].Schema.MaxLength, schema.MaxHardware},
		"the filter of types": {p["device_type"].Schema.MaxLength, schema.MaxType},
	} {
		if pair[0] != pair[1] || pair[0] == 0 {
			t.Errorf("%s: the document says %d, the code %d", what, pair[0], pair[1])
		}
	}
	if want := "^[0-9]{1," + strconv.Itoa(schema.MaxIdentifier) + "}$"; s["Identifier"].Pattern != want {
		t.Errorf("an identifier is %s, want %s", s["Identifier"].Pattern, want)
	}
}

// TestOpenAPI_Words: an enumeration has every constant of its type.
func TestOpenAPI_Words(t *testing.T) {
	doc := readOpenAPI(t)
	words := constants(t, "../schema/domain.go")
	jobs := constants(t, "../schema/job.go")
	own := constants(t, "errors.go")
	s := doc.Components.Schemas
	for name, pair := range map[string][2][]string{
		"DevState":       {s["DevState"].Enum, words["DevState"]},
		"Role":           {s["Role"].Enum, words["Role"]},
		"EventKind":      {s["EventKind"].Enum, words["EventKind"]},
		"Order.state":    {s["Order"].Properties["state"].Enum, words["OrderState"]},
		"ErrorType":      {s["ErrorType"].Enum, own[""]},
		"Job.state":      {s["Job"].Properties["state"].Enum, jobs["JobState"]},
		"JobDeviceState": {s["JobDeviceState"].Enum, jobs["JobDeviceState"]},
		"JobTarget.kind": {s["JobTarget"].Properties["kind"].Enum, []string{schema.TargetGroup, schema.TargetDevices, schema.TargetFilter, schema.TargetRetry}},
		"if_offline":     {s["GiveOrder"].Properties["if_offline"].Enum, []string{fail, queueIt}},
		"if_busy":        {s["GiveOrder"].Properties["if_busy"].Enum, []string{fail, waitForIt}},
		"Dropped.reason": {
			s["Dropped"].Properties["reason"].Enum,
			append(constants(t, "events_stream.go")[""], schema.ErrDeviceNotFound.Code, schema.ErrGroupNotFound.Code, schema.ErrJobNotFound.Code),
		},
	} {
		if !slices.Equal(pair[0], pair[1]) || len(pair[0]) == 0 {
			t.Errorf("%s: the document has %q, the code %q", name, pair[0], pair[1])
		}
	}
}

// constants are the strings of a file, by their type.
func constants(t *testing.T, file string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	ast.Inspect(parse(t, file), func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == 1 {
			typ := ""
			if named, ok := v.Type.(*ast.Ident); ok {
				typ = named.Name
			}
			if text, ok := literal(v.Values[0]); ok {
				all[typ] = append(all[typ], text)
			}
		}
		return true
	})
	return all
}

func parse(t *testing.T, file string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func literal(x ast.Expr) (string, bool) {
	lit, ok := x.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}

// unanswered are codes that no caller of this contract ever gets, and why.
var unanswered = map[string]string{
	"login_failed": "southbound", "login_required": "southbound", "already_logged_in": "southbound", "parse_error": "southbound",
	"invalid_request": "southbound", "method_not_found": "southbound", "message_too_large": "southbound", "fenced": "a session's",
	"upload_unknown": "a device's upload", "invalid_upload": "a device's upload", "log_store_full": "a device's upload",
	"no_node_number": "the server does not start", "order_exists": "identifiers are new", "job_over": "the runner's",
	"order_not_first": "a session's", "order_known": "it is the answer that the order has",
	"abandoned": "the caller has left", "cancelled": "the caller has left",
}

// inLines are codes that stand in the lines of an import alone.
var inLines = []string{"body_cut", "answer_not_taken", "line_too_large"}

// TestOpenAPI_Codes: each code that the rooms make is documented, with the
// status and the type of its kind; and none that they do not make.
func TestOpenAPI_Codes(t *testing.T) {
	made := map[string]map[schema.Kind]bool{"invalid_member": {schema.Invalid: true}}
	for _, room := range []string{".", "../schema", "../store", "../session", "../rpc"} {
		for _, file := range sources(t, room) {
			errorsOf(t, file, made)
		}
	}
	documented := map[string]bool{}
	doc := readOpenAPI(t)
	for where, responses := range doc.answers() {
		for status, ref := range responses {
			name := ref.Ref[strings.LastIndexByte(ref.Ref, '/')+1:]
			for code, x := range doc.Components.Responses[name].Content["application/json"].Examples {
				documented[code] = true
				if !answersLike(made[code], status, x.Value.Type) {
					t.Errorf("%s: no %s of type %s is answered with %s", where, code, x.Value.Type, status)
				}
			}
		}
	}
	for code := range made {
		_, not := unanswered[code]
		if told := documented[code] || slices.Contains(inLines, code); told == not {
			t.Errorf("%s is documented: %t", code, told)
		}
	}
}

// answers are those of every operation, and those elsewhere.
func (d openAPI) answers() map[string]map[string]jsonSchema {
	all := map[string]map[string]jsonSchema{"elsewhere": d.Elsewhere}
	for path, methods := range d.Paths {
		for method, o := range methods {
			all[method+" "+path] = o.Responses
		}
	}
	return all
}

func answersLike(kinds map[schema.Kind]bool, status, typ string) bool {
	for kind := range kinds {
		if f := forms[kind]; strconv.Itoa(f.status) == status && f.word == typ {
			return true
		}
	}
	return false
}

func sources(t *testing.T, room string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(room, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// errorsOf notes the kind and the code of every schema.Errorf and schema.Error
// in a file.
func errorsOf(t *testing.T, file string, made map[string]map[schema.Kind]bool) {
	t.Helper()
	kinds := kindsByName(t)
	ast.Inspect(parse(t, file), func(n ast.Node) bool {
		code, ok := "", false
		kind, known := schema.Internal, false
		switch n := n.(type) {
		case *ast.CallExpr:
			if len(n.Args) >= 3 && nameOf(n.Fun) == "Errorf" {
				code, ok = literal(n.Args[1])
				kind, known = kinds[nameOf(n.Args[0])]
			}
		case *ast.CompositeLit:
			if nameOf(n.Type) == "Error" {
				code, ok = literal(memberOf(n, "Code"))
				kind, known = kinds[nameOf(memberOf(n, "Kind"))]
			}
		}
		if ok && known {
			if made[code] == nil {
				made[code] = map[schema.Kind]bool{}
			}
			made[code][kind] = true
		}
		return true
	})
}

// memberOf is the value of a member; nil: it has none.
func memberOf(lit *ast.CompositeLit, name string) ast.Expr {
	for _, x := range lit.Elts {
		if kv, ok := x.(*ast.KeyValueExpr); ok && nameOf(kv.Key) == name {
			return kv.Value
		}
	}
	return nil
}

// nameOf is the last part of a name.
func nameOf(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.SelectorExpr:
		return x.Sel.Name
	case *ast.Ident:
		return x.Name
	}
	return ""
}

// kindsByName are the constants of schema.Kind, in the order of their numbers.
func kindsByName(t *testing.T) map[string]schema.Kind {
	t.Helper()
	all := map[string]schema.Kind{}
	ast.Inspect(parse(t, "../schema/errors.go"), func(n ast.Node) bool {
		d, ok := n.(*ast.GenDecl)
		if !ok || d.Tok != token.CONST {
			return true
		}
		for i, spec := range d.Specs {
			all[spec.(*ast.ValueSpec).Names[0].Name] = schema.Kind(i)
		}
		return false
	})
	return all
}
