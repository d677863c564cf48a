package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgetether/tether/device"
	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
)

// TestReadmeSession types the README's session by curl to a real service, and
// compares what is answered with what the README shows.
func TestReadmeSession(t *testing.T) {
	s := newReadmeSession(t)
	for _, b := range readReadme(t, readmes[0]).blocks {
		switch {
		case b.language == "sh":
			for line := range strings.Lines(b.text) {
				s.typed(strings.TrimSpace(line))
			}
		case s.request != nil:
			s.shown(b)
		}
	}
	if s.answers != 12 {
		t.Errorf("the session had %d answers", s.answers)
	}
	select {
	case err := <-s.gone:
		if !errors.Is(err, device.ErrGone) {
			t.Errorf("the device ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the deleted device goes on")
	}
}

// readmeSession is the reader's terminals.
type readmeSession struct {
	t         *testing.T
	dir       string
	base, key string
	http      http.Client
	variables map[string]string
	request   []string // the api line whose answer is shown next: method, path, body
	answer    any      // the last one
	password  string
	answers   int
	gone      chan error // how the device ended
	boot      chan struct{}
}

// newReadmeSession is the first terminal.
func newReadmeSession(t *testing.T) *readmeSession {
	s := &readmeSession{t: t, dir: t.TempDir(), variables: map[string]string{}, gone: make(chan error, 1), boot: make(chan struct{}, 1)}
	s.http.Transport = &http.Transport{DisableKeepAlives: true}
	svc, err := newService(t.Context(), serviceConfig{
		database: "sqlite:" + filepath.Join(s.dir, "tether.db"), node: "test", bcryptCost: 4, statusSample: time.Minute,
		logs: logsConfig{listen: "127.0.0.1:0", dir: filepath.Join(s.dir, "logs")}, log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- svc.serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-served, svc.close()); err != nil {
			t.Error(err)
		}
	})
	s.base = "http://" + l.Addr().String()
	if s.key, err = svc.addKey(ctx, "first", schema.Admin); err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	apiLine  = regexp.MustCompile(`^api ([A-Z]+) "?([^ "]+)"?(?: '(.*)')?$`)
	idLine   = regexp.MustCompile(`^(DEVICE|ORDER)=\d+$`)
	variable = regexp.MustCompile(`'?\$([A-Z]+)'?`)
)

// typed is one line of a block for the shell.
func (s *readmeSession) typed(line string) {
	if m := idLine.FindStringSubmatch(line); m != nil {
		s.variables[m[1]] = s.said(strings.ToLower(m[1]) + "_id")
	}
	if m := apiLine.FindStringSubmatch(line); m != nil {
		s.request = m[1:]
	} else if strings.HasPrefix(line, "api ") && !strings.Contains(line, "()") {
		s.t.Errorf("not understood: %s", line)
	}
	if strings.HasSuffix(line, "tether-agent --config data/agent.yaml") {
		s.password = s.variables["password"]
		go func() { s.gone <- s.live() }()
	}
}

// said is a member of the last answer's data.
func (s *readmeSession) said(member string) string {
	answer, _ := s.answer.(map[string]any)
	data, _ := answer["data"].(map[string]any)
	text, ok := data[member].(string)
	if !ok {
		s.t.Fatalf("no %s in %v", member, s.answer)
	}
	return text
}

// shown makes the request and holds the answer against the block. What is
// asked may take a moment to become true, what is given is given once.
func (s *readmeSession) shown(b block) {
	s.answers++
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	compare := func() error { return s.compare(b) }
	err := compare()
	if err != nil && s.request[0] == http.MethodGet {
		err = until(ctx, compare)
	}
	if err != nil {
		s.t.Fatalf("%q: %v", s.request, err)
	}
	switch {
	case s.request[1] == "device_add":
		s.variables["password"] = s.said("password")
	case s.request[1] == "give_order" && strings.Contains(s.request[2], `"restart"`):
		s.boot <- struct{}{}
	}
	s.request = nil
}

func (s *readmeSession) compare(b block) error {
	raw, err := s.ask()
	if err != nil {
		return err
	}
	if b.language == "text" { // the device's own log
		if !bytes.Contains(raw, []byte(" login ok device_id="+s.variables["DEVICE"])) {
			return fmt.Errorf("the log is %q", raw)
		}
		return nil
	}
	var want any
	if err := json.Unmarshal([]byte(b.text), &want); err != nil {
		return err
	}
	s.answer = nil
	if err := json.Unmarshal(raw, &s.answer); err != nil {
		return err
	}
	return alike("", want, s.answer)
}

func (s *readmeSession) ask() ([]byte, error) {
	expand := func(text string) string {
		return variable.ReplaceAllStringFunc(text, func(v string) string { return s.variables[strings.Trim(v, "'$")] })
	}
	url := s.base + northapi.Base + "/" + expand(s.request[1])
	req, err := http.NewRequest(s.request[0], url, strings.NewReader(expand(s.request[2])))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// live is the third terminal: a device with the order that the README gives
// the agent. It restarts in this process, and takes as long for it as a machine
// does at least: until the order is answered.
func (s *readmeSession) live() error {
	for {
		d, err := device.New(device.Config{
			URL: "ws" + strings.TrimPrefix(s.base, "http") + "/ws", SN: "SN-0001", Model: "ModelB", Password: s.password,
			StateDir: filepath.Join(s.dir, "agent"), Client: schema.ClientInfo{Name: "tether-agent"},
			Restart: func() error { return errRestart },
		})
		if err != nil {
			return err
		}
		device.On(d, "say", func(_ context.Context, p struct {
			Text string `json:"text"`
		}) (any, error) {
			return map[string]any{"exit_code": 0, "duration_ms": 1, "stdout": p.Text + "\n", "stderr": ""}, nil
		})
		if err := d.Run(s.t.Context()); !errors.Is(err, errRestart) {
			return err
		}
		select {
		case <-s.boot:
		case <-s.t.Context().Done():
			return s.t.Context().Err()
		}
	}
}

// alike says where two answers differ in more than figures, times and ids: in
// a member, or in a text without a digit.
func alike(where string, want, got any) error {
	switch w := want.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		if names := slices.Sorted(maps.Keys(w)); !slices.Equal(names, slices.Sorted(maps.Keys(g))) {
			return fmt.Errorf("%s: members %q, shown are %q", where, slices.Sorted(maps.Keys(g)), names)
		}
		for name := range w {
			if err := alike(where+"."+name, w[name], g[name]); err != nil {
				return err
			}
		}
		return nil
	case []any:
		g, _ := got.([]any)
		if len(g) != len(w) {
			return fmt.Errorf("%s: %d items, shown are %d", where, len(g), len(w))
		}
		for i := range w {
			if err := alike(fmt.Sprintf("%s[%d]", where, i), w[i], g[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if !sameFigure(want, got) && want != got {
		return fmt.Errorf("%s: %v, shown is %v", where, got, want)
	}
	return nil
}

// sameFigure: both are numbers, or texts with a digit in what is shown.
func sameFigure(want, got any) bool {
	if text, ok := want.(string); ok {
		_, ok = got.(string)
		return ok && strings.ContainsAny(text, "0123456789")
	}
	_, a := want.(float64)
	_, b := got.(float64)
	return a && b
}
