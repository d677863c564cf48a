package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// orderOf reads one order the way the file does.
func orderOf(t testing.TB, command []string, args string) *order {
	t.Helper()
	list, err := json.Marshal(command)
	if err != nil {
		t.Fatal(err)
	}
	c, err := parseConfig([]byte(minimal + fmt.Sprintf("orders: {x: {command: %s, args: {%s}}}\n", list, args)))
	if err != nil {
		t.Fatal(err)
	}
	return c.Orders["x"]
}

func TestArgumentTypes(t *testing.T) {
	for _, c := range []struct {
		declared string
		values   map[string]string // JSON to text; "" with a "!" is refused
	}{
		{"{type: int}", map[string]string{"0": "0", "7": "7", "9223372036854775807": "9223372036854775807",
			"-1": "!", "9223372036854775808": "!", "1.0": "!", "1e3": "!", `"1"`: "!", "null": "!", "true": "!", "[1]": "!"}},
		{"{type: int, min: -5, max: 5}", map[string]string{"-5": "-5", "5": "5", "-6": "!", "6": "!", "-0": "0"}},
		{"{type: bool}", map[string]string{"true": "true", "false": "false", "1": "!", `"true"`: "!", "null": "!"}},
		{"{type: enum, values: [red, -x, \"\"]}", map[string]string{`"red"`: "red", `"-x"`: "-x", `""`: "", `"Red"`: "!", `"red "`: "!", "null": "!", "1": "!"}},
		{"{type: string}", map[string]string{`"hello world"`: "hello world", `""`: "", `"a-b"`: "a-b", `"\u00fc"`: "ü",
			`"-rf"`: "!", `"a\nb"`: "!", `"a\u0000b"`: "!", `"\u001b[2J"`: "!", `"\u0085"`: "!", "1": "!", "null": "!", `{"a":1}`: "!",
			quoted(256): strings.Repeat("a", 256), quoted(257): "!"}},
		{"{type: string, max: 3}", map[string]string{`"abc"`: "abc", `"abcd"`: "!", `"\u00fc\u00fc"`: "!"}},
		{"{type: string, pattern: \"[a-z]+|-v\"}", map[string]string{`"abc"`: "abc", `"-v"`: "-v", `"abc1"`: "!", `"1abc"`: "!", `"abc\n"`: "!", `"x -v"`: "!", `""`: "!"}},
		{"{type: string, pattern: \"(?s).*\"}", map[string]string{`"-a\nb"`: "-a\nb", `"a\u0000"`: "!"}},
	} {
		o := orderOf(t, []string{"/bin/x", "${n}"}, "n: "+c.declared)
		for value, want := range c.values {
			argv, err := o.argv(json.RawMessage(`{"n":` + value + `}`))
			if want == "!" {
				if err == nil || !strings.HasPrefix(err.Error(), "params.n: ") {
					t.Errorf("%s takes %s: %q, %v", c.declared, value, argv, err)
				}
			} else if err != nil || !slices.Equal(argv, []string{"/bin/x", want}) {
				t.Errorf("%s and %s: %q, %v", c.declared, value, argv, err)
			}
		}
	}
}

func quoted(n int) string { return `"` + strings.Repeat("a", n) + `"` }

func TestParams(t *testing.T) {
	o := orderOf(t, []string{"/bin/x", "--n=${n}", "${s}${s}", "$n", "$", "{n}"}, "n: {type: int, default: 4}, s: {type: string}")
	for params, want := range map[string]string{
		`{"s":"a"}`:              "/bin/x --n=4 aa $n $ {n}",
		`{"s":"${n}","n":1}`:     "/bin/x --n=1 ${n}${n} $n $ {n}",
		`{}`:                     "params.s: required",
		`{"s":"a","m":1}`:        `params: "m" is not an argument`,
		`{"s":"a","S":"b"}`:      `params: "S" is not an argument`,
		`[]`:                     "params: must be an object",
		`{"s":"a","n":null}`:     "params.n: must be a whole number",
		`{"s":"a","n":"canary"}`: "params.n: must be a whole number",
	} {
		argv, err := o.argv(json.RawMessage(params))
		got := strings.Join(argv, " ")
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) || strings.Contains(got, "canary") {
			t.Errorf("%s: %q, want %q", params, got, want)
		}
	}
}

// injections are values that a shell or a careless split would make more of.
var injections = []string{
	"", " ", "a b", "a  b ", "'", `"`, `\`, "';id;'", `";id;"`, "$(id)", "`id`", "$HOME", "${n}", "${IFS}", "%s%n", "*", "~", "?", "[a]",
	"a;b", "a|b", "a&b", "a&&b", "a>b", "<a", "#a", "!a", "=a", "@a", "a=b", "--", "-rf", "--help", "-", "a\nb", "a\r\nb", "\t", "\x1b[2J", "\x7f",
	"ü", "\u202e", "日本", "\\n", "{a,b}", "(a)", "a\\", "//", "../../etc/passwd", "\ufeff", "\u2028",
}

// TestT42_ValueIsOneArgument sends them all through a real process: what comes
// out is what went in, each as one argument.
func TestT42_ValueIsOneArgument(t *testing.T) {
	command, want := self(t, "argv"), []string{}
	var args []string
	params := map[string]string{}
	for i, value := range injections {
		name := fmt.Sprintf("s%d", i)
		command = append(command, "${"+name+"}", "--x=${"+name+"}")
		want = append(want, value, "--x="+value)
		args = append(args, name+`: {type: string, pattern: "(?s).*"}`)
		params[name] = value
	}
	o := orderOf(t, command, strings.Join(args, ", "))
	raw, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	argv, err := o.argv(raw)
	if err != nil {
		t.Fatal(err)
	}
	out, err := o.process(argv).run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := json.Unmarshal([]byte(out.Stdout), &got); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q arrived as %q", want, got)
	}
}

func FuzzArgv(f *testing.F) {
	for _, s := range injections {
		f.Add(s)
	}
	f.Add("a\x00b")
	o := orderOf(f, []string{"/bin/x", "${s}", "${n}"}, `s: {type: string, pattern: "(?s).*"}, n: {type: int, default: 1}`)
	strict := orderOf(f, []string{"/bin/x", "${s}"}, `s: {type: string}`)
	f.Fuzz(func(t *testing.T, value string) {
		params, err := json.Marshal(map[string]string{"s": value})
		if err != nil {
			t.Fatal(err)
		}
		var carried map[string]string // JSON has U+FFFD for what is no UTF-8
		if err := json.Unmarshal(params, &carried); err != nil {
			t.Fatal(err)
		}
		value = carried["s"]
		argv, err := o.argv(params)
		switch {
		case strings.Contains(value, "\x00") || len(value) > defaultMax:
			if err == nil {
				t.Errorf("%q was taken", value)
			}
		case err != nil:
			t.Errorf("%q: %v", value, err)
		case len(argv) != 3 || argv[0] != "/bin/x" || argv[2] != "1":
			t.Errorf("%q: %q", value, argv)
		}
		if argv, err := strict.argv(params); err == nil && strings.HasPrefix(argv[1], "-") {
			t.Errorf("%q became an option", value)
		}
	})
}

func FuzzParams(f *testing.F) {
	f.Add([]byte(`{"s":"a","n":1,"b":true,"e":"x"}`))
	f.Add([]byte(`{"s":null}`))
	f.Add([]byte(`{"n":1e400}`))
	o := orderOf(f, []string{"/bin/x", "${s}", "${n}", "${b}", "${e}"},
		"s: {type: string}, n: {type: int, max: 99}, b: {type: bool}, e: {type: enum, values: [x, y]}")
	f.Fuzz(func(t *testing.T, params []byte) {
		argv, err := o.argv(params)
		if err != nil {
			return
		}
		if len(argv) != 5 || len(argv[2]) > 2 || argv[3] != "true" && argv[3] != "false" || argv[4] != "x" && argv[4] != "y" {
			t.Errorf("%s: %q", params, argv)
		}
	})
}
