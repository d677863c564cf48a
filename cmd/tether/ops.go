package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"sync/atomic"
	"time"

	"github.com/edgetether/tether/northapi"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// operations is the listener for those who run the service: metrics, profiles,
// the state. It asks for no key, and is therefore an address of its own, on
// loopback unless somebody says otherwise (reliability T45). It answers from
// before the service is made until after it is closed.
type operations struct {
	listener net.Listener // nil: there is none
	server   *http.Server
	metrics  *metrics
	settings map[string]string
	began    time.Time
	service  atomic.Pointer[service] // nil: it is starting
	ended    chan struct{}
}

// startOperations listens on address; "" is nowhere, and the state can be
// asked for by signal alone.
func startOperations(address string, settings map[string]string, log *slog.Logger) (*operations, error) {
	o := &operations{metrics: newMetrics(), settings: settings, began: time.Now(), ended: make(chan struct{})}
	o.server = &http.Server{
		Handler: o.routes(), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	if address == "" {
		close(o.ended)
		return o, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--ops-listen: %w", err)
	}
	o.listener = l
	go func() {
		defer close(o.ended)
		if err := o.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("operations are not served any more", "error", err)
		}
	}()
	return o, nil
}

// address is where it listens; empty is nowhere.
func (o *operations) address() string {
	if o.listener == nil {
		return ""
	}
	return o.listener.Addr().String()
}

// serves says which service it is about, now that it is made.
func (o *operations) serves(s *service) {
	o.metrics.watch(s)
	o.service.Store(s)
}

// onSignal writes the state to w whenever a signal asks for it, until stop is called.
func (o *operations) onSignal(w io.Writer) (stop func()) {
	asked := make(chan os.Signal, 1)
	if len(stateSignals) > 0 { // or all would be meant
		signal.Notify(asked, stateSignals...)
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-asked:
				_, _ = w.Write(o.state(context.Background()).text()) // standard error is gone: so is who asked
			case <-done:
				return
			}
		}
	}()
	return func() { signal.Stop(asked); close(done); <-ended }
}

// close ends it at once: nobody's data are under way.
func (o *operations) close() error {
	err := o.server.Close()
	<-o.ended
	return closed(err)
}

func (o *operations) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.metrics.registry, promhttp.HandlerOpts{Registry: o.metrics.registry}))
	mux.HandleFunc("GET /state", o.serveState)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", o.serveReady)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // the others by their names; not cmdline, which may hold a password
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return o.guarded(mux)
}

// guarded refuses what the page of another site has a browser ask for, by a link
// or by a host name that has been turned to this machine (T45).
func (o *operations) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch site := r.Header.Get("Sec-Fetch-Site"); {
		case site != "" && site != "none" && site != "same-origin":
			http.Error(w, "not for the pages of other sites: type the address", http.StatusForbidden)
		case northapi.Loopback(o.address()) && !northapi.Loopback(r.Host):
			http.Error(w, "Host: must be localhost or a loopback address", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// Why a service is not ready that could be.
var (
	errStarting = errors.New("starting")
	errDraining = errors.New("draining")
)

// ready is why requests should not be sent here; nil: they should.
func (o *operations) ready(ctx context.Context) error {
	s := o.service.Load()
	if s == nil {
		return errStarting
	}
	return s.ready(ctx)
}

func (o *operations) serveReady(w http.ResponseWriter, r *http.Request) {
	if err := o.ready(r.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

func (o *operations) serveState(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(o.state(r.Context()).text()) // an error means that the caller is gone
}

// text is a statement for people and programs.
func (s statement) text() []byte {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil { // it is made of plain values
		text = fmt.Appendf(nil, "%q", err.Error())
	}
	return append(text, '\n')
}
