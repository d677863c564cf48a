//go:build unix && !linux

package pgtest

import "syscall"

// attributes make a child the user's.
func attributes(user *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: user, Setpgid: true}
}
