// Package device is what each of these devices does, whatever library speaks
// JSON-RPC for it. It says on standard output what its library made of each
// answer. It comes back at once, whatever its connection was closed with, as no
// device should: southbound section 5 says when.
package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Library is a JSON-RPC library.
type Library struct {
	Name string
	Open func(ctx context.Context, url string, d *Device) (Connection, error)
	// Describe takes the library's error apart.
	Describe func(error) (code int, message string)
	// Fault is the library's own error, for a method to return.
	Fault func(message string) error
	// More is what only this library does.
	More func(context.Context, Connection) error
}

// Connection is the library's, once it is open.
type Connection interface {
	// Call makes a request; nil params are none.
	Call(ctx context.Context, method string, params, result any) error
	// Close ends the connection with 1000; Closed is closed when it has ended.
	Close() error
	Closed() <-chan struct{}
}

// Order are the params of give_order.
type Order struct {
	Type   string          `json:"order_type"`
	Params json.RawMessage `json:"params"`
}

// Result answers give_order.
type Result struct {
	Status  string `json:"status"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

// Record are the params of device_update.
type Record struct {
	Name string `json:"device_name"`
}

// Device is one device over one connection after the other.
type Device struct {
	lib        Library
	id         string
	secretName string // of the member of login that holds it
	secret     string
	boot       int
	conn       atomic.Pointer[Connection]
}

// Run is the program: "program URL DEVICE_ID PASSWORD", until SIGTERM.
func Run(lib Library) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	d := &Device{lib: lib, id: os.Args[2], secretName: "password", secret: os.Args[3]}
	for ctx.Err() == nil {
		if err := d.connect(ctx, os.Args[1]); err != nil {
			log.Fatal(err)
		}
	}
}

// connect is one connection, from the login to its end.
func (d *Device) connect(ctx context.Context, url string) error {
	conn, err := d.lib.Open(ctx, url, d)
	if err != nil {
		return err
	}
	d.conn.Store(&conn)
	defer fmt.Println("closed")
	defer conn.Close() // it may have ended
	if err := d.talk(ctx, conn); err != nil {
		return err
	}
	beat := time.NewTicker(5 * time.Second)
	defer beat.Stop()
	for {
		select {
		case <-beat.C:
			_ = conn.Call(ctx, "ping", nil, nil) // one that fails ends the connection, or has met its end
		case <-conn.Closed():
			return nil
		case <-ctx.Done():
			return conn.Close()
		}
	}
}

func (d *Device) talk(ctx context.Context, conn Connection) error {
	d.boot++
	var session struct {
		Token string `json:"token"`
	}
	login := map[string]any{
		"device_id": d.id, d.secretName: d.secret,
		"boot_id": fmt.Sprint("boot-", d.boot), "client": map[string]string{"name": d.lib.Name},
	}
	if err := conn.Call(ctx, "login", login, &session); err != nil {
		return err
	}
	fmt.Println("login", d.secretName)
	d.secretName, d.secret = "token", session.Token
	d.ask(ctx, conn, "ping", nil)
	d.ask(ctx, conn, "upload_status_info", report(d.id))
	if d.boot == 1 {
		d.ask(ctx, conn, "no_such_method", map[string]any{})
		d.ask(ctx, conn, "upload_status_info", map[string]any{"device_id": d.id})
		large := report(d.id)
		large["custom"] = map[string]string{"filler": strings.Repeat("é", 3500)}
		d.ask(ctx, conn, "upload_status_info", large)
		if err := d.lib.More(ctx, conn); err != nil {
			return err
		}
	}
	fmt.Println("ready", d.boot)
	return nil
}

// report makes the params of upload_status_info.
func report(id string) map[string]any {
	return map[string]any{
		"device_id":   id,
		"CPU_info":    map[string]float64{"user_cpu_time": 1.5},
		"Memory_info": map[string]int{"total_memory_mb": 512},
		"Disk_info":   map[string]int{},
	}
}

func (d *Device) ask(ctx context.Context, conn Connection, method string, params any) {
	var result json.RawMessage
	if err := conn.Call(ctx, method, params, &result); err != nil {
		fmt.Print(method, " ")
		fmt.Println(d.lib.Describe(err))
		return
	}
	fmt.Println(method, string(result))
}

// GiveOrder carries out an order.
func (d *Device) GiveOrder(ctx context.Context, o Order) (Result, error) {
	switch o.Type {
	case "say":
		return Result{"success", "said", o.Params}, nil
	case "ask":
		var answer string
		if err := (*d.conn.Load()).Call(ctx, "ping", nil, &answer); err != nil {
			return Result{}, err
		}
		return Result{"success", "asked", map[string]string{"answer": answer}}, nil
	case "broken":
		return Result{}, d.lib.Fault("the lamp is broken")
	case "clumsy":
		return Result{}, errors.New("the lamp is broken")
	case "nothing":
		return Result{}, nil
	case "restart":
		return Result{Status: "success", Message: "wait Server Confirm"}, nil
	}
	return Result{Status: "fail", Message: "order not in config"}, nil
}

// DeviceUpdate is told the record.
func (d *Device) DeviceUpdate(r Record) { fmt.Println("device_update", r.Name) }

// RestartConfirm restarts: the next connection is another boot's.
func (d *Device) RestartConfirm() {
	fmt.Println("restart_confirm")
	go (*d.conn.Load()).Close() // libraries wait for their handlers
}
