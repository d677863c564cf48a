package conform

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/edgetether/tether/schema"
)

var messageScenarios = []scenario[*probe]{
	{"ping", "ping, and ids", []rule{
		{"pong", "southbound 2", `Result "pong"`},
		{"ids", "southbound 1", "A client may use integers or strings. An id is answered with the same id, same type"},
		{"no-id", "southbound 1", "An id that is null, a fraction or another type is -32600"},
		{"notification", "southbound 1", "Notifications are never answered, whatever they hold"},
	}, serverPing},
	{"discover", "rpc.discover", []rule{
		{"document", "southbound 2", "Result: the OpenRPC document of this direction, exactly the file in schema/"},
	}, serverDiscover},
	{"report", "upload_status_info", []rule{
		{"taken", "southbound 2", "Result {}; the members of the three objects are optional"},
		{"unknown", "southbound 2", "Unknown members are ignored"},
		{"refused", "southbound 6", "-32602: the message names the member and what is wrong with it"},
		{"stays", "southbound 1", "The connection is read on"},
	}, serverReport},
	{"result", "upload_instruction_result of an order that is not the device's", []rule{
		{"refused", "southbound 2", "An order of another device is -32602"},
	}, serverResult},
	{"unknown-method", "A method that there is not", []rule{
		{"error", "southbound 6", "-32601 method not found"},
	}, serverUnknown},
	{"invalid", "JSON that is no request, and what is no JSON", []rule{
		{"parse", "southbound 1", "Malformed JSON: answered -32700 with id null, and the connection is read on"},
		{"request", "southbound 1", "A well-formed object that is no request gets -32600"},
		{"limits", "southbound 1", "JSON: depth at most 32, numbers at most 32 characters, no name twice, names are case-sensitive"},
		{"read-on", "southbound 1", "The connection is read on"},
	}, serverInvalid},
	{"malformed", "20 malformed messages in a row", []rule{
		{"nineteen", "southbound 1", "19 are answered, and a valid one begins the count anew"},
		{"closed", "southbound 1", "20 in a row close with 1008"},
	}, serverMalformed},
	{"unasked", "20 responses in a row that nobody asked for", []rule{
		{"closed", "southbound 5", "1008: 20 unasked responses in a row"},
	}, serverUnasked},
	{"batch", "Batches", []rule{
		{"answers", "southbound 1", "Of requests: answered as the specification says, one array"},
		{"member", "southbound 1", "A member that is no request gets its own -32600"},
		{"empty", "southbound 1", "An empty one gets a single -32600"},
		{"large", "southbound 1", "and so does one of more than 64 members"},
		{"silent", "southbound 1", "One of notifications alone is not answered"},
	}, serverBatch},
}

func serverPing(p *probe) error {
	l, _, err := p.login()
	if err != nil {
		return err
	}
	defer l.drop()
	for _, id := range []string{`7`, `"7"`, `-1`, `9007199254740993`, `"grün"`, `""`} {
		m, err := l.ask(`{"jsonrpc":"2.0","id":` + id + `,"method":"ping"}`)
		if err != nil {
			return err
		}
		p.check("pong", string(m.result) == `"pong"`, `"pong"`, "%s", m)
		p.check("ids", sameID(m.id, id), "id "+id, "id %s", m.id)
	}
	for _, id := range []string{`null`, `1.5`, `{}`, `[1]`, `true`} {
		m, err := l.ask(`{"jsonrpc":"2.0","id":` + id + `,"method":"ping"}`)
		p.errs("no-id", m, err, -32600)
	}
	for _, text := range []string{
		`{"jsonrpc":"2.0","method":"ping"}`, `{"jsonrpc":"2.0","method":"conform_unheard"}`,
		`{"jsonrpc":"2.0","method":"upload_status_info","params":{"CPU_info":7}}`,
	} {
		if err := l.send(text); err != nil {
			return err
		}
	}
	m, err := l.ask(`{"jsonrpc":"2.0","id":"last","method":"ping"}`)
	p.check("notification", err == nil && m.id == `"last"`, "no answer before the next request's", "%s, id %s", why(err, m.String()), m.id)
	return nil
}

// sameID compares ids by type and value: a string may be written in two ways.
func sameID(a, b string) bool {
	if a == b {
		return true
	}
	var x, y string
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && x == y
}

func serverDiscover(p *probe) error {
	l, _, err := p.login()
	if err != nil {
		return err
	}
	defer l.drop()
	m, err := l.call(schema.MethodDiscover, "{}")
	if err != nil {
		return err
	}
	want, got := schema.OpenRPCDevice, m.result
	same := err == nil && canonical(want) == canonical(got)
	p.check("document", same, fmt.Sprintf("%d bytes", len(want)), "%d bytes: %s", len(got), excerpt(got))
	return nil
}

// canonical is a JSON text whose white space and order of names do not matter.
func canonical(raw []byte) string {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return ""
	}
	text, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return ""
	}
	return string(text)
}

const empties = `"CPU_info":{},"Memory_info":{},"Disk_info":{}`

func serverReport(p *probe) error {
	l, _, err := p.login()
	if err != nil {
		return err
	}
	defer l.drop()
	for _, c := range []struct{ key, params string }{
		{"taken", `{` + empties + `}`},
		{"taken", fmt.Sprintf(`{"device_id":%q,"CPU_info":{"user_cpu_time":4112.78},"Memory_info":{"total_memory_mb":1673},`+
			`"Disk_info":{"root_used_percent":27.6},"dev_state":"online","custom":{"uses_last_hour":12}}`, p.o.Device.ID)},
		{"unknown", `{"CPU_info":{"flux":1},"Memory_info":{},"Disk_info":{},"conform_extra":[1]}`},
	} {
		m, err := l.call(schema.MethodUploadStatus, c.params)
		p.check(c.key, err == nil && string(m.result) == "{}", "{}", "%s", why(err, m.String()))
	}
	for _, c := range []struct{ params, names string }{
		{`{"Memory_info":{},"Disk_info":{}}`, "CPU_info"},
		{`{"CPU_info":{},"Memory_info":7,"Disk_info":{}}`, "Memory_info"},
		{`{"CPU_info":{"user_cpu_time":"4"},"Memory_info":{},"Disk_info":{}}`, "user_cpu_time"},
		{`{"CPU_info":{},"Memory_info":{},"Disk_info":{"root_used_percent":101}}`, "root_used_percent"},
		{`{"device_id":"1",` + empties + `}`, "device_id"},
		{`{"custom":[],` + empties + `}`, "custom"},
		{`{"custom":{"x":"` + strings.Repeat("x", schema.MaxCustom) + `"},` + empties + `}`, "custom"},
	} {
		m, err := l.call(schema.MethodUploadStatus, c.params)
		named := err == nil && m.err != nil && m.err.Code == -32602 && strings.Contains(m.err.Message, c.names)
		p.check("refused", named, "-32602 that names "+c.names, "%s", why(err, m.String()))
	}
	return p.pings("stays", l)
}

func serverResult(p *probe) error {
	l, _, err := p.login()
	if err != nil {
		return err
	}
	defer l.drop()
	m, err := l.call(schema.MethodUploadResult, `{"order_id":"1","status":"success","message":""}`)
	p.errs("refused", m, err, -32602)
	return nil
}

func serverUnknown(p *probe) error {
	l, _, err := p.login()
	if err != nil {
		return err
	}
	defer l.drop()
	for _, method := range []string{"conform_unheard", "PING", "give_order", ""} {
		m, err := l.call(method, "{}")
		p.errs("error", m, err, -32601)
	}
	return nil
}

func serverInvalid(p *probe) error {
	l, _, err := p.login()
	if err != nil {
		return err
	}
	defer l.drop()
	deep := strings.Repeat("[", schema.MaxDepth) + strings.Repeat("]", schema.MaxDepth)
	for _, c := range []struct {
		key, text string
		code      int
	}{
		{"parse", `{`, -32700}, {"parse", `{"jsonrpc":"2.0","id":1,"method":"ping"`, -32700}, {"parse", `nonsense`, -32700},
		{"request", `{"jsonrpc":"1.0","id":1,"method":"ping"}`, -32600}, {"request", `{"jsonrpc":"2.0","id":1}`, -32600},
		{"request", `{"jsonrpc":"2.0","id":1,"method":7}`, -32600}, {"request", `"ping"`, -32600}, {"request", `7`, -32600},
		{"request", `{"jsonrpc":"2.0","id":1,"method":"ping","params":7}`, -32600},
		{"limits", `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":1,"a":2}}`, -32600},
		{"limits", `{"JSONRPC":"2.0","id":1,"method":"ping"}`, -32600},
		{"limits", `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"n":` + strings.Repeat("1", schema.MaxNumber+1) + `}}`, -32600},
		{"limits", `{"jsonrpc":"2.0","id":1,"method":"ping","params":` + deep + `}`, -32600},
	} {
		m, err := l.ask(c.text)
		p.errs(c.key, m, err, c.code)
		if err == nil && c.code == -32700 {
			p.check(c.key, m.id == "null", "id null", "id %s", m.id)
		}
		if err != nil {
			return err
		}
	}
	return p.pings("read-on", l)
}

func serverMalformed(p *probe) error {
	l, _, err := p.login()
	if err != nil {
		return err
	}
	defer l.drop()
	for range schema.MaxMalformed - 1 {
		if _, err := l.ask("{"); err != nil {
			return err
		}
	}
	if err := p.pings("nineteen", l); err != nil {
		return err
	}
	for range schema.MaxMalformed {
		if err := l.send("{"); err != nil {
			return err
		}
	}
	return p.closes("closed", l, schema.ClosePolicy)
}

func serverUnasked(p *probe) error {
	l, _, err := p.login()
	if err != nil {
		return err
	}
	defer l.drop()
	for n := range schema.MaxMalformed {
		if err := l.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":{"status":"success","message":""}}`, 900000+n)); err != nil {
			return err
		}
	}
	return p.closes("closed", l, schema.ClosePolicy)
}

func serverBatch(p *probe) error {
	l, _, err := p.login()
	if err != nil {
		return err
	}
	defer l.drop()
	answers, err := l.askBatch(`[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"ping"},7,{"jsonrpc":"2.0","id":"x","method":"conform_unheard"}]`)
	if err != nil {
		return err
	}
	found := map[string]string{}
	for _, m := range answers {
		found[m.id] = m.String()
	}
	ok := len(answers) == 3 && found["1"] == `result "pong"` && strings.HasPrefix(found[`"x"`], "error -32601")
	p.check("answers", ok, "three answers: 1, null and x", "%v", found)
	p.check("member", strings.HasPrefix(found["null"], "error -32600"), "-32600 with id null", "%v", found)
	m, err := l.ask(`[]`)
	p.errs("empty", m, err, -32600)
	many := strings.TrimSuffix(strings.Repeat(`{"jsonrpc":"2.0","id":1,"method":"ping"},`, schema.MaxBatch+1), ",")
	answers, err = l.askBatch(`[` + many + `]`)
	p.check("large", err == nil && len(answers) == 1 && answers[0].err != nil && answers[0].err.Code == -32600, "-32600", "%v", err)
	if err := l.send(`[{"jsonrpc":"2.0","method":"ping"},{"jsonrpc":"2.0","method":"ping"}]`); err != nil {
		return err
	}
	return p.pings("silent", l)
}

// askBatch sends a text and returns the messages of the answer's frame.
func (l *link) askBatch(text string) ([]message, error) {
	if err := l.send(text); err != nil {
		return nil, err
	}
	return l.next(answerWithin)
}

var slowScenarios = []scenario[*probe]{
	{"slow-login", "A connection that does not log in", []rule{
		{"closed", "southbound 2", "Within 5 s of the upgrade (else 4408)"},
	}, func(p *probe) error { return p.slow(schema.LoginTimeout, schema.CloseLiveness, nil) }},
	{"slow-message", "A message whose end does not come", []rule{
		{"closed", "southbound 1", "A message must be whole within 10 s of its first byte: 1008"},
	}, func(p *probe) error {
		return p.slow(schema.MessageTimeout, schema.ClosePolicy, func(l *link) error { return l.raw(maskedFrame(textOp, "{")) })
	}},
	{"silence", "A device that says nothing", []rule{
		{"closed", "southbound 4", "18.5 s after the last message: 4408"},
	}, func(p *probe) error {
		return p.slow(schema.FirstDue+2*schema.NextDue, schema.CloseLiveness, func(*link) error { return nil })
	}},
}

// slow checks when a connection is closed, and with what. begin is called on
// one that is logged in; nil leaves it as it is.
func (p *probe) slow(d time.Duration, code schema.CloseCode, begin func(*link) error) error {
	if !p.o.Slow {
		return &unexercised{fmt.Sprintf("it takes %v: --slow", d)}
	}
	l, _, err := p.dial(nil)
	if begin != nil && err == nil {
		l.drop()
		l, _, err = p.login()
	}
	if err != nil {
		return err
	}
	defer l.drop()
	since := l.opened
	if begin != nil {
		since = time.Now()
		if err := begin(l); err != nil {
			return err
		}
	}
	end, err := l.closed(d + answerWithin)
	if err != nil {
		return err
	}
	took, lo, hi := end.at.Sub(since), p.o.Slack.early(d), p.o.Slack.late(d)
	ok := end.code == code && took >= lo && took <= hi
	p.check("closed", ok, fmt.Sprintf("closed with %d %s", code, span(lo, hi)), "%s after %v", end.said(), round(took))
	return nil
}
