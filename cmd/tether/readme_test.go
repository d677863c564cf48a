package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/edgetether/tether/schema"
)

// readmes are one text in two languages.
var readmes = []string{"README.md", "README.zh-CN.md"}

// readme is what a program can read of one.
type readme struct {
	levels []int      // of its headings, in order
	blocks []block    // of code
	rows   [][]string // of all tables: cells without spaces around them
}

type block struct{ language, text string }

func readReadme(t *testing.T, name string) *readme {
	t.Helper()
	r := &readme{}
	var open *block
	for line := range strings.Lines(source(t, name)) {
		line = strings.TrimSuffix(line, "\n")
		language, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open == nil:
			open = &block{language: language}
		case fence:
			r.blocks = append(r.blocks, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		case strings.HasPrefix(line, "#"):
			r.levels = append(r.levels, len(line)-len(strings.TrimLeft(line, "#")))
		case strings.HasPrefix(line, "|"):
			r.rows = append(r.rows, cells(line))
		}
	}
	if open != nil || len(r.blocks) == 0 || len(r.rows) == 0 {
		t.Fatalf("%s: %d blocks, %d rows, or a block that does not end", name, len(r.blocks), len(r.rows))
	}
	return r
}

// source is a file of the module.
func source(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(moduleRoot, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func cells(line string) []string {
	all := strings.Split(strings.Trim(line, "|"), "|")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}

// eachReadme runs a test on both.
func eachReadme(t *testing.T, test func(*testing.T, *readme)) {
	for _, name := range readmes {
		t.Run(name, func(t *testing.T) { test(t, readReadme(t, name)) })
	}
}

// table are the rows of width cells that are found to belong to it.
func (r *readme) table(width int, found func(row []string) bool) [][]string {
	var rows [][]string
	for _, row := range r.rows {
		if len(row) == width && found(row) {
			rows = append(rows, row)
		}
	}
	return rows
}

var label = regexp.MustCompile(`"[^"]*"`)

// bare is the code of a block: the drawing's labels are prose.
func (b block) bare() block {
	if b.language == "mermaid" {
		b.text = label.ReplaceAllString(b.text, `""`)
	}
	return b
}

// TestReadmesAgree: both have the same sections and the same code.
func TestReadmesAgree(t *testing.T) {
	a, b := readReadme(t, readmes[0]), readReadme(t, readmes[1])
	if !slices.Equal(a.levels, b.levels) {
		t.Errorf("levels of headings: %v and %v", a.levels, b.levels)
	}
	if len(a.blocks) != len(b.blocks) || len(a.rows) != len(b.rows) {
		t.Fatalf("%d and %d blocks, %d and %d rows", len(a.blocks), len(b.blocks), len(a.rows), len(b.rows))
	}
	for i := range a.blocks {
		if x, y := a.blocks[i].bare(), b.blocks[i].bare(); x != y {
			t.Errorf("block %d differs:\n%s\nand:\n%s", i+1, x.text, y.text)
		}
	}
	for i := range a.rows {
		if len(a.rows[i]) != len(b.rows[i]) {
			t.Errorf("row %d: %q and %q", i+1, a.rows[i], b.rows[i])
		}
	}
}

var routeRow = regexp.MustCompile(`\{(get|post|put|del), "/([^"]+)", (\w+), `)

// TestReadmeServices: the services are those of the table of routes, with
// method and role, in its order.
func TestReadmeServices(t *testing.T) {
	methods := map[string]string{"get": "GET", "post": "POST", "put": "PUT", "del": "DELETE"}
	var want [][]string
	for _, m := range routeRow.FindAllStringSubmatch(source(t, "northapi/routes.go"), -1) {
		if m[3] != "anyone" { // the probes
			want = append(want, []string{"`" + m[2] + "`", methods[m[1]], strings.Replace(m[3], "whole", "admin, unlimited", 1)})
		}
	}
	eachReadme(t, func(t *testing.T, r *readme) {
		rows := r.table(4, func(row []string) bool { return strings.ToUpper(row[1]) == row[1] && strings.HasPrefix(row[0], "`") })
		for i := range rows {
			rows[i] = rows[i][:3]
		}
		if !reflect.DeepEqual(rows, want) {
			t.Errorf("services:\n%q\nroutes:\n%q", rows, want)
		}
	})
}

// TestReadmeFlags: the table has every flag of serve, with its default, and no other.
func TestReadmeFlags(t *testing.T) {
	parser, err := kong.New(&cli{}, kong.Vars{"version": "", "database": "sqlite:data/tether.db"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, command := range parser.Model.Leaves(false) {
		if command.Name != "serve" {
			continue
		}
		for _, group := range command.AllFlags(false) {
			for _, f := range group {
				want["`--"+f.Name+"`"] = f.Default
			}
		}
	}
	eachReadme(t, func(t *testing.T, r *readme) {
		got := map[string]string{}
		for _, row := range r.table(3, func(row []string) bool { return strings.HasPrefix(row[0], "`--") && !strings.Contains(row[0], " ") }) {
			got[row[0]] = strings.Trim(row[1], "`")
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the table has %v, serve has %v", got, want)
		}
	})
}

var (
	methodConstant = regexp.MustCompile(`\tMethod\w+ += "([\w.]+)"`)
	closeConstant  = regexp.MustCompile(`CloseCode = (\d{4})`)
	closeCell      = regexp.MustCompile(`^\d{4}(, \d{4})*$`)
)

// TestReadmeSouthbound: the methods and close codes are those of package schema.
func TestReadmeSouthbound(t *testing.T) {
	wire := source(t, "schema/wire.go")
	want := append(firsts(methodConstant, wire), firsts(closeConstant, wire)...)
	eachReadme(t, func(t *testing.T, r *readme) {
		var got []string
		for _, row := range r.table(3, func(row []string) bool { return strings.Contains(row[1], "→") }) {
			got = append(got, strings.Trim(row[0], "`"))
		}
		for _, row := range r.table(3, func(row []string) bool { return closeCell.MatchString(row[0]) }) {
			got = append(got, strings.Split(row[0], ", ")...)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("the tables have %q, the schema %q", got, want)
		}
	})
}

// firsts are the first groups of all matches.
func firsts(x *regexp.Regexp, text string) []string {
	var all []string
	for _, m := range x.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

var limitCell = regexp.MustCompile(`^\d[\w ,;/]*$`)

// TestReadmeLimits: the table has the numbers of package schema. The last row
// has defaults of package logdrop.
func TestReadmeLimits(t *testing.T) {
	want := []string{
		fmt.Sprintf("%d KiB", schema.MaxMessage>>10), fmt.Sprintf("%d KiB", schema.MaxLoginMessage>>10),
		seconds(schema.LoginTimeout), seconds(schema.MessageTimeout),
		fmt.Sprintf("%d/s, %d at once", schema.MessageRate, schema.MessageBurst),
		fmt.Sprint(schema.MaxBatch), fmt.Sprint(schema.MaxDepth), fmt.Sprint(schema.MaxMalformed),
		seconds(schema.WriteTimeout),
		fmt.Sprintf("%d KiB, then it is not listened to; %d MiB, then it is closed", schema.PauseOutbox>>10, schema.MaxOutbox>>20),
		fmt.Sprintf("%d MiB, then %d KiB each", schema.MaxWaiting>>20, schema.LeastOutbox>>10),
		fmt.Sprintf("%d, or %s", schema.MaxChecks, seconds(schema.CheckWait)),
		fmt.Sprintf("%d/s a processor; then %d/s a processor", schema.FloodFailing, schema.FloodRate),
		fmt.Sprintf("%d KiB", schema.MaxCustom>>10), fmt.Sprintf("%d KiB", schema.MaxParams>>10),
		seconds(schema.OrderTimeout), seconds(schema.RestartWindow),
		fmt.Sprint(schema.MaxQueued), fmt.Sprintf("1 s to %d days", schema.MaxQueueTTL/day),
		fmt.Sprintf("%d, %d, %d", schema.MaxIdentifiers, schema.MaxParallel, schema.MaxJobFailures), fmt.Sprint(schema.MaxJobs),
		fmt.Sprintf("%d bytes, %g h", schema.MaxOnceKey, schema.OnceLifetime.Hours()),
		fmt.Sprintf("%d to %d bytes", schema.MinPassword, schema.MaxPassword),
		fmt.Sprintf("%d days", schema.TokenLifetime/(24*time.Hour)),
		fmt.Sprintf("%s/s, %s at once", thousands(schema.KeyRate), thousands(2*schema.KeyRate)), thousands(schema.KeyWaiting),
		fmt.Sprintf("%d, %d min, %g h", schema.MaxKeySession, schema.SessionIdle/time.Minute, schema.SessionLifetime.Hours()),
		fmt.Sprintf("%d MiB", schema.MaxBody>>20),
		fmt.Sprintf("%d KiB", schema.MaxImportLine>>10), fmt.Sprintf("%s to %d days", seconds(schema.MinHistoryStep), schema.MaxHistoryStep/day),
		fmt.Sprintf("%d min, %d, %d KiB", schema.UploadLifetime/time.Minute, schema.MaxUploads, schema.MaxUploadPath>>10),
		"64 MiB, 10",
	}
	var got []string
	for _, row := range readReadme(t, readmes[0]).table(2, func(row []string) bool { return limitCell.MatchString(row[1]) }) {
		got = append(got, row[1])
	}
	if !slices.Equal(got, want) {
		t.Errorf("the table has\n%q\nthe schema\n%q", got, want)
	}
}

// thousands is a number of four digits as people write it.
func thousands(n int) string { return fmt.Sprintf("%d,%03d", n/1000, n%1000) }

func seconds(d time.Duration) string { return fmt.Sprintf("%g s", d.Seconds()) }

// TestReadmeExcerpts: what the README shows of other files is in them.
func TestReadmeExcerpts(t *testing.T) {
	asExample := strings.NewReplacer("package main\n", "package device_test\n", "func main()", "func Example()")
	found := map[string]bool{}
	for _, b := range readReadme(t, readmes[0]).blocks {
		switch {
		case b.language == "go":
			found["device"] = strings.HasPrefix(source(t, "device/example_test.go"), asExample.Replace(b.text))
		case b.language == "yaml" && strings.HasPrefix(b.text, "listen:"):
			found["settings"] = readsAsSettings(t, b.text)
		case b.language == "yaml":
			found["agent"] = strings.Contains(source(t, "cmd/tether-agent/example.yaml"), b.text)
		}
	}
	for _, what := range []string{"device", "settings", "agent"} {
		if !found[what] {
			t.Errorf("the block about %s is not what the file has", what)
		}
	}
}

func readsAsSettings(t *testing.T, text string) bool {
	file := filepath.Join(t.TempDir(), "tether.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var flags cli
	if _, err := parse(&flags, []string{"serve", "--config", file}, nil, io.Discard); err != nil {
		t.Error(err)
	}
	return flags.Serve.check() == nil && flags.Serve.Listen == "0.0.0.0:9443" && flags.Serve.SFTPPublic != "" && flags.LogJSON
}

// commandLine is a call of tether in a block for the shell, or of make.
var commandLine = regexp.MustCompile(`(?m)^(?:go run \./cmd/tether|bin/tether|tether|(make)) (\S.*)$`)

// TestReadmeCommands: the program takes every command line that is shown, and
// the Makefile has every target.
func TestReadmeCommands(t *testing.T) {
	makefile, n := source(t, "Makefile"), 0
	for _, b := range readReadme(t, readmes[0]).blocks {
		for _, m := range commandLine.FindAllStringSubmatch(b.text, -1) {
			n++
			if m[1] != "" {
				if !strings.Contains(makefile, "\n"+m[2]+":") {
					t.Errorf("make %s: no such target", m[2])
				}
			} else if command, _, _ := strings.Cut(m[2], " > "); !taken(command) {
				t.Errorf("tether %s: no such command", m[2])
			}
		}
	}
	if n < 8 {
		t.Errorf("found %d command lines only", n)
	}
}

// taken says whether the program takes a command line.
func taken(command string) bool {
	words := shellWord.FindAllString(command, -1)
	for i := range words {
		words[i] = strings.Trim(words[i], "'")
	}
	_, err := parse(&cli{}, words, nil, io.Discard)
	return err == nil
}

// shellWord is a word of a command line, or several in quotes.
var shellWord = regexp.MustCompile(`'[^']*'|\S+`)
