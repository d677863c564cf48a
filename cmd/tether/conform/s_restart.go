package conform

import (
	"errors"
	"fmt"
	"time"

	"github.com/edgetether/tether/schema"
)

var restartScenarios = []scenario[*bench]{
	{"restart-confirmed", "restart, with restart_confirm (sent twice)", []rule{
		{"accepts", "southbound 3", `Result {"status":"success","message":"wait Server Confirm"}`},
		{"waits", "southbound 3", "The device waits for the confirm"},
		{"at-once", "southbound 3", "It restarts when the confirm arrives"},
		{"boot", "southbound 3", "The next login carries a new boot_id"},
		{"once", "southbound 3", "One restart for one order"},
	}, restartConfirmed},
	{"restart-unconfirmed", "restart, with a restart_confirm for another order", []rule{
		{"other", "southbound 3", "A confirm of another order is ignored (reliability F49)"},
		{"grace", "southbound 3", "The device restarts 3 s after its reply if no confirm arrives"},
		{"boot", "southbound 3", "The next login carries a new boot_id"},
	}, restartUnconfirmed},
	{"restart-repeated", "The same restart order after the restart", []rule{
		{"remembered", "southbound 3", "One that it has carried out is answered with the remembered result"},
		{"not-again", "southbound 3", "It is not done again: exactly one restart for one order id (reliability T43)"},
	}, restartRepeated},
	{"confirm-unasked", "restart_confirm without a restart order", []rule{
		{"ignored", "southbound 3", "It is ignored: no restart (reliability F49)"},
		{"no-answer", "southbound 1", "A notification is never answered, whatever it holds"},
	}, confirmUnasked},
}

// restartOrder gives a restart order on a fresh connection and has it accepted.
func (b *bench) restartOrder() (s *session, id string, replied time.Time, err error) {
	if s, err = b.session(welcome{}); err != nil {
		return nil, "", time.Time{}, err
	}
	id = b.newOrderID()
	o, err := b.order(s, id, schema.OrderRestart, struct{}{}, time.Time{})
	if err != nil {
		return nil, "", time.Time{}, err
	}
	if !o.is(schema.ResultSuccess) || o.Message != schema.RestartWait {
		err = &broken{fmt.Sprintf("success %q", schema.RestartWait), o.String()}
	}
	return s, id, o.at, err
}

func (s *session) confirm(id string) error {
	return s.notify(schema.MethodRestartConfirm, schema.RestartConfirm{OrderID: id})
}

// leaves waits until the client ends the connection.
func (s *session) leaves(limit time.Duration) (*ending, error) {
	err := s.pump(limit, func(message) bool { return false })
	var end *ending
	if errors.As(err, &end) {
		s.ws.Close() //nolint:errcheck // the client was first
		return end, nil
	}
	return nil, err
}

// bootAfter lets the client in after a restart, and compares its boot_id.
func (b *bench) bootAfter(before string) (*session, error) {
	b.current = nil
	s, e, err := b.knock(b.longest())
	if err != nil {
		return nil, err
	}
	b.check("boot", e.BootID != "" && e.BootID != before, "a boot_id other than "+excerpt([]byte(before)), "%q", excerpt([]byte(e.BootID)))
	b.admit(s, e, welcome{})
	return s, nil
}

func restartConfirmed(b *bench) error {
	s, id, replied, err := b.restartOrder()
	if err != nil {
		return err
	}
	b.check("accepts", true, "", "")
	grace := b.o.scaled(schema.RestartGrace)
	err = s.stay(grace / 6)
	b.check("waits", err == nil, "the connection is kept", "%v", err)
	if err != nil {
		return err
	}
	boot := s.boot()
	confirmed := time.Now()
	if err := s.confirm(id); err != nil {
		return err
	}
	_ = s.confirm(id) // the client may have left already
	end, err := s.leaves(b.o.Slack.late(2 * grace))
	if err != nil {
		return &broken{"the connection ends when the confirm arrives", "it is kept"}
	}
	// A client that heeds no confirm leaves a whole grace after its reply.
	limit := grace*9/10 - confirmed.Sub(replied)
	b.check("at-once", end.at.Sub(confirmed) < limit, fmt.Sprintf("within %v of the confirm", round(limit)), "after %v", round(end.at.Sub(confirmed)))
	s, err = b.bootAfter(boot)
	if err != nil {
		return err
	}
	err = s.stay(b.o.Slack.late(2 * grace))
	b.check("once", err == nil, "no second restart", "%v", err)
	return nil
}

func restartUnconfirmed(b *bench) error {
	s, _, replied, err := b.restartOrder()
	if err != nil {
		return err
	}
	boot, grace := s.boot(), b.o.scaled(schema.RestartGrace)
	if err := s.confirm(b.newOrderID()); err != nil {
		return err
	}
	end, err := s.leaves(2*b.o.Slack.late(grace) + closeLimit)
	if err != nil {
		b.check("grace", false, "a restart "+span(grace, grace), "none within %v", round(2*b.o.Slack.late(grace)+closeLimit))
		return &broken{"a restart", "none"}
	}
	d := end.at.Sub(replied)
	b.check("other", d >= b.o.Slack.early(grace)*9/10, "no restart before "+round(grace).String(), "after %v", round(d))
	b.took("grace", d, grace, grace)
	_, err = b.bootAfter(boot)
	return err
}

func restartRepeated(b *bench) error {
	s, id, _, err := b.restartOrder()
	if err != nil {
		return err
	}
	if err := s.confirm(id); err != nil {
		return err
	}
	grace := b.o.scaled(schema.RestartGrace)
	if _, err := s.leaves(b.o.Slack.late(2 * grace)); err != nil {
		return &broken{"a restart", "none"}
	}
	if s, err = b.bootAfter(""); err != nil {
		return err
	}
	o, err := b.order(s, id, schema.OrderRestart, struct{}{}, time.Time{})
	if err != nil {
		return err
	}
	b.check("remembered", o.is(schema.ResultSuccess), fmt.Sprintf("success %q", schema.RestartWait), "%s", o)
	if err := s.confirm(id); err != nil {
		return err
	}
	err = s.stay(b.o.Slack.late(2 * grace))
	b.check("not-again", err == nil, "the connection is kept", "%v", err)
	return nil
}

func confirmUnasked(b *bench) error {
	s, err := b.session(welcome{})
	if err != nil {
		return err
	}
	if err := s.confirm(b.newOrderID()); err != nil {
		return err
	}
	if err := s.notify(schema.MethodRestartConfirm, map[string]any{"order_id": 7}); err != nil {
		return err
	}
	err = s.stay(b.o.Slack.late(2 * b.o.scaled(schema.RestartGrace)))
	b.check("ignored", err == nil, "the connection is kept", "%v", err)
	answers := 0
	for _, m := range s.seen {
		if m.kind == response {
			answers++
		}
	}
	b.check("no-answer", answers == 0, "no answer", "%d", answers)
	return nil
}
