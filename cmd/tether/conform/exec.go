package conform

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// Exec is a Launch that runs a command line by the shell, with the TETHER_
// variables in its environment. What it prints goes to output.
func Exec(line string, output io.Writer) Launch {
	return func(ctx context.Context, env map[string]string) error {
		tail := &tail{}
		cmd := exec.Command("/bin/sh", "-c", line)
		cmd.Env = os.Environ()
		for name, value := range env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		cmd.Stdout = io.MultiWriter(output, tail)
		cmd.Stderr = cmd.Stdout
		cmd.WaitDelay = killAfter
		inOwnGroup(cmd)
		if err := cmd.Start(); err != nil {
			return err
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended:
			return tail.explain(err)
		case <-ctx.Done():
		}
		return end(cmd, ended, errors.Is(context.Cause(ctx), ErrKilled))
	}
}

// killAfter is how long a client may take to end.
const killAfter = 3 * time.Second

// end ends a program and what it has started, hard or with a chance to tidy up.
func end(cmd *exec.Cmd, ended <-chan error, hard bool) error {
	if !hard {
		terminate(cmd)
		timer := time.NewTimer(killAfter)
		defer timer.Stop()
		select {
		case <-ended:
			kill(cmd) // its children
			return errStopped
		case <-timer.C:
		}
	}
	kill(cmd)
	<-ended
	return errStopped
}

// maxTail is how much of a client's last words is shown.
const maxTail = 400

// tail keeps the end of what was written.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if extra := len(t.kept) - maxTail; extra > 0 {
		t.kept = append(t.kept[:0], t.kept[extra:]...)
	}
	return len(p), nil
}

// explain adds the last line to an error.
func (t *tail) explain(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := bytes.Split(bytes.TrimSpace(t.kept), []byte("\n"))
	last := lines[len(lines)-1]
	switch {
	case err == nil && len(last) == 0:
		return errors.New("exit status 0")
	case err == nil:
		return fmt.Errorf("exit status 0: %s", excerpt(last))
	}
	return fmt.Errorf("%w: %s", err, excerpt(last))
}
