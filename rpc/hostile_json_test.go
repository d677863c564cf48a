package rpc

import (
	stdjson "encoding/json"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/edgetether/tether/schema"
)

// What becomes of a text that is sent as a message, or as a part of one.
const (
	accepted   = "accepted"
	parse      = "-32700" // no JSON
	notRequest = "-32600" // JSON, and beyond what the contract allows
	notUTF8    = "1007"
)

// jsonCase is a class of RFC 8259. The first letter of its name says what the
// RFC says: y must be accepted, n must be rejected, i is left open.
type jsonCase struct{ name, text, want string }

// TestRFC8259_Values sends each value as the one element of params.
func TestRFC8259_Values(t *testing.T) {
	for _, table := range [][]jsonCase{jsonNumbers, jsonStrings, jsonArrays, jsonObjects, jsonLiterals, jsonSpace} {
		for _, c := range table {
			t.Run(c.name, func(t *testing.T) { c.run(t, withParams("["+c.text+"]"), "["+c.text+"]") })
		}
	}
}

// TestRFC8259_Texts sends each text as a whole message.
func TestRFC8259_Texts(t *testing.T) {
	for _, c := range jsonTexts {
		t.Run(c.name, func(t *testing.T) { c.run(t, c.text, "") })
	}
}

// run sends a message; what is accepted is echoed, and means what it did.
func (c jsonCase) run(t *testing.T, message, echoed string) {
	switch letter, valid := c.name[0], stdjson.Valid([]byte(message)); {
	case letter == 'y' && !valid, letter == 'n' && valid && c.want != notUTF8:
		t.Errorf("another decoder thinks otherwise of %q", message)
	case letter == 'y' && c.want != accepted && c.want != notRequest, letter == 'n' && c.want == accepted:
		t.Error("the name says otherwise")
	}
	synctest.Test(t, func(t *testing.T) {
		s := servePipe(t, Options{}, echo)
		s.send(message)
		if c.want == notUTF8 {
			s.expectClose(schema.CloseUTF8, ReasonUTF8)
			return
		}
		defer s.stop()
		f := s.receive()
		if got := classOf(t, f); got != c.want {
			t.Errorf("%s in place of %s for %.100q", got, c.want, message)
		} else if got == accepted && echoed != "" && !same(f.payload, `{"jsonrpc":"2.0","id":7,"result":`+echoed+`}`) {
			t.Errorf("echoed as %.200s", f.payload)
		}
		s.send(ping(`"after"`))
		s.expect(pong(`"after"`))
	})
}

// classOf says which of the classes an answer belongs to.
func classOf(t *testing.T, f *wireFrame) string {
	var answer struct {
		Result stdjson.RawMessage
		Error  struct{ Code stdjson.Number }
	}
	if f == nil || stdjson.Unmarshal([]byte(f.payload), &answer) != nil {
		t.Fatalf("received %+v", f)
	}
	if answer.Result != nil {
		return accepted
	}
	return answer.Error.Code.String()
}

// same says whether two texts mean the same, by another decoder.
func same(a, b string) bool {
	var values [2]any
	for i, text := range []string{a, b} {
		d := stdjson.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if d.Decode(&values[i]) != nil {
			return false
		}
	}
	return reflect.DeepEqual(values[0], values[1])
}

var jsonNumbers = []jsonCase{
	{"y_number", "123e65", accepted},
	{"y_number_0", "0", accepted},
	{"y_number_minus_0", "-0", accepted},
	{"y_number_0e1", "0e+1", accepted},
	{"y_number_0e", "0e1", accepted},
	{"y_number_negative", "-123", accepted},
	{"y_number_minus_1", "-1", accepted},
	{"y_number_fraction", "123.456789", accepted},
	{"y_number_almost_zero", "-0.00000000000000000000000001", accepted},
	{"y_number_capital_e", "1E22", accepted},
	{"y_number_capital_e_minus", "1E-2", accepted},
	{"y_number_capital_e_plus", "1E+2", accepted},
	{"y_number_fraction_exponent", "123.456e78", accepted},
	{"y_number_after_space", " 4", accepted},
	{"y_number_of_32_characters", strings.Repeat("1", 32), accepted},
	{"y_number_of_33_characters", strings.Repeat("1", 33), notRequest},
	{"y_number_of_33_characters_fraction", "0." + strings.Repeat("1", 31), notRequest},
	{"i_number_huge_exponent", "0.4e006699999999999999999999", accepted},
	{"i_number_overflow", "1e999999999", accepted},
	{"i_number_underflow", "123e-10000000", accepted},
	{"i_number_beyond_64_bits", "100000000000000000000", accepted},
	{"i_number_beyond_a_double", "9007199254740993", accepted},
	{"n_number_plus", "+1", parse},
	{"n_number_plus_plus", "++1234", parse},
	{"n_number_minus", "-", parse},
	{"n_number_minus_minus", "--2.", parse},
	{"n_number_leading_zero", "012", parse},
	{"n_number_minus_leading_zero", "-01", parse},
	{"n_number_00", "00", parse},
	{"n_number_dot", ".", parse},
	{"n_number_begins_with_dot", ".123", parse},
	{"n_number_minus_dot", "-.123", parse},
	{"n_number_ends_with_dot", "1.", parse},
	{"n_number_minus_ends_with_dot", "-2.", parse},
	{"n_number_two_dots", "1.2.3", parse},
	{"n_number_dot_e", "0.e1", parse},
	{"n_number_no_exponent", "1.0e", parse},
	{"n_number_no_exponent_plus", "1.0e+", parse},
	{"n_number_no_exponent_minus", "1e-", parse},
	{"n_number_two_e", "1eE2", parse},
	{"n_number_exponent_fraction", "1e1.5", parse},
	{"n_number_0_capital_e_plus", "0E+", parse},
	{"n_number_hex", "0x42", parse},
	{"n_number_hex_digit", "1a", parse},
	{"n_number_NaN", "NaN", parse},
	{"n_number_minus_NaN", "-NaN", parse},
	{"n_number_Infinity", "Infinity", parse},
	{"n_number_minus_Infinity", "-Infinity", parse},
	{"n_number_Inf", "Inf", parse},
	{"n_number_space_in_it", "1 000", parse},
	{"n_number_minus_space", "- 1", parse},
	{"n_number_underscore", "1_000", parse},
	{"n_number_expression", "1+2", parse},
	{"n_number_full_width_digit", "\uff11", parse},
	{"n_number_Arabic_digit", "\u0661", parse},
	{"n_number_suffix", "1f", parse},
	{"n_number_comma", "1,5,", parse},
	{"n_number_NUL_behind", "1\x00", parse},
	{"n_number_invalid_utf8", "0e1\xe5", notUTF8},
}

var jsonLiterals = []jsonCase{
	{"y_literal_true", "true", accepted},
	{"y_literal_false", "false", accepted},
	{"y_literal_null", "null", accepted},
	{"n_literal_cut_true", "tru", parse},
	{"n_literal_cut_false", "fals", parse},
	{"n_literal_cut_null", "nul", parse},
	{"n_literal_capital", "True", parse},
	{"n_literal_all_capital", "NULL", parse},
	{"n_literal_unquoted", "abc", parse},
	{"n_literal_undefined", "undefined", parse},
	{"n_literal_too_long", "nulll", parse},
	{"n_literal_two", "true false", parse},
	{"n_literal_joined", "truefalse", parse},
}

var jsonSpace = []jsonCase{
	{"y_space_four_kinds", " \t\n\r1\t\r\n ", accepted},
	{"y_space_none", `{"a":[1,{"b":2}]}`, accepted},
	{"y_space_everywhere", "\t{ \"a\" :\r[ 1 ,\n{ \"b\" : 2 } ] } ", accepted},
	{"n_space_form_feed", "\f1", parse},
	{"n_space_vertical_tab", "\v1", parse},
	{"n_space_NUL", "\x00", parse},
	{"n_space_no_break", "\u00a01", parse},
	{"n_space_word_joiner", "\u20601", parse},
	{"n_space_line_separator", "\u20281", parse},
	{"n_space_ideographic", "\u30001", parse},
	{"n_space_byte_order_mark", "\ufeff1", parse},
	{"n_space_escaped", `\u00201`, parse},
	{"n_comment_lines", "1 // one", parse},
	{"n_comment_stars", "/* one */ 1", parse},
	{"n_comment_hash", "1 # one", parse},
}
