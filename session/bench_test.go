package session

import (
	"testing"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// BenchmarkPing is a ping of a device that is logged in, there and back, both
// ends of the connection.
func BenchmarkPing(b *testing.B) {
	l := &ledger{orders: map[string]schema.Order{}, waits: new(Waits)}
	h := New(Config{
		Node: schema.Node{Number: 1, Incarnation: 1}, Logins: l, Orders: l, Queue: l, Waits: l.waits, Journal: l, Settler: l,
		Verify: func(schema.Credential, schema.LoginParams) bool { return true }, Cheap: func(string) bool { return true },
		NewToken: func() string { return "tt_new" }, HashToken: func(s string) string { return s },
	})
	defer h.Close()
	srv, cli, err := rpc.Pipe(rpc.Options{}, rpc.Options{})
	if err != nil {
		b.Fatal(err)
	}
	h.Accept(srv)
	go cli.Serve(&end{})
	defer cli.Abort()
	answered := make(chan rpc.Response, 1)
	ask := func(method string, params any) {
		if _, err := cli.Call(method, params, func(r rpc.Response) { answered <- r }); err != nil {
			b.Fatal(err)
		}
		if r := <-answered; r.Err != nil {
			b.Fatal(r.Err)
		}
	}
	ask(schema.MethodLogin, map[string]string{"device_id": "1", "password": "t-right"})
	b.ReportAllocs()
	for b.Loop() {
		ask(schema.MethodPing, struct{}{})
	}
}

// BenchmarkCounting is what of that is counting.
func BenchmarkCounting(b *testing.B) {
	h := New(Config{Waits: new(Waits)})
	defer h.Close()
	s := &Session{hub: h, cell: h.meter.cell(), core: newCore(&h.cfg.Settings, 1, "", h.born)}
	var ev event = pingRequest{new(rpc.Request)}
	b.ReportAllocs()
	for b.Loop() {
		s.cell.messages[gotMethod(schema.MethodPing)].Add(1)
		s.observe(ev)
		s.count(ev)
	}
}
