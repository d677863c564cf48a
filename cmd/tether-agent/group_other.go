//go:build !unix

package main

import "os/exec"

// inOwnGroup does nothing on systems without process groups: there the program
// itself is killed, and its children live on.
func inOwnGroup(*exec.Cmd) {}
