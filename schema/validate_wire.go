package schema

import (
	"math"
	"unicode/utf8"
)

// Limits of the members of southbound messages, in bytes.
const (
	MaxBootID     = 64
	MaxClientWord = 64
	MaxDevState   = 32
)

// Validate checks the members that a login may carry in any form. Which
// members make a form is the login's own business.
func (p LoginParams) Validate() error {
	if err := short("boot_id", p.BootID, MaxBootID); err != nil {
		return err
	}
	if err := short("client.name", p.Client.Name, MaxClientWord); err != nil {
		return err
	}
	return short("client.version", p.Client.Version, MaxClientWord)
}

// Validate checks a report: the three objects are there, their members are in
// range, the device's own object is one and not too large.
func (s *StatusInfo) Validate() error {
	switch {
	case s.CPU == nil:
		return InvalidMember("CPU_info", "required")
	case s.Memory == nil:
		return InvalidMember("Memory_info", "required")
	case s.Disk == nil:
		return InvalidMember("Disk_info", "required")
	}
	for _, m := range s.numbers() {
		if m.value != nil && !(*m.value >= 0 && *m.value <= math.MaxInt64) {
			return InvalidMember(m.name, "must be a number from 0")
		}
	}
	if p := s.Disk.RootPercent; p != nil && *p > 100 {
		return InvalidMember("Disk_info.root_used_percent", "must be at most 100")
	}
	if err := short("dev_state", s.DevState, MaxDevState); err != nil {
		return err
	}
	return object("custom", s.Custom, MaxCustom)
}

type namedNumber struct {
	name  string
	value *float64
}

func (s *StatusInfo) numbers() [10]namedNumber {
	return [...]namedNumber{
		{"CPU_info.user_cpu_time", s.CPU.User},
		{"CPU_info.system_cpu_time", s.CPU.System},
		{"CPU_info.idle_cpu_time", s.CPU.Idle},
		{"CPU_info.io_wait_cpu_time", s.CPU.IOWait},
		{"Memory_info.total_memory_mb", s.Memory.Total},
		{"Memory_info.free_memory_mb", s.Memory.Free},
		{"Memory_info.buff_cache_mb", s.Memory.BuffCache},
		{"Disk_info.root_total_size_mb", s.Disk.RootTotal},
		{"Disk_info.root_used_size_mb", s.Disk.RootUsed},
		{"Disk_info.root_used_percent", s.Disk.RootPercent},
	}
}

// Validate checks a handed-in result.
func (r UploadResult) Validate() error {
	switch {
	case r.OrderID == "":
		return InvalidMember("order_id", "required")
	case r.Status != ResultSuccess && r.Status != ResultFail:
		return InvalidMember("status", "must be %q or %q", ResultSuccess, ResultFail)
	}
	return object("data", r.Data, MaxMessage)
}

func short(member, s string, limit int) error {
	if len(s) > limit {
		return InvalidMember(member, "must be at most %d bytes", limit)
	}
	if !utf8.ValidString(s) {
		return InvalidMember(member, "must be UTF-8")
	}
	return nil
}

// object checks that raw is absent or a JSON object of at most limit bytes.
// That it is well-formed JSON is known from the message that it came in.
func object(member string, raw RawObject, limit int) error {
	switch {
	case len(raw) == 0:
		return nil
	case raw[0] != '{':
		return InvalidMember(member, "must be an object")
	case len(raw) > limit:
		return InvalidMember(member, "must be at most %d bytes", limit)
	}
	return nil
}
