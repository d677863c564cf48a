package conform

import (
	"fmt"
	"time"

	"github.com/edgetether/tether/schema"
)

// loginTimeout is how long a device awaits the reply to login.
const loginTimeout = 10 * time.Second

var loginScenarios = []scenario[*bench]{
	{"login-password", "The first start: device_id and password", []rule{
		{"form", "southbound 2", "login presents device_id and password, and no token that it was not given"},
		{"report", "southbound 4", "The first report goes out at once after the login"},
		{"ping", "southbound 4", "The first ping goes out 5 s after the login"},
	}, loginPassword},
	{"login-sn", "The first start: device_sn, device_model and password", []rule{
		{"form", "southbound 2", "login presents device_sn, device_model and password"},
		{"report", "southbound 4", "The device_id of the result is the device's from then on"},
		{"token", "southbound 2", "The next login presents the device_id of the result with its token"},
	}, loginSN},
	{"login-token", "A reconnect", []rule{
		{"token", "southbound 2", "login presents the token that an earlier login returned"},
		{"newest", "southbound 2", "Every login gives a new token; the newest two of a device are good"},
		{"boot", "southbound 2", "boot_id is the same in all logins of a process"},
	}, loginToken},
	{"boot-id", "A new process", []rule{
		{"new", "southbound 2", "boot_id is new at every start of the device process"},
	}, bootID},
	{"login-refused", "-32001, then close code 4401", []rule{
		{"waits", "southbound 5", "4401: wait 10 s (4: with 20 % jitter)"},
		{"password", "southbound 5", "4401: log in again with the password, not the token"},
	}, loginRefused},
	{"login-unusable", "-32602, then close code 4400", []rule{
		{"waits", "southbound 5", "4400: as a failed try: 10 s (4: with 20 % jitter), and log in again"},
	}, loginUnusable},
	{"login-limited", "-32005 with retry_after_ms, then close code 4429", []rule{
		{"short", "southbound 5", "4429: come back after the N of retry_after_ms"},
		{"long", "southbound 4", "Reconnect after the retry_after_ms that the server gave"},
		{"token", "southbound 5", "4429 says nothing against the token: it is presented again"},
	}, loginLimited},
	{"login-unanswered", "A login that is not answered", []rule{
		{"gives-up", "southbound 4", "The reply to login is awaited 10 s"},
		{"waits", "southbound 4", "Reconnect after 10 s with 20 % jitter"},
	}, loginUnanswered},
	{"tries", "Three connections in a row that end before the login", []rule{
		{"first", "southbound 4", "Reconnect after 10 s with 20 % jitter, the first time"},
		{"second", "southbound 4", "and the second"},
		{"third", "southbound 4", "and the third: 5 tries in a row by default"},
	}, tries},
}

func loginPassword(b *bench) error {
	if b.client.running() {
		if err := b.restart(errStopped, (*client).freshState); err != nil {
			return err
		}
	}
	b.client.identify(b.o.Device, false)
	s, e, err := b.fresh()
	if err != nil {
		return err
	}
	ok := e.DeviceID == b.o.Device.ID && e.Password == b.o.Device.Password && e.Token == "" && e.SN == ""
	b.check("form", ok, "device_id and password", "%s", form(b, e))
	b.admit(s, e, welcome{})
	b.firstReport(s, "report")
	ping := b.o.beat(schema.PingInterval)
	m, err := s.nextOf(schema.MethodPing, 2*b.o.Slack.late(ping))
	if err != nil {
		return &broken{"a ping", err.Error()}
	}
	b.took("ping", m.at.Sub(s.loginAt), ping, ping)
	return nil
}

// form says what a login presents, and no secret.
func form(b *bench, e entry) string {
	text := ""
	for _, m := range []struct{ name, value string }{
		{"device_id", e.DeviceID}, {"device_sn", e.SN}, {"device_model", e.Model}, {"password", e.Password}, {"token", e.Token},
	} {
		if m.value != "" {
			text += m.name + " "
		}
	}
	if e.Password != "" && e.Password != b.o.Device.Password {
		text += "(a wrong password)"
	}
	return text
}

// nextOf waits for a request of a method.
func (s *session) nextOf(method string, limit time.Duration) (found message, err error) {
	err = s.pump(limit, func(m message) bool {
		if m.kind == request && m.method == method && found.kind == invalid {
			found = m
		}
		return found.kind == request
	})
	return found, err
}

// firstReport checks that a report follows the login at once.
func (b *bench) firstReport(s *session, key string) {
	m, err := s.nextOf(schema.MethodUploadStatus, b.lag()+2*time.Second)
	if err != nil {
		b.check(key, false, "a report within "+round(b.lag()).String(), "%v", err)
		return
	}
	d := m.at.Sub(s.loginAt)
	b.check(key, d <= b.lag(), "within "+round(b.lag()).String(), "after %v", round(d))
}

func loginSN(b *bench) error {
	err := b.restart(errStopped, func(c *client) error {
		c.identify(b.o.Device, true)
		return c.freshState()
	})
	if err != nil {
		return err
	}
	defer b.client.identify(b.o.Device, false)
	s, e, err := b.knock(b.longest())
	if err != nil {
		return err
	}
	ok := e.SN == b.o.Device.SN && e.Model == b.o.Device.Model && e.Password == b.o.Device.Password && e.DeviceID == "" && e.Token == ""
	b.check("form", ok, "device_sn, device_model and password", "%s", form(b, e))
	b.admit(s, e, welcome{})
	b.firstReport(s, "report")
	_, e, err = b.fresh()
	if err != nil {
		return err
	}
	b.check("token", b.isNewest(e), "device_id and the token", "%s", form(b, e))
	b.client.identify(b.o.Device, false)
	return b.restart(errStopped, (*client).freshState)
}

func (b *bench) isNewest(e entry) bool {
	return len(b.tokens) > 0 && e.Token == b.tokens[len(b.tokens)-1] && e.DeviceID == b.o.Device.ID && e.Password == ""
}

func loginToken(b *bench) error {
	s, err := b.session(welcome{})
	if err != nil {
		return err
	}
	boot := s.boot()
	at := s.close(schema.CloseLiveness, "no signs of life")
	for range 2 {
		next, e, err := b.knock(2*b.o.Slack.late(b.reconnect().most) + time.Since(at))
		if err != nil {
			return err
		}
		b.check("token", e.Token != "", "a token", "%s", form(b, e))
		b.check("newest", b.credential(e) == nil && e.Token != "", "one of the last two tokens", "%s", form(b, e))
		if boot == "" {
			b.skip("boot", "the client sends no boot_id, which is optional")
		} else {
			b.check("boot", e.BootID == boot, excerpt([]byte(boot)), "%s", excerpt([]byte(e.BootID)))
		}
		b.admit(next, e, welcome{})
		if at = next.close(schema.CloseLiveness, "no signs of life"); b.ctx.Err() != nil {
			return b.ctx.Err()
		}
	}
	b.current = nil
	return nil
}

// boot is the boot_id of a session's login.
func (s *session) boot() string {
	var p schema.LoginParams
	for _, m := range s.seen {
		if m.method == schema.MethodLogin {
			_ = decode(m.params, &p)
			break
		}
	}
	return p.BootID
}

func bootID(b *bench) error {
	s, err := b.session(welcome{})
	if err != nil {
		return err
	}
	before := s.boot()
	if before == "" {
		return &unexercised{"the client sends no boot_id, which is optional"}
	}
	if err := b.restart(errStopped, func(*client) error { return nil }); err != nil {
		return err
	}
	s, err = b.session(welcome{})
	if err != nil {
		return err
	}
	b.check("new", s.boot() != before && s.boot() != "", "another than "+excerpt([]byte(before)), "%s", excerpt([]byte(s.boot())))
	return nil
}

func loginRefused(b *bench) error {
	if _, err := b.session(welcome{}); err != nil {
		return err
	}
	s, e, err := b.fresh()
	if err != nil {
		return err
	}
	s.fail(e.id, -32001, "login failed")
	since := s.close(schema.CloseLoginFailed, "login failed")
	s, e, err = b.back("waits", since, b.reconnect())
	if err != nil {
		return err
	}
	b.check("password", e.Token == "" && e.Password == b.o.Device.Password, "the password", "%s", form(b, e))
	b.admit(s, e, welcome{})
	return nil
}

func loginUnusable(b *bench) error {
	s, e, err := b.fresh()
	if err != nil {
		return err
	}
	s.fail(e.id, -32602, "boot_id: must be another")
	since := s.close(schema.CloseNoLogin, "unusable login")
	s, e, err = b.back("waits", since, b.reconnect())
	if err != nil {
		return err
	}
	b.admit(s, e, welcome{})
	return nil
}

func loginLimited(b *bench) error {
	if _, err := b.session(welcome{}); err != nil {
		return err
	}
	s, e, err := b.fresh()
	if err != nil {
		return err
	}
	for _, wait := range []struct {
		key string
		d   time.Duration
	}{{"short", 400 * time.Millisecond}, {"long", 1700 * time.Millisecond}} {
		limited := errorObject(-32005, "too many logins")
		limited["data"] = map[string]any{"reason": "overloaded", "retryable": true, "retry_after_ms": wait.d.Milliseconds()}
		s.reply(e.id, "error", limited)
		since := s.close(schema.CloseLoginLimited, fmt.Sprintf("retry_after_ms=%d", wait.d.Milliseconds()))
		if s, e, err = b.back(wait.key, since, after(wait.d)); err != nil {
			return err
		}
		b.check("token", b.isNewest(e), "the newest token", "%s", form(b, e))
	}
	b.admit(s, e, welcome{})
	return nil
}

func loginUnanswered(b *bench) error {
	s, e, err := b.fresh()
	if err != nil {
		return err
	}
	limit := b.o.scaled(loginTimeout)
	err = s.pump(2*b.o.Slack.late(limit), func(message) bool { return false })
	if s.ending == nil || err != error(s.ending) {
		b.check("gives-up", false, "the connection is given up "+span(limit, limit), "%v", err)
		s.fail(e.id, -32603, "internal error")
		s.close(schema.CloseInternal, "")
		return nil
	}
	b.took("gives-up", s.ending.at.Sub(e.at), limit, limit)
	since := s.ending.at
	s.ws.Close() //nolint:errcheck // the client was first
	s, e, err = b.back("waits", since, b.reconnect())
	if err != nil {
		return err
	}
	b.admit(s, e, welcome{})
	return nil
}

func tries(b *bench) error {
	s, e, err := b.fresh()
	if err != nil {
		return err
	}
	for _, key := range []string{"first", "second", "third"} {
		since := s.close(schema.CloseInternal, "internal error")
		if s, e, err = b.back(key, since, b.reconnect()); err != nil {
			return err
		}
	}
	b.admit(s, e, welcome{})
	return nil
}
