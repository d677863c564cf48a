//go:build unix

package sim

import (
	"fmt"
	"syscall"
)

// spareFiles are for what is no device: callers, guesses, silenced lines.
const spareFiles = 200

// checkFiles says whether this process may open as many files as the fleet
// needs. Go has raised its own limit to the hard one.
func checkFiles(o *Options) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	need := uint64(o.Devices + o.Callers + spareFiles)
	if o.Faults.WrongLogins > 0 {
		need += uint64(o.Faults.wrongAtOnce())
	}
	need += uint64(o.Faults.HalfOpen) * 3 // lines that stay behind for a minute
	if uint64(limit.Cur) >= need {
		return nil
	}
	return fmt.Errorf("%d devices need %d open files, and this process may have %d: run \"ulimit -n %d\" first, as root if that is refused "+
		"(a systemd unit has LimitNOFILE=%d, docker --ulimit nofile=%d); the server needs as many", o.Devices, need, limit.Cur, need, need, need)
}
