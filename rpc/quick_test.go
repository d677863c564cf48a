package rpc

import (
	"reflect"
	"strings"
	"testing"

	"github.com/edgetether/tether/schema"
)

// quickCases are texts, and whether quick takes them.
var quickCases = []struct {
	text string
	ok   bool
}{
	{benchPing, true},
	{benchReport, true},
	{` { "a" : [ 1 , -0 , 2.5e-3, true,false,null, [ ] , { } ] } `, true},
	{`{}`, true},
	{`{"jsonrpc":"2.0","id":"x","result":"pong"}`, true},
	{`{"a":{"a":{"a":{"a":1}}}}`, true},
	{`{"a":` + strings.Repeat("9", schema.MaxNumber) + `}`, true},
	{`{"a":` + strings.Repeat("9", schema.MaxNumber+1) + `}`, false},
	{`{"a":1,"a":1}`, false},
	{`{"p":{"a":1,"b":2,"a":3}}`, false},
	{`{"\u0061":1}`, false},
	{"{\"a\":\"\t\"}", false},
	{"{\"a\":\"\x00\"}", false},
	{"{\"a\":\"\xff\"}", false},
	{`{"a":"é"}`, false},
	{`{"a":01}`, false},
	{`{"a":1.}`, false},
	{`{"a":.5}`, false},
	{`{"a":1e}`, false},
	{`{"a":-}`, false},
	{`{"a":truex}`, false},
	{`{"a":tru`, false},
	{`{"a":[1,]}`, false},
	{`{"a":1,}`, false},
	{`{"a":1}{}`, false},
	{"{\"a\":1}\x00", false},
	{`{"a":"`, false},
	{`{"a"`, false},
	{`{`, false},
	{``, false},
	{`[]`, false},
	{`{"a":{"a":{"a":{"a":{"a":1}}}}}`, false},
	{`{"a":[[[[1]]]]}`, false},
}

// TestQuick: what quick takes, and that it then says what the decoder says.
func TestQuick(t *testing.T) {
	for _, c := range quickCases {
		var e envelope
		if got := quickly([]byte(c.text), &e); got != c.ok {
			t.Errorf("%q: %v", c.text, got)
		}
		checkQuick(t, []byte(c.text))
	}
	var many strings.Builder
	for i := range quickMembers {
		many.WriteString(`,"` + strings.Repeat("m", i+1) + `":1`)
	}
	text := "{" + many.String()[1:] + "}"
	if !quickly([]byte(text), &envelope{}) || quickly([]byte(`{"n":1,`+text[1:]), &envelope{}) {
		t.Errorf("%d members are taken, and no more", quickMembers)
	}
}

func FuzzQuick(f *testing.F) {
	for _, c := range quickCases {
		f.Add([]byte(c.text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { checkQuick(t, raw) })
}

// checkQuick compares what quick has taken with what the decoder makes of it.
func checkQuick(t *testing.T, raw []byte) {
	var e envelope
	if !quickly(raw, &e) {
		return
	}
	if got, want := e.judge(), judgeAny(raw); !reflect.DeepEqual(got, want) {
		t.Errorf("%q: %+v, not %+v", raw, got, want)
	}
}
