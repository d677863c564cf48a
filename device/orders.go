package device

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/edgetether/tether/schema"
)

// Results that say that an order was not begun.
var (
	busy        = failed("busy")
	expired     = failed("expired")
	notInConfig = failed("order not in config")
)

// maxAskers bounds who waits for one order: the same id given again and again.
const maxAskers = 8

// orders carries out one order at a time, each order id once. Connections come
// and go around it: an order goes on when the one that brought it is lost.
//
// give, confirm and outcome are called by connections; work is the one worker.
type orders struct {
	journal *journal
	log     *oplog
	find    func(o schema.GiveOrder) handler // nil: no such order
	clock   func() time.Time                 // the server's time
	timeout time.Duration                    // of a custom order; 0: until its deadline
	grace   time.Duration                    // the wait for restart_confirm

	jobs    chan *job     // capacity 1: the one that running points to
	restart chan struct{} // closed when a restart order's time has come

	mu      sync.Mutex // guards what follows; never held across a wait
	running *job       // nil: free. A restart order stays here for good
	confirm chan struct{}
}

// job is an order being carried out, and who wants to know how it ends.
type job struct {
	order   schema.GiveOrder
	settled bool
	askers  []func(schema.OrderResult)
}

func newOrders(j *journal, log *oplog) *orders {
	return &orders{journal: j, log: log, jobs: make(chan *job, 1), restart: make(chan struct{})}
}

// give takes an order and does not wait for it: reply is called once, now or
// when it has ended. An id that is known is never begun again.
func (w *orders) give(o schema.GiveOrder, reply func(schema.OrderResult)) {
	result, taken := w.take(o, reply)
	if taken {
		return
	}
	if result != nil {
		reply(*result)
		return
	}
	w.record(o, busy)
	reply(busy)
}

// take decides what becomes of an order: it is the worker's (taken), it has a
// result already, or neither, because another one is being carried out.
func (w *orders) take(o schema.GiveOrder, reply func(schema.OrderResult)) (result *schema.OrderResult, taken bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ask(o.OrderID, reply) {
		return nil, true
	}
	if result, _ := w.journal.lookup(o.OrderID); result != nil {
		return result, false
	}
	if w.running != nil {
		return nil, false
	}
	w.running = &job{order: o, askers: []func(schema.OrderResult){reply}}
	w.jobs <- w.running // there is room: nothing was running
	return nil, true
}

// ask adds one who wants to know how the running order ends, if id is that. The
// oldest makes room: who asks last is the likeliest to be there still.
func (w *orders) ask(id string, reply func(schema.OrderResult)) bool {
	j := w.running
	if j == nil || j.settled || j.order.OrderID != id {
		return false
	}
	if len(j.askers) == maxAskers {
		j.askers = slices.Delete(j.askers, 0, 1)
	}
	j.askers = append(j.askers, reply)
	return true
}

// outcome is how an order ended; nil: nothing is known of it, or it is being
// carried out, and then later is called when it has ended.
func (w *orders) outcome(id string, later func(schema.OrderResult)) *schema.OrderResult {
	w.mu.Lock()
	running := w.ask(id, later)
	w.mu.Unlock()
	if running {
		return nil
	}
	result, _ := w.journal.lookup(id)
	return result
}

// work carries out what was taken until ctx ends; the order that runs then is
// cancelled and its result is kept.
func (w *orders) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-w.jobs:
			result := w.carryOut(ctx, j.order)
			w.record(j.order, result)
			confirmed := w.settle(j, result)
			if confirmed != nil {
				w.awaitConfirm(ctx, j.order, confirmed)
			}
		}
	}
}

// carryOut begins an order, on the disk first, unless there is a reason not to.
func (w *orders) carryOut(ctx context.Context, o schema.GiveOrder) schema.OrderResult {
	deadline := time.UnixMilli(o.Deadline)
	now := w.clock()
	h := w.find(o)
	switch {
	case !now.Before(deadline):
		return expired
	case h == nil:
		return notInConfig
	}
	if err := w.journal.begin(o.OrderID); err != nil {
		w.log.add("order", "failed", "order_id", o.OrderID, "cause", err)
		return failed("the journal cannot be written: the order was not begun")
	}
	w.log.add("order", "begun", "order_id", o.OrderID, "order_type", o.OrderType)
	if !o.IsInner {
		limit := deadline.Sub(now)
		if w.timeout > 0 {
			limit = w.timeout
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	return w.guarded(ctx, h, o)
}

// guarded turns a panic into a failed order.
func (w *orders) guarded(ctx context.Context, h handler, o schema.GiveOrder) (result schema.OrderResult) {
	defer func() {
		if r := recover(); r != nil {
			w.log.add("order", "panic", "order_id", o.OrderID, "cause", r)
			result = failed("the order's handler panicked")
		}
	}()
	return h(ctx, o)
}

// record keeps a result before anyone is told. Where the disk fails it is told
// all the same: the server's record is then the one that lasts.
func (w *orders) record(o schema.GiveOrder, result schema.OrderResult) {
	if err := w.journal.end(o.OrderID, result); err != nil {
		w.log.add("order", "unrecorded", "order_id", o.OrderID, "cause", err)
	}
	w.log.add("order", result.Status, "order_id", o.OrderID, "order_type", o.OrderType, "message", result.Message)
}

// settle answers all who asked and frees the worker; but a restart order that
// was accepted keeps it, and the channel of its confirmation is returned.
func (w *orders) settle(j *job, result schema.OrderResult) (confirmed <-chan struct{}) {
	w.mu.Lock()
	askers := j.askers
	j.settled, j.askers = true, nil
	if j.order.IsInner && j.order.OrderType == schema.OrderRestart && result.Status == schema.ResultSuccess {
		w.confirm = make(chan struct{})
		confirmed = w.confirm
	} else {
		w.running = nil
	}
	w.mu.Unlock()
	for _, reply := range askers {
		reply(result)
	}
	return confirmed
}

// acceptRestart is the handler of restart: what follows is settle's.
func acceptRestart(context.Context, schema.GiveOrder) schema.OrderResult {
	return schema.OrderResult{Status: schema.ResultSuccess, Message: schema.RestartWait}
}

// awaitConfirm is the last step of the restart dialogue: the server's word, or
// the time in which it should have come.
func (w *orders) awaitConfirm(ctx context.Context, o schema.GiveOrder, confirmed <-chan struct{}) {
	outcome := "confirmed"
	select {
	case <-ctx.Done():
		return
	case <-confirmed:
	case <-time.After(w.grace):
		outcome = "unconfirmed"
	}
	w.log.add("restart", outcome, "order_id", o.OrderID)
	close(w.restart)
}

// confirmRestart is restart_confirm. It counts once, and only for the restart
// order that waits for it.
func (w *orders) confirmRestart(id string) {
	w.mu.Lock()
	awaited := w.confirm != nil && w.running.order.OrderID == id
	if awaited {
		close(w.confirm)
		w.confirm = nil
	}
	w.mu.Unlock()
	if !awaited {
		w.log.add("restart_confirm", "ignored", "order_id", id)
	}
}
