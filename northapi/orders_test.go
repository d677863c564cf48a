package northapi_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
)

// ended makes a device that ends every order in a state, beside an error.
func ended(state schema.OrderState, reason string, err error) func(context.Context, schema.Order) (*schema.Order, error) {
	return func(_ context.Context, o schema.Order) (*schema.Order, error) {
		o.State, o.Reason = state, &reason
		return &o, err
	}
}

// refused makes sessions that refuse every order: there is no record.
func refused(err error) func(context.Context, schema.Order) (*schema.Order, error) {
	return func(context.Context, schema.Order) (*schema.Order, error) { return nil, err }
}

// TestOrderTable is the table of northbound section 4.
func TestOrderTable(t *testing.T) {
	since := present - 12
	busy := schema.Busy(schema.Order{OrderID: "7", Order: "blink", SentTime: &since}, present)
	const record = `"order_id":"1001","device_id":"201"`
	for _, c := range []struct {
		name   string
		give   func(context.Context, schema.Order) (*schema.Order, error)
		status int
		code   string
		word   string // the envelope's type
		data   string // what data holds
	}{
		{"done", succeed, 200, "", "", record},
		{"wait over", ended(schema.OrderSent, "", nil), 202, "", "", record},
		{"device says fail", ended(schema.OrderStateFail, "", schema.Errorf(schema.OrderFailed, "order_failed", "no paper")), 502, "order_failed", "ORDER_ERROR", record},
		{"timeout", ended(schema.OrderStateLost, "timeout", schema.Errorf(schema.OrderUnknown, "order_timeout", "no reply")), 504, "order_timeout", "ORDER_ERROR", record},
		{"disconnected", ended(schema.OrderStateLost, "disconnected", schema.Errorf(schema.OrderUnknown, "device_disconnected", "gone")), 504, "device_disconnected", "ORDER_ERROR", record},
		{"outcome not stored", ended(schema.OrderSent, "", schema.ErrStoreUnavailable), 503, "store_unavailable", "DATABASE_ERROR", record},
		{"nothing stored", refused(schema.ErrStoreUnavailable), 503, "store_unavailable", "DATABASE_ERROR", `{"order_id":"1001"}`},
		{"still queued", ended(schema.OrderQueued, "", nil), 202, "", "", record},
		{"expired", ended(schema.OrderExpired, "not_sent", schema.Errorf(schema.OrderRefused, "order_expired", "too long")), 409, "order_expired", "ORDER_ERROR", record},
		{"cancelled", ended(schema.OrderCancelled, "", schema.Errorf(schema.OrderRefused, "order_cancelled", "was")), 409, "order_cancelled", "ORDER_ERROR", record},
		{"too many wait", refused(schema.ErrQueueFull), 409, "queue_full", "ORDER_ERROR", ``},
		{"offline", refused(schema.Errorf(schema.OrderRefused, "device_offline", "offline")), 409, "device_offline", "ORDER_ERROR", fmt.Sprintf(`{"last_seen_time":%d}`, seenTime)},
		{"state Unknown", refused(schema.Errorf(schema.OrderRefused, "device_unknown", "silent")), 409, "device_unknown", "ORDER_ERROR", ``},
		{"busy", refused(busy), 409, "device_busy", "ORDER_ERROR", `{"order_id":"7","order":"blink","age_ms":12}`},
		{"stopping", refused(schema.ErrDraining), 503, "draining", "GENERAL_ERROR", ``},
		{"broken", ended(schema.OrderSent, "", errors.New("the inside")), 500, "internal", "INNER_ERROR", ``},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.sessions.give = c.give
			a := w.do("operator", post, "give_order", `{"device_id":"201","order":"blink","params":{"n":3}}`).want(t, c.status, c.code)
			if a.Type != c.word || !strings.Contains(string(a.Data), c.data) || (c.data == "") != (a.Data == nil) {
				t.Errorf("type %s, data %s, want %s %s", a.Type, a.Data, c.word, c.data)
			}
			if strings.Contains(a.body, "the inside") {
				t.Errorf("the inside is told: %s", a.body)
			}
		})
	}
	if schema.ErrStoreUnavailable.Data != nil {
		t.Error("an error that is always the same was changed")
	}
}

func TestOrderAsItIsGiven(t *testing.T) {
	w := newWorld(t)
	w.do("operator", post, "give_order", `{"device_id":"201","order":"blink","params":{"n":3},"if_offline":"fail","if_busy":"fail","wait_ms":250}`).want(t, 200, "")
	w.do("operator", post, "give_order", `{"device_id":"201","order":"restart"}`).want(t, 200, "")
	w.do("operator", post, "give_order", `{"device_id":"201","order":"upload_log","params":null,"wait_ms":0}`).want(t, 200, "")
	w.do("operator", post, "give_order", `{"device_id":"201","order":"upload_log","params":{},"wait_ms":10000}`).want(t, 200, "")
	want := schema.Ask{
		Order: schema.Order{OrderID: "1001", DeviceID: "201", Order: "blink", Params: schema.RawObject(`{"n":3}`), State: schema.OrderQueued, By: "key:operator", CreatedTime: present},
		Wait:  250 * time.Millisecond, Expires: present + 3_600_000,
	}
	if got := w.sessions.given[0]; fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("gave %+v\nwant %+v", got, want)
	}
	waits := []time.Duration{schema.OrderTimeout, 0, schema.OrderTimeout}
	for i, ask := range w.sessions.given[1:] {
		if o := ask.Order; !o.IsInner || string(o.Params) != `{}` || ask.Wait != waits[i] {
			t.Errorf("gave %+v", ask)
		}
	}
}

// TestOrdersMayWait: the options reach the sessions as they were given.
func TestOrdersMayWait(t *testing.T) {
	for body, want := range map[string]schema.Ask{
		`"if_offline":"queue"`:                 {IfOffline: true, Expires: present + 3_600_000},
		`"if_busy":"wait","ttl_s":null`:        {IfBusy: true, Expires: present + 3_600_000},
		`"if_offline":"queue","ttl_s":1`:       {IfOffline: true, Expires: present + 1000},
		`"if_busy":"wait","ttl_s":604800`:      {IfBusy: true, Expires: present + 604_800_000},
		`"if_offline":"fail","if_busy":"wait"`: {IfBusy: true, Expires: present + 3_600_000},
	} {
		w := newWorld(t)
		w.do("operator", post, "give_order", `{"device_id":"201","order":"restart",`+body+`}`).want(t, 200, "")
		got := w.sessions.given[0]
		if got.IfBusy != want.IfBusy || got.IfOffline != want.IfOffline || got.Expires != want.Expires || got.Once != want.Once {
			t.Errorf("%s: gave %+v", body, got)
		}
	}
}

func TestOrderCancel(t *testing.T) {
	w := newWorld(t)
	o := into[schema.Order](t, w.do("operator", post, "order_cancel", `{"order_id":"305"}`).want(t, 200, ""))
	if o.OrderID != ownQueued || o.State != schema.OrderCancelled || o.Reason != nil || *o.EndedTime != present {
		t.Errorf("cancelled %+v", o)
	}
	for id, state := range map[string]schema.OrderState{ownQueued: schema.OrderCancelled, ownOrder: schema.OrderSucceeded} {
		a := w.do("operator", post, "order_cancel", `{"order_id":"`+id+`"}`).want(t, 409, "order_not_cancellable")
		if o := into[schema.Order](t, a); a.Type != "ORDER_ERROR" || o.OrderID != id || o.State != state {
			t.Errorf("%s: %s", a.Type, a.Data)
		}
	}
	list := into[schema.List[schema.Event]](t, w.do("viewer", get, "device_log_query/"+ownDevice+"?limit=1", "").want(t, 200, ""))
	if e := list.Items[0]; e.Kind != schema.EventOrderResult || e.Outcome != "cancelled" || e.By != "key:operator" {
		t.Errorf("the log says %+v", e)
	}
}

// TestNotOffered: who asks for what a service has not must not believe to have got it.
func TestNotOffered(t *testing.T) {
	w := newWorld(t)
	r := w.request("operator", post, "relation_add", `{"device_id":"201","group_id":"103"}`)
	r.Header.Set("Idempotency-Key", "k")
	w.send(r).want(t, 400, "not_offered")
}

// TestF47_CallerLeaves: the sessions see that the caller has left, and decide
// what becomes of the order; the route makes nothing of it by itself.
func TestF47_CallerLeaves(t *testing.T) {
	w := newWorld(t)
	left, leave := context.WithCancel(context.Background())
	w.sessions.give = func(ctx context.Context, o schema.Order) (*schema.Order, error) {
		leave()
		<-ctx.Done()
		o.State = schema.OrderSent
		return &o, nil
	}
	w.send(w.request("operator", post, "give_order", `{"device_id":"201","order":"restart"}`).WithContext(left)).want(t, 202, "")
}

// TestParamsLimits: a message with the largest params still fits what a
// device takes, and no deeper or longer number gets to it.
func TestParamsLimits(t *testing.T) {
	sized := func(n int) string { return `{"s":"` + strings.Repeat("x", n-len(`{"s":""}`)) + `"}` }
	deep := func(n int) string { return strings.Repeat(`{"a":`, n-1) + "{}" + strings.Repeat("}", n-1) }
	for _, c := range []struct {
		params  string
		status  int
		message string
	}{
		{sized(schema.MaxParams), 200, ""},
		{sized(schema.MaxParams + 1), 400, "params: must be at most 32768 bytes"},
		{deep(schema.MaxParamsDepth), 200, ""},
		{deep(schema.MaxParamsDepth + 1), 400, "params: must be nested at most 30 deep"},
		{`{"n":` + strings.Repeat("1", schema.MaxNumber) + `}`, 200, ""},
		{`{"n":` + strings.Repeat("1", schema.MaxNumber+1) + `}`, 400, "params: must have numbers of at most 32 characters"},
		{`{"s":"` + strings.Repeat("1", 99) + `{{{[\"\\"}`, 200, ""},
	} {
		a := newWorld(t).do("operator", post, "give_order", `{"device_id":"201","order":"blink","params":`+c.params+`}`)
		if a.status != c.status || a.Message != c.message {
			t.Errorf("%.60s…: %d %q, want %d %q", c.params, a.status, a.Message, c.status, c.message)
		}
	}
}

func TestOrdersAreRead(t *testing.T) {
	w := newWorld(t)
	a := w.do("viewer", get, "order_query/"+ownOrder, "").want(t, 200, "")
	want := `{"order_id":"301","device_id":"201","order":"blink","is_inner":false,"params":{"n":3},"state":"succeeded","reason":null,"late":false,"verified":null,` +
		fmt.Sprintf(`"message":"ok","data":null,"job_id":null,"by":"key:seed","created_time":%d,"sent_time":%[1]d,"ended_time":%d}`, loginTime+10, loginTime+20)
	if string(a.Data) != want {
		t.Errorf("data %s\nwant %s", a.Data, want)
	}
	list := into[schema.List[schema.Order]](t, w.do("viewer", get, "device_orders_query/"+ownDevice+"?limit=1", "").want(t, 200, ""))
	if len(list.Items) != 1 || list.NextCursor == "" {
		t.Errorf("listed %+v", list)
	}
}
