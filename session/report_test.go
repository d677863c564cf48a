package session

import (
	"reflect"
	"testing"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

const wholeReport = `{"device_id":"1","CPU_info":{"user_cpu_time":4112.78,"system_cpu_time":923.85,"idle_cpu_time":179258.0,"io_wait_cpu_time":120.6},` +
	`"Memory_info":{"total_memory_mb":1673,"free_memory_mb":91,"buff_cache_mb":258},` +
	`"Disk_info":{"root_total_size_mb":39942,"root_used_size_mb":10509,"root_used_percent":27.6},"dev_state":"online","more":[1]}`

// reports are params, and whether they are read without the decoder.
var reports = []struct {
	params string
	quick  bool
}{
	{wholeReport, true},
	{`{"CPU_info":{},"Memory_info":{},"Disk_info":{}}`, true},
	{`{"CPU_info":{"user_cpu_time":-0,"other":"x"}}`, true},
	{`{"CPU_info":{"user_cpu_time":0.1,"system_cpu_time":-12345678901.25,"idle_cpu_time":123456789012.345,"io_wait_cpu_time":0.30000000000000004}}`, true},
	{`{"CPU_info":{"user_cpu_time":1e3,"system_cpu_time":999999999999999,"idle_cpu_time":9007199254740993,"io_wait_cpu_time":-0.0}}`, true},
	{`{"cpu_info":{"user_cpu_time":1}}`, true},
	{`{}`, true},
	{`{"CPU_info":{"user_cpu_time":null}}`, false},
	{`{"CPU_info":{"user_cpu_time":"1"}}`, false},
	{`{"CPU_info":{"user_cpu_time":1e999}}`, false},
	{`{"CPU_info":{"user_cpu_time":1,"user_cpu_time":1}}`, false},
	{`{"CPU_info":null}`, false},
	{`{"CPU_info":[]}`, false},
	{`{"custom":{"a":1, "b":{"c":[ ]}}}`, true},
	{`{"custom":{}}`, true},
	{`{"custom":{"a":1,"a":1}}`, false},
	{`{"custom":{"a":{"b":1,"b":1}}}`, false},
	{`{"custom":null}`, false},
	{`{"custom":[]}`, false},
	{`{"dev_state":"on\u006cine"}`, false},
	{`{"dev_state":1}`, false},
	{`[]`, false},
}

// TestReadReport: what is read without the decoder, and that it makes no difference.
func TestReadReport(t *testing.T) {
	for _, c := range reports {
		if got := readReport([]byte(c.params)) != nil; got != c.quick {
			t.Errorf("%s: %v", c.params, got)
		}
		checkReport(t, []byte(c.params))
	}
}

func FuzzReadReport(f *testing.F) {
	for _, c := range reports {
		f.Add([]byte(c.params))
	}
	f.Fuzz(func(t *testing.T, params []byte) { checkReport(t, params) })
}

func checkReport(t *testing.T, params []byte) {
	got := readReport(params)
	if got == nil {
		return
	}
	want := new(schema.StatusInfo)
	if err := rpc.Decode(params, want); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%q: %+v, not %+v, %v", params, got, want, err)
	}
}
