package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

const (
	// pipeWait is how long output is still read once the program has ended and
	// one of its children holds on to it.
	pipeWait = 500 * time.Millisecond
	// messageTail is how much of its last words a failed command's message
	// carries: the device library tells 1 KiB of a failure.
	messageTail = 800
	figureLimit = 4 << 10 // bytes of a figure's output
)

// outcome is the data of an order whose command succeeded.
type outcome struct {
	ExitCode   int    `json:"exit_code"`
	DurationMS int64  `json:"duration_ms"`
	Stdout     string `json:"stdout"`
	Stderr     string `json:"stderr"`
	// Cut says that only the ends of the streams are here.
	Cut bool `json:"cut,omitzero"`
}

// process is a program about to be run.
type process struct {
	argv   []string
	dir    string
	env    []string // NAME=value
	limit  int      // bytes kept of each stream
	expiry time.Duration
}

// run runs the program to its end, or to the end of its time or of ctx, and
// then kills its whole process group.
func (p process) run(ctx context.Context) (outcome, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.expiry, fmt.Errorf("killed after %s", p.expiry))
	defer cancel()
	stdout, stderr := &tail{limit: p.limit}, &tail{limit: p.limit}
	cmd := exec.CommandContext(ctx, p.argv[0], p.argv[1:]...)
	cmd.Dir, cmd.Env = p.dir, append([]string{}, p.env...) // never nil: that would pass everything on
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = pipeWait
	inOwnGroup(cmd)
	begun := time.Now()
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // the program succeeded, and left something running
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return outcome{}, failure(err, stderr, stdout)
	}
	return outcome{
		ExitCode: cmd.ProcessState.ExitCode(), DurationMS: time.Since(begun).Milliseconds(),
		Stdout: stdout.String(), Stderr: stderr.String(), Cut: stdout.cut || stderr.cut,
	}, nil
}

// failure says how a command failed, with its last words.
func failure(err error, streams ...*tail) error {
	for _, s := range streams {
		if words := strings.TrimSpace(s.String()); words != "" {
			words = words[max(0, len(words)-messageTail):]
			return fmt.Errorf("%w: %s", err, strings.ToValidUTF8(words, ""))
		}
	}
	return err
}

// figure runs the program and returns its output: as JSON if it is JSON that
// may travel, otherwise as text.
func (p process) figure(ctx context.Context) (any, error) {
	out, err := p.run(ctx)
	if err != nil {
		return nil, err
	}
	text := strings.TrimSpace(out.Stdout)
	if rpc.CheckValue("figure", []byte(text), schema.MaxParamsDepth-1) != nil {
		return text, nil
	}
	return json.RawMessage(text), nil
}

// tail keeps the end of what is written to it.
type tail struct {
	limit int
	kept  []byte
	cut   bool
}

// Write takes everything.
func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - t.limit; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
		t.cut = true
	}
	return len(p), nil
}

// String is what was kept, as text that JSON can carry.
func (t *tail) String() string { return strings.ToValidUTF8(string(t.kept), "\uFFFD") }
