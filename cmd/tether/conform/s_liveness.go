package conform

import (
	"errors"
	"fmt"
	"time"

	"github.com/edgetether/tether/schema"
)

// seldom is a report interval that keeps reports out of what is measured.
const seldom = 10 * time.Minute

var livenessScenarios = []scenario[*bench]{
	{"cadence", "Pings and reports, with intervals of the login result: 5 s and 12 s", []rule{
		{"first-report", "southbound 4", "The first report at once after the login"},
		{"reports", "southbound 4", "Status from the last one sent, by the interval of the login result"},
		{"pings", "southbound 4", "A ping 5 s after the previous one was sent, unless a report went out meanwhile"},
		{"replaces", "southbound 4", "A report replaces the ping: the next ping is 5 s after that report"},
	}, cadence},
	{"missed-once", "One ping is not answered", []rule{
		{"again", "southbound 4", "A reply is awaited 3 s; without it the next ping (or report) goes out at once"},
		{"goes-on", "southbound 4", "A reply sets the count to 0: pings go on every 5 s"},
		{"stays", "southbound 4", "Two that were missed, then an answer, twice: the connection is kept"},
	}, missedOnce},
	{"missed-report", "A report is not answered", []rule{
		{"again", "southbound 4", "A reply is awaited 3 s; without it the next ping (or report) goes out at once"},
		{"stays", "southbound 4", "A reply sets the count to 0: the connection is kept"},
	}, missedReport},
	{"missed-thrice", "No ping is answered any more", []rule{
		{"pings", "southbound 4", "Three pings, 3 s apart"},
		{"closes", "southbound 4", "At 3: close"},
		{"returns", "southbound 4", "and reconnect, after 10 s with 20 % jitter"},
	}, missedThrice},
	{"vanish", "The server's host is gone: nothing is answered, not even a close", []rule{
		{"returns", "southbound 4", "At 3 replies missed: close, and reconnect after 10 s with 20 % jitter, whether or not the close is answered"},
	}, vanish},
	{"report", "Reports", []rule{
		{"members", "southbound 2", "The three _info objects hold numbers; each is optional"},
		{"figures", "southbound 2", "A device reports what it can measure"},
		{"refused", "southbound 4", "An error is a reply: the connection is kept"},
	}, report},
}

func cadence(b *bench) error {
	s, e, err := b.fresh()
	if err != nil {
		return err
	}
	ping, status := b.o.beat(5*time.Second), b.o.beat(12*time.Second)
	b.admit(s, e, welcome{heartbeat: b.heartbeat(5*time.Second, 12*time.Second)})
	if err := s.stay(3*status + 2*ping + b.lag() + edge); err != nil {
		return err
	}
	last, lastReport, reports := s.loginAt, time.Time{}, 0
	for _, m := range s.seen {
		switch {
		case m.method == schema.MethodUploadStatus && reports == 0:
			b.took("first-report", m.at.Sub(s.loginAt), 0, 0)
			reports, last, lastReport = 1, m.at, m.at
		case m.method == schema.MethodUploadStatus:
			b.took("reports", m.at.Sub(lastReport), status, status)
			reports, last, lastReport = reports+1, m.at, m.at
		case m.method == schema.MethodPing:
			key := "pings"
			if last.Equal(lastReport) && reports > 1 {
				key = "replaces"
			}
			b.took(key, m.at.Sub(last), ping, ping)
			last = m.at
		}
	}
	if reports < 4 {
		b.check("reports", false, "four reports", "%d", reports)
	}
	return nil
}

// steady gives a scenario a connection whose first report is over and on which
// only pings go out.
func (b *bench) steady() (*session, error) {
	s, e, err := b.fresh()
	if err != nil {
		return nil, err
	}
	b.admit(s, e, welcome{heartbeat: b.heartbeat(schema.PingInterval, seldom)})
	if _, err := s.nextOf(schema.MethodUploadStatus, b.lag()+2*time.Second); err != nil {
		return nil, &broken{"a report after the login", err.Error()}
	}
	return s, nil
}

// skipping withholds the answers to the next n messages of the heartbeat.
func (s *session) skipping(n int) {
	s.withhold = func(m message) bool {
		if n == 0 || m.method != schema.MethodPing && m.method != schema.MethodUploadStatus {
			return false
		}
		n--
		return true
	}
}

// beat waits for the next message of the heartbeat.
func (s *session) beat(limit time.Duration) (found message, err error) {
	err = s.pump(limit, func(m message) bool {
		if found.kind == invalid && (m.method == schema.MethodPing || m.method == schema.MethodUploadStatus) {
			found = m
		}
		return found.kind == request
	})
	return found, err
}

func missedOnce(b *bench) error {
	s, err := b.steady()
	if err != nil {
		return err
	}
	ping, reply := b.o.beat(schema.PingInterval), b.o.beat(schema.ReplyTimeout)
	for _, missed := range []int{1, 2, 2} {
		s.skipping(missed)
		last, err := s.beat(2 * b.o.Slack.late(ping))
		for range missed {
			var m message
			if err == nil {
				m, err = s.beat(2 * b.o.Slack.late(reply))
			}
			if err != nil {
				b.check("stays", false, "a ping", "%v", err)
				return err
			}
			b.took("again", m.at.Sub(last.at), reply, reply)
			last = m
		}
		m, err := s.beat(2 * b.o.Slack.late(ping))
		if err != nil {
			return err
		}
		b.took("goes-on", m.at.Sub(last.at), ping, ping)
	}
	b.check("stays", s.stay(b.lag()) == nil, "", "%v", s.ending)
	return nil
}

func missedReport(b *bench) error {
	s, e, err := b.fresh()
	if err != nil {
		return err
	}
	s.skipping(1)
	b.admit(s, e, welcome{heartbeat: b.heartbeat(schema.PingInterval, seldom)})
	first, err := s.nextOf(schema.MethodUploadStatus, b.lag()+2*time.Second)
	if err != nil {
		return &broken{"a report after the login", err.Error()}
	}
	reply := b.o.beat(schema.ReplyTimeout)
	m, err := s.beat(2 * b.o.Slack.late(reply))
	if err != nil {
		return err
	}
	b.took("again", m.at.Sub(first.at), reply, reply)
	err = s.stay(3 * b.o.beat(schema.PingInterval))
	b.check("stays", err == nil, "the connection is kept", "%v", err)
	return nil
}

func missedThrice(b *bench) error {
	s, err := b.steady()
	if err != nil {
		return err
	}
	reply := b.o.beat(schema.ReplyTimeout)
	s.skipping(-1)
	first, err := s.beat(2 * b.o.Slack.late(b.o.beat(schema.PingInterval)))
	if err != nil {
		return err
	}
	before := len(s.seen)
	err = s.pump(2*b.o.Slack.late(3*reply), func(message) bool { return false })
	beats := []message{first}
	for _, m := range s.seen[before:] {
		if m.kind == request {
			b.took("pings", m.at.Sub(beats[len(beats)-1].at), reply, reply)
			beats = append(beats, m)
		}
	}
	if len(beats) != schema.MaxFailures {
		b.check("pings", false, "three pings without an answer", "%d", len(beats))
	}
	var end *ending
	if !errors.As(err, &end) {
		b.check("closes", false, fmt.Sprintf("closed %v after the first of them", 3*reply), "the connection is kept")
		return nil
	}
	b.took("closes", end.at.Sub(first.at), 3*reply, 3*reply)
	s.ws.Close() //nolint:errcheck // the client was first
	return b.returns("returns", end.at, b.reconnect())
}

// returns waits for the client, judges when it is back, and lets it in.
func (b *bench) returns(key string, since time.Time, w window) error {
	s, e, err := b.back(key, since, w)
	if err != nil {
		return err
	}
	b.admit(s, e, welcome{})
	return nil
}

func vanish(b *bench) error {
	s, err := b.steady()
	if err != nil {
		return err
	}
	ping, reply := b.o.beat(schema.PingInterval), b.o.beat(schema.ReplyTimeout)
	last, err := s.beat(2 * b.o.Slack.late(ping))
	if err != nil {
		return err
	}
	s.vanish()
	defer s.bury()
	silence := ping + schema.MaxFailures*reply
	w := b.reconnect()
	// A client may wait for the answer to its close as long as a write may take.
	return b.returns("returns", last.at, window{silence + w.least, silence + w.most + schema.WriteTimeout})
}

func report(b *bench) error {
	s, e, err := b.fresh()
	if err != nil {
		return err
	}
	s.refuse = func(m message) any {
		if m.method != schema.MethodUploadStatus {
			return nil
		}
		return errorObject(-32602, "custom: must be an object")
	}
	b.admit(s, e, welcome{})
	m, err := s.nextOf(schema.MethodUploadStatus, b.lag()+2*time.Second)
	if err != nil {
		return &broken{"a report after the login", err.Error()}
	}
	var status schema.StatusInfo
	if err = decode(m.params, &status); err == nil {
		err = status.Validate()
	}
	b.check("members", err == nil, "CPU_info, Memory_info, Disk_info with numbers", "%v: %s", err, excerpt(m.params))
	if err == nil {
		some := status.CPU.User != nil || status.CPU.Idle != nil || status.Memory.Total != nil || status.Disk.RootTotal != nil
		b.check("figures", some, "at least one of user_cpu_time, total_memory_mb, root_total_size_mb", "%s", excerpt(m.params))
	}
	err = s.stay(2 * b.o.beat(schema.StatusInterval))
	b.check("refused", err == nil, "the connection is kept", "%v", err)
	return nil
}
