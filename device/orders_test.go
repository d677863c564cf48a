package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

type volume struct {
	Level int    `json:"level"`
	Room  string `json:"room"`
}

// withOrders registers the orders of these tests.
func withOrders(d *Device) *Device {
	On(d, "volume", func(_ context.Context, v volume) (any, error) { return v, nil })
	On(d, "count", func(context.Context, struct{}) (any, error) { return 7, nil })
	On(d, "nothing", func(context.Context, struct{}) (any, error) { return nil, nil })
	On(d, "broken", func(context.Context, struct{}) (any, error) { return nil, errors.New("no speaker") })
	On(d, "panic", func(context.Context, struct{}) (any, error) { panic("canary") })
	On(d, "odd", func(context.Context, struct{}) (any, error) { return math.Inf(1), nil })
	On(d, "slow", func(ctx context.Context, _ struct{}) (any, error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(6 * time.Second):
			return nil, nil
		}
	})
	d.On("raw", func(_ context.Context, params json.RawMessage) (any, error) { return params, nil })
	return d
}

func TestOrders(t *testing.T) {
	tests := []struct {
		order, params, text, data string
	}{
		{"volume", `{"level":3,"room":"hall"}`, "success done", `{"level":3,"room":"hall"}`},
		{"volume", `{}`, "success done", `{"level":0,"room":""}`},
		{"volume", `null`, "success done", `{"level":0,"room":""}`},
		{"volume", `{"level":"3"}`, "fail params.level: must not be a JSON string", ""},
		{"volume", `{"level":3,"loud":true}`, "fail params.loud: unknown member", ""},
		{"volume", `{"Level":3}`, "fail params.Level: unknown member", ""},
		{"volume", `[3]`, "error params: must be an object", ""},
		{"raw", `3`, "error params: must be an object", ""},
		{"count", `{}`, "success done", `{"value":7}`},
		{"nothing", `{}`, "success done", ""},
		{"broken", `{}`, "fail no speaker", ""},
		{"panic", `{}`, "fail the order's handler panicked", ""},
		{"odd", `{}`, "success done; its data has no JSON form", ""},
		{"raw", `{"a":[1,2]}`, "success done", `{"a":[1,2]}`},
		{"unheard_of", `{}`, "fail order not in config", ""},
	}
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.run(withOrders(s.device(nil)))
		for i, test := range tests {
			g := s.current().order(schema.GiveOrder{
				OrderID: strconv.Itoa(i), OrderType: test.order, Params: schema.RawObject(test.params),
			})
			g.is(t, "0s "+test.text, test.data)
		}
	})
}

// The library's own orders and the integrator's are two tables.
func TestInnerAndCustomAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.run(withOrders(s.device(nil)))
		s.current().order(schema.GiveOrder{OrderID: "1", OrderType: "volume", IsInner: true}).
			is(t, "0s fail order not in config", "")
		s.current().order(schema.GiveOrder{OrderID: "2", OrderType: schema.OrderRestart}).
			is(t, "0s fail order not in config", "")
		s.current().order(schema.GiveOrder{OrderID: "3", OrderType: schema.OrderUploadLog, IsInner: true}).
			is(t, "0s fail no SFTP target is configured and the order carries none", "")
	})
}

func TestMalformedOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.run(withOrders(s.device(nil)))
		for _, test := range []struct{ params, want string }{
			{`{"order_id":"","order_type":"count"}`, "0s error order_id: required"},
			{`{"order_id":"../1","order_type":"count"}`, "0s error order_id: must be a string of 1 to 20 decimal digits"},
			{`{"order_id":"1","order_type":"count","device_id":"2"}`, "0s error device_id: is another device's"},
		} {
			g := &given{start: s.start}
			_, err := s.current().peer.Call(schema.MethodGiveOrder, json.RawMessage(test.params), g.take)
			must(t, err)
			g.is(t, test.want, "")
		}
	})
}

func TestOneOrderAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		calls := 0
		d := withOrders(s.device(nil))
		On(d, "once", func(context.Context, struct{}) (any, error) {
			calls++
			time.Sleep(5 * time.Second)
			return calls, nil
		})
		s.run(d)
		ses := s.current()
		first := ses.order(schema.GiveOrder{OrderID: "1", OrderType: "once"})
		again := ses.order(schema.GiveOrder{OrderID: "1", OrderType: "once"})
		other := ses.order(schema.GiveOrder{OrderID: "2", OrderType: "count"})
		other.is(t, "0s fail busy", "")
		first.is(t, "", "")
		time.Sleep(5 * time.Second)
		first.is(t, "5s success done", `{"value":1}`)
		again.is(t, "5s success done", `{"value":1}`)
		ses.order(schema.GiveOrder{OrderID: "1", OrderType: "once"}).is(t, "5s success done", `{"value":1}`)
		ses.order(schema.GiveOrder{OrderID: "2", OrderType: "count"}).is(t, "5s fail busy", "")
		ses.order(schema.GiveOrder{OrderID: "3", OrderType: "count"}).is(t, "5s success done", `{"value":7}`)
	})
}

// The deadline is the server's: this host's clock is an hour behind, and is
// then set.
func TestExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.login = func(*session, schema.LoginParams) (schema.LoginResult, error) {
			result := s.loginResult(1)
			result.ServerTime += time.Hour.Milliseconds()
			return result, nil
		}
		s.run(withOrders(s.device(nil)))
		ses := s.current()
		time.Sleep(time.Second)
		at := time.Now().Add(time.Hour).UnixMilli()
		ses.order(schema.GiveOrder{OrderID: "1", OrderType: "count", Deadline: at}).is(t, "1s fail expired", "")
		ses.order(schema.GiveOrder{OrderID: "2", OrderType: "count", Deadline: at + 1}).is(t, "1s success done", `{"value":7}`)
	})
}

func TestOrderTimeout(t *testing.T) {
	for timeout, want := range map[time.Duration]string{
		0:               "4s fail context deadline exceeded", // its deadline
		2 * time.Second: "2s fail context deadline exceeded",
		6 * time.Second: "6s success done",
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			d := s.device(func(c *Config) { c.OrderTimeout = timeout })
			On(d, "slow", func(ctx context.Context, _ struct{}) (any, error) {
				select {
				case <-ctx.Done():
					return nil, ctx.Err()
				case <-time.After(6*time.Second - time.Nanosecond):
					time.Sleep(time.Nanosecond)
					return nil, nil
				}
			})
			s.run(d)
			g := s.current().order(schema.GiveOrder{OrderID: "1", OrderType: "slow", Deadline: time.Now().Add(4 * time.Second).UnixMilli()})
			time.Sleep(7 * time.Second)
			g.is(t, want, "")
		})
	}
}

// F51: the connection is lost while an order runs. It ends nevertheless, once,
// and its result is handed in where the server asks for it.
func TestF51_ResultIsHandedIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.login = func(*session, schema.LoginParams) (schema.LoginResult, error) {
			result := s.loginResult(len(s.logins))
			if len(s.logins) > 1 {
				result.Unsettled = []string{"404", "1", "2"}
			}
			return result, nil
		}
		d := withOrders(s.device(nil))
		s.run(d)
		ses := s.current()
		ses.order(schema.GiveOrder{OrderID: "2", OrderType: "broken"}).is(t, "0s fail no speaker", "")
		ses.order(schema.GiveOrder{OrderID: "1", OrderType: "slow"})
		time.Sleep(time.Second)
		ses.peer.Abort()
		time.Sleep(11 * time.Second)                                                            // reconnected at 11 s; the order ended at 6 s
		s.wantSet("0s dial", "0s report", "11s dial", "11s result", "11s result", "11s report") // results come beside the report
		want := []schema.UploadResult{
			{OrderID: "1", Status: "success", Message: "done"}, {OrderID: "2", Status: "fail", Message: "no speaker"},
		}
		if fmt.Sprint(s.results) != fmt.Sprint(want) {
			t.Errorf("got %+v, want %+v", s.results, want)
		}
	})
}

// The order still runs when the device is back: its result follows when it ends.
func TestF51_StillRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.asks("1")
		s.run(withOrders(s.device(nil)))
		ses := s.current()
		ses.order(schema.GiveOrder{OrderID: "1", OrderType: "slow"})
		ses.peer.Close(schema.CloseRestart, "retry_after_ms=1000")
		time.Sleep(7 * time.Second)
		s.want("0s dial", "0s report", "1s dial", "1s report", "6s ping", "6s result")
	})
}

// A result that the server cannot take now does not keep the others.
func TestHandInGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.answer = func(_ *session, r *rpc.Request) {
			if r.Method == schema.MethodUploadResult {
				r.Fail(schema.ErrStoreUnavailable)
				return
			}
			r.Reply(struct{}{})
		}
		var unsettled []string
		s.login = func(*session, schema.LoginParams) (schema.LoginResult, error) {
			result := s.loginResult(1)
			result.Unsettled = unsettled
			return result, nil
		}
		d := s.device(nil)
		j := open(t, filepath.Join(d.cfg.StateDir, "journal"))
		for i := range schema.MaxUnsettled {
			must(t, j.end(strconv.Itoa(i), busy))
			unsettled = append(unsettled, strconv.Itoa(i))
		}
		must(t, j.close())
		s.run(d)
		synctest.Wait()
		if len(s.results) != schema.MaxUnsettled {
			t.Errorf("%d results", len(s.results))
		}
	})
}

// A disk that takes no record: the order is not begun.
func TestOrderIsNotBegunWithoutJournal(t *testing.T) {
	state := t.TempDir()
	j := open(t, filepath.Join(state, "journal"))
	w := newOrders(j, logAt(t, t.TempDir()))
	defer w.log.close()
	calls := 0
	w.clock = time.Now
	w.find = func(schema.GiveOrder) handler {
		return func(context.Context, schema.GiveOrder) schema.OrderResult { calls++; return resultOf(nil, nil) }
	}
	o := schema.GiveOrder{OrderID: "1", Deadline: time.Now().Add(time.Minute).UnixMilli()}
	must(t, j.file.Close())
	must(t, os.RemoveAll(state))
	got := w.carryOut(t.Context(), o)
	if calls != 0 || got.Message != "the journal cannot be written: the order was not begun" {
		t.Errorf("called %d times, %+v", calls, got)
	}
}

// Who asks for a running order is bounded; the last are told, the live
// connection among them.
func TestAskersAreBounded(t *testing.T) {
	w := newOrders(open(t, filepath.Join(t.TempDir(), "journal")), nil)
	var told []int
	for n := range 3 * maxAskers {
		w.give(schema.GiveOrder{OrderID: "1"}, func(schema.OrderResult) { told = append(told, n) })
	}
	w.settle(<-w.jobs, busy)
	if len(told) != maxAskers || told[0] != 2*maxAskers || told[maxAskers-1] != 3*maxAskers-1 {
		t.Errorf("told %v", told)
	}
}

// Data that the wire forbids does not travel; the order's end does, into the
// journal and to the server.
func TestForbiddenData(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	const left = "success done; its data has no JSON form"
	tests := []struct{ data, text, want string }{
		{`{"a":1,"a":2}`, left, ""},
		{`[{"a":1,"a":2}]`, left, ""},
		{"\"\xff\"", left, ""},
		{`"\ud800"`, left, ""},
		{strings.Repeat("1", schema.MaxNumber+1), left, ""},
		{strings.Repeat("1", schema.MaxNumber), "success done", `{"value":` + strings.Repeat("1", schema.MaxNumber) + `}`},
		{deep(schema.MaxDepth - 2), left, ""},
		{deep(schema.MaxDepth - 3), "success done", `{"value":` + deep(schema.MaxDepth-3) + `}`},
		{`null`, "success done", ""},
	}
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		d := s.device(nil)
		On(d, "data", func(_ context.Context, p struct{ N int }) (any, error) { return json.RawMessage(tests[p.N].data), nil })
		r := s.run(d)
		for n, test := range tests {
			g := s.current().order(schema.GiveOrder{
				OrderID: strconv.Itoa(n), OrderType: "data", Params: fmt.Appendf(nil, `{"N":%d}`, n),
			})
			g.is(t, "0s "+test.text, test.want)
		}
		r.stop()
		must(t, r.wait())
		j := open(t, filepath.Join(d.cfg.StateDir, "journal"))
		for n, test := range tests {
			if result, _ := j.lookup(strconv.Itoa(n)); result == nil || "success "+result.Message != test.text {
				t.Errorf("%s: the journal has %+v", test.data, result)
			}
		}
	})
}

// A result that cannot be sent is told of, and keeps no other back.
func TestHandInGoesOnWithoutOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.asks("1", "2")
		d := s.device(nil)
		j := open(t, filepath.Join(d.cfg.StateDir, "journal"))
		must(t, j.end("1", failed(strings.Repeat("x", schema.MaxMessage))))
		must(t, j.end("2", busy))
		must(t, j.close())
		s.run(d)
		synctest.Wait()
		if len(s.results) != 1 || s.results[0].OrderID != "2" || !logged(t, d, "hand_in_failed", "order_id=1") {
			t.Errorf("results %+v", s.results)
		}
	})
}

func TestResultIsBounded(t *testing.T) {
	for size, fits := range map[int]bool{maxResultData: true, maxResultData + 1: false} {
		got := resultOf(strings.Repeat("x", size-len(`{"value":""}`)), nil)
		if (got.Data != nil) != fits || got.Status != schema.ResultSuccess {
			t.Errorf("%d bytes: %s, data of %d", size, got.Message, len(got.Data))
		}
	}
	if got := resultOf(nil, errors.New(strings.Repeat("ä", maxResultMessage))); len(got.Message) != maxResultMessage {
		t.Errorf("message of %d bytes", len(got.Message))
	}
	if got := resultOf(nil, schema.ErrDraining); got.Message != schema.ErrDraining.Message {
		t.Errorf("message %q", got.Message)
	}
}

func TestMisuseOfOn(t *testing.T) {
	d, err := New(Config{URL: "ws://x/ws", DeviceID: "1", Password: "p", StateDir: t.TempDir()})
	must(t, err)
	nop := func(context.Context, json.RawMessage) (any, error) { return nil, nil }
	d.On("good", nop)
	d.On("good", nop)
	d.On("restart", nop)
	d.On("no good", nop)
	d.On("none", nil)
	err = d.Run(t.Context())
	for _, want := range []string{`On("good"): registered twice`, `On("restart"): the library`, `On("no good"): name: must be`, `On("none"): the handler is nil`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func FuzzDecodeParams(f *testing.F) {
	for _, seed := range []string{`{}`, `{"level":1}`, `{"level":1,"level":2}`, `{"room":1}`, `[]`, `null`, `{`, `{"a~1b":1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var v volume
		if err := decodeParams(raw, &v); err != nil && !strings.HasPrefix(err.Error(), "params") {
			t.Errorf("%q: %v does not name the member", raw, err)
		}
	})
}
