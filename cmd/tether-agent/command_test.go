package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
)

func process1(t *testing.T, what string, args ...string) process {
	return process{argv: self(t, what, args...), dir: "/", env: []string{"GORACE=atexit_sleep_ms=0"}, limit: defaultOutput, expiry: 30 * time.Second}
}

func TestCommandFails(t *testing.T) {
	out, err := process1(t, "fail", "3").run(t.Context())
	if err == nil || err.Error() != "exit status 3: first line\nthe lamp is broken" {
		t.Errorf("%+v, %v", out, err)
	}
	if out, err = process1(t, "fail", "0").run(t.Context()); err != nil || out.ExitCode != 0 || !strings.Contains(out.Stderr, "broken") {
		t.Errorf("%+v, %v", out, err)
	}
	gone := process{argv: []string{"/no/such/program"}, limit: 1, expiry: time.Second}
	if _, err := gone.run(t.Context()); err == nil {
		t.Error("ran what is not there")
	}
}

func TestLastWordsAreShort(t *testing.T) {
	words := &tail{limit: maxOutput}
	io.WriteString(words, strings.Repeat("ü", 3000)+"the end")
	err := failure(context.Canceled, words)
	if text := err.Error(); len(text) > 1024 || !strings.HasSuffix(text, "the end") {
		t.Errorf("%d bytes", len(text))
	}
}

func TestOutputIsLimited(t *testing.T) {
	for length, cut := range map[string]bool{"4093": false, "4094": true, "1000000": true} {
		out, err := process1(t, "say", length).run(t.Context())
		if err != nil || out.Cut != cut || len(out.Stdout) > defaultOutput || !strings.HasSuffix(out.Stdout, "end") {
			t.Errorf("%s: %d bytes, cut %v, %v", length, len(out.Stdout), out.Cut, err)
		}
	}
}

func TestOutputIsText(t *testing.T) {
	b := &tail{limit: 10}
	b.Write([]byte("a\xff\xfeb\x00"))
	if b.String() != "a\ufffdb\x00" {
		t.Errorf("%q", b.String())
	}
	if _, err := json.Marshal(outcome{Stdout: b.String()}); err != nil {
		t.Error(err)
	}
}

func TestCommandSeesLittle(t *testing.T) {
	own := environment([]string{"TETHER_PASSWORD=canary", "OTHER=canary", "LANG=xx", "PATH=/bin", "TZ=", "GORACE=atexit_sleep_ms=0"})
	for env, want := range map[string][]string{
		"env: []":              nil,
		"env: [LANG, NOT_SET]": {"LANG=xx"},
		"about: the default":   {"PATH=/bin", "LANG=xx"},
	} {
		text := minimal + "password: x\norders: {x: {" + env + ", command: [" + strings.Join(self(t, "env"), ", ") + "]}}\n"
		c, err := readConfig(write(t, "c.yaml", text, 0o600), own)
		if err != nil {
			t.Fatal(err)
		}
		o := c.Orders["x"]
		out, err := o.process(o.Command).run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		if err := json.Unmarshal([]byte(out.Stdout), &got); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %s, %v", env, out.Stdout, err)
		}
	}
	if out, err := process1(t, "stdin").run(t.Context()); err != nil || out.Stdout != "0 EOF" {
		t.Errorf("input: %q, %v", out.Stdout, err)
	}
}

func TestCommandRunsInItsDirectory(t *testing.T) {
	o := orderOf(t, self(t, "dir"), "")
	for dir, want := range map[string]string{"": "/", "/usr": "/usr"} {
		o.Dir = dir
		if out, err := o.process(o.Command).run(t.Context()); err != nil || strings.TrimSpace(out.Stdout) != want {
			t.Errorf("%q: %q, %v", dir, out.Stdout, err)
		}
	}
}

// watch listens for processes that hold on to a connection; the channel tells
// how each ends.
func watch(t *testing.T) (address string, arrived <-chan net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := make(chan net.Conn, 4)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c <- conn
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String(), c
}

// ends waits until the process at the other end is gone.
func ends(t *testing.T, c net.Conn) {
	t.Helper()
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if n, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Errorf("a process lives on (%d, %v)", n, err)
	}
}

// TestT42_GroupIsKilled: a command's time is over for its children too.
func TestT42_GroupIsKilled(t *testing.T) {
	address, arrived := watch(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := process1(t, "hang", address).run(ctx)
		result <- err
	}()
	first, second := <-arrived, <-arrived
	cancel(context.DeadlineExceeded)
	if err := <-result; err == nil {
		t.Error("it succeeded")
	}
	ends(t, first)
	ends(t, second)
}

func TestTimeout(t *testing.T) {
	address, arrived := watch(t)
	p := process1(t, "hang", address, "alone")
	p.expiry = 300 * time.Millisecond
	if _, err := p.run(t.Context()); err == nil || err.Error() != "killed after 300ms" {
		t.Error(err)
	}
	select { // it may have been killed before it got there
	case c := <-arrived:
		ends(t, c)
	default:
	}
}

// A command may leave something running, even with its output open.
func TestCommandMayLeaveAChild(t *testing.T) {
	address, arrived := watch(t)
	out, err := process1(t, "leave", address).run(t.Context())
	if err != nil || out.Stdout != "left" {
		t.Errorf("%+v, %v", out, err)
	}
	c := <-arrived
	if _, err := c.Write([]byte("x")); err != nil { // it lives, and ends by this
		t.Error(err)
	}
	ends(t, c)
}

func TestFigure(t *testing.T) {
	value, err := process1(t, "argv", "a").figure(t.Context())
	if raw, ok := value.(json.RawMessage); err != nil || !ok || string(raw) != `["a"]` {
		t.Errorf("%v, %v", value, err)
	}
	if value, err = process1(t, "say", "0").figure(t.Context()); err != nil || value != "end" {
		t.Errorf("%v, %v", value, err)
	}
	for _, forbidden := range []string{`{"a":1,"a":2}`, strings.Repeat("1", schema.MaxNumber+1), strings.Repeat("[", 30) + strings.Repeat("]", 30)} {
		if value, err = process1(t, "echo", forbidden).figure(t.Context()); err != nil || value != forbidden {
			t.Errorf("%v, %v", value, err)
		}
	}
	if _, err = process1(t, "fail", "1").figure(t.Context()); err == nil {
		t.Error("a failure is no figure")
	}
}
