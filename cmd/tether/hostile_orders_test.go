package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/edgetether/tether/schema"
)

// orderAttacks are on orders, by the device that is to carry them out and by others.
var orderAttacks = []attack{
	{"F46 half of an order is taken", true, func(c *bare) {
		outcome := c.given(fmt.Sprintf(`{"text":%q}`, strings.Repeat("x", 30_000)))
		if _, err := c.r.Peek(5); err != nil {
			c.t.Fatal(err)
		}
		_ = c.conn.SetLinger(0)
		c.conn.Close()
		c.lost(<-outcome)
	}, 4 * soon},
	{"T18 answers to another's order", true, func(c *bare) {
		other := c.w.loggedIn(c.t, c.w.register(fmt.Sprint("T18-", testIDs.Add(1))))
		defer other.conn.Close()
		outcome := c.given("{}")
		id := c.called(schema.MethodGiveOrder)
		other.answer(id)
		other.alive()
		for _, changed := range []string{`"` + id + `"`, id + ".0", id + "e0", "-" + id, "0" + id, "[" + id + "]", "null"} {
			c.answer(changed)
		}
		c.text(`{"jsonrpc":"2.0","result":{"status":"success"}}`)
		c.sees("-32700 null") // no JSON number begins with 0
		c.undecided(outcome)
		c.answer(id)
		c.won(<-outcome)
		c.answer(id)
		c.alive()
	}, 0},
	{"T18 answers of an old session", true, func(c *bare) {
		outcome := c.given("{}")
		id := c.called(schema.MethodGiveOrder)
		next := c.w.loggedIn(c.t, c.device)
		defer next.conn.Close()
		c.ends(4409)
		c.lost(<-outcome)
		outcome = next.given("{}")
		newID := next.called(schema.MethodGiveOrder)
		next.answer(id)
		next.undecided(outcome)
		next.answer(newID)
		next.won(<-outcome)
	}, 0},
	{"T18 every number but the right one", true, func(c *bare) {
		outcome := c.given("{}")
		c.called(schema.MethodGiveOrder)
		for n := range schema.MaxMalformed {
			c.answer(fmt.Sprint(uint64(1)<<63 + uint64(n)))
		}
		c.ends(1008)
		c.lost(<-outcome)
	}, 4 * soon},
}

// given gives the device an order and brings the API's answer.
func (c *bare) given(params string) <-chan apiReply {
	outcome := make(chan apiReply, 1)
	go func() {
		a, err := c.w.try("POST", "give_order", fmt.Sprintf(`{"device_id":%q,"order":"blink","params":%s}`, c.device.id, params))
		if err != nil {
			c.t.Error("give_order: ", err)
		}
		if a.HTTP == 409 {
			c.t.Errorf("the order was refused: %s %s", a.Code, a.Message)
		}
		outcome <- a
	}()
	return outcome
}

// called reads the next message, which must be a call, and returns its id.
func (c *bare) called(method string) string {
	c.t.Helper()
	_, text, err := c.receive()
	var m message
	if err != nil || json.Unmarshal([]byte(text), &m) != nil || m.Method != method {
		c.t.Fatalf("%v, %q in place of %s", err, text, method)
	}
	return string(m.ID)
}

// answer answers a call with success.
func (c *bare) answer(id string) {
	c.text(`{"jsonrpc":"2.0","id":` + id + `,"result":{"status":"success","message":"","data":{}}}`)
}

// undecided sees that what was sent so far has been read, and decided nothing.
func (c *bare) undecided(outcome <-chan apiReply) {
	c.t.Helper()
	c.alive()
	select {
	case a := <-outcome:
		c.t.Fatalf("an answer that is none became %d %s", a.HTTP, a.Code)
	default:
	}
}

func (c *bare) won(a apiReply) {
	c.t.Helper()
	if a.HTTP != 200 {
		c.t.Errorf("the order ended with %d %s", a.HTTP, a.Code)
	}
}

func (c *bare) lost(a apiReply) {
	c.t.Helper()
	var o schema.Order
	_ = json.Unmarshal(a.Data, &o)
	if a.HTTP != 504 || o.State != schema.OrderStateLost || o.Reason == nil || *o.Reason != schema.ReasonDisconnected {
		c.t.Errorf("the order ended with %d %s, not as disconnected: %s", a.HTTP, a.Code, a.Data)
	}
}
