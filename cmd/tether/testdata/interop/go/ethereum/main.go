// The program ethereum is a device on go-ethereum's rpc. It knows params by
// position alone: by itself, over its own WebSocket, it gets no further than
// being told so; named.go puts names to its params.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/coder/websocket"
	"github.com/ethereum/go-ethereum/rpc"

	"interop/device"
)

func main() {
	if err := byItself(context.Background(), os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatal(err)
	}
	device.Run(device.Library{
		Name:     "go-ethereum",
		Open:     open,
		Describe: describe,
		Fault:    func(message string) error { return fault(message) },
		More:     more,
	})
}

// byItself is what the library can do over its own WebSocket client.
func byItself(ctx context.Context, url, id, password string) error {
	c, err := rpc.DialWebsocket(ctx, url, "")
	if err != nil {
		return err
	}
	defer c.Close()
	var document struct{ Info struct{ Title string } }
	if err := c.CallContext(ctx, &document, "rpc.discover"); err != nil {
		return err
	}
	fmt.Println("rpc.discover", document.Info.Title != "")
	err = c.CallContext(ctx, nil, "login", map[string]string{"device_id": id, "password": password})
	fmt.Print("login by position ")
	fmt.Println(describe(err))
	return nil
}

type connection struct {
	*rpc.Client
	ws     *websocket.Conn
	closed chan struct{}
}

func open(ctx context.Context, url string, d *device.Device) (device.Connection, error) {
	ws, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(64 << 10)
	fromServer, toClient := io.Pipe()
	fromClient, toServer := io.Pipe()
	c := connection{ws: ws, closed: make(chan struct{})}
	go outward(fromClient, ws)
	go func() {
		defer close(c.closed)
		toClient.CloseWithError(inward(ws, toClient))
	}()
	if c.Client, err = rpc.DialIO(ctx, fromServer, toServer); err != nil {
		return nil, err
	}
	// What is give_order to others is the method order of the service give.
	return c, errors.Join(
		c.RegisterName("give", give{d}), c.RegisterName("restart", restart{d}), c.RegisterName("device", record{d}))
}

type (
	give    struct{ d *device.Device }
	restart struct{ d *device.Device }
	record  struct{ d *device.Device }
)

// Order is give_order.
func (g give) Order(ctx context.Context, o device.Order) (device.Result, error) {
	return g.d.GiveOrder(ctx, o)
}

// Confirm is restart_confirm.
func (r restart) Confirm(struct{}) { r.d.RestartConfirm() }

// Update is device_update.
func (r record) Update(p device.Record) struct{} {
	r.d.DeviceUpdate(p)
	return struct{}{}
}

// Call makes a request.
func (c connection) Call(ctx context.Context, method string, params, result any) error {
	if params == nil {
		return c.CallContext(ctx, result, method)
	}
	return c.CallContext(ctx, result, method, params)
}

// Close ends the connection.
func (c connection) Close() error {
	err := c.ws.Close(websocket.StatusNormalClosure, "done")
	<-c.closed
	c.Client.Close()
	return err
}

// Closed is closed when nothing is read any more.
func (c connection) Closed() <-chan struct{} { return c.closed }

// fault is an error with a code and data, as the library knows it.
type fault string

func (f fault) Error() string  { return string(f) }
func (f fault) ErrorCode() int { return 17 }
func (f fault) ErrorData() any { return map[string]string{"part": "lamp"} }

func describe(err error) (int, string) {
	var e rpc.Error
	if errors.As(err, &e) {
		return e.ErrorCode(), e.Error()
	}
	return 0, fmt.Sprint(err)
}

// more sends a batch, a notification, and a subscription, which there is not.
func more(ctx context.Context, conn device.Connection) error {
	c := conn.(connection)
	if err := c.Notify(ctx, "note", map[string]string{"of": "nothing"}); err != nil {
		return err
	}
	batch := []rpc.BatchElem{
		{Method: "ping", Result: new(string)},
		{Method: "no_such_method", Result: new(string)},
		{Method: "ping", Result: new(string)},
	}
	if err := c.BatchCallContext(ctx, batch); err != nil {
		return err
	}
	for _, b := range batch {
		if b.Error != nil {
			code, _ := describe(b.Error)
			fmt.Println("batch", code)
			continue
		}
		fmt.Println("batch", *b.Result.(*string))
	}
	_, err := c.Subscribe(ctx, "device", make(chan string), "events")
	fmt.Print("subscribe ")
	fmt.Println(describe(err))
	return nil
}
