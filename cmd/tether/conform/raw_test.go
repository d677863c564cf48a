package conform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/edgetether/tether/schema"
)

// raw is a small client that keeps the contract, in one goroutine and a reader
// for each connection, and breaks one rule of it where it is told to.
type raw struct {
	dial  func(context.Context, string, string) (net.Conn, error)
	fault string

	boots   int
	token   string
	journal map[string]*schema.OrderResult // nil: begun
	running *running
	folder  string
}

// running is an order that takes its time, and the connection that gave it.
type running struct {
	on       *on
	id, call string
	until    time.Time
}

// on is one connection of it.
type on struct {
	*raw
	env            map[string]string
	ws             *websocket.Conn
	frames         chan []byte
	err            error // the reader's
	left           bool
	ids            int
	in             bool
	clock          time.Duration
	ping, report   beating
	reply          time.Duration
	failures, most int
	restartID      string
	restartAt      time.Time
	deadline       time.Time // of the login's reply
	refused        *rpcError
}

type beating struct {
	every       time.Duration
	due, expiry time.Time
	id          string
}

func (r *raw) is(fault string) bool { return r.fault == fault }

func (r *raw) launch(ctx context.Context, env map[string]string) error {
	r.boots++
	r.running = nil
	if r.folder != env["TETHER_STATE_DIR"] {
		r.folder, r.token = env["TETHER_STATE_DIR"], ""
		r.journal = map[string]*schema.OrderResult{}
	}
	for id, result := range r.journal {
		if result == nil {
			r.journal[id] = &schema.OrderResult{Status: "fail", Message: "interrupted"}
		}
	}
	for {
		wait, err := r.connect(ctx, env)
		if err != nil {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// connect serves one connection, and says how long to stay away after it.
func (r *raw) connect(ctx context.Context, env map[string]string) (time.Duration, error) {
	d := websocket.Dialer{NetDialContext: r.dial}
	ws, _, err := d.DialContext(ctx, env["TETHER_URL"], nil)
	if err != nil {
		return schema.ReconnectDelay, ctx.Err()
	}
	c := &on{raw: r, env: env, ws: ws, frames: make(chan []byte, 100), deadline: time.Now().Add(10 * time.Second)}
	go c.read()
	c.login()
	err = c.serve(ctx)
	ws.Close()
	for range c.frames {
	}
	if err != nil {
		return 0, err
	}
	return c.after()
}

func (c *on) read() {
	defer close(c.frames)
	for {
		kind, raw, err := c.ws.ReadMessage()
		switch {
		case err != nil:
			c.err = err
			return
		case kind == websocket.BinaryMessage:
			c.leave(1003)
		case !utf8.Valid(raw):
			c.leave(1007)
		case len(raw) > schema.MaxMessage:
			c.leave(1009)
		default:
			c.frames <- raw
		}
	}
}

func (c *on) leave(code int) {
	_ = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Second))
}

// after is what section 5 says.
func (c *on) after() (time.Duration, error) {
	var closed *websocket.CloseError
	code, text := 0, ""
	if errors.As(c.err, &closed) && !c.left {
		code, text = closed.Code, closed.Text
	}
	if (code == 1000 || code == 4410) && !c.is("goes on after 1000") {
		return 0, errStopped
	}
	if code == 1012 && c.is("stops after 1012") {
		return 0, errStopped
	}
	if code == 4401 && !c.is("presents the refused token") {
		c.token = ""
	}
	var ms int64
	if _, err := fmt.Sscanf(text, "retry_after_ms=%d", &ms); err == nil && !c.is("ignores retry_after_ms") {
		return time.Duration(ms) * time.Millisecond, nil
	}
	switch {
	case c.is("reconnects at once"):
		return 100 * time.Millisecond, nil
	case (code == 4409 || code == 1008) && !c.is("does not back off"):
		return schema.PolicyDelay, nil
	}
	return schema.ReconnectDelay, nil
}

func (c *on) send(v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	_ = c.ws.WriteMessage(websocket.TextMessage, raw)
}

func (c *on) call(method string, params any) string {
	if c.ids++; c.is("reuses ids") {
		c.ids = 1
	}
	c.send(map[string]any{"jsonrpc": "2.0", "id": c.ids, "method": method, "params": params})
	return fmt.Sprint(c.ids)
}

func (c *on) login() {
	boot := fmt.Sprint("boot-", c.boots)
	if c.is("keeps its boot_id") {
		boot = "boot"
	}
	p := map[string]any{"boot_id": boot, "device_id": c.env["TETHER_DEVICE_ID"], "password": c.env["TETHER_PASSWORD"]}
	switch {
	case c.token != "" && !c.is("never uses its token"):
		p = map[string]any{"boot_id": boot, "device_id": pressSeven.ID, "token": c.token}
	case c.env["TETHER_DEVICE_ID"] == "":
		p = map[string]any{"boot_id": boot, "device_sn": c.env["TETHER_DEVICE_SN"], "device_model": c.env["TETHER_DEVICE_MODEL"], "password": c.env["TETHER_PASSWORD"]}
	}
	if c.is("reports before its login") {
		c.call(schema.MethodPing, struct{}{})
	}
	c.call(schema.MethodLogin, p)
}

// serve returns when the connection is over; an error ends the program.
func (c *on) serve(ctx context.Context) error {
	for {
		if wait := time.Until(c.wake()); wait > 0 {
			if open, err := c.await(ctx, wait); !open {
				return err
			}
		} else if c.tick(time.Now()) {
			c.left = true
			c.leave(1000)
			return nil
		}
		if !c.restartAt.IsZero() && !time.Now().Before(c.restartAt) {
			c.leave(1000)
			return errRestart
		}
	}
}

// await takes a frame, if one arrives in time; open is false when there is nothing more to await.
func (c *on) await(ctx context.Context, limit time.Duration) (open bool, err error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case raw, open := <-c.frames:
		if open {
			c.take(raw)
		}
		return open, nil
	case <-timer.C:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (c *on) wake() time.Time {
	next := time.Now().Add(time.Hour)
	times := []time.Time{c.ping.due, c.ping.expiry, c.report.due, c.report.expiry, c.restartAt}
	if !c.in {
		times = []time.Time{c.deadline}
	} else if c.running != nil {
		times = append(times, c.running.until)
	}
	for _, t := range times {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	return next
}

// tick does what is due; true gives the connection up.
func (c *on) tick(now time.Time) bool {
	if !c.in {
		if c.is("waits for its login for ever") {
			c.deadline = now.Add(time.Hour)
			return false
		}
		return !now.Before(c.deadline)
	}
	if r := c.running; r != nil && !now.Before(r.until) {
		c.finish(r, schema.OrderResult{Status: "success", Message: "done"})
	}
	for _, b := range []*beating{&c.ping, &c.report} {
		if !b.expiry.IsZero() && !now.Before(b.expiry) {
			b.expiry, b.due = time.Time{}, now
			if c.failures++; c.is("never gives up") {
				c.failures = 0
			}
			if c.is("waits before it pings again") {
				b.due = now.Add(b.every)
			}
		}
	}
	if c.failures >= c.most {
		return true
	}
	if c.report.expiry.IsZero() && !now.Before(c.report.due) {
		c.sendReport(now)
	} else if c.ping.expiry.IsZero() && !now.Before(c.ping.due) {
		c.ping.due, c.ping.expiry = now.Add(c.ping.every), now.Add(c.reply)
		c.ping.id = c.call(schema.MethodPing, struct{}{})
	}
	return false
}

func (c *on) sendReport(now time.Time) {
	c.report.due, c.report.expiry = now.Add(c.report.every), now.Add(c.reply)
	if !c.is("pings beside its reports") {
		c.ping.due = now.Add(c.ping.every)
	}
	var total any = 1024
	if c.is("reports text") {
		total = "1024"
	}
	c.report.id = c.call(schema.MethodUploadStatus, map[string]any{
		"CPU_info": struct{}{}, "Memory_info": map[string]any{"total_memory_mb": total}, "Disk_info": struct{}{},
	})
}

func (c *on) finish(r *running, result schema.OrderResult) {
	c.running = nil
	c.journal[r.id] = &result
	if r.on != c {
		c.handIn(r.id, result)
	} else {
		c.send(map[string]any{"jsonrpc": "2.0", "id": json.RawMessage(r.call), "result": result})
	}
}

func (c *on) take(raw []byte) {
	messages, _ := parse(raw, time.Now())
	for _, m := range messages {
		switch {
		case m.kind == invalid && c.is("dies of bad JSON"):
			c.leave(1002)
		case m.kind == invalid:
			c.send(map[string]any{"jsonrpc": "2.0", "id": nil, "error": errorObject(-32600, "invalid request")})
		case m.kind == response:
			c.answered(m)
		default:
			c.asked(m)
		}
	}
}

func (c *on) answered(m message) {
	switch {
	case !c.in && m.err != nil:
		c.refused = m.err
	case !c.in && m.id == fmt.Sprint(c.ids):
		c.loggedIn(m)
	case m.id == c.ping.id:
		c.ping.expiry = time.Time{}
		c.reset()
	case m.id == c.report.id:
		c.report.expiry = time.Time{}
		c.reset()
	}
}

func (c *on) reset() {
	if !c.is("never resets its count") {
		c.failures = 0
	}
}

func (c *on) loggedIn(m message) {
	var r schema.LoginResult
	if decode(m.result, &r) != nil {
		return
	}
	now := time.Now()
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	c.in, c.token, c.most, c.reply = true, r.Token, r.Heartbeat.MaxFailures, ms(r.Heartbeat.ReplyTimeoutMS)
	c.ping.every, c.report.every = ms(r.Heartbeat.PingIntervalMS), ms(r.Heartbeat.StatusIntervalMS)
	if c.is("pings late") {
		c.ping.every = c.ping.every * 3 / 2
	}
	if c.is("ignores the heartbeat of the login") {
		c.ping.every, c.report.every = schema.PingInterval, schema.StatusInterval
	}
	c.ping.due, c.report.due = now.Add(c.ping.every), now
	if c.is("reports late") {
		c.report.due = now.Add(c.report.every)
	}
	if !c.is("does not correct its clock") {
		c.clock = time.UnixMilli(r.ServerTime).Sub(now)
	}
	for _, id := range r.Unsettled {
		if result := c.journal[id]; result != nil {
			c.handIn(id, *result)
		}
	}
}

func (c *on) handIn(id string, r schema.OrderResult) {
	if !c.is("hands nothing in") {
		c.call(schema.MethodUploadResult, schema.UploadResult{OrderID: id, Status: r.Status, Message: r.Message, Data: r.Data})
	}
}

func (c *on) result(m message, v any) {
	id := m.id
	if c.is("answers string ids with numbers") {
		id = strings.Trim(id, `"`)
	}
	if m.kind == request {
		c.send(map[string]any{"jsonrpc": "2.0", "id": json.RawMessage(id), "result": v})
	}
}

func (c *on) fail(m message, code int, text string) {
	id := m.id
	if c.is("answers string ids with numbers") {
		id = strings.Trim(id, `"`)
	}
	switch {
	case m.kind == request:
		c.send(map[string]any{"jsonrpc": "2.0", "id": json.RawMessage(id), "error": errorObject(code, text)})
	case c.is("answers notifications"):
		c.send(map[string]any{"jsonrpc": "2.0", "id": nil, "error": errorObject(code, text)})
	}
}

func (c *on) asked(m message) {
	switch m.method {
	case schema.MethodGiveOrder:
		c.order(m)
	case schema.MethodRestartConfirm:
		var p schema.RestartConfirm
		if decode(m.params, &p) == nil && c.restartID != "" && (p.OrderID == c.restartID || c.is("takes any confirm")) && !c.is("ignores restart_confirm") {
			c.restartAt = time.Now()
		}
	case schema.MethodDeviceUpdate:
		if c.is("fails device_update") {
			c.fail(m, -32603, "internal error")
			return
		}
		c.result(m, struct{}{})
	default:
		c.fail(m, -32601, "method not found")
	}
}

func (c *on) order(m message) {
	var o schema.GiveOrder
	if decode(m.params, &o) != nil || o.OrderID == "" || len(o.Params) == 0 || o.Params[0] != '{' {
		c.fail(m, -32602, "order_id: required")
		return
	}
	result, known := c.journal[o.OrderID]
	late := !time.Now().Add(c.clock).Before(time.UnixMilli(o.Deadline))
	switch {
	case known && result != nil && !c.is("does orders twice") && !(c.is("restarts twice") && o.OrderType == schema.OrderRestart):
		c.result(m, *result)
	case late && !c.is("ignores the deadline"):
		c.result(m, schema.OrderResult{Status: "fail", Message: "expired"})
	default:
		c.begin(m, o)
	}
}

func (c *on) begin(m message, o schema.GiveOrder) {
	done := schema.OrderResult{Status: "success", Message: "done"}
	switch o.OrderType {
	case "conform_sleep":
		var p struct{ MS int64 }
		_ = json.Unmarshal(o.Params, &p)
		c.journal[o.OrderID] = nil
		c.running = &running{on: c, id: o.OrderID, call: m.id, until: time.Now().Add(time.Duration(p.MS) * time.Millisecond)}
		return
	case "conform_echo":
		done.Data = o.Params
	case schema.OrderRestart:
		done.Message = schema.RestartWait
		c.restartID, c.restartAt = o.OrderID, time.Now().Add(schema.RestartGrace)
	case schema.OrderUploadLog:
		if !c.is("lies of an upload") {
			done = schema.OrderResult{Status: "fail", Message: "nobody is there"}
		}
	default:
		if !c.is("succeeds at what it does not know") {
			done = schema.OrderResult{Status: "fail", Message: "order not in config"}
		}
	}
	c.journal[o.OrderID] = &done
	c.result(m, done)
}
