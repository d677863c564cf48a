package store

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/edgetether/tether/schema"
)

func TestAddDevice_KeepsEverything(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		d := device("1")
		d.Description = "in hall 3"
		d.Software = &schema.Software{Version: "1.4.0", LastUpdate: "2026-10-02", Status: "running"}
		d.BusinessSoftware = &schema.Software{Version: "0.9.1"}
		d.NIC = []schema.NIC{{Type: "ethernet", MAC: "02:00:00:00:00:01", IPv4: "10.0.0.7"}, {Type: "lte", IMEI: "490154203237518"}}
		must(t, s.AddDevice(t.Context(), d, "sha256:00", "key:test"))
		got, err := s.Device(t.Context(), all, "1")
		must(t, err)
		equal(t, "software", *got.Software, *d.Software)
		equal(t, "business software", *got.BusinessSoftware, *d.BusinessSoftware)
		equal(t, "nic", fmt.Sprint(got.NIC), fmt.Sprint(d.NIC))
		got.Software, got.BusinessSoftware, d.Software, d.BusinessSoftware = nil, nil, nil, nil
		equal(t, "the rest", fmt.Sprint(got), fmt.Sprint(d))
		equal(t, "log", kinds(log(t, s, "1")), "update ")
	})
}

func TestAddDevice_NeverSeenIsNull(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		d := device("1")
		d.NIC = nil
		must(t, s.AddDevice(t.Context(), d, "", ""))
		got, err := s.Device(t.Context(), all, "1")
		must(t, err)
		if got.LastSeenTime != nil || got.Software != nil || got.NIC == nil {
			t.Fatalf("%+v", got)
		}
	})
}

func TestAddDevice_Conflicts(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		again := device("2")
		again.Hardware = device("1").Hardware
		wantKind(t, s.AddDevice(t.Context(), again, "", ""), schema.DeviceConflict, "device_exists")
		wantKind(t, s.AddDevice(t.Context(), device("1"), "", ""), schema.DeviceConflict, "")
		_, err := s.Device(t.Context(), all, "2")
		wantKind(t, err, schema.DeviceNotFound, "")
		equal(t, "log", kinds(log(t, s, "1")), "update ")
	})
}

// The pair is unique, never a join of the two strings.
func TestT14_PairsThatJoinAlike(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		for i, hw := range []schema.Hardware{{SN: "ab", Model: "c"}, {SN: "a", Model: "bc"}, {SN: "AB", Model: "c"}, {SN: "ab", Model: "c "}} {
			d := device(fmt.Sprint(i))
			d.Hardware = hw
			must(t, s.AddDevice(t.Context(), d, "", ""))
		}
		c, err := s.Credential(t.Context(), schema.LoginParams{SN: "a", Model: "bc"}, start)
		must(t, err)
		equal(t, "found", c.DeviceID, "1")
	})
}

func TestAddDevice_ManyAtOnceOneWins(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		var wg sync.WaitGroup
		errs := make([]error, 16)
		for i := range errs {
			wg.Go(func() {
				d := device(fmt.Sprint(i))
				d.Hardware.SN = "same"
				errs[i] = s.AddDevice(t.Context(), d, "", "")
			})
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
				continue
			}
			wantKind(t, err, schema.DeviceConflict, "")
		}
		equal(t, "winners", won, 1)
	})
}

// Text is text, whatever it says; on its way in, and as what is asked for.
func TestT37_HostileText(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		for i, text := range []string{"'; DROP TABLE devices; --", `" OR 1=1 --`, "$1", "?", "%", "_", `\`, "\u202e", "a\nb", "{}", "NULL", strings.Repeat("x", 4096)} {
			d := device(fmt.Sprint(i))
			d.Name, d.Type, d.Description, d.Hardware.SN, d.Hardware.Model = text, text, text, text, text
			must(t, s.AddDevice(t.Context(), d, text, text))
			got, err := s.Device(t.Context(), all, d.DeviceID)
			must(t, err)
			equal(t, "stored", fmt.Sprint(got), fmt.Sprint(d))
			for _, f := range []schema.DeviceFilter{{Name: text}, {Type: text}, {SN: text}, {Model: text}} {
				l, err := s.ListDevices(t.Context(), all, f, schema.Page{})
				must(t, err)
				equal(t, "found "+text, len(l.Items), 1)
				equal(t, "found "+text, l.Items[0].DeviceID, d.DeviceID)
			}
			_, err = s.Device(t.Context(), schema.Scope{Groups: []string{text}}, d.DeviceID)
			wantKind(t, err, schema.DeviceNotFound, "")
		}
	})
}

func TestListDevices_Filters(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addGroup(t, s, "g")
		addDevice(t, s, "1", "2", "3")
		d := device("4")
		d.Type, d.Hardware.Model, d.Name = "oven", "ModelC", "Große ÉTUVE 100%"
		must(t, s.AddDevice(t.Context(), d, "", ""))
		must(t, s.AddRelation(t.Context(), all, "2", "g", start))
		claim(t, s, claimOf("3", 1))
		for _, c := range []struct {
			filter schema.DeviceFilter
			want   string
		}{
			{schema.DeviceFilter{}, "1 2 3 4 "},
			{schema.DeviceFilter{State: schema.Online}, "3 "},
			{schema.DeviceFilter{State: schema.Offline}, "1 2 4 "},
			{schema.DeviceFilter{State: schema.Unknown}, ""},
			{schema.DeviceFilter{Type: "oven"}, "4 "},
			{schema.DeviceFilter{Model: "ModelB"}, "1 2 3 "},
			{schema.DeviceFilter{Model: "ModelB", SN: "SN2"}, "2 "},
			{schema.DeviceFilter{GroupID: "g"}, "2 "},
			{schema.DeviceFilter{GroupID: "g", State: schema.Online}, ""},
			{schema.DeviceFilter{Name: "PRESS-"}, "1 2 3 "},
			{schema.DeviceFilter{Name: "étuve"}, "4 "},
			{schema.DeviceFilter{Name: "e\u0301tuve"}, "4 "}, // decomposed
			{schema.DeviceFilter{Name: "0%"}, "4 "},
			{schema.DeviceFilter{Name: "%"}, "4 "},
			{schema.DeviceFilter{Name: "p_ess"}, ""},
			{schema.DeviceFilter{Name: `\`}, ""},
		} {
			l, err := s.ListDevices(t.Context(), all, c.filter, schema.Page{})
			must(t, err)
			equal(t, fmt.Sprintf("%+v", c.filter), ids(l.Items), c.want)
		}
		_, err := s.ListDevices(t.Context(), all, schema.DeviceFilter{GroupID: "none"}, schema.Page{})
		wantKind(t, err, schema.GroupNotFound, "")
	})
}

func ids(devices []schema.Device) string {
	text := ""
	for _, d := range devices {
		text += d.DeviceID + " "
	}
	return text
}

func TestUpdateDevice_SetsLeavesAndClears(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		d := device("1")
		d.Software = &schema.Software{Version: "1"}
		d.NIC = []schema.NIC{{Type: "lte"}}
		must(t, s.AddDevice(t.Context(), d, "", ""))
		name, empty := "oven", ""
		patch := schema.DevicePatch{Name: &name, Type: &empty, Software: &schema.Software{},
			BusinessSoftware: &schema.Software{Status: "running"}, NIC: &[]schema.NIC{}}
		got, tell, err := s.UpdateDevice(t.Context(), all, "1", patch, "key:x", start+5)
		must(t, err)
		if got.Name != "oven" || got.Type != "" || got.Software != nil || got.BusinessSoftware.Status != "running" ||
			got.NIC == nil || len(got.NIC) != 0 || got.UpdatedTime != start+5 || got.CreatedTime != start {
			t.Fatalf("%+v", got)
		}
		if tell == nil || tell.Version != 1 || tell.Name != "oven" || tell.UpdatedTime != start+5 {
			t.Fatalf("to tell: %+v", tell)
		}
		read, err := s.Device(t.Context(), all, "1")
		must(t, err)
		equal(t, "type", read.Type, "")
		l, err := s.ListDevices(t.Context(), all, schema.DeviceFilter{Name: "OVEN"}, schema.Page{})
		must(t, err)
		equal(t, "found by its new name", len(l.Items), 1)
		events := log(t, s, "1")
		equal(t, "by", events[1].By, "key:x")
	})
}

func TestUpdateDevice_NothingNewTellsNothing(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		same := "press-1"
		got, tell, err := s.UpdateDevice(t.Context(), all, "1", schema.DevicePatch{Name: &same}, "", start+5)
		must(t, err)
		if tell != nil || got.UpdatedTime != start {
			t.Fatalf("%+v, to tell %+v", got, tell)
		}
		no := false
		got, tell, err = s.UpdateDevice(t.Context(), all, "1", schema.DevicePatch{Enabled: &no}, "", start+6)
		must(t, err)
		if tell != nil || got.Enabled || got.UpdatedTime != start+6 {
			t.Fatalf("%+v, to tell %+v", got, tell)
		}
		equal(t, "log", kinds(log(t, s, "1")), "update update ")
	})
}

// What a claim may go on is void once business changed the credential.
func TestT11_ChangesRevokeTokens(t *testing.T) {
	each(t, func(t *testing.T) {
		no := false
		for name, revoke := range map[string]func(s *Store) error{
			"password": func(s *Store) error {
				return s.SetPassword(t.Context(), all, "1", "sha256:new", "key:x", start+50)
			},
			"disable": func(s *Store) error {
				_, _, err := s.UpdateDevice(t.Context(), all, "1", schema.DevicePatch{Enabled: &no}, "key:x", start+50)
				return err
			},
			"delete": func(s *Store) error { return s.DeleteDevice(t.Context(), all, "1", "key:x", start+50) },
		} {
			t.Run(name, func(t *testing.T) {
				s := open(t, Options{})
				addDevice(t, s, "1")
				claim(t, s, claimOf("1", 1))
				claim(t, s, claimOf("1", 2))
				p := schema.LoginParams{DeviceID: "1"}
				before, err := s.Credential(t.Context(), p, start)
				must(t, err)
				equal(t, "tokens", len(before.Tokens), 2)
				must(t, revoke(s))
				after, _ := s.Credential(t.Context(), p, start)
				equal(t, "tokens", len(after.Tokens), 0)
				_, err = s.Claim(t.Context(), claimOf("1", 3)) // checked before the change
				wantKind(t, err, schema.LoginFailed, "")
			})
		}
	})
}

func TestDeleteDevice_LogStays(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		addGroup(t, s, "g")
		must(t, s.AddRelation(t.Context(), all, "1", "g", start))
		claim(t, s, claimOf("1", 1))
		must(t, begin(s, intentOf("o", "1", 1)))
		must(t, s.DeleteDevice(t.Context(), all, "1", "key:x", start+9))
		s.Presence(schema.Presence{DeviceID: "1", Epoch: 1, State: schema.Offline, Reason: "deleted"}) // its session's end
		events := log(t, s, "1")
		equal(t, "log", kinds(events), "update connect login order disconnect update ")
		equal(t, "why", string(events[4].Detail), `{"epoch":1,"reason":"deleted"}`)
		_, err := s.Order(t.Context(), all, "o")
		must(t, err)
		counts, err := s.CountStates(t.Context(), all, "g")
		must(t, err)
		equal(t, "in the group", counts[schema.Online], 0)
		wantKind(t, s.DeleteDevice(t.Context(), all, "1", "", 0), schema.DeviceNotFound, "")
		wantKind(t, s.SetPassword(t.Context(), all, "1", "", "", 0), schema.DeviceNotFound, "")
		_, _, err = s.UpdateDevice(t.Context(), all, "1", schema.DevicePatch{}, "", 0)
		wantKind(t, err, schema.DeviceNotFound, "")
	})
}

// A device of the same hardware under a new id has a log of its own.
func TestDeleteDevice_HardwareIsFreeAgain(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		must(t, s.DeleteDevice(t.Context(), all, "1", "", start))
		d := device("2")
		d.Hardware = device("1").Hardware
		must(t, s.AddDevice(t.Context(), d, "", ""))
		equal(t, "log", kinds(log(t, s, "2")), "update ")
	})
}

// What one engine takes and the other refuses, both take alike.
func TestStorable_NULAndBrokenUTF8(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		d := device("1")
		d.Name, d.Description = "a\x00b", "c\xffd"
		must(t, s.AddDevice(t.Context(), d, "", ""))
		got, err := s.Device(t.Context(), all, "1")
		must(t, err)
		equal(t, "kept", got.Name+got.Description, "a\ufffdbc\ufffdd")
		_, err = s.Credential(t.Context(), schema.LoginParams{SN: "\x00", Model: "\xff"}, start)
		wantKind(t, err, schema.DeviceNotFound, "")
	})
}
