package schema

import (
	"encoding/json"
	"math"
	"testing"
)

// TestT28_RoleAllows is the whole table of who may do what.
func TestT28_RoleAllows(t *testing.T) {
	none := Role("")
	for role, allowed := range map[Role][]Role{
		none: {}, "root": {}, "Admin": {}, "viewer ": {},
		Viewer:   {none, Viewer},
		Operator: {none, Viewer, Operator},
		Admin:    {none, Viewer, Operator, Admin},
	} {
		for _, need := range []Role{none, Viewer, Operator, Admin} {
			want := false
			for _, a := range allowed {
				want = want || a == need
			}
			if got := role.Allows(need); got != want {
				t.Errorf("%q allows %q: %v", role, need, got)
			}
		}
	}
}

func TestOrderStateEnded(t *testing.T) {
	for state, want := range map[OrderState]bool{
		OrderQueued: false, OrderSent: false,
		OrderSucceeded: true, OrderStateFail: true, OrderStateLost: true, OrderCancelled: true, OrderExpired: true,
	} {
		if got := state.Ended(); got != want {
			t.Errorf("%s has ended: %v", state, got)
		}
	}
}

// TestDetail: whatever the pairs are, a detail is an object.
func TestDetail(t *testing.T) {
	for _, c := range []struct {
		pairs []any
		want  string
	}{
		{nil, `{}`},
		{[]any{"epoch", 7, "form", "token"}, `{"epoch":7,"form":"token"}`},
		{[]any{"form"}, `{}`}, // a name without a value
		{[]any{"form", "token", "epoch"}, `{"form":"token"}`},
		{[]any{7, "token", "epoch", 7}, `{"epoch":7}`}, // no name
		{[]any{"a", 1, "a", 2}, `{"a":2}`},
		{[]any{"a", math.NaN()}, `{}`}, // not to be encoded
		{[]any{"a", nil}, `{"a":null}`},
		{[]any{"line", "a\nb\x1b\u2028"}, `{"line":"a\nb\u001b\u2028"}`},
	} {
		if got := Detail(c.pairs...); string(got) != c.want {
			t.Errorf("%v: %s, want %s", c.pairs, got, c.want)
		}
	}
}

// FuzzDetail: a device's text stays within its string (reliability T19).
func FuzzDetail(f *testing.F) {
	f.Add("reason", "\",\"by\":\"admin")
	f.Add("\x00", "\xff\n")
	f.Fuzz(func(t *testing.T, name, value string) {
		var members map[string]string
		detail := Detail(name, value)
		if err := json.Unmarshal(detail, &members); err != nil || len(members) != 1 {
			t.Fatalf("%s: %v", detail, err)
		}
		for _, b := range detail {
			if b < ' ' {
				t.Errorf("a control character in %q", detail)
			}
		}
	})
}

func TestIsInner(t *testing.T) {
	for order, want := range map[string]bool{OrderRestart: true, OrderUploadLog: true, "": false, "Restart": false, "blink": false} {
		if IsInner(order) != want {
			t.Errorf("%q is inner: %v", order, !want)
		}
	}
}

// TestOptionalMembers: members that may be left out are left out, and those
// that the contract shows always are there, null if they have no value.
func TestOptionalMembers(t *testing.T) {
	for want, v := range map[string]any{
		`{"order_id":"1","order_type":"restart","is_inner":true,"device_id":"2","params":{},"deadline_time":3}`: GiveOrder{
			OrderID: "1", OrderType: OrderRestart, IsInner: true, DeviceID: "2", Params: RawObject(`{}`), Deadline: 3},
		`{"status":"fail","message":"no"}`:                OrderResult{Status: ResultFail, Message: "no"},
		`{"CPU_info":{},"Memory_info":{},"Disk_info":{}}`: &StatusInfo{CPU: &CPUInfo{}, Memory: &MemoryInfo{}, Disk: &DiskInfo{}},
		`{"device_id":"1","password":"p"}`:                LoginParams{DeviceID: "1", Password: "p"},
		`{"type":"lte","mac":"","ipv4":""}`:               NIC{Type: "lte"},
		`{"device_id":"1","device_name":"","device_type":"","dev_description":"","software":null,"business_software":null,"nic":[],"updated_time":0}`: DeviceUpdate{
			DeviceID: "1", NIC: []NIC{}, Version: 7}, // the version does not travel
	} {
		got, err := json.Marshal(v)
		if err != nil || string(got) != want {
			t.Errorf("%s, want %s (%v)", got, want, err)
		}
	}
}

// TestF44_Busy: the refusal names the order that is in the way, and its age.
func TestF44_Busy(t *testing.T) {
	sent := int64(1000)
	for _, c := range []struct {
		held Order
		now  int64
		want Holder
		does string
	}{
		{Order{OrderID: "7", Order: "blink", CreatedTime: 500, SentTime: &sent}, 3500, Holder{"7", "blink", 2500}, "is in flight"},
		{Order{OrderID: "7", Order: "blink", SentTime: &sent}, 900, Holder{"7", "blink", 0}, "is in flight"}, // the clock was set back
		{Order{OrderID: "7", Order: "blink", CreatedTime: 500}, 3500, Holder{"7", "blink", 3000}, "waits for the device"},
	} {
		e := Busy(c.held, c.now)
		if e.Kind != OrderRefused || e.Code != "device_busy" || e.Message != "order 7 (blink) "+c.does || e.Data != c.want {
			t.Errorf("%+v, want %+v", e, c.want)
		}
	}
}
