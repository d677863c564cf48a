package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// onTerminal runs a program on a terminal of 60 columns, types a line, and
// copies what is on the screen.
const onTerminal = `
import fcntl, os, pty, struct, sys, termios
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    os.execv(sys.argv[2], sys.argv[2:])
os.write(fd, sys.argv[1].encode())
while True:
    try:
        piece = os.read(fd, 4096)
    except OSError:
        break
    if not piece:
        break
    os.write(1, piece)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`

// TestT19_Terminal: on a real terminal names do nothing, no line is longer than
// it, and who deletes is asked.
func TestT19_Terminal(t *testing.T) {
	t.Parallel()
	s := serve(t)
	x := newTerminal(t, s)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	screen := func(code int, typed string, args ...string) string {
		t.Helper()
		env := append([]string{programEnv + "=tether"}, x.env...)
		p := launch(t, env, python, append([]string{"-c", onTerminal, typed, self}, args...)...)
		if got := p.code(); got != code {
			t.Errorf("%q: exit code %d", args, got)
		}
		return strings.ReplaceAll(p.out.String(), "\r\n", "\n")
	}
	for i, text := range terminalTexts {
		name, err := json.Marshal("x" + text)
		if err != nil {
			t.Fatal(err)
		}
		body := fmt.Sprintf(`{"device_name":%s,"hardware":{"sn":"S%d","model":"M"},"device_type":"a rather long type of device"}`, name, i)
		s.api.ask("POST", "device_add", body) // some are refused by the contract
	}
	x.adds("press-7 --sn a --model M")
	list := screen(0, "", "device", "list")
	if strings.Count(list, "\n") < 2 || strings.ContainsAny(list, "\x1b\u009b\u202e\x00\a") {
		t.Errorf("the screen has %q", list)
	}
	for line := range strings.Lines(list) {
		if line = strings.TrimSuffix(line, "\n"); plain(line) != line || columns(line) > 60 {
			t.Errorf("a line of %d columns: %q", columns(line), line)
		}
	}
	if got := screen(1, "n\n", "device", "rm", "press-7"); !strings.Contains(got, "[y/N]") || !strings.Contains(got, "nothing was changed") {
		t.Errorf("asked: %q", got)
	}
	if got := screen(0, "y\n", "device", "rm", "press-7"); !strings.Contains(got, "was deleted") {
		t.Errorf("asked: %q", got)
	}
	if got := screen(0, "", "order", "list", anID.FindString(list), "--json"); got != "" {
		t.Errorf("no orders: %q", got)
	}
}
