package schema

import (
	"strings"
	"testing"
)

// good is a device that nothing is wrong with.
func good() Device {
	return Device{
		Name: "press-7", Type: "press", Description: "left of the door", Hardware: Hardware{SN: "SN 1", Model: "B"},
		Software: &Software{Version: "1.4.0", LastUpdate: "2026-10-02", Status: "running"},
		NIC:      []NIC{{Type: "ethernet", MAC: "02:00:00:00:00:01", IPv4: "10.0.0.7"}, {Type: "lte", IMEI: "490154203237518"}},
	}
}

// TestDeviceValidate: each limit on both sides; the message begins with the
// member at fault.
func TestDeviceValidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Device)
		want   string // what the error begins with; empty: none
	}{
		{"good", func(d *Device) {}, ""},
		{"no name", func(d *Device) { d.Name = "" }, "device_name: required"},
		{"longest name", func(d *Device) { d.Name = strings.Repeat("é", MaxName) }, ""},
		{"longer name", func(d *Device) { d.Name = strings.Repeat("é", MaxName+1) }, "device_name: must be at most 128 characters"},
		{"line in name", func(d *Device) { d.Name = "a\nb" }, "device_name: must not contain control"},
		{"escape in name", func(d *Device) { d.Name = "\x1b[2J" }, "device_name: must not contain control"},
		{"C1 in name", func(d *Device) { d.Name = "a\u0085b" }, "device_name: must not contain control"},
		{"broken name", func(d *Device) { d.Name = "a\xff" }, "device_name: must be valid UTF-8"},
		{"longest type", func(d *Device) { d.Type = strings.Repeat("x", MaxType) }, ""},
		{"longer type", func(d *Device) { d.Type = strings.Repeat("x", MaxType+1) }, "device_type: must be at most 64"},
		{"longest description", func(d *Device) { d.Description = strings.Repeat("x", MaxDescription) }, ""},
		{"longer description", func(d *Device) { d.Description = strings.Repeat("x", MaxDescription+1) }, "dev_description: must be"},
		{"no sn", func(d *Device) { d.Hardware.SN = "" }, "hardware.sn: required"},
		{"no model", func(d *Device) { d.Hardware.Model = "" }, "hardware.model: required"},
		{"longest sn", func(d *Device) { d.Hardware.SN = strings.Repeat("~", MaxHardware) }, ""},
		{"longer sn", func(d *Device) { d.Hardware.SN = strings.Repeat("~", MaxHardware+1) }, "hardware.sn: must be at most 64 bytes"},
		{"DEL in sn", func(d *Device) { d.Hardware.SN = "a\x7f" }, "hardware.sn: must be printable ASCII"},
		{"unit separator in sn", func(d *Device) { d.Hardware.SN = "a\x1f" }, "hardware.sn: must be printable ASCII"},
		{"homoglyph in model", func(d *Device) { d.Hardware.Model = "В" }, "hardware.model: must be printable ASCII"},
		{"space before sn", func(d *Device) { d.Hardware.SN = " a" }, "hardware.sn: must not begin or end"},
		{"space after model", func(d *Device) { d.Hardware.Model = "a " }, "hardware.model: must not begin or end"},
		{"no software", func(d *Device) { d.Software = nil }, ""},
		{"empty software", func(d *Device) { d.Software = &Software{} }, ""},
		{"longest version", func(d *Device) { d.Software.Version = strings.Repeat("1", MaxSoftware) }, ""},
		{"longer version", func(d *Device) { d.Software.Version = strings.Repeat("1", MaxSoftware+1) }, "software.version: must be"},
		{"longer status", func(d *Device) { d.BusinessSoftware = &Software{Status: strings.Repeat("1", MaxSoftware+1)} }, "business_software.status: must be"},
		{"no such day", func(d *Device) { d.Software.LastUpdate = "2026-02-29" }, "software.last_update: must be a date"},
		{"a leap day", func(d *Device) { d.Software.LastUpdate = "2028-02-29" }, ""},
		{"date and time", func(d *Device) { d.Software.LastUpdate = "2026-10-02T00:00:00Z" }, "software.last_update: must be a date"},
		{"most interfaces", func(d *Device) { d.NIC = nics(MaxNICs) }, ""},
		{"more interfaces", func(d *Device) { d.NIC = nics(MaxNICs + 1) }, "nic: must have at most 16 members"},
		{"no type", func(d *Device) { d.NIC[1].Type = "" }, "nic[1].type: required"},
		{"longer nic type", func(d *Device) { d.NIC[0].Type = strings.Repeat("x", MaxType+1) }, "nic[0].type: must be"},
		{"upper-case mac", func(d *Device) { d.NIC[0].MAC = "AA:BB:CC:DD:EE:FF" }, ""},
		{"short mac", func(d *Device) { d.NIC[0].MAC = "02:00:00:00:00" }, "nic[0].mac: must be six"},
		{"mac with dashes", func(d *Device) { d.NIC[0].MAC = "02-00-00-00-00-01" }, "nic[0].mac: must be six"},
		{"mac with a line", func(d *Device) { d.NIC[0].MAC += "\n" }, "nic[0].mac: must be six"},
		{"IPv6", func(d *Device) { d.NIC[0].IPv4 = "::ffff:10.0.0.1" }, "nic[0].ipv4: must be an IPv4"},
		{"leading zero", func(d *Device) { d.NIC[0].IPv4 = "10.0.0.07" }, "nic[0].ipv4: must be an IPv4"},
		{"octet of 256", func(d *Device) { d.NIC[0].IPv4 = "10.0.0.256" }, "nic[0].ipv4: must be an IPv4"},
		{"14 digits", func(d *Device) { d.NIC[1].IMEI = strings.Repeat("1", 14) }, "nic[1].imei: must be 15 digits"},
		{"16 digits", func(d *Device) { d.NIC[1].IMEI = strings.Repeat("1", 16) }, "nic[1].imei: must be 15 digits"},
	} {
		d := good()
		c.change(&d)
		expect(t, c.name, d.Validate(), c.want)
		if c.name != "no sn" && !strings.HasPrefix(c.want, "hardware") {
			p := DevicePatch{Name: &d.Name, Type: &d.Type, Description: &d.Description, Software: d.Software, BusinessSoftware: d.BusinessSoftware, NIC: &d.NIC}
			expect(t, "patch: "+c.name, p.Validate(), c.want)
		}
	}
	expect(t, "empty patch", DevicePatch{}.Validate(), "device_update: at least one member")
}

func nics(n int) []NIC {
	all := make([]NIC, n)
	for i := range all {
		all[i].Type = "ethernet"
	}
	return all
}

// expect holds an error to its beginning, and to be Invalid.
func expect(t *testing.T, name string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", name, err)
	case want != "" && (err == nil || KindOf(err) != Invalid || !strings.HasPrefix(Public(err).Message, want)):
		t.Errorf("%s: %v, want %q…", name, err, want)
	}
}

func TestGroupAndKeyValidate(t *testing.T) {
	long := strings.Repeat("x", MaxName+1)
	expect(t, "group", Group{Name: "n"}.Validate(), "")
	expect(t, "group", Group{}.Validate(), "group_name: required")
	expect(t, "group", Group{Name: "n", Description: strings.Repeat("x", MaxDescription+1)}.Validate(), "group_description: must be")
	expect(t, "patch", GroupPatch{}.Validate(), "group_update: group_name or")
	expect(t, "patch", GroupPatch{Name: &long}.Validate(), "group_name: must be at most")
	expect(t, "patch", GroupPatch{Description: &long}.Validate(), "")
	expect(t, "key", Key{Name: "n", Role: Viewer, GroupIDs: []string{"1"}}.Validate(), "")
	expect(t, "key", Key{Role: Viewer}.Validate(), "name: required")
	expect(t, "key", Key{Name: "n", Role: "root"}.Validate(), "role: must be viewer")
	expect(t, "key", Key{Name: "n", Role: Admin, GroupIDs: []string{"x"}}.Validate(), "group_ids[0]: must be")
}

func TestCheckID(t *testing.T) {
	for id, want := range map[string]string{
		"0": "", strings.Repeat("9", MaxIdentifier): "", "": "id: required",
		strings.Repeat("9", MaxIdentifier+1): "id: must be", "-1": "id: must be", "1.0": "id: must be", "１": "id: must be", " 1": "id: must be",
	} {
		expect(t, id, CheckID("id", id), want)
	}
	many := make([]string, MaxIdentifiers+1)
	for i := range many {
		many[i] = strings.Repeat("1", i%MaxIdentifier) + strings.Repeat("2", 1)
	}
	expect(t, "too many", CheckIDs("ids", many), "ids: must have at most 1000")
	expect(t, "twice", CheckIDs("ids", []string{"1", "2", "1"}), "ids[2]: is given twice")
	expect(t, "none", CheckIDs("ids", nil), "")
}

// TestT8_Passwords: 8 to 72 bytes, no NUL; and none that looks like a secret
// that the server made.
func TestT8_Passwords(t *testing.T) {
	for password, want := range map[string]string{
		"eight888": "", strings.Repeat("x", MaxPassword): "", "": "password: must be 8 to 72 bytes", "seven77": "password: must be 8",
		strings.Repeat("x", MaxPassword+1): "password: must be 8", strings.Repeat("é", 36): "", strings.Repeat("é", 37): "password: must be 8",
		"nul\x00nul\x00": "password: must not contain", "tp_12345": "password: must not begin", "tt_12345": "password: must not begin", "Tp_12345": "",
	} {
		err := CheckPassword("password", password)
		expect(t, password, err, want)
		if err != nil && password != "" && strings.Contains(err.Error(), password) {
			t.Errorf("the message repeats %q", password)
		}
	}
}

func TestCheckOrder(t *testing.T) {
	for name, want := range map[string]string{
		"restart": "", "b": "", "Blink_2.0-x": "", "": "order: required", "2blink": "order: must be", "a b": "order: must be", "blinké": "order: must be",
		strings.Repeat("x", 64): "", strings.Repeat("x", 65): "order: must be", "blink\n": "order: must be",
	} {
		expect(t, name, CheckOrder("order", name), want)
	}
}

func TestCheckParams(t *testing.T) {
	for _, c := range [][3]string{
		{"blink", `{"n":3}`, ""}, {"blink", `{}`, ""}, {"blink", ``, "params: required"}, {"blink", `null`, "params: required"},
		{"blink", `[]`, "params: must be an object"}, {"blink", `"{}"`, "params: must be an object"},
		{"restart", ``, ""}, {"restart", `null`, ""}, {"restart", ` { } `, ""}, {"upload_log", `{"a":1}`, "params: must be empty"},
		{"blink", `{"n":[-1.5e+300,1E9,true,false,null]}`, ""},
		{"blink", `{"n":-` + strings.Repeat("1", MaxNumber-1) + `}`, ""}, {"blink", `{"n":-` + strings.Repeat("1", MaxNumber) + `}`, "params: must have numbers"},
		{"blink", `{"` + strings.Repeat("1", 99) + `":"\"` + strings.Repeat("[", 99) + `"}`, ""},
		{"blink", `{"a":` + strings.Repeat("[", MaxParamsDepth-1) + strings.Repeat("]", MaxParamsDepth-1) + `}`, ""},
		{"blink", `{"a":` + strings.Repeat("[", MaxParamsDepth) + strings.Repeat("]", MaxParamsDepth) + `}`, "params: must be nested"},
	} {
		expect(t, c[0]+" "+c[1], CheckParams("params", c[0], RawObject(c[1])), c[2])
	}
}

func FuzzCheckParams(f *testing.F) {
	f.Add(`{"n":[1,{"\"":"\\"}]}`)
	f.Add(`{"a":{"b":{}},"c":-1.5e+300}`)
	f.Add(`"`)
	f.Fuzz(func(t *testing.T, text string) {
		if err := CheckParams("params", "blink", RawObject(text)); err != nil && KindOf(err) != Invalid {
			t.Error(err)
		}
	})
}

func TestWordsAreValid(t *testing.T) {
	for _, k := range []EventKind{EventConnect, EventLoginRefused, EventLost} {
		if !k.Valid() {
			t.Errorf("%s", k)
		}
	}
	if EventKind("").Valid() || EventKind("logins").Valid() || DevState("Online").Valid() || !Unknown.Valid() {
		t.Error("a word that is none is valid")
	}
}
