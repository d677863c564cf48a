package transcripts

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestAll: every file is read, and read as the txtar format has it.
func TestAll(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	ofDevices, err := filepath.Glob("device/*.txtar")
	if err != nil || len(ofDevices) == 0 || len(all) != len(files)+len(ofDevices) {
		t.Fatalf("%d transcripts of %d and %d files: %v", len(all), len(files), len(ofDevices), err)
	}
	for _, transcript := range all {
		archive, err := txtar.ParseFile(transcript.Name + ".txtar")
		if err != nil {
			t.Fatal(err)
		}
		if transcript.Prose == "" || transcript.Prose != strings.TrimSpace(string(archive.Comment)) {
			t.Errorf("%s: the prose is %q", transcript.Name, transcript.Prose)
		}
		if len(transcript.Steps) != len(archive.Files) {
			t.Fatalf("%s: %d steps of %d sections", transcript.Name, len(transcript.Steps), len(archive.Files))
		}
		for i, f := range archive.Files {
			if s := transcript.Steps[i]; s.Section != f.Name || s.Lines != string(f.Data) {
				t.Errorf("%s: section %q is read as %q:\n%s", transcript.Name, f.Name, s.Section, s.Lines)
			}
		}
		if strings.HasPrefix(transcript.Name, "device/") != transcript.OfDevice() {
			t.Errorf("%s: of a device? %v", transcript.Name, transcript.OfDevice())
		}
	}
}

func TestParse(t *testing.T) {
	for section, want := range map[string]string{
		"client":                        "client 1 [] ab",
		"server 2":                      "server 2 [] ab",
		"client 3: raw, 63 times":       "client 3 [raw 63 times] ab",
		"client: padded to 65537 bytes": "client 1 [padded to 65537 bytes] ab",
		"business 2: GET order_query/1": "business 2 [GET order_query/1] ab",
		"after 5s":                      "after 1 [5s] ab",
		"server stops":                  "server stops 1 [] ab",
		"login 2: elsewhere":            "login 2 [elsewhere] ab",
		"clients":                       `section 1, "clients": no such step`,
		"client two":                    `section 1, "client two": no such step`,
		"client 99999999999999999999":   "",
	} {
		transcript, err := Parse("x", "prose\n\n-- "+section+" --\na\n  b\n")
		switch {
		case err != nil:
			if want != "" && err.Error() != want {
				t.Errorf("%q: %v, want %s", section, err, want)
			}
		case len(transcript.Steps) != 1 || transcript.Prose != "prose":
			t.Errorf("%q: %+v", section, transcript)
		default:
			s := transcript.Steps[0]
			if got := fmt.Sprint(s.Verb, " ", s.Number, " ", s.Args, " ", s.Text); got != want {
				t.Errorf("%q: %s, want %s", section, got, want)
			}
		}
	}
}

func TestTexts(t *testing.T) {
	for arg, want := range map[string]string{
		"": "[x<n>]", "3 times": "[x1 x2 x3]", "batch of 2": "[[x1,x2]]", "2 timesx": "[x<n>]",
	} {
		s := Step{Args: []string{arg}, Text: "x<n>"}
		if got := fmt.Sprint(s.Texts()); got != want {
			t.Errorf("%q: %s, want %s", arg, got, want)
		}
	}
	if s := (Step{Args: []string{"at once"}}); !s.Has("at once") || s.Has("once") {
		t.Error("Has compares whole arguments")
	}
}

func TestMatch(t *testing.T) {
	v := Values{"device_id": "7"}
	for _, c := range []struct {
		want, got string
		ok        bool
	}{
		{`{"id":1}`, `{"id":1}`, true},
		{`{"id":1}`, `{"id":1}x`, false},
		{`a.c`, `abc`, false},
		{`{"id":"<device_id>"}`, `{"id":"7"}`, true},
		{`{"id":"<device_id>"}`, `{"id":"8"}`, false},
		{`{"id":<call_id>}`, `{"id":12}`, true},
		{`{"id":<call_id>}`, `{"id":13}`, false}, // it has its value
		{`<a_id> <a_id>`, `1 2`, false},
		{`<b_id> <b_id>`, `2 2`, true},
		{`<ms> <ms>`, `1 2`, true},
		{`{<...>"a":1<...>}`, "{\n\"b\":2,\"a\":1\n}", true},
		{`<token>`, `tt_` + strings.Repeat("a", 32), true},
		{`<token_2>`, `tp_` + strings.Repeat("a", 32), false},
		{`<password>`, `tp_` + strings.Repeat("-", 32), true},
	} {
		if err := v.Match(c.want, c.got); (err == nil) != c.ok {
			t.Errorf("%s against %s: %v", c.got, c.want, err)
		}
	}
	if text, err := v.Fill("<device_id>, <call_id>"); text != "7, 12" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := v.Fill("<not_yet>"); err == nil {
		t.Error("a placeholder without a value was filled")
	}
}

// FuzzParse: whatever is read is read as the txtar format has it.
func FuzzParse(f *testing.F) {
	f.Add("prose\n-- client --\n{}\n-- close 2 --\n1000 bye\n")
	f.Add("-- after 5s --\n-- --\n-- note --")
	f.Add("--  client  --\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		transcript, err := Parse("x", text)
		if err != nil || strings.Contains(text, "\r") || !strings.HasSuffix(text, "\n") {
			return
		}
		archive := txtar.Parse([]byte(text))
		if len(archive.Files) != len(transcript.Steps) {
			t.Fatalf("%d steps, %d sections", len(transcript.Steps), len(archive.Files))
		}
		for i, f := range archive.Files {
			if s := transcript.Steps[i]; s.Section != f.Name || s.Lines != string(f.Data) {
				t.Errorf("%q is read as %q: %q", f.Name, s.Section, s.Lines)
			}
		}
	})
}

// TestReadme: README.md names every section there is, and no other; and what it
// says of the folder device is so.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	words := regexp.MustCompile(`(?m)^\^\(([^)]*)\)`)
	said, is := words.FindSubmatch(readme), words.FindStringSubmatch(sectionForm.String())
	if said == nil || string(said[1]) != is[1] {
		t.Errorf("README.md has the sections %s, there are %s", said[1], is[1])
	}
	for word := range strings.SplitSeq(is[1], "|") {
		if !strings.Contains(string(readme), "`"+word) {
			t.Errorf("README.md does not say what %q is", word)
		}
	}
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for _, transcript := range all {
		for _, s := range transcript.Steps {
			if transcript.OfDevice() && s.Verb != "answer" && strings.Contains(s.Text, "<...>") {
				t.Errorf("%s, %q: something is left out", transcript.Name, s.Section)
			}
		}
	}
}
