package device

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	logName     = "device.log"
	logStamp    = "2006-01-02T15:04:05.000Z"
	logDays     = 3        // days in a file
	logMaxBytes = 32 << 20 // in a file: a flood must not fill the disk
	logMaxValue = 512      // bytes of a value
)

// oplog is the operation log: a line for each connect, login, report, order,
// upload and update. A file covers three days of the calendar, counted from the
// epoch in UTC, however often the process restarts within them.
type oplog struct {
	mu     sync.Mutex
	dir    string
	keep   int // rotated files that stay
	logf   func(format string, args ...any)
	file   *os.File
	size   int64
	period int64 // of the file's first line
}

// openLog goes on with the file that is there, whichever process began it.
func openLog(dir string, keep int, logf func(string, ...any)) (*oplog, error) {
	l := &oplog{dir: dir, keep: keep, logf: logf}
	return l, l.open(time.Now())
}

func (l *oplog) path() string { return filepath.Join(l.dir, logName) }

func (l *oplog) open(now time.Time) error {
	f, err := os.OpenFile(l.path(), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.file, l.size, l.period = f, info.Size(), logPeriod(now)
	if l.size > 0 {
		l.period = logPeriod(begun(f, info))
	}
	return nil
}

// begun is when a log was: its first line says so, or failing that its mtime.
func begun(f io.ReaderAt, info os.FileInfo) time.Time {
	stamp := make([]byte, len(logStamp))
	n, _ := f.ReadAt(stamp, 0)
	t, err := time.Parse(logStamp, string(stamp[:n]))
	if err != nil {
		return info.ModTime()
	}
	return t
}

// logPeriod numbers the three-day periods of the calendar.
func logPeriod(t time.Time) int64 {
	day := t.Unix() / 86400
	return day / logDays
}

// add writes one line: what happened, how it went, and name, value pairs. No
// secret is ever among them. What cannot be written is lost: the log never
// holds up what it tells of.
func (l *oplog) add(what, outcome string, pairs ...any) {
	line := formatLine(what, outcome, pairs)
	if l.logf != nil {
		l.logf("%s", line)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.rotate(now)
	l.write(now.UTC().Format(logStamp) + " " + line + "\n")
}

// write appends within the file's bound, whose last line says that it is full.
func (l *oplog) write(line string) {
	if l.file == nil || l.size >= logMaxBytes {
		return
	}
	if l.size+int64(len(line)) >= logMaxBytes {
		line = line[:len(logStamp)] + " log full until=next_period\n"
		l.size = logMaxBytes
	}
	n, _ := l.file.WriteString(line)
	l.size += int64(n)
}

func formatLine(what, outcome string, pairs []any) string {
	var b strings.Builder
	b.WriteString(what + " " + outcome)
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(&b, " %v=%s", pairs[i], quoteValue(fmt.Sprint(pairs[i+1])))
	}
	return b.String()
}

// quoteValue keeps a value on one line and free of anything that a terminal
// would obey: all that does not print is escaped.
func quoteValue(s string) string {
	if len(s) > logMaxValue {
		s = s[:logMaxValue] + "…"
	}
	quoted := strconv.Quote(s)
	if s != "" && quoted[1:len(quoted)-1] == s && !strings.ContainsAny(s, " =") {
		return s
	}
	return quoted
}

// rotate starts a new file when the period of the present one is over. A clock
// that went back does not begin one.
func (l *oplog) rotate(now time.Time) {
	if l.file == nil || logPeriod(now) <= l.period {
		return
	}
	_ = l.file.Close() // nothing is buffered; a lost line is no reason to stop
	l.file = nil
	if err := os.Rename(l.path(), l.rotatedName()); err != nil && l.logf != nil {
		l.logf("log rotate failed: %v", err)
	}
	if err := l.open(now); err != nil && l.logf != nil {
		l.logf("log open failed: %v", err)
	}
	l.period = logPeriod(now)
	l.prune()
}

// rotatedName is the first day of the period: device-2026-11-21.log; a second
// file of the same period, after a clock went astray, is numbered.
func (l *oplog) rotatedName() string {
	day := time.Unix(l.period*logDays*86400, 0).UTC().Format(time.DateOnly)
	name := filepath.Join(l.dir, "device-"+day+".log")
	for n := 2; exists(name) && n < 100; n++ {
		name = filepath.Join(l.dir, fmt.Sprintf("device-%s.%02d.log", day, n))
	}
	return name
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// prune removes the oldest rotated files; their names sort by time.
func (l *oplog) prune() {
	names, err := filepath.Glob(filepath.Join(l.dir, "device-*.log"))
	if err != nil {
		return
	}
	slices.Sort(names)
	for _, name := range names[:max(0, len(names)-l.keep)] {
		_ = os.Remove(name) // tried again at the next rotation
	}
}

// snapshot copies the current log to a file of its own, removed by the caller,
// so that what is uploaded is what was counted and hashed.
func (l *oplog) snapshot() (path string, size int64, sum string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	src, err := os.Open(l.path())
	if err != nil {
		return "", 0, "", err
	}
	defer src.Close()
	dst, err := os.CreateTemp(l.dir, "upload.*.tmp")
	if err != nil {
		return "", 0, "", err
	}
	hash := sha256.New()
	size, err = io.Copy(io.MultiWriter(dst, hash), bufio.NewReader(src))
	if err = errors.Join(err, dst.Close()); err != nil {
		return "", 0, "", errors.Join(err, os.Remove(dst.Name()))
	}
	return dst.Name(), size, hex.EncodeToString(hash.Sum(nil)), nil
}

func (l *oplog) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
