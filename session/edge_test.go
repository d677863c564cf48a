package session

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// TestToldWhileClaiming: a record that business changes between a claim's
// commit and the session's opening reaches the device all the same.
func TestToldWhileClaiming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := bubble(t)
		l.hold = make(chan struct{})
		e := connect(t, h)
		if _, err := e.peer.Call("login", map[string]string{"device_id": "1", "password": "t-right"}, func(rpc.Response) {}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := h.Tell(t.Context(), schema.DeviceUpdate{DeviceID: "1", Name: "new", Version: 2}); err != nil {
			t.Fatal(err)
		}
		close(l.hold)
		r := <-e.calls
		var u schema.DeviceUpdate
		if err := r.Decode(&u); err != nil || r.Method != schema.MethodDeviceUpdate || u.Name != "new" {
			t.Errorf("%s %+v %v", r.Method, u, err)
		}
	})
}

// TestF22_ClaimOfAClockSetBack: no two claims have one time, and what has waited for
// too long is judged by the clock as it is.
func TestF22_ClaimOfAClockSetBack(t *testing.T) {
	now := time.Now()
	c := newCore(&simSettings, 1, "", now)
	c.line.claimed = now.Add(time.Hour).UnixMilli()
	c.begin(&flight{order: blink("1", "9"), waited: true}, now)
	in := c.effects[len(c.effects)-1].(beginOrder).in
	if *in.Order.SentTime != now.Add(time.Hour).UnixMilli()+1 || in.Now != now.UnixMilli() {
		t.Errorf("sent at %d, judged at %d", *in.Order.SentTime, in.Now)
	}
}

// TestOrderLeftBehind: a session that ends with an order unread tells its
// caller that nothing was sent.
func TestOrderLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := bubble(t)
		s := &Session{hub: h, mailbox: make(chan event, 1), done: make(chan struct{})}
		s.live.Store(&schema.Live{})
		h.owners["1"] = owner{s, 1}
		told := make(chan error, 1)
		go func() {
			_, err := schema.Follow(t.Context(), h.GiveOrder(ask(blink("1", "o1"), schema.OrderTimeout)), schema.NewWaker())
			told <- err
		}()
		synctest.Wait()
		close(s.done)
		if err := <-told; schema.Public(err).Code != "device_offline" || schema.KindOf(err) != schema.OrderRefused {
			t.Errorf("the caller was told %v", err)
		}
		if len(l.events) != 1 || l.events[0].Outcome != "refused" {
			t.Errorf("the log has %+v", l.events)
		}
		delete(h.owners, "1")
	})
}

// uploads is a receiver whose row cannot be stored for as long as down is set.
type uploads struct {
	down   bool
	issued int
}

func (u *uploads) Issue(string, string, time.Time) (schema.SFTPTarget, error) {
	u.issued++
	return schema.SFTPTarget{Address: "10.0.0.1:22"}, nil
}

func (u *uploads) Complete(context.Context, string, schema.UploadData, time.Time) error {
	if u.down {
		return schema.ErrStoreUnavailable
	}
	return nil
}

// TestUploadWhileTheStoreIsAway: a file that arrived is not called failed
// because its row could not be stored: the outcome is unknown, and the device
// is asked again. A refused order makes no credential.
func TestUploadWhileTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &uploads{down: true}
		h, l := bubble(t, func(c *Config) { c.Uploads = u })
		e := loggedIn(t, h, "1")
		o := blink("1", "o1")
		o.Order, o.IsInner = schema.OrderUploadLog, true
		told := make(chan error, 1)
		go func() {
			_, err := schema.Follow(t.Context(), h.GiveOrder(ask(o, schema.OrderTimeout)), schema.NewWaker())
			told <- err
		}()
		r := <-e.calls
		if _, err := schema.Follow(t.Context(), h.GiveOrder(ask(o, 0)), schema.NewWaker()); schema.Public(err).Code != "device_busy" || u.issued != 1 {
			t.Errorf("%v, %d credentials", err, u.issued)
		}
		r.Reply(schema.OrderResult{Status: schema.ResultSuccess, Data: json.RawMessage(`{"bytes":1,"sha256":"aa","remote_path":"x"}`)})
		for range 3 {
			time.Sleep(5 * time.Second)
			e.call("ping", nil)
		}
		if err := <-told; schema.KindOf(err) != schema.OrderUnknown {
			t.Errorf("the caller was told %v", err)
		}
		if o := l.order("o1"); o.State != schema.OrderStateLost {
			t.Errorf("the order is %s %q", o.State, o.Message)
		}
		u.down = false
		res := map[string]any{"order_id": "o1", "status": "success", "message": "", "data": map[string]any{"bytes": 1, "sha256": "aa", "remote_path": "x"}}
		if r := e.call("upload_instruction_result", res); r.Err != nil {
			t.Errorf("handed in: %v", r.Err)
		}
		if o := l.order("o1"); o.State != schema.OrderSucceeded {
			t.Errorf("in the end the order is %s", o.State)
		}
	})
}
