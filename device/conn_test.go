package device

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

func TestHeartbeatOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.run(s.device(nil))
		time.Sleep(31 * time.Second)
		s.want("0s dial", "0s report", "5s ping", "10s ping", "15s report", "20s ping", "25s ping", "30s report")
	})
}

func TestMissesOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		var losePings, loseReports atomic.Bool
		s.answer = func(_ *session, r *rpc.Request) {
			lost := r.Method == schema.MethodPing && losePings.Load() ||
				r.Method == schema.MethodUploadStatus && loseReports.Load()
			if !lost {
				r.Reply(struct{}{})
			}
		}
		var states []string
		d := s.device(func(c *Config) {
			c.OnState = func(state schema.DevState, cause string) { states = append(states, string(state)+" "+cause) }
		})
		s.run(d)
		time.Sleep(9 * time.Second)
		losePings.Store(true) // the ping at 10 s is missed at 13 s, and goes out again
		time.Sleep(5 * time.Second)
		losePings.Store(false)
		time.Sleep(6 * time.Second)
		s.want("0s dial", "0s report", "5s ping", "10s ping", "13s ping", "15s report", "16s ping")
		losePings.Store(true)
		loseReports.Store(true)
		time.Sleep(25 * time.Second)
		s.want("21s ping", "24s ping", "27s ping", "40s dial", "40s report", "43s report")
		if got := s.firstEnd(); got.Code != schema.CloseLiveness {
			t.Errorf("closed with %+v", got)
		}
		synctest.Wait()
		want := []string{"online login", "offline no replies", "online login"}
		if !slices.Equal(states, want) {
			t.Errorf("states %q, want %q", states, want)
		}
	})
}

// The figures of a report, and the program's own.
func TestReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		size := schema.MaxCustom
		d := s.device(func(c *Config) {
			c.Custom = map[string]func(context.Context) (any, error){
				"uses_last_hour": func(context.Context) (any, error) { return size, nil },
				"broken":         func(context.Context) (any, error) { return nil, errors.New("no sensor") },
				"slow":           func(ctx context.Context) (any, error) { time.Sleep(20 * time.Second); return 1, nil },
				"mad":            func(context.Context) (any, error) { panic("mad") },
			}
		})
		s.run(d)
		time.Sleep(25 * time.Second)
		s.want("0s dial", "1s report", "6s ping", "11s ping", "16s report", "21s ping")
		first := s.statuses[0]
		if first.DeviceID != deviceID || first.DevState != "online" || string(first.Custom) != `{"uses_last_hour":8192}` {
			t.Errorf("got %+v, custom %s", first, first.Custom)
		}
		if *first.CPU.Idle <= 0 || *first.Memory.Total <= 0 || *first.Disk.RootTotal <= 0 || *first.Disk.RootPercent > 100 {
			t.Errorf("figures: %v %v %v", *first.CPU.Idle, *first.Memory.Total, *first.Disk.RootTotal)
		}
		if !logged(t, d, "report incomplete") || !logged(t, d, "report ok") {
			t.Error("the log does not tell")
		}
	})
}

// The reply to a report is awaited 3 s from when it was sent, however long its
// figures took.
func TestReportIsAwaitedFromItsSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.answer = func(_ *session, r *rpc.Request) {
			time.AfterFunc(2900*time.Millisecond, func() { r.Reply(struct{}{}) })
		}
		s.run(s.device(func(c *Config) {
			c.Custom = map[string]func(context.Context) (any, error){
				"slow": func(ctx context.Context) (any, error) { <-ctx.Done(); return nil, ctx.Err() },
			}
		}))
		time.Sleep(20 * time.Second)
		s.want("0s dial", "1s report", "6s ping", "11s ping", "17s report")
	})
}

// What the wire forbids costs the one figure that holds it, not the report.
func TestForbiddenFigures(t *testing.T) {
	deep := func(n int) json.RawMessage {
		return json.RawMessage(strings.Repeat("[", n) + strings.Repeat("]", n))
	}
	figures := map[string]any{
		"name": json.RawMessage(`{"a":1,"a":2}`), "utf8": json.RawMessage("\"\xff\""), "surrogate": json.RawMessage(`"\ud800"`),
		"number": json.RawMessage(strings.Repeat("1", schema.MaxNumber+1)), "deep": deep(schema.MaxDepth - 2),
		"chan": make(chan int), "none": json.RawMessage(""), "good": deep(schema.MaxDepth - 3),
	}
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		d := s.device(func(c *Config) {
			c.Custom = map[string]func(context.Context) (any, error){}
			for name, figure := range figures {
				c.Custom[name] = func(context.Context) (any, error) { return figure, nil }
			}
		})
		s.run(d)
		time.Sleep(20 * time.Second)
		s.want("0s dial", "0s report", "5s ping", "10s ping", "15s report", "20s ping")
		if got, want := string(s.statuses[0].Custom), `{"good":`+string(deep(schema.MaxDepth-3))+`}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if !logged(t, d, "report incomplete", "custom") {
			t.Error("the log does not tell")
		}
	})
}

// custom is bounded; a report without it is better than none.
func TestCustomLimit(t *testing.T) {
	for size, fits := range map[int]bool{schema.MaxCustom: true, schema.MaxCustom + 1: false} {
		text := strings.Repeat("x", size-len(`{"a":""}`))
		c := newCollector(&Config{DiskPath: "/", Custom: map[string]func(context.Context) (any, error){
			"a": func(context.Context) (any, error) { return text, nil },
		}})
		status, err := c.collect(t.Context(), deviceID)
		if (err == nil) != fits || (status.Custom != nil) != fits || status.CPU.Idle == nil {
			t.Errorf("%d bytes: %v, custom of %d", size, err, len(status.Custom))
		}
	}
}

func TestReconnectByCloseCode(t *testing.T) {
	tests := []struct {
		code   schema.CloseCode
		reason string
		again  string // the second dial after a close at 2 s; "": Run has ended
		err    error
	}{
		{code: schema.CloseDone},
		{code: schema.CloseDeviceGone, err: ErrGone},
		{code: schema.CloseTooBig, again: "12s"},
		{code: schema.ClosePolicy, again: "1m2s"},
		{code: schema.CloseInternal, again: "12s"},
		{code: schema.CloseRestart, reason: "retry_after_ms=700", again: "2.7s"},
		{code: schema.CloseNoLogin, again: "12s"},
		{code: schema.CloseLoginFailed, again: "12s"},
		{code: schema.CloseLiveness, again: "12s"},
		{code: schema.CloseTakeover, again: "1m2s"},
		{code: schema.CloseLoginLimited, reason: "retry_after_ms=90000", again: "1m32s"},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			r := s.run(s.device(nil))
			time.Sleep(2 * time.Second)
			s.current().peer.Close(test.code, test.reason)
			time.Sleep(2 * time.Minute)
			dials := s.dials()
			if test.again != "" {
				if len(dials) != 2 || dials[1] != test.again {
					t.Errorf("%d: dialled at %v, want again at %s", test.code, dials, test.again)
				}
				return
			}
			if err := r.wait(); !errors.Is(err, test.err) || len(dials) != 1 {
				t.Errorf("%d: dialled at %v, Run returned %v", test.code, dials, err)
			}
		})
	}
}

// T4: two processes with one identity take turns, no faster than the back-off.
func TestT4_Takeovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		var live []*session
		s.login = func(ses *session, _ schema.LoginParams) (schema.LoginResult, error) {
			for _, old := range live {
				old.peer.Close(schema.CloseTakeover, "")
			}
			live = []*session{ses}
			return s.loginResult(1), nil
		}
		s.run(s.device(nil))
		s.run(s.device(nil))
		time.Sleep(10 * time.Minute)
		if n := len(s.dials()); n < 10 || n > 22 {
			t.Errorf("%d connections in 10 minutes", n)
		}
	})
}

func TestTokenIsKeptAndRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		dir := t.TempDir()
		var refuseTokens atomic.Bool
		s.login = func(_ *session, p schema.LoginParams) (schema.LoginResult, error) {
			if refuseTokens.Load() && p.Token != "" {
				return schema.LoginResult{}, schema.ErrLoginFailed
			}
			return s.loginResult(len(s.logins)), nil
		}
		first := s.run(s.device(func(c *Config) { c.StateDir = dir }))
		time.Sleep(time.Second)
		s.current().peer.Close(schema.CloseInternal, "")
		time.Sleep(11 * time.Second)
		first.stop()
		must(t, first.wait())
		s.run(s.device(func(c *Config) { c.StateDir = dir })) // the next process
		time.Sleep(time.Second)
		ses := s.current()
		refuseTokens.Store(true)
		ses.peer.Close(schema.CloseInternal, "")
		time.Sleep(31 * time.Second)
		// The last of these came 10 s after the refusal, with the password.
		want := []string{"canary-password", "tt_1", "tt_2", "tt_3", "canary-password"}
		if got := s.forms(); !slices.Equal(got, want) {
			t.Errorf("logins %q, want %q", got, want)
		}
	})
}

// A token that has expired by the server's clock is not shown.
func TestTokenExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.login = func(*session, schema.LoginParams) (schema.LoginResult, error) {
			result := s.loginResult(len(s.logins))
			result.ServerTime = time.Now().Add(-24 * time.Hour).UnixMilli() // this host is a day ahead
			result.TokenExpires = result.ServerTime + 60_000
			return result, nil
		}
		s.run(s.device(nil))
		for _, after := range []time.Duration{49 * time.Second, 51 * time.Second} {
			time.Sleep(after)
			s.current().peer.Close(schema.CloseInternal, "")
			time.Sleep(10 * time.Second)
		}
		if got, want := s.forms(), []string{"canary-password", "tt_1", "canary-password"}; !slices.Equal(got, want) {
			t.Errorf("logins %q, want %q", got, want)
		}
	})
}

func TestLoginBySerialNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.run(s.device(func(c *Config) { c.DeviceID, c.SN, c.Model = "", "SN1", "M1" }))
		synctest.Wait()
		got, err := json.Marshal(s.logins[0])
		must(t, err)
		want := `{"device_sn":"SN1","device_model":"M1","password":"canary-password","boot_id":"boot-1","client":{"name":"tether-device"}}`
		if string(got) != want {
			t.Errorf("got %s, want %s", got, want)
		}
		s.current().peer.Close(schema.CloseInternal, "")
		time.Sleep(10 * time.Second)
		s.current()
		if p := s.logins[1]; p.DeviceID != deviceID || p.Token != "tt_1" || p.SN != "" {
			t.Errorf("second login %+v", p)
		}
	})
}

func TestNoLogin(t *testing.T) {
	overloaded := &schema.Error{Kind: schema.Overloaded, Code: "overloaded", Message: "later", RetryAfter: 3 * time.Second}
	tests := []struct {
		name        string
		login       func(*session, schema.LoginParams) (schema.LoginResult, error)
		net, silent bool
		dials       []string // until Run ends, or in the first two minutes
	}{
		{name: "no network", net: true, dials: []string{"0s", "10s", "20s", "30s", "40s"}},
		{name: "refused", login: func(*session, schema.LoginParams) (schema.LoginResult, error) {
			return schema.LoginResult{}, schema.ErrLoginFailed
		}, dials: []string{"0s", "10s", "20s", "30s", "40s"}},
		{name: "no reply for 10 s", login: func(*session, schema.LoginParams) (schema.LoginResult, error) {
			return schema.LoginResult{}, nil
		}, dials: []string{"0s", "20s", "40s", "1m0s", "1m20s"}},
		{name: "refused, never closed", silent: true, login: func(*session, schema.LoginParams) (schema.LoginResult, error) {
			return schema.LoginResult{}, schema.ErrLoginFailed
		}, dials: []string{"0s", "20s", "40s", "1m0s", "1m20s"}},
		{name: "overloaded, which is no try", login: func(s *session, _ schema.LoginParams) (schema.LoginResult, error) {
			if time.Since(s.start) < 20*time.Second {
				return schema.LoginResult{}, overloaded
			}
			return schema.LoginResult{}, schema.InvalidMember("password", "required")
		}, dials: []string{"0s", "3s", "6s", "9s", "12s", "15s", "18s", "21s", "31s", "41s", "51s", "1m1s"}},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			s.login, s.refuse, s.silent = test.login, test.net, test.silent
			r := s.run(s.device(nil))
			if err := r.wait(); !errors.Is(err, ErrTries) {
				t.Errorf("%s: Run returned %v", test.name, err)
			}
			if got := s.dials(); !slices.Equal(got, test.dials) {
				t.Errorf("%s: dialled at %v, want %v", test.name, got, test.dials)
			}
		})
	}
}

// F20: a fleet that lost its server in one instant does not come back in one.
func TestF20_Jitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.refuse = true
		for range 200 {
			s.run(s.device(func(c *Config) { c.Rand, c.MaxTries = nil, 2 }))
		}
		time.Sleep(time.Minute)
		perSecond := map[time.Duration]int{}
		for _, text := range s.dials()[200:] {
			at, err := time.ParseDuration(text)
			must(t, err)
			if at < 8*time.Second || at > 12*time.Second {
				t.Errorf("came back at %v", at)
			}
			perSecond[at.Truncate(time.Second)]++
		}
		for at, n := range perSecond {
			if n > 100 {
				t.Errorf("%d of 200 came back within a second, at %v", n, at)
			}
		}
	})
}

// T42: a server that floods is left at once, and the device waits before it
// comes back: what it spends does not depend on what is sent.
func TestT42_Flood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.run(s.device(nil))
		ses := s.current()
		for range 2 * serverBurst {
			if ses.peer.Notify(schema.MethodRestartConfirm, schema.RestartConfirm{OrderID: "1"}) != nil {
				break
			}
		}
		time.Sleep(9 * time.Second)
		if got := s.firstEnd(); got.Code != schema.ClosePolicy {
			t.Errorf("ended with %+v", got)
		}
		s.want("0s dial", "0s report")
		time.Sleep(2 * time.Second)
		s.want("10s dial", "10s report")
	})
}

// T44: nothing that logs in is ever in the log.
func TestT44_NoSecretInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		var copied strings.Builder
		d := s.device(func(c *Config) {
			c.Logf = func(_ string, args ...any) { copied.WriteString(args[0].(string)) }
		})
		r := s.run(d)
		g := s.current().order(schema.GiveOrder{
			OrderID: "1", OrderType: schema.OrderUploadLog, IsInner: true,
			SFTP: &schema.SFTPTarget{Address: "a", HostKey: "no key", Username: "u", Password: "canary-sftp"},
		})
		g.is(t, "0s fail sftp.host_key: must be a public key in the form of authorized_keys", "")
		s.current().peer.Close(schema.CloseInternal, "")
		time.Sleep(11 * time.Second)
		r.stop()
		must(t, r.wait())
		text := copied.String() + string(read(t, d.cfg.StateDir+"/"+logName)) + string(read(t, d.cfg.StateDir+"/journal"))
		for _, secret := range []string{"canary", "tt_1", "tt_2"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in the log", secret)
			}
		}
	})
}

func TestStopIsClean(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		r := s.run(s.device(nil))
		time.Sleep(time.Second)
		if err := r.Run(t.Context()); err == nil {
			t.Error("a second Run ran beside the first")
		}
		r.stop()
		must(t, r.wait())
		if got := s.firstEnd(); got.Code != schema.CloseDone {
			t.Errorf("ended with %+v", got)
		}
	})
}

func TestUnknownMethodAndOrderBeforeLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		var early *given // set at the login
		s.login = func(ses *session, _ schema.LoginParams) (schema.LoginResult, error) {
			early = ses.order(schema.GiveOrder{OrderID: "1", OrderType: "x"})
			return s.loginResult(1), nil
		}
		s.run(s.device(nil))
		ses := s.current()
		early.is(t, "0s error login first", "")
		var code int
		_, err := ses.peer.Call("format_disk", nil, func(resp rpc.Response) { code = resp.RPCCode })
		must(t, err)
		synctest.Wait()
		if code != -32601 {
			t.Errorf("code %d", code)
		}
	})
}

func TestDeviceUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		var names []string
		d := s.device(func(c *Config) {
			c.OnUpdate = func(u schema.DeviceUpdate) { time.Sleep(20 * time.Second); names = append(names, u.Name) }
		})
		s.run(d)
		ses := s.current()
		var told []string
		for _, u := range []schema.DeviceUpdate{{DeviceID: deviceID, Name: "a"}, {DeviceID: deviceID, Name: "b"}, {DeviceID: "2", Name: "c"}} {
			_, err := ses.peer.Call(schema.MethodDeviceUpdate, u, func(resp rpc.Response) {
				told = append(told, time.Since(s.start).String()+" "+string(resp.Result))
			})
			must(t, err)
		}
		time.Sleep(41 * time.Second)
		synctest.Wait()
		if !slices.Equal(names, []string{"a", "b"}) || !slices.Equal(told, []string{"0s ", "20s {}", "40s {}"}) {
			t.Errorf("names %q, told %q", names, told)
		}
		if len(s.dials()) != 1 {
			t.Error("a slow program cost the connection")
		}
	})
}
