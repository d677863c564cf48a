package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"
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

// progress shows the lines of an import's answer as they come: what was
// registered to out, all else to err.
type progress struct {
	out, err io.Writer
	terminal bool
	size     int64 // of the file; 0: nobody knows

	lines, failed int64
	shown         time.Time // when progress was shown last
	drawn         bool      // there is a bar on the terminal
}

func newProgress(out, err io.Writer, terminal bool, size int64) *progress {
	return &progress{out: out, err: err, terminal: terminal, size: size, shown: time.Now()}
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
func (p *progress) line(text []byte, sent int64) error {
	p.lines++
	if err := p.answer(text); err != nil {
		return err
	}
	interval := lineInterval
	if p.terminal {
		interval = barInterval
	}
	if time.Since(p.shown) >= interval {
		p.show(sent)
	}
	return nil
}

// answer puts the line where it belongs. That out takes it is not optional:
// passwords stand in it.
func (p *progress) answer(text []byte) error {
	var a importAnswer
	if err := json.Unmarshal(text, &a); err != nil {
		return fmt.Errorf("the answer cannot be read: %w", err)
	}
	if a.Code == "" {
		if p.out == p.err || isTerminal(p.out) {
			p.clear()
		}
		_, err := p.out.Write(append(bytes.Clone(text), '\n'))
		return err
	}
	p.failed++
	p.clear()
	fmt.Fprintf(p.err, "line %d: %s: %s\n", a.Line, a.Code, a.Message)
	return nil
}

// show draws the bar, or writes a line where there is no terminal.
func (p *progress) show(sent int64) {
	p.shown = time.Now()
	text := fmt.Sprintf("%d lines, %d refused", p.lines, p.failed)
	if p.size > 0 {
		part := min(float64(sent)/float64(p.size), 1)
		text = fmt.Sprintf("%3.0f %%  %s", 100*part, text)
		if full := int(part * barWidth); p.terminal {
			text = "[" + strings.Repeat("#", full) + strings.Repeat(".", barWidth-full) + "] " + text
		}
	}
	if p.terminal {
		fmt.Fprint(p.err, clearLine, text)
		p.drawn = true
		return
	}
	fmt.Fprintln(p.err, strings.TrimSpace(text))
}

func (p *progress) clear() {
	if p.drawn {
		fmt.Fprint(p.err, clearLine)
		p.drawn = false
	}
}

// finish leaves no bar behind.
func (p *progress) finish() { p.clear() }

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
