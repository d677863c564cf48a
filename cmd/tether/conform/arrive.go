package conform

import (
	"errors"
	"fmt"
	"time"

	"github.com/edgetether/tether/schema"
)

// Starting a program takes time that says nothing about it.
const (
	startUp    = 20 * time.Second
	startPause = 200 * time.Millisecond // between two starts
	maxStarts  = 8                      // while one connection is awaited
)

// nudge is the retry_after_ms with which a scenario sends the client away to
// have it back on a fresh connection.
const nudge = 150 * time.Millisecond

// longest is more than a client that keeps the contract stays away.
func (b *bench) longest() time.Duration {
	switch {
	case b.met:
	case b.o.Launch != nil:
		return startUp
	default:
		return b.o.Patience
	}
	limit := 2*b.o.Slack.late(b.backOff().most) + time.Second
	if b.o.Launch != nil {
		return limit + startUp
	}
	return limit + b.o.Patience
}

// arrive waits for the client's next connection. A client of ours that does
// not run is started.
func (b *bench) arrive(limit time.Duration) (*session, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for starts := 0; ; {
		ended := b.client.done()
		if !b.client.running() && b.o.Launch != nil {
			if starts++; starts > maxStarts {
				return nil, &broken{"a connection", b.client.howEnded()}
			}
			if starts > 1 && !b.pause(startPause) {
				return nil, b.ctx.Err()
			}
			b.client.start(b.ctx)
			ended = b.client.done()
		}
		select {
		case s := <-b.arrivals:
			b.met, b.absent = true, 0
			b.judge.opened(s.traits)
			return s, nil
		case <-ended:
		case <-timer.C:
			return nil, &broken{fmt.Sprintf("a connection within %v", round(limit)), "none"}
		case <-b.ctx.Done():
			return nil, b.ctx.Err()
		}
	}
}

// pause waits; false says that the run is over.
func (b *bench) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-b.ctx.Done():
		return false
	}
}

// entry is a login request that waits for its answer.
type entry struct {
	message
	schema.LoginParams
}

// knock waits for the next connection that gets as far as its login request.
func (b *bench) knock(limit time.Duration) (*session, entry, error) {
	until := time.Now().Add(limit)
	for {
		s, err := b.arrive(max(time.Until(until), edge))
		if err != nil {
			return nil, entry{}, err
		}
		b.current = s
		e, err := b.request(s)
		var gone *ending
		if errors.As(err, &gone) && len(s.seen) == 0 && time.Now().Before(until) {
			continue // it had waited for us, and has left meanwhile
		}
		return s, e, err
	}
}

// request waits for the login request, which is the first message.
func (b *bench) request(s *session) (e entry, err error) {
	err = s.pump(schema.LoginTimeout, func(m message) bool {
		if m.kind == request && m.method == schema.MethodLogin {
			e.message = m
		}
		return e.method != ""
	})
	if err == nil {
		// What cannot be decoded was told by the judge.
		_ = decode(e.params, &e.LoginParams)
		return e, nil
	}
	if errors.Is(err, errTimeUp) {
		err = &broken{"login within 5 s of the upgrade", "no login"}
	}
	return e, err
}

// welcome says what a login is answered with.
type welcome struct {
	heartbeat schema.Heartbeat // zero: the contract's, scaled
	clock     time.Duration    // by which server_time is off
	unsettled []string
	extra     bool // members that the contract does not have
}

// admit answers a login request with success, whatever it presents.
func (b *bench) admit(s *session, e entry, w welcome) {
	if w.heartbeat == (schema.Heartbeat{}) {
		w.heartbeat = b.heartbeat(schema.PingInterval, schema.StatusInterval)
	}
	if w.unsettled == nil {
		w.unsettled = []string{}
	}
	now := time.Now().Add(w.clock)
	result := map[string]any{
		"device_id": b.o.Device.ID, "token": b.newToken(), "token_expires_time": now.Add(schema.TokenLifetime).UnixMilli(),
		"server_time": now.UnixMilli(), "unsettled_orders": w.unsettled, "heartbeat": w.heartbeat,
	}
	if w.extra {
		result["conform_extra"] = map[string]any{"of": []int{1, 2}}
	}
	s.loggedIn = true
	s.loginAt = time.Now()
	s.succeed(e.id, result)
}

func (b *bench) heartbeat(ping, status time.Duration) schema.Heartbeat {
	return schema.Heartbeat{
		PingIntervalMS: b.o.beat(ping).Milliseconds(), StatusIntervalMS: b.o.beat(status).Milliseconds(),
		ReplyTimeoutMS: b.o.beat(schema.ReplyTimeout).Milliseconds(), MaxFailures: schema.MaxFailures,
	}
}

// session gives a scenario a fresh connection, logged in.
func (b *bench) session(w welcome) (*session, error) {
	s, e, err := b.fresh()
	if err != nil {
		return nil, err
	}
	if err := b.credential(e); err != nil {
		s.fail(e.id, -32001, "login failed")
		s.close(schema.CloseLoginFailed, "")
		return nil, err
	}
	b.admit(s, e, w)
	return s, nil
}

// credential says whether a login presents what was given to the client.
func (b *bench) credential(e entry) error {
	for _, token := range b.tokens {
		if e.Token == token {
			return nil
		}
	}
	switch {
	case e.Token != "":
		return &broken{"one of the last two tokens, or the password", "another token"}
	case e.Password != b.o.Device.Password:
		return &broken{"the password that the kit was told", "another one"}
	}
	return nil
}

// fresh sends the client away and has it back, up to its login request. One
// that does not come is started anew, as far as that is ours.
func (b *bench) fresh() (*session, entry, error) {
	b.leave()
	s, e, err := b.knock(b.longest())
	if err == nil || b.ctx.Err() != nil {
		return s, e, err
	}
	if b.o.Launch != nil {
		b.client.stop(errStopped)
		b.forget()
		if s, e, again := b.knock(b.longest()); again == nil {
			return s, e, nil
		}
	}
	b.absent++
	return nil, entry{}, err
}

// leave ends the present connection, if there is one, such that the client
// comes back soon.
func (b *bench) leave() {
	if s := b.current; s != nil {
		if len(b.arrivals) > 0 && s.loggedIn && s.alive() {
			b.judge.blame("one-connection", "a second connection while the first is open")
		}
		s.close(schema.CloseRestart, fmt.Sprintf("retry_after_ms=%d", nudge.Milliseconds()))
	}
	b.current = nil
}

// back waits for the client after its connection ended at an instant, and
// checks how long it stayed away.
func (b *bench) back(key string, since time.Time, w window) (*session, entry, error) {
	limit := 2*b.o.Slack.late(w.most) + 2*time.Second
	starts := b.client.starts
	s, e, err := b.knock(limit)
	lo, hi := b.o.Slack.early(w.least), b.o.Slack.late(w.most)
	if err != nil {
		b.check(key, false, "back "+span(lo, hi), "not within %v", round(limit))
		return s, e, err
	}
	if b.client.starts != starts {
		b.check(key, false, "back "+span(lo, hi), "%s", b.client.howEnded())
		return s, e, nil
	}
	d := s.opened.Sub(since)
	b.check(key, d >= lo && d <= hi, "back "+span(lo, hi), "after %v", round(d))
	return s, e, nil
}

// staysAway checks that the client does not come back for a while. It may end.
func (b *bench) staysAway(key string, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	began := time.Now()
	select {
	case s := <-b.arrivals:
		b.current = s
		b.check(key, false, fmt.Sprintf("no connection for %v", round(d)), "one after %v", round(s.opened.Sub(began)))
	case <-timer.C:
		b.check(key, true, "", "")
	case <-b.ctx.Done():
		return b.ctx.Err()
	}
	return nil
}

// restart ends the client, and has the next one start as change says.
func (b *bench) restart(cause error, change func(*client) error) error {
	if b.o.Launch == nil {
		return &unexercised{"the kit has to start the client itself for it: --exec"}
	}
	b.current = nil
	b.client.stop(cause)
	b.forget()
	return change(b.client)
}

// startAgain tells a person that the client has stopped, as it should have.
func (b *bench) startAgain() {
	if b.o.Launch == nil {
		b.o.Say("The client was told to stop. Start it again, as before.")
	} else if b.client.running() {
		b.client.stop(errStopped)
	}
}

// forget closes connections that came while nobody looked.
func (b *bench) forget() {
	for {
		select {
		case s := <-b.arrivals:
			s.ws.Close() //nolint:errcheck // its client is gone
		default:
			return
		}
	}
}
