package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/edgetether/tether/northapi/client"
)

// How often progress is shown: as a bar, and as lines.
const (
	barInterval  = 100 * time.Millisecond
	lineInterval = 10 * time.Second
)

// barWidth is in columns.
const barWidth = 30

// clearLine takes the bar off a terminal.
const clearLine = "\r\x1b[K"

// A bar shows how far something has come: as a bar on a terminal, as a line now
// and then where there is none.
type bar struct {
	err      io.Writer
	terminal bool
	shown    time.Time // when progress was shown last
	drawn    bool      // there is a bar on the terminal
}

func newBar(err io.Writer, terminal bool) bar {
	return bar{err: err, terminal: terminal, shown: time.Now()}
}

// due says whether it is time to show progress again.
func (b *bar) due() bool {
	if b.terminal {
		return time.Since(b.shown) >= barInterval
	}
	return time.Since(b.shown) >= lineInterval
}

// show draws the bar, or writes a line where there is no terminal. A part of
// less than 0 is not known.
func (b *bar) show(part float64, text string) {
	b.shown = time.Now()
	if part = min(part, 1); part >= 0 {
		text = fmt.Sprintf("%3.0f %%  %s", 100*part, text)
		if full := int(part * barWidth); b.terminal {
			text = "[" + strings.Repeat("#", full) + strings.Repeat(".", barWidth-full) + "] " + text
		}
	}
	if b.terminal {
		fmt.Fprint(b.err, clearLine, text)
		b.drawn = true
		return
	}
	fmt.Fprintln(b.err, strings.TrimSpace(text))
}

// clear leaves no bar behind.
func (b *bar) clear() {
	if b.drawn {
		fmt.Fprint(b.err, clearLine)
		b.drawn = false
	}
}

// progress shows the lines of an import's answer as they come: what was
// registered to out, all else to err.
type progress struct {
	bar
	out  io.Writer
	size int64 // of the file; 0: nobody knows

	lines, failed int64
}

func newProgress(out, err io.Writer, terminal bool, size int64) *progress {
	return &progress{bar: newBar(err, terminal), out: out, size: size}
}

// isTerminal says whether somebody is looking. A device such as /dev/null
// counts too, where a bar harms nobody.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// line shows one line of the answer, after sent bytes of the file.
func (p *progress) line(l client.ImportLine, sent int64) error {
	p.lines++
	if err := p.answer(l); err != nil {
		return err
	}
	if p.due() {
		part := -1.0
		if p.size > 0 {
			part = float64(sent) / float64(p.size)
		}
		p.show(part, fmt.Sprintf("%d lines, %d refused", p.lines, p.failed))
	}
	return nil
}

// answer puts the line where it belongs. That out takes it is not optional:
// passwords stand in it.
func (p *progress) answer(l client.ImportLine) error {
	if l.Code == "" {
		if p.out == p.err || isTerminal(p.out) {
			p.clear()
		}
		return writeJSON(p.out, l)
	}
	p.failed++
	p.clear()
	fmt.Fprintf(p.err, "line %d: %s: %s\n", l.Line, plain(l.Code), plain(l.Message))
	return nil
}

// counter counts what is read, for a reader in another goroutine.
type counter struct {
	from io.Reader
	n    atomic.Int64
}

// Read reads on.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func (c *counter) count() int64 { return c.n.Load() }
