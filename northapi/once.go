package northapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"

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
	done chan struct{} // closed when what follows is known
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
	mine := &giving{hash: once.Hash, done: make(chan struct{})}
	g.byKey[key] = mine
	return mine, true
}

func (g *givings) leave(once schema.Once, mine *giving) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.byKey, givenKey{once.Owner, once.Key})
	close(mine.done)
}

// giveOnce is give of an order with a key. The first who comes with it has it
// given, which goes on if he leaves: others may count on it. They are answered
// what the first was told if there is no record, and otherwise wait for the
// record's end as the first does.
func (a *api) giveOnce(ctx context.Context, ask schema.Ask, d schema.Device) (*schema.Order, error) {
	g, first := a.giving.join(ask.Once)
	if first {
		go a.lead(context.WithoutCancel(ctx), g, ask, d) // ends with the order, or with what the first would wait
	}
	if g.hash != ask.Once.Hash {
		return nil, schema.ErrOtherOrder
	}
	select {
	case <-g.done:
	case <-ctx.Done():
		return nil, schema.Errorf(schema.Overloaded, "cancelled", "the caller gave up; an order that was given goes on")
	}
	if first || g.record == nil {
		return g.record, g.err
	}
	return a.await(ctx, *g.record, ask)
}

// lead gives the order for all who have joined.
func (a *api) lead(ctx context.Context, g *giving, ask schema.Ask, d schema.Device) {
	defer a.giving.leave(ask.Once, g)
	defer caught(&g.err)
	g.record, g.err = a.giveFirst(ctx, ask, d)
}

// giveFirst gives the order unless it was given before. That may come to light
// late: a commit that got no answer, say, or another server's.
func (a *api) giveFirst(ctx context.Context, ask schema.Ask, d schema.Device) (*schema.Order, error) {
	record, err := a.givenBefore(ctx, ask)
	if schema.KindOf(err) != schema.OrderNotFound {
		return record, err
	}
	if record, err = a.give(ctx, ask, d); schema.Public(err).Code == schema.ErrOrderKnown.Code {
		return a.givenBefore(ctx, ask)
	}
	return record, err
}

// givenBefore waits for the order that was given with the key; OrderNotFound: none was.
func (a *api) givenBefore(ctx context.Context, ask schema.Ask) (*schema.Order, error) {
	o, err := a.Orders.OrderByKey(ctx, ask.Once, ask.Order.CreatedTime-schema.OnceLifetime.Milliseconds())
	if err != nil {
		return nil, err
	}
	return a.await(ctx, o, ask)
}

// await answers what an order's record says now, or once it has ended.
func (a *api) await(ctx context.Context, o schema.Order, ask schema.Ask) (*schema.Order, error) {
	record, err := a.Sessions.AwaitOrder(ctx, o.OrderID, ask.Wait)
	if err != nil {
		err = besides(err, record, o, schema.Device{})
	}
	return record, err
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
