//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// inOwnGroup gives the program a process group of its own, which dies whole
// when the command's context ends.
func inOwnGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
