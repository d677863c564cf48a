package session

import (
	"bytes"
	"strconv"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// report is a StatusInfo in one piece of memory. Reports are the most of what
// devices send, and one of each is kept; those of the usual form are read
// without the decoder, which makes fourteen pieces of one and takes several
// times as long.
type report struct {
	info    schema.StatusInfo
	cpu     schema.CPUInfo
	memory  schema.MemoryInfo
	disk    schema.DiskInfo
	numbers [10]float64 // one for each member of the three
	n       int
}

// readReport returns nil for a report that is unusual, or wrong.
func readReport(raw []byte) *schema.StatusInfo {
	r := new(report)
	if !rpc.EachMember(raw, r.member) {
		return nil
	}
	return &r.info
}

func (r *report) member(name, value []byte) bool {
	switch string(name) {
	case "CPU_info":
		r.info.CPU = &r.cpu
		return rpc.EachMember(value, r.ofCPU)
	case "Memory_info":
		r.info.Memory = &r.memory
		return rpc.EachMember(value, r.ofMemory)
	case "Disk_info":
		r.info.Disk = &r.disk
		return rpc.EachMember(value, r.ofDisk)
	case "dev_state":
		return text(value, &r.info.DevState)
	case "device_id":
		return text(value, &r.info.DeviceID)
	case "custom":
		r.info.Custom = bytes.Clone(value)
		return value[0] == '{'
	}
	return true
}

func (r *report) ofCPU(name, value []byte) bool {
	switch string(name) {
	case "user_cpu_time":
		return r.number(value, &r.cpu.User)
	case "system_cpu_time":
		return r.number(value, &r.cpu.System)
	case "idle_cpu_time":
		return r.number(value, &r.cpu.Idle)
	case "io_wait_cpu_time":
		return r.number(value, &r.cpu.IOWait)
	}
	return true
}

func (r *report) ofMemory(name, value []byte) bool {
	switch string(name) {
	case "total_memory_mb":
		return r.number(value, &r.memory.Total)
	case "free_memory_mb":
		return r.number(value, &r.memory.Free)
	case "buff_cache_mb":
		return r.number(value, &r.memory.BuffCache)
	}
	return true
}

func (r *report) ofDisk(name, value []byte) bool {
	switch string(name) {
	case "root_total_size_mb":
		return r.number(value, &r.disk.RootTotal)
	case "root_used_size_mb":
		return r.number(value, &r.disk.RootUsed)
	case "root_used_percent":
		return r.number(value, &r.disk.RootPercent)
	}
	return true
}

func (r *report) number(value []byte, to **float64) bool {
	if c := value[0]; c != '-' && (c < '0' || c > '9') {
		return false
	}
	f, ok := decimal(value)
	if !ok {
		var err error
		if f, err = strconv.ParseFloat(string(value), 64); err != nil {
			return false
		}
	}
	r.numbers[r.n] = f
	*to = &r.numbers[r.n]
	r.n++
	return true
}

// decimal reads a number of few digits without an exponent. Both the digits and
// the power of ten are exact as they are, so that their quotient is the nearest
// number that there is. The standard library does the same, in a frame that
// would double the stack of every device's reader.
func decimal(text []byte) (f float64, ok bool) {
	const exact = 15 // digits
	if len(text) > exact {
		return 0, false
	}
	digits, scale, step := int64(0), 1.0, 1.0
	for i, c := range text {
		switch {
		case c == '-' && i == 0:
		case c == '.':
			step = 10
		case '0' <= c && c <= '9':
			digits, scale = 10*digits+int64(c-'0'), scale*step
		default:
			return 0, false
		}
	}
	if f = float64(digits) / scale; text[0] == '-' {
		f = -f
	}
	return f, true
}

// text takes a string; EachMember gives it none with escapes.
func text(value []byte, to *string) bool {
	if value[0] != '"' {
		return false
	}
	*to = string(value[1 : len(value)-1])
	return true
}
