package device

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/edgetether/tether/schema"
)

func open(t *testing.T, path string) *journal {
	t.Helper()
	j, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.close() })
	return j
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestJournalRemembers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path)
	done := schema.OrderResult{Status: schema.ResultSuccess, Message: "done", Data: schema.RawObject(`{"n":1}`)}
	must(t, j.begin("1"))
	must(t, j.end("1", done))
	must(t, j.begin("2"))
	if result, known := j.lookup("2"); !known || result != nil {
		t.Errorf("an order that is begun: %v %v", result, known)
	}
	for range 2 { // the second reads what the first settled
		must(t, j.close())
		j = open(t, path)
		if result, _ := j.lookup("1"); !reflect.DeepEqual(result, &done) {
			t.Errorf("1: %+v", result)
		}
		if result, _ := j.lookup("2"); !reflect.DeepEqual(result, &interrupted) {
			t.Errorf("2: %+v", result)
		}
		if _, known := j.lookup("3"); known {
			t.Error("3 is known")
		}
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestJournalKeepsTheLast64(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path)
	must(t, j.begin("running")) // never ends: it must not be forgotten
	for i := range 1000 {
		id := strconv.Itoa(i)
		must(t, j.begin(id))
		must(t, j.end(id, busy))
	}
	if _, known := j.lookup("running"); !known || len(j.ids) != journalKeep || len(j.results) != journalKeep {
		t.Errorf("known %v, %d ids, %d results", known, len(j.ids), len(j.results))
	}
	if j.lines > journalLines {
		t.Errorf("%d lines", j.lines)
	}
	must(t, j.close())
	j = open(t, path) // it is settled now, and the oldest
	for i := range 1000 {
		if _, known := j.lookup(strconv.Itoa(i)); known != (i >= 1000-journalKeep) {
			t.Errorf("%d: known %v", i, known)
		}
	}
}

// A power loss tears the tail anywhere: what was synced before stays, and what
// is appended afterwards is read.
func TestJournalTornTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path)
	must(t, j.begin("1"))
	must(t, j.end("1", busy))
	before, err := os.ReadFile(path)
	must(t, err)
	must(t, j.begin("2"))
	must(t, j.close())
	whole, err := os.ReadFile(path)
	must(t, err)
	for cut := len(before); cut < len(whole); cut++ {
		must(t, os.WriteFile(path, whole[:cut], 0o600))
		j := open(t, path)
		if result, _ := j.lookup("1"); result == nil || result.Message != "busy" {
			t.Fatalf("cut at %d: 1 is %+v", cut, result)
		}
		if _, known := j.lookup("2"); known {
			t.Fatalf("cut at %d: 2 is known", cut)
		}
		must(t, j.begin("3"))
		must(t, j.close())
		if j = open(t, path); len(j.ids) != 2 {
			t.Fatalf("cut at %d: %v", cut, j.ids)
		}
	}
}

func TestJournalFlippedBit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path)
	for i := range 3 {
		must(t, j.end(strconv.Itoa(i), expired))
	}
	data, err := os.ReadFile(path)
	must(t, err)
	first := bytes.IndexByte(data, '\n')
	data[first+20] ^= 1
	must(t, os.WriteFile(path, data, 0o600))
	j = open(t, path)
	_, one := j.lookup("1")
	_, two := j.lookup("2")
	if one || !two {
		t.Errorf("1 known %v, 2 known %v", one, two)
	}
}

// A disk that fails: the order is not begun, a result is still remembered, and
// when there is room again the file is written anew.
func TestJournalDiskFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	must(t, os.Mkdir(dir, 0o700))
	path := filepath.Join(dir, "journal")
	j := open(t, path)
	must(t, j.end("1", busy))
	must(t, j.file.Close()) // every write fails from now on
	must(t, os.Rename(dir, dir+".away"))
	if err := j.begin("2"); err == nil {
		t.Error("begun without a record")
	}
	if _, known := j.lookup("2"); known {
		t.Error("2 is known")
	}
	if err := j.end("3", busy); err == nil {
		t.Error("no error")
	}
	if result, _ := j.lookup("3"); result == nil {
		t.Error("3 is not remembered")
	}
	must(t, os.Rename(dir+".away", dir))
	must(t, j.begin("4"))
	if records := parseJournal(read(t, path)); len(records) != 3 {
		t.Errorf("%v", records)
	}
}

// A process that starts where nothing can be written remembers what the ones
// before it did, and begins no order until there is room.
func TestJournalOpensOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal")
	j := open(t, path)
	must(t, j.end("1", busy))
	must(t, j.begin("2"))
	must(t, j.close())
	full := filepath.Join(dir, strings.Repeat("j", 255)) // no name is left for a temporary file
	must(t, os.WriteFile(full, append(read(t, path), "torn"...), 0o600))
	j, err := openJournal(full)
	if err == nil {
		t.Error("it does not tell")
	}
	one, _ := j.lookup("1")
	two, _ := j.lookup("2")
	if one == nil || one.Message != "busy" || two == nil || two.Message != "interrupted" {
		t.Errorf("1 is %+v, 2 is %+v", one, two)
	}
	if err := j.begin("3"); err == nil {
		t.Error("begun without a record")
	}
	j.path = path
	must(t, j.begin("3"))
	must(t, j.close())
	if records := parseJournal(read(t, path)); len(records) != 3 {
		t.Errorf("%v", records)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return data
}

func FuzzParseJournal(f *testing.F) {
	good, err := encodeRecord(record{OrderID: "1", Result: &interrupted})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-3])
	f.Add(append(bytes.Clone(good), "00000000 {}\n"...))
	f.Add([]byte("\n\n \n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		records := parseJournal(data)
		var again []byte
		for _, r := range records {
			line, err := encodeRecord(r)
			if err != nil {
				t.Fatal(err)
			}
			again = append(again, line...)
		}
		if same := parseJournal(again); len(same) != len(records) {
			t.Errorf("%d records became %d", len(records), len(same))
		}
	})
}
