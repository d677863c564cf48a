package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
)

// show prints what happens in a demo, one line after the other.
type show struct {
	mu    sync.Mutex
	w     io.Writer
	start time.Time
	names map[string]string // of devices, by id
}

func newShow(w io.Writer) *show { return &show{w: w, start: time.Now(), names: map[string]string{}} }

func (s *show) line(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.w, "%6.2fs  %s\n", time.Since(s.start).Seconds(), fmt.Sprintf(format, args...))
}

// events prints the lines of the devices' logs as the store commits them.
func (s *show) events(events []schema.Event) {
	for _, e := range events {
		s.line("event %-10s #%-3d %-18s %-10s %s", s.name(e.DeviceID), e.Seq, e.Kind, e.Outcome, e.Detail)
	}
}

func (s *show) name(deviceID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n, ok := s.names[deviceID]; ok {
		return n
	}
	return deviceID
}

func (s *show) report(name string, info client.DeviceStatus) {
	f := figuresOf(*info.Report)
	s.line("%s is %s: cpu user %s s, system %s s, idle %s s; memory %s MiB, %s free; disk %s MiB, %s %% used",
		name, info.State, f.user, f.system, f.idle, f.memory, f.free, f.disk, f.used)
}

// welcome prints what to type into another terminal.
func (s *show) welcome(url, key string, devices []*demoDevice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range devices {
		s.names[d.id] = d.name
	}
	base := url + client.Base
	auth := "-H 'Authorization: Bearer " + key + "'"
	fmt.Fprintf(s.w, `The service is at %s, with three devices. Its key, role admin:
  %s
Try, in another terminal:
  curl -s %s %s/device_query_all
  curl -s %s %s/device_statusInfo_query/%s
  curl -s %s %s/device_log_query/%s
  curl -s %s -H 'Content-Type: application/json' %s/give_order \
    -d '{"device_id":"%s","order":"blink","params":{"n":5}}'

`, url, key, auth, base, auth, base, devices[0].id, auth, base, devices[0].id, auth, base, devices[0].id)
}
