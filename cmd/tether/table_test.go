package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// terminalTexts are names that would do something to a terminal (T19).
var terminalTexts = []string{
	"\x1b[2J\x1b]0;owned\a", "\u009b2J", "a\rb", "a\nb", "a\tb", "\x7f\b\b", "\u202egnp.exe", "\u2028", "\u200b\ufeff", "a\xffb\xc3", "\x00", "\U000e0001",
}

// TestT19_Plain: nothing is left that a terminal does not print as a character
// of its own, and what was there can be told.
func TestT19_Plain(t *testing.T) {
	for text, want := range map[string]string{
		"press-7 灯 é": "press-7 灯 é", "\x1b[2J": `\x1b[2J`, "\u009b": `\u009b`, "a\nb\tc": `a\nb\tc`, "\u202e": `\u202e`,
		"\xff": `\xff`, "\ufffd": "\ufffd", "": "", "\U000e0001": `\U000e0001`,
	} {
		if got := plain(text); got != want {
			t.Errorf("%q is shown as %s, not %s", text, got, want)
		}
	}
}

// FuzzPlain: whatever a device wrote is one line of printable characters, and
// as JSON it is the same text.
func FuzzPlain(f *testing.F) {
	for _, text := range terminalTexts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		shown := plain(text)
		if shown != plain(shown) || strings.ContainsAny(shown, "\n\r\x1b\u009b") || !utf8.ValidString(shown) {
			t.Errorf("%q is shown as %q", text, shown)
		}
		if short := cut(shown, 10); columns(short) > 10 {
			t.Errorf("%q is cut to %d columns", shown, columns(short))
		}
		var b bytes.Buffer
		if err := writeJSON(&b, text); err != nil {
			t.Fatal(err)
		}
		var back string
		if err := json.Unmarshal(b.Bytes(), &back); err != nil || back != strings.ToValidUTF8(text, "\ufffd") && utf8.ValidString(text) {
			t.Errorf("%q comes back as %q, %v", text, back, err)
		}
		if line := strings.TrimSuffix(b.String(), "\n"); line != plain(line) {
			t.Errorf("%q is written as %q", text, line)
		}
	})
}

// TestTable: columns are as wide as the widest cell, in columns of a terminal;
// a line that is too long is cut; later rows never make a column narrower.
func TestTable(t *testing.T) {
	var b bytes.Buffer
	show := func(width int, rows ...[]string) string {
		b.Reset()
		table := newTable(&b, width, "NAME", "N", "LAST")
		for _, row := range rows {
			if err := table.row(row...); err != nil {
				t.Fatal(err)
			}
		}
		if err := table.flush(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	rows := [][]string{{"a", "1", "x"}, {"灯灯灯", "22", ""}, {"e\u0301", "", "long text"}}
	if got, want := show(0, rows...), "NAME    N   LAST\na       1   x\n灯灯灯  22\ne\u0301           long text\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got, want := show(9, rows...), "NAME    …\na       …\n灯灯灯  …\ne\u0301       …\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	many := make([][]string, tableRows+1)
	for i := range many {
		many[i] = []string{"wide name", "1", "x"}
	}
	many[tableRows] = []string{"a", "1", "x"}
	if got := show(0, many...); strings.Count(got, "\n") != tableRows+2 || !strings.HasSuffix(got, "\na          1  x\n") {
		t.Errorf("%d lines, ending with %q", strings.Count(got, "\n"), got[len(got)-30:])
	}
}

// TestT19_RawLog: on a terminal a device's log keeps its lines and tabs, and nothing else.
func TestT19_RawLog(t *testing.T) {
	var b bytes.Buffer
	for _, c := range []struct {
		width int
		want  string
	}{{80, "a\tb\n\\x1b[2J\n\\xff"}, {0, "a\tb\n\x1b[2J\n\xff"}} {
		b.Reset()
		a := &asking{streams: streams{out: &b, width: c.width}}
		if n, err := a.raw().Write([]byte("a\tb\n\x1b[2J\n\xff")); err != nil || n != 10 || b.String() != c.want {
			t.Errorf("%d: %d bytes, %q", c.width, n, b.String())
		}
	}
}

// TestSure: nothing is changed without a yes, and nobody is asked who is not there.
func TestSure(t *testing.T) {
	for answer, good := range map[string]bool{"y\n": true, "YES\n": true, "n\n": false, "": false, "\n": false, "yo\n": false} {
		var errs bytes.Buffer
		a := &asking{streams: streams{err: &errs, in: strings.NewReader(answer), asks: true}}
		if err := a.sure(t.Context(), false, "Delete %s?", "a\x1bb"); (err == nil) != good || errs.String() != `Delete a\x1bb? [y/N] ` {
			t.Errorf("%q: %v after %q", answer, err, &errs)
		}
	}
	a := &asking{}
	if a.sure(t.Context(), true, "") != nil || codeOf(a.sure(t.Context(), false, "")) != codeWrong {
		t.Error("--yes and no terminal")
	}
}

// TestInstant: a time, or how long ago it was.
func TestInstant(t *testing.T) {
	for text, want := range map[string]time.Time{
		"2026-11-23T02:03:04Z": time.Date(2026, 11, 23, 2, 3, 4, 0, time.UTC), "2026-11-23 02:03": time.Date(2026, 11, 23, 2, 3, 0, 0, time.Local),
		"2026-11-23 02:03:04": time.Date(2026, 11, 23, 2, 3, 4, 0, time.Local), "2026-11-23": time.Date(2026, 11, 23, 0, 0, 0, 0, time.Local),
	} {
		var i instant
		if err := i.UnmarshalText([]byte(text)); err != nil || int64(i) != want.UnixMilli() {
			t.Errorf("%s: %d, %v", text, i, err)
		}
	}
	var ago instant
	if err := ago.UnmarshalText([]byte("2h")); err != nil || time.Since(time.UnixMilli(int64(ago)))/time.Hour != 2 {
		t.Errorf("2h ago is %s, %v", moment(int64(ago)), err)
	}
	for _, text := range []string{"", "soon", "-2h", "1960-01-01"} {
		if ago.UnmarshalText([]byte(text)) == nil {
			t.Errorf("%q is a time", text)
		}
	}
}
