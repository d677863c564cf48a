package store

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/edgetether/tether/schema"
)

func TestCredential_ByIdAndByHardware(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1", "2")
		for _, p := range []schema.LoginParams{{DeviceID: "2"}, {SN: "SN2", Model: "ModelB"}} {
			c, err := s.Credential(t.Context(), p, start)
			must(t, err)
			equal(t, "device", c.DeviceID, "2")
			equal(t, "password", c.Password, "sha256:00")
			equal(t, "version", c.Version, 1)
			equal(t, "enabled", c.Enabled, true)
		}
		for _, p := range []schema.LoginParams{{}, {DeviceID: "3"}, {SN: "SN1"}, {SN: "SN1", Model: "modelb"}} {
			_, err := s.Credential(t.Context(), p, start)
			wantKind(t, err, schema.DeviceNotFound, "")
		}
	})
}

func TestCredential_NewestTwoTokensUnexpired(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		for epoch := range int64(3) {
			c := claimOf("1", epoch+1)
			c.TokenExpires = start + 100*(epoch+1)
			claim(t, s, c)
		}
		for _, c := range []struct {
			now  int64
			want string
		}{
			{start, "sha256:token3 sha256:token2"},
			{start + 199, "sha256:token3 sha256:token2"},
			{start + 200, "sha256:token3"},
			{start + 299, "sha256:token3"},
			{start + 300, ""},
		} {
			got, err := s.Credential(t.Context(), schema.LoginParams{DeviceID: "1"}, c.now)
			must(t, err)
			equal(t, fmt.Sprint(c.now-start), strings.Join(got.Tokens, " "), c.want)
		}
	})
}

func TestClaim_MarksOnline(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		a := claim(t, s, claimOf("1", 1))
		if a.Update != nil || len(a.Unsettled) != 0 {
			t.Fatalf("%+v", a)
		}
		d, err := s.Device(t.Context(), all, "1")
		must(t, err)
		if d.State != schema.Online || d.StateReason != "login" || *d.LastSeenTime != start+1 {
			t.Fatalf("%+v", d)
		}
		events := log(t, s, "1")
		equal(t, "log", kinds(events), "update connect login ")
		equal(t, "detail", string(events[2].Detail),
			`{"address":"10.0.0.7","client":{"name":"agent","version":"1"},"epoch":1,"form":"id_password"}`)
	})
}

func TestClaim_Refusals(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		claim(t, s, claimOf("1", 5))
		_, err := s.Claim(t.Context(), claimOf("none", 6))
		wantKind(t, err, schema.LoginFailed, "")
		for _, epoch := range []int64{4, 5} {
			_, err = s.Claim(t.Context(), claimOf("1", epoch))
			wantKind(t, err, schema.Fenced, "")
		}
		old := claimOf("1", 6)
		old.Version = 0
		_, err = s.Claim(t.Context(), old)
		wantKind(t, err, schema.LoginFailed, "")
		equal(t, "log", kinds(log(t, s, "1")), "update connect login ")
	})
}

func TestClaim_TakeoverWritesTheOldDisconnectFirst(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		claim(t, s, claimOf("1", 1))
		claim(t, s, claimOf("1", 2))
		s.Presence(schema.Presence{DeviceID: "1", Epoch: 1, State: schema.Offline, Reason: "takeover", Now: start})
		events := log(t, s, "1")
		equal(t, "log", kinds(events), "update connect login disconnect connect login ")
		equal(t, "detail", string(events[3].Detail), `{"epoch":1,"reason":"takeover"}`)
	})
}

// The log has ordered pairs, and the highest epoch survives, however many
// claims, goodbyes and doubts arrive at once.
func TestF38_ConnectAndDisconnectAlternate(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		const logins = 100
		var wg sync.WaitGroup
		for _, n := range rand.Perm(logins) {
			wg.Go(func() {
				epoch := int64(n + 1)
				if _, err := s.Claim(t.Context(), claimOf("1", epoch)); err != nil {
					wantKind(t, err, schema.Fenced, "")
				}
				for _, state := range []schema.DevState{schema.Unknown, schema.Online, schema.Offline} {
					if epoch < logins || state != schema.Offline {
						s.Presence(schema.Presence{DeviceID: "1", Epoch: epoch, State: state, Reason: "reset", Now: start})
					}
				}
			})
		}
		wg.Wait()
		connected := false
		for _, e := range log(t, s, "1") {
			switch e.Kind {
			case schema.EventConnect, schema.EventDisconnect:
				if connected == (e.Kind == schema.EventConnect) {
					t.Fatalf("%s at seq %d does not alternate", e.Kind, e.Seq)
				}
				connected = !connected
			}
		}
		d, err := s.Device(t.Context(), all, "1")
		must(t, err)
		if !connected || d.State == schema.Offline {
			t.Fatalf("the newest session is %s", d.State)
		}
	})
}

// An old session's clean-up can never touch a newer one.
func TestF40_StalePresenceTouchesNothing(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		claim(t, s, claimOf("1", 1))
		claim(t, s, claimOf("1", 2))
		s.Presence(schema.Presence{DeviceID: "1", Epoch: 1, State: schema.Offline, Reason: "liveness", LastSeen: 1})
		s.Presence(schema.Presence{DeviceID: "none", Epoch: 1, State: schema.Offline})
		flushed(t, s)
		d, err := s.Device(t.Context(), all, "1")
		must(t, err)
		if d.State != schema.Online || *d.LastSeenTime != start+2 {
			t.Fatalf("%+v", d)
		}
	})
}

func TestPresence_TellsChangesOnly(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		claim(t, s, claimOf("1", 1))
		for i, p := range []schema.Presence{
			{State: schema.Online, Reason: "login"}, // nothing new but the time
			{State: schema.Unknown, Reason: "liveness"},
			{State: schema.Unknown, Reason: "liveness"},
			{State: schema.Online, Reason: "message"},
			{State: schema.Offline, Reason: "closed_by_device"},
			{State: schema.Online, Reason: "message"}, // an offline device stays offline
			{State: schema.Offline, Reason: "reset"},
		} {
			p.DeviceID, p.Epoch, p.LastSeen, p.Now = "1", 1, start+int64(i), start+int64(i)
			s.Presence(p)
			flushed(t, s)
		}
		events := log(t, s, "1")
		equal(t, "log", kinds(events), "update connect login state state disconnect ")
		equal(t, "detail", string(events[5].Detail), `{"epoch":1,"reason":"closed_by_device"}`)
		equal(t, "outcome", events[3].Outcome, "Unknown")
		d, err := s.Device(t.Context(), all, "1")
		must(t, err)
		equal(t, "reason", d.StateReason, "closed_by_device")
		equal(t, "last seen", *d.LastSeenTime, start+4)
	})
}

func TestClaim_BringsWhatTheDeviceWasNotTold(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		for _, name := range []string{"a", "b"} {
			_, _, err := s.UpdateDevice(t.Context(), all, "1", schema.DevicePatch{Name: &name}, "", start)
			must(t, err)
		}
		u := claim(t, s, claimOf("1", 1)).Update
		if u == nil || u.Name != "b" || u.Version != 2 {
			t.Fatalf("%+v", u)
		}
		s.Told("1", 1)
		if claim(t, s, claimOf("1", 2)).Update == nil {
			t.Fatal("told of the first change only")
		}
		s.Told("1", 2)
		s.Told("1", 1) // late, and of no effect
		if u := claim(t, s, claimOf("1", 3)).Update; u != nil {
			t.Fatalf("told of all, and yet %+v", u)
		}
	})
}
