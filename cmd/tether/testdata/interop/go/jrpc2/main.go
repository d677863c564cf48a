// The program jrpc2 is a device on github.com/creachadair/jrpc2, over a
// WebSocket of github.com/coder/websocket.
package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/coder/websocket"
	"github.com/creachadair/jrpc2"

	"interop/device"
)

func main() {
	device.Run(device.Library{
		Name:     "jrpc2",
		Open:     open,
		Describe: describe,
		Fault: func(message string) error {
			return jrpc2.Errorf(17, "%s", message).WithData(map[string]string{"part": "lamp"})
		},
		More: more,
	})
}

type connection struct {
	*jrpc2.Client
	closed chan struct{}
}

func open(ctx context.Context, url string, d *device.Device) (device.Connection, error) {
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{"tether.v1"}})
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(64 << 10)
	c := connection{closed: make(chan struct{})}
	c.Client = jrpc2.NewClient(&channel{ws: ws}, &jrpc2.ClientOptions{
		OnCallback: func(ctx context.Context, req *jrpc2.Request) (any, error) { return answer(ctx, d, req) },
		OnNotify: func(req *jrpc2.Request) {
			if req.Method() == "restart_confirm" {
				d.RestartConfirm()
			}
		},
		OnStop: func(*jrpc2.Client, error) { close(c.closed) },
	})
	return c, nil
}

func answer(ctx context.Context, d *device.Device, req *jrpc2.Request) (any, error) {
	switch req.Method() {
	case "give_order":
		var o device.Order
		if err := req.UnmarshalParams(&o); err != nil {
			return nil, err
		}
		return d.GiveOrder(ctx, o)
	case "device_update":
		var r device.Record
		if err := req.UnmarshalParams(&r); err != nil {
			return nil, err
		}
		d.DeviceUpdate(r)
		return struct{}{}, nil
	}
	return nil, jrpc2.MethodNotFound.Err()
}

// Call makes a request.
func (c connection) Call(ctx context.Context, method string, params, result any) error {
	resp, err := c.Client.Call(ctx, method, params)
	if err != nil || result == nil {
		return err
	}
	return resp.UnmarshalResult(result)
}

// Closed is closed when the client has stopped.
func (c connection) Closed() <-chan struct{} { return c.closed }

// channel is a WebSocket with a message in each frame, as jrpc2 wants it.
type channel struct {
	ws   *websocket.Conn
	once sync.Once
	err  error
}

func (c *channel) Send(b []byte) error {
	return c.ws.Write(context.Background(), websocket.MessageText, b)
}

func (c *channel) Recv() ([]byte, error) {
	_, b, err := c.ws.Read(context.Background())
	return b, err
}

func (c *channel) Close() error {
	c.once.Do(func() { c.err = c.ws.Close(websocket.StatusNormalClosure, "done") })
	return c.err
}

func describe(err error) (int, string) {
	var e *jrpc2.Error
	if errors.As(err, &e) {
		return int(e.Code), e.Message
	}
	return 0, err.Error()
}

// more sends a batch, and notifications.
func more(ctx context.Context, conn device.Connection) error {
	c := conn.(connection)
	if err := c.Notify(ctx, "note", map[string]string{"of": "nothing"}); err != nil {
		return err
	}
	answers, err := c.Batch(ctx, []jrpc2.Spec{
		{Method: "ping"},
		{Method: "ping", Notify: true},
		{Method: "no_such_method", Params: []int{1}},
		{Method: "ping", Params: []int{}},
	})
	if err != nil {
		return err
	}
	for _, a := range answers {
		if err := a.Error(); err != nil {
			fmt.Println("batch", int(err.Code))
			continue
		}
		fmt.Println("batch", a.ResultString())
	}
	return nil
}
