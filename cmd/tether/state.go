package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"runtime"
	"strings"
	"time"
	"unicode"
)

// stateTimeout bounds what the database is asked for a state.
const stateTimeout = 2 * time.Second

// statement is what the service is doing, for /state and SIGUSR1.
type statement struct {
	Version string            `json:"version"`
	Go      string            `json:"go"`
	PID     int               `json:"pid"`
	Started time.Time         `json:"started"`
	Uptime  string            `json:"uptime"`
	Phase   string            `json:"phase"` // starting, serving, draining
	Ready   string            `json:"ready"` // yes, or why not
	Process processState      `json:"process"`
	Service *serviceState     `json:"service,omitempty"` // nil while it is starting
	Set     map[string]string `json:"settings"`          // flags
}

type processState struct {
	Goroutines  int    `json:"goroutines"`
	HeapBytes   uint64 `json:"heap_bytes"`
	SystemBytes uint64 `json:"system_bytes"`
	Processors  int    `json:"processors"`
	OpenFiles   uint64 `json:"open_files_at_most"` // 0: not known
}

type serviceState struct {
	Sessions map[string]uint64 `json:"sessions"`
	Logins   loginState        `json:"logins"`
	Orders   orderState        `json:"orders"`
	Store    storeState        `json:"store"`
	Streams  int               `json:"event_streams"`
}

type loginState struct {
	UnderWay uint64 `json:"under_way"`
	Queued   uint64 `json:"queued"`
	Checks   uint64 `json:"checks_running"`
}

type orderState struct {
	InFlight uint64 `json:"in_flight"`
	Waiting  *int64 `json:"waiting"` // null: the store does not say
	Pending  uint64 `json:"outcomes_pending"`
}

type storeState struct {
	Backlog int    `json:"backlog"`
	Callers int    `json:"callers"`
	Kept    int    `json:"kept"`
	Dropped uint64 `json:"dropped"`
	Error   string `json:"error"` // empty: the last commit succeeded
}

// state looks at everything once.
func (o *operations) state(ctx context.Context) statement {
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	st := statement{
		Version: version(), Go: runtime.Version(), PID: os.Getpid(), Started: o.began.UTC().Truncate(time.Millisecond),
		Uptime: time.Since(o.began).Truncate(time.Millisecond).String(), Phase: "starting", Ready: "yes",
		Process: processNow(), Set: o.settings,
	}
	if err := o.ready(ctx); err != nil {
		st.Ready = err.Error()
	}
	if s := o.service.Load(); s != nil {
		st.Phase = "serving"
		if s.draining() {
			st.Phase = "draining"
		}
		st.Service = s.stateNow(ctx)
	}
	return st
}

func processNow() processState {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return processState{
		Goroutines: runtime.NumGoroutine(), HeapBytes: m.HeapAlloc, SystemBytes: m.Sys,
		Processors: processors, OpenFiles: openFiles(),
	}
}

func (s *service) stateNow(ctx context.Context) *serviceState {
	now := s.snapshot()
	st := &serviceState{
		Sessions: now.hub.Sessions, Streams: now.streams,
		Logins: loginState{now.hub.Sessions["checking"] + now.hub.Sessions["claiming"], now.hub.LoginsQueued, now.hub.LoginChecks},
		Orders: orderState{InFlight: now.hub.OrdersInFlight, Pending: now.hub.RetriesPending},
		Store:  storeState{Backlog: now.store.Waiting, Callers: now.store.Callers, Kept: now.store.Kept, Dropped: now.store.Dropped},
	}
	if now.store.Down != nil {
		st.Store.Error = now.store.Down.Error()
	}
	if n, err := s.store.CountWaiting(ctx); err == nil {
		st.Orders.Waiting = &n
	}
	return st
}

// settings are the flags as they are in force, without secrets.
func (c *serveCmd) settings() map[string]string {
	all := map[string]string{}
	v := reflect.ValueOf(*c)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := f.Tag.Get("name")
		if name == "" {
			name = hyphenated(f.Name)
		}
		value := v.Field(i).Interface()
		if kept, ok := value.(age); ok {
			value = time.Duration(kept)
		}
		all[name] = fmt.Sprint(value)
	}
	all["database"] = withoutSecrets(c.Database)
	return all
}

// hyphenated is a flag's name for a field's: StatusSample is status-sample.
func hyphenated(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && unicode.IsUpper(r) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// withoutSecrets is a database's URL as it may be shown: a password can be
// before the host, and among the parameters.
func withoutSecrets(database string) string {
	if strings.HasPrefix(database, "sqlite:") {
		return database
	}
	u, err := url.Parse(database)
	if err != nil {
		return "(unreadable)"
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	u.RawQuery, u.Fragment = "", ""
	return u.String()
}
