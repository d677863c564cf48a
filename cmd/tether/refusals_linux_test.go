//go:build !race

package main

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
)

// refusals is how many logins of each class TestT10_OnTheWire has refused.
func refusals() int {
	if os.Getenv("TETHER_SOAK") != "" {
		return 300
	}
	return 4
}

// refusedClass is a way in which a login is wrong. Its params are of one sample,
// about a device that no other sample is about.
type refusedClass struct {
	name   string
	atOnce int // where a password is hashed, not more than the service has turns
	params func(i int, d credentials) string
}

var refusedClasses = []refusedClass{
	{"a chosen password that is wrong", 1, func(i int, _ credentials) string {
		return fmt.Sprintf(`{"device_sn":"chosen-%d","device_model":"M","password":"wrong secret"}`, i)
	}},
	{"a chosen password of nobody", 1, func(i int, _ credentials) string {
		return fmt.Sprintf(`{"device_id":"%d","password":"wrong secret"}`, 1<<40+i)
	}},
	{"a made password that is wrong", 16, func(_ int, d credentials) string {
		return fmt.Sprintf(`{"device_id":%q,"password":%q}`, d.id, schema.PasswordPrefix+strings.Repeat("A", 32))
	}},
	{"a made password of nobody", 16, func(i int, d credentials) string {
		return fmt.Sprintf(`{"device_id":"%d","password":%q}`, 1<<41+i, d.password)
	}},
	{"a token that is wrong", 16, func(_ int, d credentials) string {
		return fmt.Sprintf(`{"device_id":%q,"token":%q}`, d.id, schema.TokenPrefix+strings.Repeat("A", 32))
	}},
	{"another model", 16, func(i int, d credentials) string {
		return fmt.Sprintf(`{"device_sn":"chosen-%d","device_model":"other","password":%q}`, i, d.password)
	}},
	{"a device that is disabled", 16, func(_ int, d credentials) string {
		return fmt.Sprintf(`{"device_id":%q,"password":%q}`, d.id, d.password)
	}},
}

// TestT10_OnTheWire: on a real socket the time of a refusal does not tell why:
// the medians of all classes are within 5 % of each other, and the bytes are the same.
func TestT10_OnTheWire(t *testing.T) {
	n := refusals()
	s := serveIn(t, memoryDir(t), "--key-rate", "0")
	s.api.address = s.address
	devices := s.api.registerMany(n)
	for i := range n {
		s.api.must("POST", "device_add", fmt.Sprintf(`{"device_name":"chosen-%d","hardware":{"sn":"chosen-%d","model":"M"},"password":"right secret"}`, i, i), nil)
	}
	fastest, slowest, text := time.Hour, time.Duration(0), ""
	for k, class := range refusedClasses {
		if class.name == "a device that is disabled" {
			for _, d := range devices {
				s.api.must("PUT", "device_update", fmt.Sprintf(`{"device_id":%q,"enabled":false}`, d.id), nil)
			}
		}
		took, said := s.refusedAll(class, byte(k), devices)
		t.Logf("%s: a median of %v", class.name, took)
		fastest, slowest = min(fastest, took), max(slowest, took)
		if text == "" {
			text = said
		}
		if said != text {
			t.Errorf("%s is answered %q, another %q", class.name, said, text)
		}
	}
	if slowest > fastest*105/100 {
		t.Errorf("medians of %v to %v", fastest, slowest)
	}
}

// refusedAll makes the logins of a class, and says what their median time was,
// and what they were answered.
func (s *site) refusedAll(class refusedClass, block byte, devices []credentials) (median time.Duration, text string) {
	took := make([]time.Duration, len(devices))
	said := make([]string, len(devices))
	var all sync.WaitGroup
	for from := range class.atOnce {
		all.Go(func() {
			for i := from; i < len(devices); i += class.atOnce {
				took[i], said[i] = s.refusedFrom(net.IPv4(127, 10+block, byte(i>>8), byte(i)), class.params(i, devices[i]))
			}
		})
	}
	all.Wait()
	slices.Sort(took)
	return took[len(took)/2], strings.Join(slices.Compact(slices.Sorted(slices.Values(said))), " or ")
}

// refusedFrom is one login, from an address of its own.
func (s *site) refusedFrom(from net.IP, params string) (took time.Duration, said string) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}
	conn, err := dialer.Dial("tcp", s.address)
	if err != nil {
		s.t.Error(err)
		return 0, ""
	}
	defer conn.Close()
	c := newBare(s.t, s.api, conn)
	c.handshake("")
	start := time.Now()
	c.text(`{"jsonrpc":"2.0","id":1,"method":"login","params":` + params + `}`)
	_, answer, err := c.receive()
	took = time.Since(start)
	_, end, _ := c.receive()
	return took, fmt.Sprintf("%s %v, then %q", answer, err, end)
}
