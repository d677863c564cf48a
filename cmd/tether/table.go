package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// tableRows is how many rows are measured before the first is printed. Later
// ones may make a column wider, never narrower.
const tableRows = 1000

// columnGap is between two columns.
const columnGap = 2

// table prints rows in columns. What does not fit on a terminal is cut off;
// elsewhere everything is printed.
type table struct {
	to    io.Writer
	width int // of the terminal; 0: there is none
	cols  []int
	rows  [][]string
}

func newTable(to io.Writer, width int, head ...string) *table {
	t := &table{to: to, width: width, cols: make([]int, len(head))}
	t.add(head...)
	return t
}

// row adds a row, whose cells may hold whatever a device wrote.
func (t *table) row(cells ...string) error {
	t.add(cells...)
	if len(t.rows) < tableRows {
		return nil
	}
	return t.flush()
}

func (t *table) add(cells ...string) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = plain(cell)
		t.cols[i] = max(t.cols[i], columns(row[i]))
	}
	t.rows = append(t.rows, row)
}

// flush prints the rows that there are.
func (t *table) flush() error {
	var b bytes.Buffer
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", t.cols[i]-columns(cell)+columnGap))
			}
		}
		b.WriteString(cut(strings.TrimRight(line.String(), " "), t.width) + "\n")
	}
	t.rows = t.rows[:0]
	_, err := t.to.Write(b.Bytes())
	return err
}

// plain is text of a device or a user for a terminal (T19): what is not
// printed as a character of its own is shown by its number. Line ends too, so
// that a record remains one line.
func plain(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\ufffd"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}

// columns is how many columns of a terminal plain text takes.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cut shortens a line to a terminal's width; 0 does not limit.
func cut(line string, limit int) string {
	if limit <= 0 || columns(line) <= limit {
		return line
	}
	n := 0
	for i, r := range line {
		if n += runeColumns(r); n > limit-1 {
			return line[:i] + "…"
		}
	}
	return line
}

// moment is a time as people read it, where they are.
func moment(ms int64) string { return time.UnixMilli(ms).Format("2006-01-02 15:04:05") }

// momentOr is moment, of a time that there may not be.
func momentOr(ms *int64, none string) string {
	if ms == nil {
		return none
	}
	return moment(*ms)
}

// writeJSON writes one line of JSON, in which nothing is left that a terminal
// could take for a command (T19).
func writeJSON(to io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(to, printable(b.String()))
	return err
}

// printable escapes in JSON what is no printable character. Outside of its
// strings JSON has ASCII alone.
func printable(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || strconv.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// list shows a list, to its end or to a limit that is not 0: a row or a line
// of JSON for each.
func list[T any](a *asking, items iter.Seq2[T, error], limit int, head []string, row func(T) []string) error {
	t, n := newTable(a.out, a.width, head...), 0
	for item, err := range items {
		if err == nil && a.json {
			err = writeJSON(a.out, item)
		} else if err == nil {
			err = t.row(row(item)...)
		}
		if err != nil {
			return err
		}
		if n++; n == limit {
			break
		}
	}
	if a.json {
		return nil
	}
	return t.flush()
}

// record shows one record: JSON, or name and value in a line for each pair of
// fields. What is empty is left out.
func (a *asking) record(v any, fields ...string) error {
	if a.json {
		return writeJSON(a.out, v)
	}
	return a.fields(fields...)
}

// fields shows name and value in a line for each pair.
func (a *asking) fields(fields ...string) error {
	t := &table{to: a.out, width: a.width, cols: make([]int, 2)}
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i+1] != "" {
			t.add(fields[i], fields[i+1])
		}
	}
	return t.flush()
}

// done says that something was done: JSON, or a sentence.
func (a *asking) done(v any, format string, args ...any) error {
	if a.json {
		return writeJSON(a.out, v)
	}
	_, err := fmt.Fprintln(a.out, plain(fmt.Sprintf(format, args...)))
	return err
}

// raw is where bytes go as they are; on a terminal, line by line as plain text.
func (a *asking) raw() io.Writer {
	if a.width == 0 {
		return a.out
	}
	return plainLines{a.out}
}

// plainLines shows what is written as plain text that keeps its lines and tabs.
type plainLines struct{ to io.Writer }

// Write shows p. A character that is cut in two is shown as its bytes.
func (w plainLines) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		text, end := strings.CutSuffix(line, "\n")
		cells := strings.Split(text, "\t")
		for i := range cells {
			cells[i] = plain(cells[i])
		}
		text = strings.Join(cells, "\t")
		if end {
			text += "\n"
		}
		if _, err := io.WriteString(w.to, text); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
