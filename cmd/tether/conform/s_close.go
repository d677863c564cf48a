package conform

import (
	"fmt"
	"time"

	"github.com/edgetether/tether/schema"
)

// closing is how a server ends a session, and what section 5 says of it.
type closing struct {
	code     schema.CloseCode
	title    string
	does     string // what the device should
	window   func(*bench) window
	password bool // the token is good no more
}

var closings = []closing{
	{schema.CloseProtocol, "a broken frame", "log in again (4: 10 s, with 20 % jitter)", (*bench).reconnect, false},
	{schema.CloseBinary, "a binary frame", "log in again (4: 10 s, with 20 % jitter)", (*bench).reconnect, false},
	{schema.CloseUTF8, "invalid UTF-8", "log in again (4: 10 s, with 20 % jitter)", (*bench).reconnect, false},
	{schema.CloseTooBig, "a message too big", "log in again (4: 10 s, with 20 % jitter)", (*bench).reconnect, false},
	{schema.ClosePolicy, "malformed messages, a flood", "back off 60 s", (*bench).backOff, false},
	{schema.CloseInternal, "an error inside the server", "reconnect (4: 10 s, with 20 % jitter)", (*bench).reconnect, false},
	{schema.CloseLoginFailed, "the password was changed", "wait 10 s, log in again", (*bench).reconnect, true},
	{schema.CloseLiveness, "3 liveness failures", "reconnect (4: 10 s, with 20 % jitter)", (*bench).reconnect, false},
	{schema.CloseTakeover, "a newer login took over", "back off 60 s", (*bench).backOff, false},
}

func closeScenarios() []scenario[*bench] {
	all := []scenario[*bench]{
		stopScenario(schema.CloseDone, "done"),
	}
	for _, c := range closings {
		all = append(all, c.scenario())
	}
	return append(all,
		stopScenario(schema.CloseDeviceGone, "device deleted or disabled"),
		scenario[*bench]{"close-1012", "The server restarts: retry_after_ms, a different one each time", []rule{
			{"long", "southbound 5", "1012: come back after the N of retry_after_ms"},
			{"short", "southbound 5", "a different N for each device, and each time"},
			{"bare", "southbound 4", "without one: reconnect after 10 s with 20 % jitter"},
			{"token", "southbound 2", "The token is good across server restarts"},
		}, drains},
		scenario[*bench]{"reset", "The connection is cut without a close frame", []rule{
			{"returns", "southbound 4", "Reconnect after 10 s with 20 % jitter"},
			{"token", "southbound 2", "The token is presented again"},
		}, resets},
	)
}

func (c closing) scenario() scenario[*bench] {
	secret := rule{"credential", "southbound 2", "The token is presented again"}
	if c.password {
		secret = rule{"credential", "southbound 5", "4401: log in with the password, not the token"}
	}
	return scenario[*bench]{fmt.Sprintf("close-%d", c.code), "Close code of a session: " + c.title, []rule{
		{"returns", "southbound 5", fmt.Sprintf("%d: %s", c.code, c.does)},
		secret,
	}, c.run}
}

func (c closing) run(b *bench) error {
	s, err := b.session(welcome{})
	if err != nil {
		return err
	}
	since := s.close(c.code, c.title)
	s, e, err := b.back("returns", since, c.window(b))
	if err != nil {
		return err
	}
	if c.password {
		b.check("credential", e.Token == "" && e.Password != "", "the password", "%s", form(b, e))
	} else {
		b.check("credential", b.isNewest(e), "the newest token", "%s", form(b, e))
	}
	b.admit(s, e, welcome{})
	return nil
}

func stopScenario(code schema.CloseCode, title string) scenario[*bench] {
	return scenario[*bench]{fmt.Sprintf("close-%d", code), "Close code of a session: " + title, []rule{
		{"stops", "southbound 5", fmt.Sprintf("%d: stop", code)},
	}, func(b *bench) error {
		s, err := b.session(welcome{})
		if err != nil {
			return err
		}
		s.close(code, title)
		b.current = nil
		if err := b.staysAway("stops", 2*b.o.Slack.late(b.reconnect().most)); err != nil {
			return err
		}
		b.startAgain()
		return nil
	}}
}

func drains(b *bench) error {
	s, err := b.session(welcome{})
	if err != nil {
		return err
	}
	for _, wait := range []struct {
		key string
		d   time.Duration
	}{{"long", 1900 * time.Millisecond}, {"short", 600 * time.Millisecond}} {
		since := s.close(schema.CloseRestart, fmt.Sprintf("retry_after_ms=%d", wait.d.Milliseconds()))
		next, e, err := b.back(wait.key, since, after(wait.d))
		if err != nil {
			return err
		}
		b.check("token", b.isNewest(e), "the newest token", "%s", form(b, e))
		b.admit(next, e, welcome{})
		s = next
	}
	return b.returns("bare", s.close(schema.CloseRestart, "server restarting"), b.reconnect())
}

func resets(b *bench) error {
	s, err := b.session(welcome{})
	if err != nil {
		return err
	}
	s, e, err := b.back("returns", s.reset(), b.reconnect())
	if err != nil {
		return err
	}
	b.check("token", b.isNewest(e), "the newest token", "%s", form(b, e))
	b.admit(s, e, welcome{})
	return nil
}
