package northapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/edgetether/tether/schema"
)

const withKey = `{"device_id":"201","order":"blink","params":{"a":1,"b":2}}`

// keyed gives an order with an Idempotency-Key.
func (w *world) keyed(kind, key, body string) answer {
	w.t.Helper()
	r := w.request(kind, post, "give_order", body)
	r.Header.Set("Idempotency-Key", key)
	return w.send(r)
}

// durable makes sessions that store what they are given, as a queued order,
// and then answer with the record that the store has.
func (w *world) durable() {
	w.sessions.give = func(ctx context.Context, o schema.Order) (*schema.Order, error) {
		if o.DeviceID != "" {
			ask := w.sessions.last()
			if _, err := w.store.Enqueue(ctx, schema.Queued{Order: o, Expires: ask.Expires, Once: ask.Once}); err != nil {
				return nil, err
			}
		}
		kept, err := w.store.Order(ctx, schema.Everything, o.OrderID)
		return &kept, err
	}
}

func (s *sessions) last() schema.Ask {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.given[len(s.given)-1]
}

// TestT25_KeyAgain: the same again is the same order, whatever its body looks
// like; another body is refused; another key, and the key of another, are others.
func TestT25_KeyAgain(t *testing.T) {
	w := newWorld(t)
	w.durable()
	first := w.keyed("operator", "k", withKey).want(t, 202, "")
	for _, body := range []string{
		withKey,
		` { "params" : {"b":2, "a":1}, "order":"blink", "device_id":"201" } `,
		`{"device_id":"201","order":"blink","params":{"a":1,"b":2},"wait_ms":10000,"if_busy":"fail","if_offline":"fail"}`,
	} {
		if again := w.keyed("operator", "k", body).want(t, 202, ""); again.body != first.body {
			t.Errorf("%s\nanswered %s\nfirst    %s", body, again.body, first.body)
		}
	}
	for _, body := range []string{
		`{"device_id":"202","order":"blink","params":{"a":1,"b":2}}`,
		`{"device_id":"201","order":"blank","params":{"a":1,"b":2}}`,
		`{"device_id":"201","order":"blink","params":{"a":1,"b":2.0}}`,
		`{"device_id":"201","order":"blink","params":{"a":1,"b":"2"}}`,
		`{"device_id":"201","order":"blink","params":{"a":1,"b":2},"wait_ms":0}`,
		`{"device_id":"201","order":"blink","params":{"a":1,"b":2},"if_busy":"wait"}`,
		`{"device_id":"201","order":"blink","params":{"a":1,"b":2},"if_offline":"queue","ttl_s":9}`,
	} {
		a := w.keyed("operator", "k", body).want(t, 409, "idempotency_conflict")
		if a.Type != "ORDER_ERROR" || a.Data != nil {
			t.Errorf("%s: %s", body, a.body)
		}
	}
	if len(w.sessions.given) != 1 || len(w.sessions.awaited) != 3 {
		t.Errorf("given %v, awaited %v", w.sessions.given, w.sessions.awaited)
	}
	for kind, key := range map[string]string{"operator": "K", "admin": "k"} {
		if other := w.keyed(kind, key, withKey).want(t, 202, ""); other.body == first.body {
			t.Errorf("%s with key %s got the same order", kind, key)
		}
	}
	w.keyed("operator", "k", withKey+"x").want(t, 400, "malformed_json")
	w.keyed("scoped operator", "k", `{"device_id":"202","order":"restart"}`).want(t, 404, "device_not_found")
}

// TestOnceKey_ADay: after 24 hours the key is free.
func TestOnceKey_ADay(t *testing.T) {
	w := newWorld(t)
	w.durable()
	first := into[schema.Order](t, w.keyed("operator", "k", withKey).want(t, 202, ""))
	w.now = w.now.Add(schema.OnceLifetime - 1)
	if again := into[schema.Order](t, w.keyed("operator", "k", withKey).want(t, 202, "")); again.OrderID != first.OrderID {
		t.Errorf("a day has not passed, and %s became %s", first.OrderID, again.OrderID)
	}
	w.now = w.now.Add(1)
	if later := into[schema.Order](t, w.keyed("operator", "k", withKey).want(t, 202, "")); later.OrderID == first.OrderID {
		t.Error("after a day it is still the same order")
	}
}

// TestOnceKey_Refused: what was refused may be given again with its key, at
// once: there is no record of it.
func TestOnceKey_Refused(t *testing.T) {
	w := newWorld(t)
	w.sessions.give = refused(schema.Errorf(schema.OrderRefused, "device_offline", "offline"))
	w.keyed("operator", "k", withKey).want(t, 409, "device_offline")
	w.durable()
	w.keyed("operator", "k", withKey).want(t, 202, "")
}

// TestOnceKey_KnownLate: that an order is there already may come to light only
// when it is being stored.
func TestOnceKey_KnownLate(t *testing.T) {
	w := newWorld(t)
	w.sessions.give = func(ctx context.Context, o schema.Order) (*schema.Order, error) {
		if o.DeviceID == "" {
			known, err := w.store.Order(ctx, schema.Everything, o.OrderID)
			return &known, err
		}
		if err := queued(ctx, w.store, ownDevice, "777", w.sessions.last().Once); err != nil {
			return nil, err
		}
		return nil, schema.ErrOrderKnown
	}
	o := into[schema.Order](t, w.keyed("operator", "k", withKey).want(t, 202, ""))
	if o.OrderID != "777" {
		t.Errorf("answered with %+v", o)
	}
}

func TestOnceKey_Limits(t *testing.T) {
	for key, status := range map[string]int{
		"k": 202, strings.Repeat("k", schema.MaxOnceKey): 202, "a b~": 202,
		"": 400, strings.Repeat("k", schema.MaxOnceKey+1): 400, "k\x7f": 400, "\u00e9": 400,
	} {
		w := newWorld(t)
		w.durable()
		a := w.keyed("operator", key, withKey)
		if a.status != status || status == 400 && (a.Code != "invalid_member" || !strings.HasPrefix(a.Message, "Idempotency-Key: must ")) {
			t.Errorf("%q: %d %s %s", key, a.status, a.Code, a.Message)
		}
	}
	w := newWorld(t)
	r := w.request("operator", post, "give_order", withKey)
	r.Header["Idempotency-Key"] = []string{"a", "b"}
	w.send(r).want(t, 400, "invalid_member")
}

// TestT25_ManyAtOnce: of many at one moment one is given, and all hear
// the same, also if it is refused, or if the first caller leaves.
func TestT25_ManyAtOnce(t *testing.T) {
	for _, c := range []struct {
		name   string
		give   func(w *world) func(context.Context, schema.Order) (*schema.Order, error)
		status int
		code   string
	}{
		{"stored", func(w *world) func(context.Context, schema.Order) (*schema.Order, error) {
			w.durable()
			return w.sessions.give
		}, 202, ""},
		{"refused", func(*world) func(context.Context, schema.Order) (*schema.Order, error) {
			return refused(schema.Errorf(schema.OrderRefused, "device_offline", "offline"))
		}, 409, "device_offline"},
		{"broken", func(*world) func(context.Context, schema.Order) (*schema.Order, error) {
			return refused(errors.New("the inside"))
		}, 500, "internal"},
		{"panicked", func(*world) func(context.Context, schema.Order) (*schema.Order, error) {
			return func(context.Context, schema.Order) (*schema.Order, error) { panic("a bug") }
		}, 500, "internal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			give, release := c.give(w), make(chan struct{})
			arrived := make(chan struct{})
			arrive := sync.OnceFunc(func() { close(arrived) })
			w.sessions.give = func(ctx context.Context, o schema.Order) (*schema.Order, error) {
				if o.DeviceID != "" {
					arrive()
					<-release
				}
				return give(ctx, o)
			}
			const many = 100 // a thousand come to the whole service
			answers := make([]string, many)
			var wg, asked sync.WaitGroup
			asked.Add(many)
			for i := range many {
				wg.Go(func() {
					r := w.request("operator", post, "give_order", withKey)
					r.Header.Set("Idempotency-Key", "k")
					asked.Done()
					a := w.send(r)
					answers[i] = fmt.Sprint(a.status, " ", a.Code, " ", a.body)
				})
			}
			<-arrived
			asked.Wait()
			w.keyed("operator", "k", `{"device_id":"201","order":"restart"}`).want(t, 409, "idempotency_conflict")
			close(release)
			wg.Wait()
			for _, a := range answers {
				if a != answers[0] || !strings.HasPrefix(a, fmt.Sprint(c.status, " ", c.code)) {
					t.Fatalf("answered %s\nanother %s", answers[0], a)
				}
			}
			if c.status == 202 && len(w.sessions.given) != 1 {
				t.Errorf("%d orders were given", len(w.sessions.given))
			}
		})
	}
}

// TestT27_OnceKey_CallerLeaves: who leaves is let go at once, and the order is
// given all the same, since others may count on it.
func TestT27_OnceKey_CallerLeaves(t *testing.T) {
	w := newWorld(t)
	ctx, leave := context.WithCancel(t.Context())
	left, done := make(chan struct{}), make(chan struct{})
	w.sessions.give = func(ctx context.Context, o schema.Order) (*schema.Order, error) {
		defer close(done)
		leave()
		<-left
		if ctx.Err() != nil {
			t.Error("the order was given up with its caller")
		}
		return succeed(ctx, o)
	}
	r := w.request("operator", post, "give_order", withKey).WithContext(ctx)
	r.Header.Set("Idempotency-Key", "k")
	w.handler.ServeHTTP(httptest.NewRecorder(), r) // which nobody reads
	close(left)
	<-done
}
