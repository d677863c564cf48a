package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
)

// A device is registered, an order waits for it, and each device is listed.
func Example() {
	url, key, stop := exampleService() // a real one would be https://tether.example.com
	defer stop()
	ctx := context.Background()
	c, err := client.New(client.Options{URL: url, Key: key})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	who, err := c.DeviceAdd(ctx, client.NewDevice{Name: "press-7", Hardware: schema.Hardware{SN: "SN-7", Model: "ModelB"}})
	if err != nil {
		log.Fatal(err)
	}
	order := client.NewOrder{DeviceID: who.DeviceID, Order: "blink", Params: map[string]int{"n": 3}}
	if _, err := c.GiveOrder(ctx, order); errors.Is(err, &schema.Error{Kind: schema.OrderRefused, Code: "device_offline"}) {
		order.Queue, order.Wait = true, new(0*schema.OrderTimeout)
		o, err := c.GiveOrder(ctx, order)
		fmt.Println("it is", o.State, err)
	}
	for d, err := range c.Devices(ctx, schema.DeviceFilter{Model: "ModelB"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(d.Name, d.State)
	}
	// Output:
	// it is queued <nil>
	// press-7 offline
}

// exampleService starts a service with an API key.
func exampleService() (url, key string, stop func()) {
	dir, err := os.MkdirTemp("", "tether-example-")
	if err != nil {
		log.Fatal(err)
	}
	s, err := start(dir)
	if err != nil {
		log.Fatal(err)
	}
	return s.URL, s.key, func() {
		if err := errors.Join(s.close(), os.RemoveAll(dir)); err != nil {
			log.Fatal(err)
		}
	}
}
