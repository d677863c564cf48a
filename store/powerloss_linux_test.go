package store

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A power loss is played from a recording: strace writes down what the child,
// a store with the driver as it is shipped, asks of the kernel for its files,
// and when it acknowledges what. For any moment of it, what the disk may then
// hold is what was flushed, and any part of what was not.

// call is one line of the recording: a change of a file, a flush of it, or an
// acknowledgement (a write to the standard output).
type call struct {
	name       string
	path       string
	data       []byte
	at         int64 // offset of a pwrite64, length of an ftruncate
	begun, end int   // numbers of the lines where it begins and returns
}

// record has a child write with that synchronous until it has ended so many
// orders, and returns what it asked of the kernel.
func record(t *testing.T, path, mode string, orders int) []call {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	child := exec.CommandContext(t.Context(), "strace", "-f", "-qq", "-y", "-xx", "-s", "70000", "-o", trace,
		"-e", "trace=pwrite64,write,ftruncate,fsync,fdatasync,unlink,unlinkat,rename,renameat,renameat2", os.Args[0])
	child.Env = append(os.Environ(), crashChild+"="+path, crashMode+"="+mode)
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	must(t, err)
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "ended") {
			if orders--; orders == 0 {
				must(t, in.Close())
			}
		}
		if strings.HasPrefix(lines.Text(), "fail") {
			t.Fatal(lines.Text())
		}
	}
	must(t, child.Wait())
	f, err := os.Open(trace)
	must(t, err)
	defer f.Close()
	calls, err := readTrace(f)
	must(t, err)
	return calls
}

// A database in folders that are new is where it was looked for after a power loss:
// each of their names is flushed before anything is acknowledged.
func TestF35_NewFolders(t *testing.T) {
	dir := t.TempDir()
	flushed := map[string]bool{}
	for _, c := range record(t, filepath.Join(dir, "a", "b", "tether.db"), "FULL", 1) {
		if c.name == "ack" {
			break
		}
		flushed[c.path] = flushed[c.path] || strings.HasPrefix(c.name, "f") && strings.HasSuffix(c.name, "sync")
	}
	for _, folder := range []string{dir, filepath.Join(dir, "a"), filepath.Join(dir, "a", "b")} {
		if !flushed[folder] {
			t.Errorf("%s was not flushed", folder)
		}
	}
}

// readTrace puts the halves of interrupted lines together. Calls are in the
// order of their returns. (Lines are long: regular expressions would take
// minutes under the race detector.)
func readTrace(r io.Reader) (calls []call, err error) {
	type half struct {
		args string
		line int
	}
	open := map[string]half{} // by thread
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 0; lines.Scan(); n++ {
		thread, text, _ := strings.Cut(lines.Text(), " ")
		text = strings.TrimLeft(text, " ")
		begun := half{line: n}
		name, args, isCall := strings.Cut(text, "(")
		if resumed, ok := strings.CutPrefix(text, "<... "); ok {
			name, args, isCall = strings.Cut(resumed, " resumed>")
			begun = open[thread]
		}
		if first, ok := strings.CutSuffix(args, " <unfinished ...>"); ok {
			open[thread] = half{first, n}
			continue
		}
		end := strings.LastIndex(args, ")")
		if !isCall || end < 0 || name == "???" || strings.Contains(args[end:], "= -") {
			continue // an exit, a signal, a call that its thread's end cut short, an error
		}
		c, err := parseCall(name, begun.args+args[:end])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		c.begun, c.end = begun.line, n
		calls = append(calls, c)
	}
	return calls, lines.Err()
}

// parseCall reads 7<path>, "data", 4096, 0 or a part of it, or "path".
func parseCall(name, args string) (c call, err error) {
	c.name = name
	fd, rest, ok := strings.Cut(args, "<")
	if strings.HasPrefix(name, "unlink") {
		word := strings.Split(args, `"`)
		if len(word) < 3 {
			return c, fmt.Errorf("%s(%.100s) is not understood", name, args)
		}
		c.path = plain(word[1])
		return c, nil
	}
	path, rest, ends := strings.Cut(rest, ">")
	if !ok || !ends {
		return c, fmt.Errorf("%s(%.100s) is not understood", name, args)
	}
	c.path = plain(path)
	if data, ok := strings.CutPrefix(rest, `, "`); ok {
		data, rest, _ = strings.Cut(data, `"`)
		c.data = []byte(plain(data))
	}
	if name == "write" && fd == "1" {
		c.name = "ack"
	}
	if i := strings.LastIndex(rest, ", "); i >= 0 {
		c.at, err = strconv.ParseInt(rest[i+2:], 10, 64)
	}
	return c, err
}

// plain undoes \x41.
func plain(text string) string {
	if !strings.HasPrefix(text, `\x`) {
		return text
	}
	out := make([]byte, 0, len(text)/4)
	for ; len(text) >= 4; text = text[4:] {
		b, _ := strconv.ParseUint(text[2:4], 16, 8) // strace's own form
		out = append(out, byte(b))
	}
	return string(out)
}

// disk is a folder on a disk whose kernel may lose its memory.
type disk struct {
	folder string
	files  map[string]*diskFile
	names  map[string]*diskFile // the folder as it was flushed
}

// diskFile is what was flushed of a file, and what came after it.
type diskFile struct {
	flushed []byte
	later   []call
}

func newDisk(folder string) *disk {
	return &disk{folder: folder, files: map[string]*diskFile{}, names: map[string]*diskFile{}}
}

// do follows one call.
func (d *disk) do(c call) {
	if c.path == d.folder && strings.HasSuffix(c.name, "sync") {
		d.names = maps.Clone(d.files)
	}
	if filepath.Dir(c.path) != d.folder || strings.HasSuffix(c.path, "-shm") { // which is memory, and made anew
		return
	}
	f := d.files[c.path]
	if f == nil {
		f = &diskFile{}
		d.files[c.path] = f
	}
	switch c.name {
	case "pwrite64", "ftruncate":
		f.later = append(f.later, c)
	case "fsync", "fdatasync":
		f.flush(c)
	case "unlink", "unlinkat":
		delete(d.files, c.path)
	}
}

// flush makes durable what had returned when the flush began.
func (f *diskFile) flush(c call) {
	n := 0
	for n < len(f.later) && f.later[n].end < c.begun {
		f.flushed = f.later[n].on(f.flushed)
		n++
	}
	f.later = slices.Clone(f.later[n:])
}

// on is content after c.
func (c call) on(content []byte) []byte {
	size := int(c.at)
	if c.name == "pwrite64" {
		size = max(len(content), size+len(c.data))
	}
	content = append(content[:min(len(content), size)], make([]byte, max(0, size-len(content)))...)
	if c.name == "pwrite64" {
		copy(content[c.at:], c.data)
	}
	return content
}

// lose writes into a folder what a power loss leaves: what was flushed, and of
// the rest, piece by piece of that many bytes, what chance lets through.
func (d *disk) lose(folder string, piece int, chance float64) error {
	names := d.names
	if rand.Float64() < chance {
		names = d.files
	}
	for name, f := range names {
		content := bytes.Clone(f.flushed)
		for _, c := range f.later {
			for _, part := range c.pieces(piece) {
				if rand.Float64() < chance {
					content = part.on(content)
				}
			}
		}
		if err := os.WriteFile(filepath.Join(folder, filepath.Base(name)), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// pieces cuts a write at the multiples of size, as a disk does.
func (c call) pieces(size int) []call {
	if c.name != "pwrite64" {
		return []call{c}
	}
	var all []call
	for at, rest := c.at, c.data; len(rest) > 0; {
		n := min(len(rest), size-int(at)%size)
		all = append(all, call{name: c.name, at: at, data: rest[:n]})
		at, rest = at+int64(n), rest[n:]
	}
	return all
}

// luck is in pieces of which size, and how likely, what was not flushed is
// on the disk all the same.
type luck struct {
	piece  int
	chance float64
}

var lucks = []luck{{4096, 0}, {512, 0.5}, {4096, 0.5}, {512, 0.95}}

// lossesAfter cuts the power after so many random calls, and returns what was
// then missing or wrong.
func lossesAfter(t *testing.T, calls []call, folder string, cuts int) (lost []error) {
	t.Helper()
	when := map[int]bool{len(calls) - 1: true}
	for len(when) < min(cuts, len(calls)) {
		when[rand.IntN(len(calls))] = true
	}
	d, a := newDisk(folder), noAcks()
	for i, c := range calls {
		// An acknowledgement counts from its first moment, all else from its last.
		if c.name == "ack" {
			for line := range strings.Lines(string(c.data)) {
				must(t, a.note(line))
			}
		}
		d.do(c)
		if !when[i] {
			continue
		}
		l := lucks[len(when)%len(lucks)]
		delete(when, i)
		copied := filepath.Join(t.TempDir(), "cut")
		must(t, os.Mkdir(copied, 0o700))
		must(t, d.lose(copied, l.piece, l.chance))
		if err := a.rightIn(t, filepath.Join(copied, "tether.db")); err != nil {
			lost = append(lost, fmt.Errorf("after call %d, %v: %w", i, l, err))
		}
		must(t, os.RemoveAll(copied))
	}
	return lost
}

// rightIn is keptIn and a check.
func (a acks) rightIn(t *testing.T, path string) error {
	if err := a.keptIn(t.Context(), path); err != nil {
		return err
	}
	findings, err := Check(t.Context(), "sqlite:"+path)
	if len(findings) > 0 {
		err = fmt.Errorf("findings: %q", findings)
	}
	return err
}

// Power loss: what was acknowledged was flushed before. The same recording of a store
// that does not flush, or only when it empties its log, shows losses: the
// test can fail.
func TestF35_PowerLoss(t *testing.T) {
	orders, cuts := 80, 10
	if os.Getenv("TETHER_SOAK") != "" {
		orders, cuts = 200, 1000
	}
	for _, c := range []struct {
		mode         string
		orders, cuts int
		loses        bool
	}{{"FULL", orders, cuts, false}, {"NORMAL", 30, 8, true}, {"OFF", 30, 8, true}} {
		t.Run(c.mode, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "recorded")
			calls := record(t, filepath.Join(folder, "tether.db"), c.mode, c.orders)
			lost := lossesAfter(t, calls, folder, c.cuts)
			t.Logf("%d writes, %d flushes, %d acknowledgements; the power cut %d times: %d with losses", count(calls, "pwrite64"),
				count(calls, "fsync")+count(calls, "fdatasync"), count(calls, "ack"), c.cuts, len(lost))
			if c.loses && len(lost) == 0 {
				t.Error("nothing was lost: the recording shows nothing")
			}
			if !c.loses && len(lost) > 0 {
				t.Error(lost[0])
			}
		})
	}
}

func count(calls []call, name string) (n int) {
	for _, c := range calls {
		if c.name == name {
			n++
		}
	}
	return n
}
