package northapi

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/edgetether/tether/schema"
	"github.com/go-chi/chi/v5"
)

// The targets run below the frame, which would turn a panic into an answer.

// refusedProperly holds what decoding and checking answer to what may be
// shown: a fault of the caller's, in valid UTF-8, and short whatever came in.
func refusedProperly(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	e := schema.Public(err)
	if e.Kind != schema.Invalid && e.Kind != schema.TooLarge {
		t.Errorf("refused as %v", err)
	}
	if !utf8.ValidString(e.Message) || len(e.Message) > 400 || e.Code == "" {
		t.Errorf("refused with %q %q", e.Code, e.Message)
	}
}

// decoded reads and checks one kind of body.
func decoded[Q interface{ check() error }](t *testing.T, body string) (q Q, ok bool) {
	r := httptest.NewRequest(post, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	err := decodeBody(r, &q)
	if err == nil {
		err = q.check()
	}
	refusedProperly(t, err)
	return q, err == nil
}

// FuzzBody gives every text to every command: what passes keeps the rules.
func FuzzBody(f *testing.F) {
	f.Add(`{"device_name":"n","hardware":{"sn":"s","model":"m"},"nic":[{"type":"lte","mac":"","ipv4":"10.0.0.1","imei":"490154203237518"}],"password":"eight888"}`)
	f.Add(`{"device_id":"201","device_name":"n","software":null,"nic":null,"enabled":false}`)
	f.Add(`{"device_id":"201","order":"blink","params":{"n":[1e9,{"\"":"\\"}]},"wait_ms":0}`)
	f.Add(`{"group_id":"1","group_ids":["1","2"],"delete_devices":true}`)
	f.Add(`{"name":"n","role":"viewer","group_ids":["1"]}`)
	f.Add(`{"a":1,"a":2}`)
	f.Add(`[[[[`)
	f.Fuzz(func(t *testing.T, body string) {
		if q, ok := decoded[deviceAdd](t, body); ok && (q.Name == "" || q.Hardware.SN == "" || len(q.NIC) > schema.MaxNICs) {
			t.Errorf("taken: %+v", q)
		}
		if q, ok := decoded[giveOrder](t, body); ok && (q.wait() > schema.OrderTimeout || len(q.params()) > schema.MaxParams) {
			t.Errorf("taken: %+v", q)
		}
		if q, ok := decoded[deviceUpdate](t, body); ok && q.patch() == (schema.DevicePatch{}) {
			t.Errorf("taken: %+v", q)
		}
		decoded[passwordUpdate](t, body)
		decoded[deviceGroups](t, body)
		decoded[groupAdd](t, body)
		decoded[groupUpdate](t, body)
		decoded[groupEmpty](t, body)
		decoded[relationRef](t, body)
		decoded[keyAdd](t, body)
	})
}

// FuzzQuery gives every path parameter and query string, cursors among them,
// to every list.
func FuzzQuery(f *testing.F) {
	f.Add("201", "limit=1&cursor=ZDA6MjAx")
	f.Add("201", "dev_state=online&name=%e2%82%ac&group_id=101&sn=s&model=m&device_type=t")
	f.Add("1", "since=1&until=2&kind=login")
	f.Add("1", "since=1&until=2&step=1000&dry_run=true")
	f.Add("x", "cursor=%00&cursor=")
	f.Add("", "a=%zz;b")
	f.Fuzz(func(t *testing.T, id, query string) {
		routed := chi.NewRouteContext()
		for _, name := range []string{"device_id", "group_id", "order_id"} {
			routed.URLParams.Add(name, id)
		}
		r := httptest.NewRequest(get, "/", nil)
		r.URL.RawQuery = query
		r = r.WithContext(context.WithValue(r.Context(), chi.RouteCtxKey, routed))
		fuzzQuery(t, r)
	})
}

func fuzzQuery(t *testing.T, r *http.Request) {
	var devices deviceList
	var events eventList
	var group groupPage
	var relation pair
	var reports historyList
	var imported importQuery
	for _, bind := range []func(*params){devices.bind, events.bind, group.bind, relation.bind, reports.bind, imported.bind} {
		refusedProperly(t, decodeParams(r, bind))
	}
	if decodeParams(r, events.bind) == nil {
		p, f := events.page, events.filter
		if p.Limit < 1 || p.Limit > schema.MaxPageLimit || len(p.Cursor) > 4*maxCursor || f.Since < 0 || f.Until < 0 || schema.CheckID("id", f.DeviceID) != nil {
			t.Errorf("taken: %+v", events)
		}
	}
	if h := reports.filter; decodeParams(r, reports.bind) == nil && (h.Step < 0 || h.Step > schema.MaxHistoryStep.Milliseconds()) {
		t.Errorf("taken: %+v", h)
	}
}

// FuzzImport gives every text to both forms of import. Whatever is in it, its
// lines are those of the text, none of them too long, and a device that comes
// out keeps the rules.
func FuzzImport(f *testing.F) {
	f.Add(`{"device_name":"n","hardware":{"sn":"s","model":"m"},"password":"eight888"}` + "\r\n\n" + `{"device_name":1}`)
	f.Add("\ufeffdevice_name,hardware.sn,hardware.model,nic,enabled\nn,s,m,\"[{\"\"type\"\":\"\"lte\"\"}]\",true\n\"a\nb\",,,,\n")
	f.Add("device_name,software.version,password\nn,,\n,1,eight888")
	f.Add("device_name\n" + strings.Repeat("x", schema.MaxImportLine+1) + "\ny")
	f.Add("nic,nic\n")
	f.Fuzz(func(t *testing.T, body string) {
		fuzzLines(t, newLineReader(strings.NewReader(body)), decodeJSONLine, strings.Count(body, "\n")+1)
		lines := newLineReader(strings.NewReader(body))
		decode, err := csvHeader(lines)
		refusedProperly(t, err)
		if err == nil {
			fuzzLines(t, lines, decode, strings.Count(body, "\n")+1)
		}
	})
}

func fuzzLines(t *testing.T, lines *lineReader, decode lineDecoder, most int) {
	for {
		before := lines.number
		text, err := lines.next()
		if err == io.EOF {
			return
		}
		if lines.number <= before || lines.number > int64(most) || len(text) > schema.MaxImportLine {
			t.Fatalf("line %d after %d of %d, %d bytes", lines.number, before, most, len(text))
		}
		refusedProperly(t, err)
		if err != nil {
			continue
		}
		q, err := decode(text)
		if err == nil {
			err = q.check()
		}
		refusedProperly(t, err)
		if err == nil && (q.Name == "" || q.Hardware.SN == "" || len(q.NIC) > schema.MaxNICs) {
			t.Errorf("taken: %+v", q)
		}
	}
}

// FuzzForwardedFor: whatever a client writes, the address is that of the
// connection, or one that a declared proxy appended.
func FuzzForwardedFor(f *testing.F) {
	for _, text := range []string{"203.0.113.9", "a, 203.0.113.9", "10.1.0.1, 203.0.113.9,10.1.0.2", "[2001:db8::1]:7", ",,", "::ffff:10.1.0.1"} {
		f.Add(text)
	}
	proxies := netip.MustParsePrefix("10.1.0.0/16")
	proxy, stranger, user := netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.2.0.1"), netip.MustParseAddr("203.0.113.9")
	f.Fuzz(func(t *testing.T, text string) {
		if got := client(stranger, []string{text}, proxies.Contains); got != stranger {
			t.Errorf("%q: a stranger is taken for %s", text, got)
		}
		if got := client(proxy, []string{text, user.String()}, proxies.Contains); got != user {
			t.Errorf("%q: the user of a proxy is taken for %s", text, got)
		}
		if got := client(proxy, []string{text}, proxies.Contains); !got.IsValid() || got.Zone() != "" || got.Is4In6() {
			t.Errorf("%q: %s", text, got)
		}
	})
}
