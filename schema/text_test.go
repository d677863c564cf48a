package schema_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"github.com/edgetether/tether/schema"
)

func TestT19_EscapeControls(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "",
		"plain ~ ä 中 \u00a0":    "plain ~ ä 中 \u00a0",
		"\x7f":                  `\u007f`,
		"a\u0080b\u009fc\u00a0": `a\u0080b\u009fc` + "\u00a0",
		"\u009b\u009b31m\x7f":   `\u009b\u009b31m\u007f`,
		"cut \xc2":              "cut \xc2",
		"\xc2\x7f":              "\xc2" + `\u007f`,
	} {
		if got := string(schema.EscapeControls([]byte(text))); got != want {
			t.Errorf("%q: %q, not %q", text, got, want)
		}
	}
}

// FuzzEscapeControls: JSON stays what it was, and has no control character left.
func FuzzEscapeControls(f *testing.F) {
	for _, text := range []string{"", "a\u0085b", "\x7f\x7f", "\xc2", "\u0080\xc2\u009f", "\\\u0080", "中\u009b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "?")
		whole, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		safe := schema.EscapeControls(whole)
		if strings.ContainsFunc(string(safe), unicode.IsControl) {
			t.Errorf("a control character in %q", safe)
		}
		var back string
		if err := json.Unmarshal(safe, &back); err != nil || back != text {
			t.Errorf("%q became %q, %v", text, back, err)
		}
	})
}
