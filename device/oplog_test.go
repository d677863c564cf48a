package device

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func logAt(t *testing.T, dir string) *oplog {
	t.Helper()
	l, err := openLog(dir, 3, nil)
	must(t, err)
	return l
}

func logFiles(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Three days are three days of the calendar, also for a device that restarts
// every hour. The bubble begins at 2000-01-01, day 10957, the second of its
// period.
func TestLogRotatesByTheCalendar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for range 24 * 30 {
			l := logAt(t, dir)
			l.add("connect", "ok")
			must(t, l.close())
			time.Sleep(time.Hour)
		}
		want := []string{"device-2000-01-21.log", "device-2000-01-24.log", "device-2000-01-27.log", "device.log"}
		if got := logFiles(t, dir); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		lines := strings.Count(string(read(t, filepath.Join(dir, "device-2000-01-24.log"))), "\n")
		if lines != 72 {
			t.Errorf("%d lines in a file, want 72", lines)
		}
	})
}

func TestLogRotatesWithoutRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := logAt(t, dir)
		defer l.close()
		l.add("connect", "ok")
		time.Sleep(48*time.Hour - time.Nanosecond) // the last instant of 2000-01-02
		l.add("login", "ok")
		if got := logFiles(t, dir); len(got) != 1 {
			t.Errorf("rotated early: %v", got)
		}
		time.Sleep(time.Nanosecond)
		l.add("report", "ok")
		if got := logFiles(t, dir); !slices.Equal(got, []string{"device-1999-12-31.log", "device.log"}) {
			t.Errorf("got %v", got)
		}
		if got := string(read(t, l.path())); got != "2000-01-03T00:00:00.000Z report ok\n" {
			t.Errorf("got %q", got)
		}
	})
}

// A clock that was wrong at boot makes a second file of a period: nothing is
// overwritten.
func TestLogNeverOverwrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		old := filepath.Join(dir, "device-1999-12-31.log")
		must(t, os.WriteFile(old, []byte("kept"), 0o600))
		l := logAt(t, dir)
		l.add("connect", "ok")
		time.Sleep(72 * time.Hour)
		l.add("connect", "ok")
		must(t, l.close())
		want := []string{"device-1999-12-31.02.log", "device-1999-12-31.log", "device.log"}
		if got := logFiles(t, dir); !slices.Equal(got, want) || string(read(t, old)) != "kept" {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestLogWithoutStamp(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, logName), []byte("x\n"), 0o600))
	old := time.Now().Add(-4 * 24 * time.Hour)
	must(t, os.Chtimes(filepath.Join(dir, logName), old, old))
	l := logAt(t, dir)
	defer l.close()
	l.add("connect", "ok")
	if got := logFiles(t, dir); len(got) != 2 {
		t.Errorf("a file of four days ago was not rotated: %v", got)
	}
}

// T19: one record is one line, and nothing in it obeys a terminal.
func TestT19_LogEscapes(t *testing.T) {
	tests := map[string]string{
		"plain":            "plain",
		"":                 `""`,
		"two words":        `"two words"`,
		"a=b":              `"a=b"`,
		"line\nforged":     `"line\nforged"`,
		"\x1b[2J":          `"\x1b[2J"`,
		"right\u202eleft":  `"right\u202eleft"`,
		"quo\"te":          `"quo\"te"`,
		"\xff":             `"\xff"`,
		"größe":            "größe",
		"1860117402213097": "1860117402213097",
	}
	for in, want := range tests {
		if got := quoteValue(in); got != want {
			t.Errorf("quoteValue(%q) = %s, want %s", in, got, want)
		}
	}
	if got := quoteValue(strings.Repeat("x", logMaxValue)); len(got) != logMaxValue {
		t.Errorf("a value of the limit was cut to %d", len(got))
	}
	if got := quoteValue(strings.Repeat("x", logMaxValue+1)); got != strings.Repeat("x", logMaxValue)+"…" {
		t.Errorf("a value over the limit has %d bytes", len(got))
	}
}

func TestLogIsBounded(t *testing.T) {
	l := logAt(t, t.TempDir())
	defer l.close()
	l.size = logMaxBytes - 80
	l.add("order", "ok", "order_id", "1")
	l.add("order", "ok", "order_id", strings.Repeat("2", 60))
	l.add("order", "ok", "order_id", "3")
	lines := strings.Split(strings.TrimSpace(string(read(t, l.path()))), "\n")
	if len(lines) != 2 || !strings.HasSuffix(lines[1], "log full until=next_period") {
		t.Errorf("got %q", lines)
	}
}

func TestLogSnapshot(t *testing.T) {
	dir := t.TempDir()
	l := logAt(t, dir)
	defer l.close()
	l.add("connect", "ok")
	path, size, sum, err := l.snapshot()
	must(t, err)
	l.add("later", "ok")
	data := read(t, path)
	hash := sha256.Sum256(data)
	if int64(len(data)) != size || hex.EncodeToString(hash[:]) != sum || strings.Contains(string(data), "later") {
		t.Errorf("%d bytes %s: %q", size, sum, data)
	}
}

func TestLogCopiesToLogf(t *testing.T) {
	var got []string
	l, err := openLog(t.TempDir(), 1, func(format string, args ...any) { got = append(got, args[0].(string)) })
	must(t, err)
	defer l.close()
	l.add("login", "ok", "device_id", "1")
	if !slices.Equal(got, []string{"login ok device_id=1"}) {
		t.Errorf("got %q", got)
	}
}
