package transcripts

import (
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed *.txtar device/*.txtar
var files embed.FS

// Transcript is one conversation.
type Transcript struct {
	Name  string // of the file, without its suffix: "ping", "device/cadence"
	Prose string // what stands before the first section
	Steps []Step
}

// OfDevice says whether the device's side of the conversation is that of a
// device which keeps to the contract, at the contract's times.
func (t Transcript) OfDevice() bool { return strings.HasPrefix(t.Name, "device/") }

// Step is one section.
type Step struct {
	Section string   // as it stands between the dashes: "client 2: hex"
	Verb    string   // its first word or words: "client"
	Number  int      // of the connection or request; 1 if none is named
	Args    []string // what stands behind the colon, cut at commas
	Lines   string   // what belongs to it, as it stands in the file
	Text    string   // the same as one line
}

// All returns every transcript in the order of the files' names, those of
// devices behind the others.
func All() ([]Transcript, error) {
	names, err := fs.Glob(files, "*.txtar")
	if err != nil {
		return nil, err
	}
	ofDevices, err := fs.Glob(files, "device/*.txtar")
	if err != nil {
		return nil, err
	}
	var all []Transcript
	for _, name := range append(names, ofDevices...) {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		t, err := Parse(strings.TrimSuffix(name, ".txtar"), string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, t)
	}
	return all, nil
}

// Parse reads a transcript. An error names the section at fault.
func Parse(name, text string) (Transcript, error) {
	t := Transcript{Name: name}
	for line := range strings.Lines(text) {
		section, begins := sectionOf(line)
		switch {
		case begins:
			s, err := parseStep(section)
			if err != nil {
				return t, fmt.Errorf("section %d, %q: %w", len(t.Steps)+1, section, err)
			}
			t.Steps = append(t.Steps, s)
		case len(t.Steps) == 0:
			t.Prose += line
		default:
			last := &t.Steps[len(t.Steps)-1]
			last.Lines += line
			last.Text += strings.TrimSpace(line)
		}
	}
	t.Prose = strings.TrimSpace(t.Prose)
	return t, nil
}

// sectionOf is what stands in a line "-- section --".
func sectionOf(line string) (string, bool) {
	line = strings.TrimRight(line, "\r\n")
	if !strings.HasPrefix(line, "-- ") || !strings.HasSuffix(line, " --") {
		return "", false
	}
	return strings.TrimSpace(line[3:max(3, len(line)-3)]), true
}

var sectionForm = regexp.MustCompile(
	`^(connect|login|client|server|close|drop|business|answer|server stops|server starts|server fails|server recovers|device ends|note)(?: ([0-9]+))?(?:: (.*))?$`)

func parseStep(section string) (Step, error) {
	if pause, ok := strings.CutPrefix(section, "after "); ok {
		return Step{Section: section, Verb: "after", Number: 1, Args: []string{pause}}, nil
	}
	m := sectionForm.FindStringSubmatch(section)
	if m == nil {
		return Step{}, fmt.Errorf("no such step")
	}
	s := Step{Section: section, Verb: m[1], Number: 1}
	if m[2] != "" {
		n, err := strconv.Atoi(m[2])
		if err != nil {
			return s, err
		}
		s.Number = n
	}
	if m[3] != "" {
		s.Args = strings.Split(m[3], ", ")
	}
	return s, nil
}

// Has says whether word is one of the arguments.
func (s Step) Has(word string) bool { return slices.Contains(s.Args, word) }

// Arg returns the number in the argument that looks like form: "%d times".
func (s Step) Arg(form string) (n int, ok bool) {
	for _, a := range s.Args {
		if _, err := fmt.Sscanf(a, form, &n); err == nil && a == fmt.Sprintf(form, n) {
			return n, true
		}
	}
	return 0, false
}

// Texts are the messages of a client or server step.
func (s Step) Texts() []string {
	if n, ok := s.Arg("batch of %d"); ok {
		return []string{"[" + strings.Join(numbered(s.Text, n), ",") + "]"}
	}
	if n, ok := s.Arg("%d times"); ok {
		return numbered(s.Text, n)
	}
	return []string{s.Text}
}

// numbered repeats text; <n> in it is 1, 2, 3, ….
func numbered(text string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = strings.ReplaceAll(text, "<n>", strconv.Itoa(i+1))
	}
	return all
}
