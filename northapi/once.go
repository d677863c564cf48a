package northapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/edgetether/tether/schema"
	"github.com/go-json-experiment/json/jsontext"
)

// An Idempotency-Key makes an order one, however often it is given (reliability
// T25). The store is the arbiter: the key is part of the order's row. What the
// row cannot tell, because it is not there yet, those of one moment tell one
// another here.

// givings are the orders with a key that are being given. The zero value is ready.
type givings struct {
	mu    sync.Mutex
	byKey map[givenKey]*giving
}

type givenKey struct{ owner, key string }

// giving is an order that is being given by the first who came with its key.
type giving struct {
	hash string

	// Of givings.mu.
	over   bool // what follows is known
	others []schema.Waker

	// record and err are the answer to the first.
	record *schema.Order
	err    error
}

// join returns who is giving the order of once, and whether the caller is the
// first: then leave must be called.
func (g *givings) join(once schema.Once) (_ *giving, first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := givenKey{once.Owner, once.Key}
	if other, ok := g.byKey[key]; ok {
		return other, false
	}
	if g.byKey == nil {
		g.byKey = make(map[givenKey]*giving)
	}
	mine := &giving{hash: once.Hash}
	g.byKey[key] = mine
	return mine, true
}

// leave tells the others that it is known what became of the order.
func (g *givings) leave(once schema.Once, mine *giving) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.byKey, givenKey{once.Owner, once.Key})
	mine.over = true
	for _, other := range mine.others {
		other.Wake()
	}
}

// over says whether that is known, and otherwise has wake told when it is.
func (g *givings) over(other *giving, wake schema.Waker) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !other.over && wake != nil {
		other.others = append(other.others, wake)
	}
	return other.over
}

// giveOnce is give of an order with a key. The first who comes with it leads:
// he has it given, which goes on if he leaves, since others may count on it.
// They are answered what he is told if there is no record, and otherwise wait
// for the record's end as he does.
func (a *api) giveOnce(ask schema.Ask, d schema.Device) (schema.Giving, error) {
	g, first := a.giving.join(ask.Once)
	switch {
	case first:
		return &leader{api: a, giving: g, ask: ask, device: d}, nil
	case g.hash != ask.Once.Hash:
		return nil, schema.ErrOtherOrder
	}
	return &follower{api: a, giving: g, patience: ask.Wait}, nil
}

var errGaveUp = schema.Errorf(schema.Overloaded, "cancelled", "the caller gave up; an order that was given goes on")

// leader has the order given for all who have joined, unless it was given
// before. That may come to light late: a commit that got no answer, say, or
// another server's.
type leader struct {
	api    *api
	giving *giving
	ask    schema.Ask
	device schema.Device
	order  schema.Giving // what is waited for; nil: not yet known
	own    bool          // it is this one, and not one that was given before
	left   bool          // the caller has left; another goroutine goes on
}

// Look implements schema.Giving. It goes on behind the back of a caller who has left.
func (l *leader) Look(ctx context.Context, wake schema.Waker) bool {
	stays := context.WithoutCancel(ctx)
	over := l.look(stays, wake)
	if !over && ctx.Err() != nil {
		rest := *l
		go func() { _, _ = schema.Follow(stays, &rest, wake) }() // ends with the order, or with what its caller would wait
		l.left, over = true, true
	}
	return over
}

// Result is what all who have joined are told.
func (l *leader) Result() (*schema.Order, error) {
	if l.left {
		return nil, errGaveUp
	}
	return l.giving.record, l.giving.err
}

// look tells the others when it is over.
func (l *leader) look(ctx context.Context, wake schema.Waker) bool {
	over, err := l.advance(ctx, wake)
	if err != nil {
		l.giving.err, over = err, true
	}
	if over {
		l.api.giving.leave(l.ask.Once, l.giving)
	}
	return over
}

func (l *leader) advance(ctx context.Context, wake schema.Waker) (over bool, err error) {
	defer caught(&err)
	if l.order == nil {
		if err = l.begin(ctx); err != nil {
			return true, err
		}
	}
	for l.order.Look(ctx, wake) {
		l.giving.record, err = l.order.Result()
		if !l.own || schema.Public(err).Code != schema.ErrOrderKnown.Code {
			return true, err
		}
		if err = l.findBefore(ctx); err != nil {
			return true, err
		}
	}
	return false, nil
}

func (l *leader) begin(ctx context.Context) error {
	err := l.findBefore(ctx)
	if schema.KindOf(err) == schema.OrderNotFound {
		l.order, l.own = l.api.give(l.ask, l.device), true
		return nil
	}
	return err
}

// findBefore finds the order that was given with the key; OrderNotFound: none was.
func (l *leader) findBefore(ctx context.Context) error {
	o, err := l.api.Orders.OrderByKey(ctx, l.ask.Once, l.ask.Order.CreatedTime-schema.OnceLifetime.Milliseconds())
	if err == nil {
		l.order, l.own = l.api.await(o.OrderID, l.ask.Wait), false
	}
	return err
}

// follower is anybody else who has joined.
type follower struct {
	api      *api
	giving   *giving
	patience time.Duration
	joined   bool
	order    schema.Giving // nil: the leader is being told yet
	err      error         // without an order
}

// Look implements schema.Giving.
func (f *follower) Look(ctx context.Context, wake schema.Waker) bool {
	if f.order == nil && !f.led(ctx, wake) {
		return f.err != nil
	}
	return f.order.Look(ctx, wake)
}

// led says whether the leader has got a record.
func (f *follower) led(ctx context.Context, wake schema.Waker) bool {
	if f.joined {
		wake = nil
	}
	f.joined = true
	switch {
	case !f.api.giving.over(f.giving, wake):
		if ctx.Err() != nil {
			f.err = errGaveUp
		}
	case f.giving.record == nil:
		f.err = f.giving.err
	default:
		f.order = f.api.await(f.giving.record.OrderID, f.patience)
	}
	return f.order != nil
}

// Result is the record's end, or what the leader was told if there is no record.
func (f *follower) Result() (*schema.Order, error) {
	if f.order == nil {
		return nil, f.err
	}
	return f.order.Result()
}

// hash is of all that is asked for, however it is written: the order of
// members, white space, and whether a default is left out, do not count. A
// number counts as it is written, since no two are the same to every device.
func (q giveOrder) hash() string {
	params := jsontext.Value(q.params()).Clone()
	err := params.Format(jsontext.ReorderRawObjects(true), jsontext.CanonicalizeRawFloats(false), jsontext.CanonicalizeRawInts(false))
	if err != nil { // what decodes has one form; its own text will do
		params = jsontext.Value(q.params())
	}
	return hashOf("%q %q %q %d %t %t %d", q.DeviceID, q.Order, params, q.wait(), q.IfOffline == queueIt, q.IfBusy == waitForIt, q.ttl())
}

func hashOf(format string, asked ...any) string {
	sum := sha256.Sum256(fmt.Appendf(nil, format, asked...))
	return hex.EncodeToString(sum[:])
}
