package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// TestTextLimits tries every limited text of the northbound side on both sides
// of its limit, in letters of two bytes: people write characters.
func TestTextLimits(t *testing.T) {
	for member, c := range map[string]struct {
		limit int
		check func(string) error
	}{
		"device_name":                {MaxName, func(s string) error { d := good(); d.Name = s; return d.Validate() }},
		"device_type":                {MaxType, func(s string) error { d := good(); d.Type = s; return d.Validate() }},
		"dev_description":            {MaxDescription, func(s string) error { d := good(); d.Description = s; return d.Validate() }},
		"software.version":           {MaxSoftware, func(s string) error { return (&Software{Version: s}).Validate("software") }},
		"software.status":            {MaxSoftware, func(s string) error { return (&Software{Status: s}).Validate("software") }},
		"business_software.version":  {MaxSoftware, func(s string) error { d := good(); d.BusinessSoftware = &Software{Version: s}; return d.Validate() }},
		"nic[0].type":                {MaxType, func(s string) error { return CheckNICs("nic", []NIC{{Type: s}}) }},
		"group_name":                 {MaxName, func(s string) error { return Group{Name: s}.Validate() }},
		"group_description":          {MaxDescription, func(s string) error { return Group{Name: "n", Description: s}.Validate() }},
		"name":                       {MaxName, func(s string) error { return Key{Name: s, Role: Viewer}.Validate() }},
		"patch of group_name":        {MaxName, func(s string) error { return GroupPatch{Name: &s}.Validate() }},
		"patch of group_description": {MaxDescription, func(s string) error { return GroupPatch{Description: &s}.Validate() }},
		"patch of device_type":       {MaxType, func(s string) error { return DevicePatch{Type: &s}.Validate() }},
		"patch of dev_description":   {MaxDescription, func(s string) error { return DevicePatch{Description: &s}.Validate() }},
	} {
		name := strings.TrimPrefix(member, "patch of ")
		expect(t, member, c.check(strings.Repeat("é", c.limit)), "")
		expect(t, member, c.check(strings.Repeat("é", c.limit+1)), fmt.Sprintf("%s: must be at most %d characters", name, c.limit))
		expect(t, member, c.check("a\x9fb"), name+": must be valid UTF-8")
		expect(t, member, c.check("a\u009fb"), name+": must not contain control characters")
	}
}

// TestListLimits tries lists on both sides of their limits.
func TestListLimits(t *testing.T) {
	ids := make([]string, MaxIdentifiers+1)
	for i := range ids {
		ids[i] = fmt.Sprint(i)
	}
	expect(t, "identifiers", CheckIDs("ids", ids[:MaxIdentifiers]), "")
	expect(t, "identifiers", CheckIDs("ids", ids), "ids: must have at most 1000 members")
	expect(t, "interfaces", CheckNICs("nic", nics(MaxNICs)), "")
	expect(t, "interfaces", CheckNICs("nic", nics(MaxNICs+1)), "nic: must have at most 16 members")
}

func TestParamsLimits(t *testing.T) {
	object := func(n int) RawObject { return RawObject(`{"x":"` + strings.Repeat("x", n-len(`{"x":""}`)) + `"}`) }
	expect(t, "params", CheckParams("params", "blink", object(MaxParams)), "")
	expect(t, "params", CheckParams("params", "blink", object(MaxParams+1)), "params: must be at most 32768 bytes")
	expect(t, "params", CheckParams("params", "blink", RawObject(`{"x":1`)), "params: must be an object")
}

// TestLimitsAgree: limits that hold one another.
func TestLimitsAgree(t *testing.T) {
	identifier := strings.Repeat("9", MaxIdentifier)
	order := GiveOrder{
		OrderID: identifier, DeviceID: identifier, OrderType: strings.Repeat("x", 64), RemoteDir: RemoteDir,
		Params: RawObject(`{"x":"` + strings.Repeat("x", MaxParams) + `"}`),
		SFTP:   &SFTPTarget{Address: strings.Repeat("x", 255), HostKey: strings.Repeat("x", 800), Username: identifier, Password: identifier},
	}
	if n := size(t, order); n > MaxMessage-256 {
		t.Errorf("the largest order has %d bytes", n)
	}
	text := func(runes int) string { return strings.Repeat("\U0001f527", runes) } // four bytes each
	software := &Software{Version: text(MaxSoftware), Status: text(MaxSoftware), LastUpdate: time.DateOnly}
	update := DeviceUpdate{
		DeviceID: identifier, Name: text(MaxName), Type: text(MaxType), Description: text(MaxDescription),
		Software: software, BusinessSoftware: software, NIC: nics(MaxNICs),
	}
	for i := range update.NIC {
		update.NIC[i] = NIC{Type: text(MaxType), MAC: "02:00:00:00:00:01", IPv4: "255.255.255.255", IMEI: strings.Repeat("1", 15)}
	}
	if n := size(t, update); n > MaxMessage-256 {
		t.Errorf("the largest record has %d bytes", n)
	}
	login := LoginParams{
		SN: strings.Repeat("x", MaxHardware), Model: strings.Repeat("x", MaxHardware), Password: strings.Repeat("x", MaxPassword),
		BootID: strings.Repeat("x", MaxBootID), Client: ClientInfo{strings.Repeat("x", MaxClientWord), strings.Repeat("x", MaxClientWord)},
	}
	if n := size(t, login); n > MaxLoginMessage-256 {
		t.Errorf("the largest login has %d bytes", n)
	}
}

func size(t *testing.T, v any) int {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return len(b)
}

// TestF25_TimesAgree: the times of southbound section 4 as it sums them up.
func TestF25_TimesAgree(t *testing.T) {
	if got := FirstDue + (MaxFailures-1)*NextDue; got != 18500*time.Millisecond {
		t.Errorf("a silent device is given up after %v", got)
	}
	if FirstDue <= PingInterval || NextDue <= PingInterval {
		t.Error("a device that pings in time is counted as silent")
	}
	if PingInterval+MaxFailures*ReplyTimeout > FirstDue+(MaxFailures-1)*NextDue {
		t.Error("the server gives up before the device does")
	}
	if IntentTimeout >= OrderTimeout || RestartGrace >= RestartWindow {
		t.Error("a wait is longer than what it is a part of")
	}
}

// FuzzCheckText: text that is taken is one line that can be shown anywhere.
func FuzzCheckText(f *testing.F) {
	for _, s := range []string{"press-7", "a\nb", "\xff", "\u0085", "\u202e", strings.Repeat("é", 9)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		err := CheckText("text", s, 8)
		want := utf8.ValidString(s) && len([]rune(s)) <= 8 && !strings.ContainsFunc(s, unicode.IsControl)
		if (err == nil) != want {
			t.Errorf("%q: %v", s, err)
		}
		if err != nil && (KindOf(err) != Invalid || !strings.HasPrefix(Public(err).Message, "text: ")) {
			t.Errorf("%q: %v", s, err)
		}
	})
}

// FuzzParamsFit: params that are taken go through a device's limits, which a
// decoder measures here token by token.
func FuzzParamsFit(f *testing.F) {
	f.Add(`{"n":[1,{"\"":"\\"}],"m":-1.5e+300}`)
	f.Add(`{"a":` + strings.Repeat("[", MaxParamsDepth-1) + strings.Repeat("]", MaxParamsDepth-1) + `}`)
	f.Add(`{"a":` + strings.Repeat("9", MaxNumber) + `}`)
	f.Add(`{"[[[[":"{{{{\"1111111111111111111111111111111111111"}`)
	f.Fuzz(func(t *testing.T, text string) {
		if !json.Valid([]byte(text)) || len(text) > MaxParams {
			return
		}
		depth, number, object := measure(t, text)
		want := object && depth <= MaxParamsDepth && number <= MaxNumber
		if err := CheckParams("params", "blink", RawObject(text)); (err == nil) != want {
			t.Errorf("%s: %v, though it is %d deep with numbers of %d characters", text, err, depth, number)
		}
	})
}

// measure returns how deep text is nested and how long its longest number is.
func measure(t *testing.T, text string) (depth, number int, object bool) {
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.UseNumber()
	open := 0
	for first := true; ; first = false {
		token, err := dec.Token()
		if err != nil {
			return depth, number, object
		}
		switch v := token.(type) {
		case json.Delim:
			if object = object || first && v == '{'; v == '{' || v == '[' {
				open++
			} else {
				open--
			}
			depth = max(depth, open)
		case json.Number:
			number = max(number, len(v))
		}
	}
}
