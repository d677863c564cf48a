package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestMain makes the test binary the program that orders run: with a first
// argument of "child" it does what the second says.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "child" {
		os.Exit(child(os.Args[2], os.Args[3:]))
	}
	goleak.VerifyTestMain(m)
}

func child(what string, args []string) int {
	switch what {
	case "argv":
		json.NewEncoder(os.Stdout).Encode(args)
	case "echo":
		fmt.Println(args[0])
	case "env":
		json.NewEncoder(os.Stdout).Encode(os.Environ())
	case "dir":
		dir, _ := os.Getwd()
		fmt.Println(dir)
	case "say":
		n, _ := strconv.Atoi(args[0])
		fmt.Print(strings.Repeat("a", n) + "end")
	case "stdin":
		n, err := os.Stdin.Read(make([]byte, 1))
		fmt.Print(n, err)
	case "fail":
		fmt.Fprintln(os.Stderr, "first line\nthe lamp is broken")
		code, _ := strconv.Atoi(args[0])
		return code
	case "hang": // and leave a child of its own hanging, both seen by a listener
		if len(args) == 1 {
			cmd := exec.Command(os.Args[0], "child", "hang", args[0], "deeper")
			cmd.Stdout = os.Stdout
			cmd.Start()
		}
		hold(args[0])
	case "leave": // a child that holds on to the output
		cmd := exec.Command(os.Args[0], "child", "hang", args[0], "deeper")
		cmd.Stdout = os.Stdout
		cmd.Start()
		fmt.Print("left")
	}
	return 0
}

// hold connects to address and waits there for ever.
func hold(address string) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		os.Exit(3)
	}
	c.Write([]byte("x"))
	c.Read(make([]byte, 1))
}

// self is the test binary as an order's command.
func self(t testing.TB, what string, args ...string) []string {
	t.Helper()
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{name, "child", what}, args...)
}

func write(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return name
}

const minimal = "server: ws://127.0.0.1:1/ws\ndevice_id: \"1\"\n"

func TestRun(t *testing.T) {
	good := write(t, "good.yaml", minimal+fmt.Sprintf(`
password: canary-password
sftp: {address: "h:22", username: u, password: canary-sftp, host_key: %q}
custom: {figure: {command: [%[2]q]}}
orders:
  turn:
    command: [%[2]q, "${n}", "${how}"]
    args:
      n: {type: int, max: 9}
      how: {type: enum, values: [left, right], default: left}
`, hostKey, self(t, "argv")[0]), 0o600)
	wrong := write(t, "wrong.yaml", minimal+"password: canary-password\nordres: {}\n", 0o600)
	open := write(t, "open.yaml", minimal+"password: canary-password\n", 0o644)
	badKey := write(t, "key.yaml", minimal+"password: canary-password\nsftp: {address: h, username: u, password: p, host_key: x}\n", 0o600)
	gone := write(t, "gone.yaml", minimal+"password: canary-password\norders: {x: {command: [/no/such/program]}}\n", 0o600)
	noCA := write(t, "ca.yaml", minimal+"password: canary-password\nca_file: "+good+"\n", 0o600)
	for name, c := range map[string]struct {
		args []string
		env  []string
		code int
		out  []string // all of these, on either stream
	}{
		"example":         {[]string{"--example"}, nil, 0, []string{"server: wss://"}},
		"help":            {[]string{"--help"}, nil, 0, []string{"--config", "--check"}},
		"nothing":         {nil, nil, 2, []string{"--config=FILE is required"}},
		"unknown flag":    {[]string{"--nosuch"}, nil, 2, []string{"unknown flag --nosuch"}},
		"unknown level":   {[]string{"--log-level=loud", "--config", good}, nil, 2, []string{"--log-level"}},
		"no file":         {[]string{"--config=/no/such/file"}, nil, 2, []string{"/no/such/file"}},
		"check":           {[]string{"--check", "-c", good}, nil, 0, []string{"device   1\n", "u@h:22", "figure", `"${n}"`, "int from 0 to 9", `left, right, "left" if left out`}},
		"check by env":    {nil, []string{"TETHER_CHECK=true", "TETHER_CONFIG=" + good}, 0, []string{"device   1\n"}},
		"unknown key":     {[]string{"--check", "-c", wrong}, nil, 2, []string{"wrong.yaml:4: ", "ordres"}},
		"readable by all": {[]string{"--check", "-c", open}, nil, 2, []string{"mode 0644"}},
		"bad host key":    {[]string{"--check", "-c", badKey}, nil, 1, []string{"SFTP"}},
		"no program":      {[]string{"--check", "-c", gone}, nil, 2, []string{"orders.x.command: there is no /no/such/program"}},
		"no certificate":  {[]string{"--check", "-c", noCA}, nil, 1, []string{"holds no certificate"}},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), c.args, c.env, &stdout, &stderr)
		all := stdout.String() + stderr.String()
		if code != c.code {
			t.Errorf("%s: code %d, want %d\n%s", name, code, c.code, all)
		}
		for _, want := range c.out {
			if !strings.Contains(all, want) {
				t.Errorf("%s: no %q in\n%s", name, want, all)
			}
		}
		if strings.Contains(all, "canary") {
			t.Errorf("%s: shows a secret:\n%s", name, all)
		}
	}
}

const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
