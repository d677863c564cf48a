//go:build linux || darwin || freebsd

package logdrop

import "syscall"

// freeSpace is what an unprivileged process can still write to dir's file
// system, in bytes.
func freeSpace(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}
