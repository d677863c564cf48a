package schema

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestOpenRPCLimits: the numbers in the schemas are those of limits.go.
func TestOpenRPCLimits(t *testing.T) {
	schemas := map[string]jsonSchema{}
	for _, d := range documents {
		maps.Copy(schemas, d.read(t).Components.Schemas)
	}
	of := func(name, member string) jsonSchema { return schemas[name].Properties[member] }
	for what, pair := range map[string][2]int{
		"boot_id":             {of("LoginParams", "boot_id").MaxLength, MaxBootID},
		"device_sn":           {of("LoginParams", "device_sn").MaxLength, MaxHardware},
		"device_model":        {of("LoginParams", "device_model").MaxLength, MaxHardware},
		"shortest secret":     {of("LoginParams", "password").MinLength, MinPassword},
		"longest secret":      {of("LoginParams", "password").MaxLength, MaxPassword},
		"client.name":         {of("ClientInfo", "name").MaxLength, MaxClientWord},
		"client.version":      {of("ClientInfo", "version").MaxLength, MaxClientWord},
		"unsettled_orders":    {of("LoginResult", "unsettled_orders").MaxItems, MaxUnsettled},
		"dev_state":           {of("StatusInfo", "dev_state").MaxLength, MaxDevState},
		"custom":              {of("StatusInfo", "custom").MaxBytes, MaxCustom},
		"params":              {of("GiveOrder", "params").MaxBytes, MaxParams},
		"device_name":         {of("DeviceUpdate", "device_name").MaxLength, MaxName},
		"device_type":         {of("DeviceUpdate", "device_type").MaxLength, MaxType},
		"dev_description":     {of("DeviceUpdate", "dev_description").MaxLength, MaxDescription},
		"nic":                 {of("DeviceUpdate", "nic").MaxItems, MaxNICs},
		"nic.type":            {of("NIC", "type").MaxLength, MaxType},
		"software.version":    {of("Software", "version").MaxLength, MaxSoftware},
		"software.status":     {of("Software", "status").MaxLength, MaxSoftware},
		"least device_name":   {of("DeviceUpdate", "device_name").MinLength, 1},
		"least type of a NIC": {of("NIC", "type").MinLength, 1},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: the document says %d, the code %d", what, pair[0], pair[1])
		}
	}
	for what, pair := range map[string][2]string{
		"token":      {of("LoginParams", "token").Pattern, "^" + TokenPrefix},
		"new token":  {of("LoginResult", "token").Pattern, "^" + TokenPrefix},
		"identifier": {schemas["Identifier"].Pattern, fmt.Sprintf("^[0-9]{1,%d}$", MaxIdentifier)},
		"order_type": {of("GiveOrder", "order_type").Pattern, orderForm.String()},
		"imei":       {of("NIC", "imei").Pattern, imeiForm.String()},
		"mac":        {of("NIC", "mac").Pattern, "^(" + strings.Trim(macForm.String(), "^$") + ")?$"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: the document says %s, the code %s", what, pair[0], pair[1])
		}
	}
	for _, name := range []string{"UploadResult", "OrderResult"} {
		if got := of(name, "status").Enum; !slices.Equal(got, []string{ResultSuccess, ResultFail}) {
			t.Errorf("%s: status is one of %v", name, got)
		}
	}
}

// TestOpenRPCInnerOrders: the framework's orders are those that IsInner knows.
func TestOpenRPCInnerOrders(t *testing.T) {
	inner := documents[1].read(t).Methods[0].Inner
	if got := slices.Sorted(maps.Keys(inner)); !slices.Equal(got, []string{OrderRestart, OrderUploadLog}) {
		t.Errorf("inner orders are %v", got)
	}
	for name := range inner {
		if !IsInner(name) {
			t.Errorf("%s is not an inner order", name)
		}
	}
	if got := inner[OrderRestart].Message; got != RestartWait {
		t.Errorf("a restart is accepted with %q, want %q", got, RestartWait)
	}
}

// TestOpenRPCCloseCodes: the table has every close code that there is.
func TestOpenRPCCloseCodes(t *testing.T) {
	source, err := os.ReadFile("wire.go")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, m := range regexp.MustCompile(`CloseCode = (\d{4})`).FindAllSubmatch(source, -1) {
		want = append(want, string(m[1]))
	}
	for _, c := range documents[0].read(t).CloseCodes {
		got = append(got, fmt.Sprint(c.Code))
		if c.Meaning == "" || c.Device == "" {
			t.Errorf("%d: nothing is said of it", c.Code)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("close codes are %v, want %v", got, want)
	}
}

// TestOpenRPCTables: the tables of limits and times are limits.go.
func TestOpenRPCTables(t *testing.T) {
	limits := map[string]int{
		"message": MaxMessage, "login_message": MaxLoginMessage, "batch": MaxBatch, "fragments": MaxFragments,
		"depth": MaxDepth, "number": MaxNumber, "malformed": MaxMalformed, "message_rate": MessageRate,
		"message_burst": MessageBurst, "custom": MaxCustom, "order_params": MaxParams, "unsettled_orders": MaxUnsettled,
		"upload_attempts": MaxUploads, "upload_path": MaxUploadPath,
	}
	times := map[string]time.Duration{
		"login": LoginTimeout, "message": MessageTimeout, "first_due": FirstDue, "next_due": NextDue, "order": OrderTimeout,
		"restart_window": RestartWindow, "token": TokenLifetime, "upload": UploadLifetime, "ping_interval": PingInterval,
		"status_interval": StatusInterval, "reply": ReplyTimeout, "login_reply": 10 * time.Second,
		"reconnect": ReconnectDelay, "back_off": PolicyDelay, "restart_grace": RestartGrace,
	}
	read := documents[0].read(t)
	for _, l := range read.Limits {
		if limits[l.Name] != l.Value || l.Unit == "" || l.Description == "" {
			t.Errorf("%s is %d %s, want %d", l.Name, l.Value, l.Unit, limits[l.Name])
		}
		delete(limits, l.Name)
	}
	for _, d := range read.Times {
		if times[d.Name] != time.Duration(d.MS)*time.Millisecond || d.Side != "service" && d.Side != "device" || d.Description == "" {
			t.Errorf("%s is %d ms, want %v", d.Name, d.MS, times[d.Name])
		}
		delete(times, d.Name)
	}
	if len(limits) != 0 || len(times) != 0 {
		t.Errorf("missing: %v, %v", limits, times)
	}
}
