package northapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/store"
)

// importLine is any line of an import's answer.
type importLine struct {
	Line     int64
	Hardware schema.Hardware
	DeviceID string `json:"device_id"`
	Password string
	Type     string
	Code     string
	Message  string
	Done     *bool
	DryRun   bool `json:"dry_run"`
	Lines    int64
	Added    int64
	Failed   int64
}

// device is a line of NDJSON.
func deviceLine(sn, more string) string {
	return fmt.Sprintf(`{"device_name":"n","hardware":{"sn":%q,"model":"M"}%s}`+"\n", sn, more)
}

// imports sends a body as an import and reads the lines of its answer.
func (w *world) imports(query, media string, body io.Reader) []importLine {
	w.t.Helper()
	r := w.request("admin", post, "device_import"+query, "")
	r.Header.Set("Content-Type", media)
	r.Body, r.ContentLength = io.NopCloser(body), -1
	return w.importLines(w.send(r).want(w.t, 200, "").body)
}

func (w *world) importLines(body string) (lines []importLine) {
	w.t.Helper()
	for text := range strings.Lines(body) {
		var l importLine
		w.must(json.Unmarshal([]byte(text), &l))
		lines = append(lines, l)
	}
	if n := len(lines); n == 0 || lines[n-1].Done == nil {
		w.t.Fatalf("no last line in %s", body)
	}
	return lines
}

// codes shows which lines were answered how: "2" is good, "3:code" is not.
func codes(lines []importLine) string {
	text := ""
	for _, l := range lines {
		switch {
		case l.Done != nil:
			text += fmt.Sprintf("%t %d=%d+%d %s", *l.Done, l.Lines, l.Added, l.Failed, l.Code)
		case l.Code != "":
			text += fmt.Sprintf("%d:%s ", l.Line, l.Code)
		default:
			text += fmt.Sprintf("%d ", l.Line)
		}
	}
	return text
}

func wantCodes(t testing.TB, lines []importLine, want string) {
	t.Helper()
	if got := codes(lines); got != want {
		t.Errorf("answered\n%s, want\n%s\n%+v", got, want, lines)
	}
}

const ndjson, csvText = "application/x-ndjson", "text/csv; charset=utf-8"

// TestImport_NDJSON: good lines are kept, bad ones change nothing, and each
// has its answer in its place.
func TestImport_NDJSON(t *testing.T) {
	w := newWorld(t)
	lines := w.imports("", ndjson, strings.NewReader("\ufeff"+deviceLine("a", `,"enabled":false`)+"\r\n"+
		deviceLine("a", "")+deviceLine("b", `,"colour":1`)+`{"device_name":`+"\n"+`{"device_name":"n","hardware":{"sn":"SN`+ownDevice+`","model":"M"}}`+"\n"+
		deviceLine("c", `,"password":"short"`)+deviceLine("c", `,"password":"chosen by me"`)+strings.TrimSuffix(deviceLine("d", ""), "\n")))
	wantCodes(t, lines, "1 3:device_exists 4:invalid_member 5:malformed_json 6:device_exists 7:invalid_member 8 9 true 8=3+5 ")
	if l := lines[2]; l.Message != "colour: unknown member" || l.Type != "GENERAL_ERROR" {
		t.Errorf("told %+v", l)
	}
	if lines[6].Password != "chosen by me" || lines[0].Hardware.SN != "a" {
		t.Errorf("told %+v", lines)
	}
	for _, l := range []importLine{lines[0], lines[6], lines[7]} {
		d := into[schema.Device](t, w.do("viewer", get, "device_query/"+l.DeviceID, "").want(t, 200, ""))
		if d.Hardware != l.Hardware || d.CreatedTime != present || d.Enabled != (l.Line != 1) {
			t.Errorf("kept %+v of %+v", d, l)
		}
		c, err := w.store.Credential(t.Context(), schema.LoginParams{DeviceID: l.DeviceID}, present)
		w.must(err)
		c.Enabled = true
		if !w.secrets.Verify(c, schema.LoginParams{Password: l.Password}) {
			t.Errorf("no login with %+v", l)
		}
	}
	log := into[schema.List[schema.Event]](t, w.do("viewer", get, "device_log_query/"+lines[7].DeviceID, ""))
	if len(log.Items) != 1 || log.Items[0].By != "key:admin" || log.Items[0].Kind != schema.EventUpdate {
		t.Errorf("logged %+v", log)
	}
}

// TestImport_CSV: columns in any order, empty cells left out, one device a line.
func TestImport_CSV(t *testing.T) {
	w := newWorld(t)
	lines := w.imports("", csvText, strings.NewReader("\ufeffhardware.sn,device_name,hardware.model,nic,enabled,password,software.version\r\n"+
		`a,"one, ""two""",M,"[{""type"":""lte"",""mac"":"""",""ipv4"":""10.0.0.1""}]",false,chosen by me,1.2`+"\r\n"+
		"b,n,M,,,,\n"+
		"c,n,M\n"+
		"c,\"n\nn\",M,,,,\n"+
		"c,n,M,{},,,\n"+
		"c,n,M,,yes,,\n"+
		",n,M,,,,\n"))
	wantCodes(t, lines, "2 3 4:malformed_csv 5:malformed_csv 6:malformed_csv 7:invalid_member 8:invalid_member 9:invalid_member true 8=2+6 ")
	for i, message := range map[int]string{
		2: "line: has 3 cells, the first line 7", 5: "nic: must be a JSON array of interfaces", 6: "enabled: must be true or false", 7: "hardware.sn: required",
	} {
		if lines[i].Message != message {
			t.Errorf("told %+v, want %s", lines[i], message)
		}
	}
	d := into[schema.Device](t, w.do("viewer", get, "device_query/"+lines[0].DeviceID, ""))
	if d.Name != `one, "two"` || d.Enabled || d.NIC[0].IPv4 != "10.0.0.1" || d.Software.Version != "1.2" || d.BusinessSoftware != nil {
		t.Errorf("kept %+v", d)
	}
	if d := into[schema.Device](t, w.do("viewer", get, "device_query/"+lines[1].DeviceID, "")); !d.Enabled || d.Software != nil || len(d.NIC) != 0 {
		t.Errorf("kept %+v", d)
	}
}

// TestImport_CSVColumns: every member has its column.
func TestImport_CSVColumns(t *testing.T) {
	w := newWorld(t)
	lines := w.imports("", csvText, strings.NewReader(
		"device_name,device_type,dev_description,hardware.sn,hardware.model,software.version,software.last_update,software.status,"+
			"business_software.version,business_software.last_update,business_software.status\n"+
			"n,t,d,s,m,1,2026-10-02,up,2,2026-10-03,down\n"))
	wantCodes(t, lines, "2 true 1=1+0 ")
	d := into[schema.Device](t, w.do("viewer", get, "device_query/"+lines[0].DeviceID, ""))
	want := schema.Device{Name: "n", Type: "t", Description: "d", Hardware: schema.Hardware{SN: "s", Model: "m"}}
	if d.Name != want.Name || d.Type != want.Type || d.Description != want.Description || d.Hardware != want.Hardware ||
		*d.Software != (schema.Software{Version: "1", LastUpdate: "2026-10-02", Status: "up"}) ||
		*d.BusinessSoftware != (schema.Software{Version: "2", LastUpdate: "2026-10-03", Status: "down"}) {
		t.Errorf("kept %+v", d)
	}
}

// TestImport_RefusedAsAWhole: what is wrong before the first line is 400.
func TestImport_RefusedAsAWhole(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ query, media, body, message string }{
		{"", "application/json", "{}", "Content-Type: must be application/x-ndjson or text/csv"},
		{"", "", "{}", "Content-Type: must be application/x-ndjson or text/csv"},
		{"?dry_run=yes", ndjson, "", "dry_run: must be true or false"},
		{"?dry_run=", ndjson, "", "dry_run: must be true or false"},
		{"?dry_run=true&dry_run=true", ndjson, "", "dry_run: is given twice"},
		{"?dry=true", ndjson, "", "dry: unknown parameter"},
		{"", csvText, "", "body: must begin with the names of its columns, in a line of at most 65536 bytes"},
		{"", csvText, strings.Repeat("x", schema.MaxImportLine+1), "body: must begin with the names of its columns, in a line of at most 65536 bytes"},
		{"", csvText, "device_name;sn\n", "device_name;sn: unknown column"},
		{"", csvText, "device_name,Device_Name\n", "Device_Name: unknown column"},
		{"", csvText, "device_name,device_name\n", "device_name: is given twice"},
		{"", csvText, "\"device_name\n", "line: malformed CSV: a quote is missing, or is where none may be"},
	} {
		r := w.request("admin", post, "device_import"+c.query, c.body)
		r.Header.Set("Content-Type", c.media)
		if a := w.send(r); a.status != 400 || a.Message != c.message {
			t.Errorf("%+v: %d %s", c, a.status, a.body)
		}
	}
	r := w.request("admin", post, "device_import", "{}")
	r.Header.Set("Idempotency-Key", "k")
	w.send(r).want(t, 400, "not_offered")
}

// TestImport_LineLimit: a line may have MaxImportLine bytes, without its end;
// a longer one costs only itself.
func TestImport_LineLimit(t *testing.T) {
	w := newWorld(t)
	sized := func(sn string, n int) string {
		text := strings.TrimSuffix(deviceLine(sn, ""), "\n")
		return strings.Repeat(" ", n-len(text)) + text
	}
	const most = schema.MaxImportLine
	lines := w.imports("", ndjson, strings.NewReader(sized("a", most)+"\r\n"+sized("b", most+1)+"\n"+sized("c", 5*most)+"\n"+
		sized("d", most)+"\n"+sized("e", most+1)))
	wantCodes(t, lines, "1 2:line_too_large 3:line_too_large 4 5:line_too_large true 5=2+3 ")
}

// TestImport_DryRun finds what an import would, and changes nothing.
func TestImport_DryRun(t *testing.T) {
	w := newWorld(t)
	body := deviceLine("a", `,"password":"chosen by me"`) + deviceLine("a", "") + deviceLine("b", `,"nic":1`) + deviceLine("SN"+ownDevice, "")
	lines := w.imports("?dry_run=true", ndjson, strings.NewReader(body))
	wantCodes(t, lines, "1 2:device_exists 3:invalid_member 4:device_exists true 4=0+3 ")
	if l := lines[0]; l.DeviceID != "" || l.Password != "" || !lines[4].DryRun {
		t.Errorf("told %+v", lines)
	}
	if list := into[schema.List[schema.Device]](t, w.do("viewer", get, "device_query_all", "")); len(list.Items) != 2 {
		t.Errorf("there are %d devices", len(list.Items))
	}
	wantCodes(t, w.imports("", ndjson, strings.NewReader(body)), "1 2:device_exists 3:invalid_member 4:device_exists true 4=1+3 ")
}

// TestImport_TheSameAgain changes nothing and says so line by line, over
// several batches.
func TestImport_TheSameAgain(t *testing.T) {
	w := newWorld(t)
	var body, first, again strings.Builder
	const n = 600
	for i := range n {
		body.WriteString(deviceLine(fmt.Sprint("s", i), ""))
		fmt.Fprintf(&first, "%d ", i+1)
		fmt.Fprintf(&again, "%d:device_exists ", i+1)
	}
	wantCodes(t, w.imports("", ndjson, strings.NewReader(body.String())), fmt.Sprintf("%strue %d=%d+0 ", &first, n, n))
	wantCodes(t, w.imports("", ndjson, strings.NewReader(body.String())), fmt.Sprintf("%strue %d=0+%d ", &again, n, n))
}

// TestImport_BodyCut: what came whole is kept; a line that was cut is not.
func TestImport_BodyCut(t *testing.T) {
	w := newWorld(t)
	cut := io.MultiReader(strings.NewReader(deviceLine("a", "")+strings.TrimSuffix(deviceLine("b", ""), "\n")), iotest.ErrReader(io.ErrUnexpectedEOF))
	wantCodes(t, w.imports("", ndjson, cut), "1 false 1=1+0 body_cut")
	long := io.MultiReader(strings.NewReader(strings.Repeat("x", 3*schema.MaxImportLine)), iotest.ErrReader(io.ErrUnexpectedEOF))
	wantCodes(t, w.imports("", ndjson, long), "false 0=0+0 body_cut")
}

// TestImport_CallerLeaves: nothing is added of which nobody would hear.
func TestImport_CallerLeaves(t *testing.T) {
	w := newWorld(t)
	ctx, leave := context.WithCancel(t.Context())
	leave()
	r := w.request("admin", post, "device_import", deviceLine("a", "")).WithContext(ctx)
	w.serve(withKeyOf(w))
	wantCodes(t, w.importLines(w.send(r).body), "false 0=0+0 body_cut")
}

// withKeyOf is the world's handler with auth off: a request whose caller has
// left could not have its key looked up.
func withKeyOf(w *world) http.Handler {
	return northapi.New(northapi.Config{AuditLog: w.store,
		Devices: w.store, Sessions: w.sessions, Secrets: w.secrets, AuthOff: true,
		NewID: func() string { return "1" },
	})
}

// TestImport_Stops: at a server that stops, and at a store that fails, the
// last line says how far it came.
func TestImport_Stops(t *testing.T) {
	draining := false
	w := newWorld(t, func(c *northapi.Config) { c.Draining = func() bool { return draining } })
	stop := &onEOF{text: deviceLine("a", ""), do: func() { draining = true }, then: deviceLine("b", "")}
	wantCodes(t, w.imports("", ndjson, stop), "1 false 1=1+0 draining")
	draining = false
	stop = &onEOF{text: deviceLine("c", ""), do: func() { w.must(w.store.Close()) }, then: deviceLine("d", "")}
	wantCodes(t, w.imports("?dry_run=false", ndjson, stop), "1 false 1=1+0 store_unavailable")
}

// TestT12_ImportRevoked: a key that is revoked adds nothing more to what it has
// begun, whatever comes of the file.
func TestT12_ImportRevoked(t *testing.T) {
	w := newWorld(t)
	list := into[schema.List[schema.Key]](t, w.do("admin", get, "key_query_all", ""))
	i := slices.IndexFunc(list.Items, func(k schema.Key) bool { return k.Name == "admin" })
	revoke := func() {
		w.must(w.store.RevokeKey(t.Context(), list.Items[i].KeyID, present))
		w.now = w.now.Add(500 * time.Millisecond)
	}
	stop := &onEOF{text: deviceLine("a", ""), do: revoke, then: deviceLine("b", "")}
	wantCodes(t, w.imports("", ndjson, stop), "1 false 1=1+0 unauthenticated")
}

// onEOF reads text, and then, after do, the rest.
type onEOF struct {
	text, then string
	do         func()
}

func (r *onEOF) Read(p []byte) (int, error) {
	if r.text == "" && r.do != nil {
		r.do()
		r.text, r.do = r.then, nil
	}
	if r.text == "" {
		return 0, io.EOF
	}
	n := copy(p, r.text)
	r.text = r.text[n:]
	return n, nil
}

// failing is a store whose imports go wrong in ways that the real one does not.
type failing struct {
	*store.Store
	add func() ([]error, error)
}

func (f failing) AddDevices(context.Context, []schema.NewDevice, string) ([]error, error) {
	return f.add()
}

// TestImport_InsideIsNotTold: errors and panics of the inside are logged, and
// their text is not answered.
func TestImport_InsideIsNotTold(t *testing.T) {
	for want, add := range map[string]func() ([]error, error){
		"1:internal true 1=0+1 ":   func() ([]error, error) { return []error{errors.New("inner text")}, nil },
		"false 0=0+0 internal":     func() ([]error, error) { return nil, errors.New("inner text") },
		"false 0=0+0 internal\x00": func() ([]error, error) { panic("inner text") },
	} {
		w := newWorld(t)
		w.serve(northapi.New(northapi.Config{AuditLog: w.store,
			Devices: failing{w.store, add}, Secrets: w.secrets, AuthOff: true, NewID: func() string { return "1" },
			Log: func(_ string, err error) { fmt.Fprintln(&w.logged, err) },
		}))
		a := w.send(w.request("", post, "device_import", deviceLine("a", "")))
		wantCodes(t, w.importLines(a.body), strings.TrimSuffix(want, "\x00"))
		if strings.Contains(a.body, "inner") || !strings.Contains(w.logged.String(), "inner text") {
			t.Errorf("answered %s, logged %s", a.body, &w.logged)
		}
	}
}

// TestImport_AnswersWhileItReads: over a real connection, a line is answered
// before the next one is sent, and the connection serves further requests.
func TestImport_AnswersWhileItReads(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewServer(w.handler)
	defer server.Close()
	body, send := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), post, server.URL+northapi.Base+"/device_import", body)
	w.must(err)
	r.Header.Set("Content-Type", ndjson)
	r.Header.Set("Authorization", "Bearer "+w.keys["admin"])
	go io.WriteString(send, deviceLine("s0", ""))
	resp, err := server.Client().Do(r)
	w.must(err)
	defer resp.Body.Close()
	answers := bufio.NewScanner(resp.Body)
	for i := range 5 {
		if !answers.Scan() || !strings.Contains(answers.Text(), fmt.Sprintf(`"line":%d,`, i+1)) {
			t.Fatalf("answer %d: %q, %v", i+1, answers.Text(), answers.Err())
		}
		_, err := io.WriteString(send, deviceLine(fmt.Sprint("s", i+1), ""))
		w.must(err)
	}
	w.must(send.Close())
	for answers.Scan() {
	}
	if answers.Err() != nil {
		t.Error(answers.Err())
	}
}
