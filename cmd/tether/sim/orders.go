package sim

import (
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// A Handler says how an order ends, and after how long; a nil result is that the
// device does not know it.
type Handler func(o schema.GiveOrder) (takes time.Duration, result *schema.OrderResult)

// orders are a lean device's: one at a time, each id once (southbound section 3).
type orders struct {
	running *job
	clock   int64 // ms by which the server's clock is ahead
}

// job is the order that is being carried out, or has been and is a restart that
// waits for its confirmation.
type job struct {
	order   schema.GiveOrder
	result  schema.OrderResult
	due     moment
	restart bool    // accepted: at due the device restarts
	askers  []asker // who is to be answered at due
	handIn  bool    // the server asked for the outcome after a login
}

type asker struct {
	link *link
	id   jsontext.Value
}

// maxAskers bounds who waits for one order: the same id given again and again.
const maxAskers = 8

// due is when the running order ends; 0: none runs.
func (o *orders) due() moment {
	if o.running == nil {
		return 0
	}
	return o.running.due
}

func (d *lean) serverTime() int64 { return time.Now().UnixMilli() + d.orders.clock }

// giveOrder takes an order; a nil result comes later.
func (d *lean) giveOrder(l *link, m *message, now moment) (any, error) {
	var o schema.GiveOrder
	if err := rpc.Decode(m.Params, &o); err != nil {
		return nil, err
	}
	if err := d.check(&o); err != nil {
		return nil, err
	}
	who := asker{l, slices.Clone(m.ID)}
	if j := d.orders.running; j != nil && !j.restart && j.order.OrderID == o.OrderID {
		if len(j.askers) < maxAskers {
			j.askers = append(j.askers, who)
		}
		return nil, nil
	}
	if known := d.account.journal.find(o.OrderID); known != nil {
		return known.outcome(), nil
	}
	if r := d.refusal(&o); r != nil {
		d.account.journal.end(o.OrderID, *r)
		return *r, nil
	}
	takes, result := d.fleet.handle(o)
	if result == nil {
		result = failed("order not in config")
	}
	o.Params = nil // not kept
	d.account.journal.begin(o.OrderID)
	d.orders.running = &job{order: o, result: *result, due: now.in(takes), askers: []asker{who}}
	if takes > 0 {
		d.rearm()
	} else {
		d.finishOrder(now)
	}
	return nil, nil
}

func (d *lean) check(o *schema.GiveOrder) error {
	if err := schema.CheckID("order_id", o.OrderID); err != nil {
		return err
	}
	if len(o.Params) > 0 && o.Params[0] != '{' && string(o.Params) != "null" {
		return schema.InvalidMember("params", "must be an object")
	}
	if o.DeviceID != "" && o.DeviceID != d.account.DeviceID {
		return schema.InvalidMember("device_id", "is another device's")
	}
	return nil
}

// refusal is why an order is not begun.
func (d *lean) refusal(o *schema.GiveOrder) *schema.OrderResult {
	switch {
	case d.orders.running != nil:
		return failed("busy")
	case d.serverTime() >= o.Deadline:
		return failed("expired")
	}
	return nil
}

func failed(message string) *schema.OrderResult {
	return &schema.OrderResult{Status: schema.ResultFail, Message: message}
}

// finishOrder ends the running order, or does the restart that it was.
func (d *lean) finishOrder(now moment) {
	j := d.orders.running
	if j.restart {
		d.orders.running = nil
		d.beginReboot()
		return
	}
	d.account.journal.end(j.order.OrderID, j.result)
	d.fleet.stats.given.Add(1)
	for _, a := range j.askers {
		if a.link == d.link && d.phase == present {
			d.send(a.link, reply(a.id, j.result))
		}
	}
	j.askers = nil
	if j.order.OrderType == schema.OrderRestart && j.result.Status == schema.ResultSuccess {
		j.restart, j.due = true, now.in(schema.RestartGrace)
	} else {
		d.orders.running = nil
	}
	if j.handIn && d.phase == present {
		d.link.handing = append(d.link.handing, j.order.OrderID)
		d.handIn(d.link)
	}
	d.rearm()
}

// confirmRestart lets the restart happen that waits for it.
func (d *lean) confirmRestart(id string, now moment) {
	if j := d.orders.running; j != nil && j.restart && j.order.OrderID == id {
		d.finishOrder(now)
	}
}

// handIn tells the server, one after the other, what became of orders that it
// asked for. Of one that it never had a device says nothing.
func (d *lean) handIn(l *link) {
	for l.hand == 0 && len(l.handing) > 0 && d.phase == present {
		id := l.handing[0]
		l.handing = l.handing[1:]
		if j := d.orders.running; j != nil && !j.restart && j.order.OrderID == id {
			j.handIn = true
			continue
		}
		known := d.account.journal.find(id)
		if known == nil {
			continue
		}
		r := known.outcome()
		l.hand = l.id()
		d.send(l, requestOf(l.hand, schema.MethodUploadResult,
			schema.UploadResult{OrderID: id, Status: r.Status, Message: r.Message, Data: r.Data}))
	}
}

// journal is what a device remembers of its orders, the oldest first. It takes
// the place of a disk: it outlasts the device's processes.
type journal struct{ entries []entry }

type entry struct {
	id     string
	result *schema.OrderResult // nil: begun, and not ended
}

// maxJournal orders are remembered: as many as a server asks for.
const maxJournal = schema.MaxUnsettled

func (j *journal) find(id string) *entry {
	for i := range j.entries {
		if j.entries[i].id == id {
			return &j.entries[i]
		}
	}
	return nil
}

func (j *journal) begin(id string) {
	if len(j.entries) >= maxJournal {
		j.entries = slices.Delete(j.entries, 0, 1)
	}
	j.entries = append(j.entries, entry{id: id})
}

func (j *journal) end(id string, r schema.OrderResult) {
	if j.find(id) == nil {
		j.begin(id)
	}
	j.find(id).result = &r
}

// outcome of an order that was begun by a process that ended is not known.
func (e *entry) outcome() schema.OrderResult {
	if e.result == nil {
		return *failed("interrupted")
	}
	return *e.result
}
