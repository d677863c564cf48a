// Package client is the REST interface of a tether service for programs in Go:
// a method for each service of the northbound contract, under the service's own
// name, with the types of package schema.
//
//	c, err := client.New(client.Options{URL: "https://tether.example.com", Key: os.Getenv("TETHER_KEY")})
//	…
//	for d, err := range c.Devices(ctx, schema.DeviceFilter{State: schema.Online}) {
//		if err != nil {
//			return err
//		}
//		o, err := c.GiveOrder(ctx, client.NewOrder{DeviceID: d.DeviceID, Order: "blink", Params: blink{3}})
//		if errors.Is(err, &schema.Error{Kind: schema.OrderRefused}) {
//			continue // nothing was sent
//		}
//		…
//	}
//
// # Errors
//
// A refusal is a *schema.Error as the service made it, with its kind, code,
// message, Retry-After and data (errors.go), so that errors.Is holds on both
// ends. Errors of other types mean that no service was reached, or that what
// answered is none.
//
// # What it repeats
//
// A GET that is answered 429 or 503, as often as the constants in call.go say,
// and after the time that Retry-After names. give_order with an Idempotency-Key
// too, also after a lost connection: it is one order. Everything else is sent once.
//
// # Lists and streams
//
// A …QueryAll or …Query of a list is one page of it; the iterators beside them
// (pages.go) follow the cursors. Events (events.go) is a stream that finds its
// place again by itself after a lost connection or a restart of the service.
//
// # What it never does
//
// It follows no redirect, because the key would go along; it takes no answer
// that is longer than MaxAnswer, or MaxFile; it does without no check of a certificate;
// it prints no key. It keeps no goroutine: what it starts ends with the call.
// A Client may be used by many goroutines.
package client
