package main

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/edgetether/tether/cmd/tether/conform"
	"github.com/edgetether/tether/schema"
)

// TestServerConforms: the whole service, held against the contract by the kit,
// in virtual time.
func TestServerConforms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *serviceConfig) { c.messageRate = schema.MessageRate })
		id, password := w.addDevice("a")
		r, err := conform.RunServer(t.Context(), conform.ServerOptions{
			URL: "ws://tether/ws", NetDial: w.dialFrom("10.0.0.7"), API: "http://tether", Key: w.key, Slow: true,
			Device: conform.Identity{ID: id, SN: "SN-a", Model: "M", Password: password}, Say: t.Logf,
		})
		if err != nil {
			t.Fatal(err)
		}
		if !r.Passed(true) {
			t.Error("not everything passed")
		}
		var text strings.Builder
		if err := r.WriteText(&text, false); err != nil {
			t.Fatal(err)
		}
		t.Log(text.String())
	})
}
