package schema

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestLoginParamsValidate(t *testing.T) {
	for _, c := range []struct {
		member string
		limit  int
		change func(*LoginParams, string)
	}{
		{"boot_id", MaxBootID, func(p *LoginParams, s string) { p.BootID = s }},
		{"client.name", MaxClientWord, func(p *LoginParams, s string) { p.Client.Name = s }},
		{"client.version", MaxClientWord, func(p *LoginParams, s string) { p.Client.Version = s }},
	} {
		for text, want := range map[string]string{
			"":                                   "",
			strings.Repeat("x", c.limit):         "",
			strings.Repeat("x", c.limit+1):       fmt.Sprintf("%s: must be at most %d bytes", c.member, c.limit),
			strings.Repeat("é", c.limit/2):       "", // bytes count, not characters
			strings.Repeat("é", c.limit/2) + "x": c.member + ": must be at most",
			"\xff":                               c.member + ": must be UTF-8",
		} {
			var p LoginParams
			c.change(&p, text)
			expect(t, c.member+" "+text, p.Validate(), want)
		}
	}
}

// TestT8_LoginLeavesSecretsAlone: what the secret looks like is not for the
// shape of a message to judge; a wrong one is one error, and told by nothing else.
func TestT8_LoginLeavesSecretsAlone(t *testing.T) {
	for _, secret := range []string{"", "x", strings.Repeat("x", MaxPassword+1), "\x00", strings.Repeat("x", MaxLoginMessage)} {
		expect(t, "password", LoginParams{DeviceID: "1", Password: secret}.Validate(), "")
		expect(t, "token", LoginParams{DeviceID: "1", Token: secret}.Validate(), "")
	}
}

// report decodes a report as a device would write it.
func report(t *testing.T, text string) *StatusInfo {
	t.Helper()
	s := new(StatusInfo)
	if err := json.Unmarshal([]byte(text), s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStatusInfoRequires(t *testing.T) {
	for text, want := range map[string]string{
		`{"CPU_info":{},"Memory_info":{},"Disk_info":{}}`:                "",
		`{"Memory_info":{},"Disk_info":{}}`:                              "CPU_info: required",
		`{"CPU_info":{},"Disk_info":{}}`:                                 "Memory_info: required",
		`{"CPU_info":{},"Memory_info":{}}`:                               "Disk_info: required",
		`{}`:                                                             "CPU_info: required",
		`{"CPU_info":null,"Memory_info":{},"Disk_info":{}}`:              "CPU_info: required",
		`{"CPU_info":{},"Memory_info":{},"Disk_info":{},"custom":{}}`:    "",
		`{"CPU_info":{},"Memory_info":{},"Disk_info":{},"custom":[]}`:    "custom: must be an object",
		`{"CPU_info":{},"Memory_info":{},"Disk_info":{},"custom":"{}"}`:  "custom: must be an object",
		`{"CPU_info":{},"Memory_info":{},"Disk_info":{},"custom":null}`:  "custom: must be an object",
		`{"CPU_info":{},"Memory_info":{},"Disk_info":{},"device_id":""}`: "",
	} {
		expect(t, text, report(t, text).Validate(), want)
	}
}

// TestF13_StatusInfoNumbers holds every number of a report to its range. The
// fields are found by reflection: one that Validate forgot fails here.
func TestF13_StatusInfoNumbers(t *testing.T) {
	count := 0
	for _, part := range []string{"CPU", "Memory", "Disk"} {
		typ := reflect.TypeOf(StatusInfo{CPU: &CPUInfo{}, Memory: &MemoryInfo{}, Disk: &DiskInfo{}})
		f, _ := typ.FieldByName(part)
		for i := range f.Type.Elem().NumField() {
			count++
			member, _, _ := strings.Cut(f.Type.Elem().Field(i).Tag.Get("json"), ",")
			checkNumber(t, part, i, f.Tag.Get("json")+"."+member)
		}
	}
	if count != len((&StatusInfo{CPU: &CPUInfo{}, Memory: &MemoryInfo{}, Disk: &DiskInfo{}}).numbers()) {
		t.Errorf("the types have %d numbers", count)
	}
}

func checkNumber(t *testing.T, part string, field int, member string) {
	t.Helper()
	largest := float64(math.MaxInt64)
	tooLarge := member + ": must be a number from 0"
	if member == "Disk_info.root_used_percent" {
		largest, tooLarge = 100, member+": must be at most 100"
	}
	for value, want := range map[float64]string{
		0: "", math.Copysign(0, -1): "", 0.5: "", largest: "",
		math.Nextafter(largest, math.Inf(1)): tooLarge,
		-math.SmallestNonzeroFloat64:         member + ": must be a number from 0",
		-1:                                   member + ": must be a number from 0",
		math.Inf(1):                          member + ": must be a number from 0",
	} {
		s := &StatusInfo{CPU: &CPUInfo{}, Memory: &MemoryInfo{}, Disk: &DiskInfo{}}
		reflect.ValueOf(s).Elem().FieldByName(part).Elem().Field(field).Set(reflect.ValueOf(&value))
		expect(t, fmt.Sprint(member, " ", value), s.Validate(), want)
	}
	nan := math.NaN()
	s := &StatusInfo{CPU: &CPUInfo{}, Memory: &MemoryInfo{}, Disk: &DiskInfo{}}
	reflect.ValueOf(s).Elem().FieldByName(part).Elem().Field(field).Set(reflect.ValueOf(&nan))
	expect(t, member+" NaN", s.Validate(), member+": must be a number from 0")
}

func TestStatusInfoLimits(t *testing.T) {
	object := func(n int) RawObject { return RawObject(`{"x":"` + strings.Repeat("x", n-len(`{"x":""}`)) + `"}`) }
	for _, c := range []struct {
		state  string
		custom RawObject
		want   string
	}{
		{strings.Repeat("x", MaxDevState), nil, ""},
		{strings.Repeat("x", MaxDevState+1), nil, "dev_state: must be at most 32 bytes"},
		{"\xc3", nil, "dev_state: must be UTF-8"},
		{"", object(MaxCustom), ""},
		{"", object(MaxCustom + 1), "custom: must be at most 8192 bytes"},
		{"", RawObject{}, ""},
	} {
		s := &StatusInfo{CPU: &CPUInfo{}, Memory: &MemoryInfo{}, Disk: &DiskInfo{}, DevState: c.state, Custom: c.custom}
		expect(t, fmt.Sprintf("%q with %d bytes", c.state, len(c.custom)), s.Validate(), c.want)
	}
}

func TestUploadResultValidate(t *testing.T) {
	long := RawObject(`{"x":"` + strings.Repeat("x", MaxMessage-len(`{"x":""}`)) + `"}`)
	for _, c := range []struct {
		r    UploadResult
		want string
	}{
		{UploadResult{OrderID: "1", Status: ResultSuccess}, ""},
		{UploadResult{OrderID: "1", Status: ResultFail, Message: "interrupted", Data: RawObject(`{}`)}, ""},
		{UploadResult{Status: ResultSuccess}, "order_id: required"},
		{UploadResult{OrderID: "1"}, `status: must be "success" or "fail"`},
		{UploadResult{OrderID: "1", Status: "Success"}, `status: must be "success" or "fail"`},
		{UploadResult{OrderID: "1", Status: "succeeded"}, `status: must be "success" or "fail"`},
		{UploadResult{OrderID: "1", Status: ResultFail, Data: RawObject(`[]`)}, "data: must be an object"},
		{UploadResult{OrderID: "1", Status: ResultFail, Data: RawObject(`null`)}, "data: must be an object"},
		{UploadResult{OrderID: "1", Status: ResultFail, Data: long}, ""},
		{UploadResult{OrderID: "1", Status: ResultFail, Data: append(long, ' ')}, "data: must be at most 65536 bytes"},
	} {
		expect(t, fmt.Sprintf("%.60v", c.r), c.r.Validate(), c.want)
	}
}

// FuzzStatusInfo: a report that is taken can be stored and read back, and is
// the same report then.
func FuzzStatusInfo(f *testing.F) {
	f.Add(`{"CPU_info":{"user_cpu_time":4112.78},"Memory_info":{},"Disk_info":{"root_used_percent":27.6},"custom":{"a":[1]}}`)
	f.Add(`{"CPU_info":{"user_cpu_time":-0},"Memory_info":{"free_memory_mb":9223372036854775807},"Disk_info":{}}`)
	f.Add(`{"CPU_info":{"user_cpu_time":1e999},"Memory_info":null,"Disk_info":{}}`)
	f.Add(`{"CPU_info":{},"Memory_info":{},"Disk_info":{},"dev_state":"\u0000\ud800","custom":{"\u2028":"<"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		var s, again StatusInfo
		if json.Unmarshal([]byte(text), &s) != nil || s.Validate() != nil {
			return
		}
		stored, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(stored, &again); err != nil {
			t.Fatal(err)
		}
		s.Custom, again.Custom = nil, nil // the same object, perhaps in other spelling
		if !reflect.DeepEqual(s, again) {
			t.Errorf("%s became %s", text, stored)
		}
	})
}
