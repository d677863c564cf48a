//go:build !unix

package conform

import "os/exec"

// On systems without process groups the program itself is ended, and its
// children live on.

func inOwnGroup(*exec.Cmd) {}

func terminate(cmd *exec.Cmd) { _ = cmd.Process.Kill() }
func kill(cmd *exec.Cmd)      { _ = cmd.Process.Kill() }
