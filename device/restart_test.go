package device

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// restarting is a device whose restarts are counted.
func (s *server) restarting(change func(*Config)) (r *running, restarts *[]time.Duration) {
	restarts = new([]time.Duration)
	return s.run(s.device(func(c *Config) {
		c.Restart = func() error { *restarts = append(*restarts, time.Since(s.start)); return nil }
		if change != nil {
			change(c)
		}
	})), restarts
}

func (s *session) confirm(id string) {
	s.t.Helper()
	must(s.t, s.peer.Notify(schema.MethodRestartConfirm, schema.RestartConfirm{OrderID: id}))
	synctest.Wait()
}

func restartOrder(id string) schema.GiveOrder {
	return schema.GiveOrder{OrderID: id, OrderType: schema.OrderRestart, IsInner: true}
}

func TestRestartConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		r, restarts := s.restarting(nil)
		ses := s.current()
		ses.order(restartOrder("1")).is(t, "0s success wait Server Confirm", "")
		time.Sleep(time.Second)
		ses.order(schema.GiveOrder{OrderID: "2", OrderType: "x"}).is(t, "1s fail busy", "")
		ses.confirm("1")
		must(t, r.wait())
		if len(*restarts) != 1 || (*restarts)[0] != time.Second {
			t.Errorf("restarted at %v", *restarts)
		}
		if got := s.firstEnd(); got.Code != schema.CloseDone || got.Text != "restart" {
			t.Errorf("ended with %+v", got)
		}
	})
}

// F49: the confirmation counts once, and only for the order that waits for it.
func TestF49_RestartConfirm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		r, restarts := s.restarting(nil)
		ses := s.current()
		ses.confirm("1") // before any restart order
		ses.order(restartOrder("1")).is(t, "0s success wait Server Confirm", "")
		ses.confirm("2") // for another order
		time.Sleep(time.Second)
		if len(*restarts) != 0 {
			t.Fatalf("restarted at %v", *restarts)
		}
		must(t, ses.peer.Notify(schema.MethodRestartConfirm, schema.RestartConfirm{OrderID: "1"}))
		_ = ses.peer.Notify(schema.MethodRestartConfirm, schema.RestartConfirm{OrderID: "1"}) // twice, or the device is gone already
		must(t, r.wait())
		if len(*restarts) != 1 {
			t.Errorf("restarted at %v", *restarts)
		}
		for _, id := range []string{"1", "2"} {
			if !logged(t, r.Device, "restart_confirm ignored", "order_id="+id) {
				t.Errorf("the log has nothing of the stray confirmation of %s", id)
			}
		}
	})
}

// F50: no confirmation comes.
func TestF50_RestartUnconfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		r, restarts := s.restarting(nil)
		s.current().order(restartOrder("1")).is(t, "0s success wait Server Confirm", "")
		must(t, r.wait())
		if len(*restarts) != 1 || (*restarts)[0] != schema.RestartGrace {
			t.Errorf("restarted at %v", *restarts)
		}
	})
}

// F48: the connection is lost before the reply could go out. The device
// restarts all the same, while it waits to reconnect.
func TestF48_RestartWithoutConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		hold := make(chan struct{})
		s.answer = func(*session, *rpc.Request) { <-hold } // reads no more
		r, restarts := s.restarting(nil)
		ses := s.current()
		lost := ses.order(restartOrder("1"))
		time.Sleep(time.Second)
		ses.peer.Abort()
		close(hold)
		must(t, r.wait())
		if len(*restarts) != 1 || (*restarts)[0] != schema.RestartGrace {
			t.Errorf("restarted at %v", *restarts)
		}
		lost.is(t, "", "")
	})
}

// T43: the same restart order after the boot is answered and not done again.
func TestT43_RestartOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		dir := t.TempDir()
		same := func(c *Config) { c.StateDir = dir }
		first, restarts := s.restarting(same)
		s.current().order(restartOrder("1"))
		must(t, first.wait())
		second, again := s.restarting(same)
		for range 3 {
			s.current().order(restartOrder("1")).is(t, "3s success wait Server Confirm", "")
			s.current().confirm("1")
		}
		time.Sleep(time.Minute)
		if second.stop(); second.wait() != nil || len(*restarts) != 1 || len(*again) != 0 {
			t.Errorf("restarted at %v and %v", *restarts, *again)
		}
	})
}

func TestRestartFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		broken := errors.New("no permission")
		r, _ := s.restarting(func(c *Config) { c.Restart = func() error { return broken } })
		s.current().order(restartOrder("1"))
		if err := r.wait(); !errors.Is(err, broken) {
			t.Errorf("Run returned %v", err)
		}
	})
}

// A program that is stopped while it waits for the confirmation just stops.
func TestStopBeforeRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		r, restarts := s.restarting(nil)
		s.current().order(restartOrder("1")).is(t, "0s success wait Server Confirm", "")
		r.stop()
		if err := r.wait(); err != nil || len(*restarts) != 0 {
			t.Errorf("Run returned %v, restarted at %v", err, *restarts)
		}
	})
}
