package session

import (
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
		return false
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
	f, err := strconv.ParseFloat(string(value), 64)
	if err != nil {
		return false
	}
	r.numbers[r.n] = f
	*to = &r.numbers[r.n]
	r.n++
	return true
}

// text takes a string; EachMember gives it none with escapes.
func text(value []byte, to *string) bool {
	if value[0] != '"' {
		return false
	}
	*to = string(value[1 : len(value)-1])
	return true
}
