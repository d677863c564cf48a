package main

import (
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/session"
)

// metrics is what the service tells Prometheus. Durations are observed as they
// pass, into histograms that take no lock; all else is counted by the rooms and
// read when somebody asks (metrics_read.go). No label has a value that a device
// or a caller makes up, and all series are there from the start: their number
// does not grow with the fleet (reliability T45).
type metrics struct {
	registry *prometheus.Registry

	login, late, commit, batch prometheus.Observer
	orders                     map[orderKind]prometheus.Observer
	calls                      map[string]prometheus.Observer
	requests                   map[requestKind]prometheus.Counter
	durations                  map[string]prometheus.Observer // by route
	commitFailures, unaccepted prometheus.Counter
}

type (
	orderKind struct {
		inner   bool
		outcome string
	}
	requestKind struct {
		route string
		class int // of the status: 2 is 2xx
	}
)

// Bounds of the histograms.
var (
	// quick is for what takes the machine's time: a commit, a request.
	quick = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}
	// dialogue is for what takes the device's, which has ten seconds.
	dialogue = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15}
	// tardy is for timers, of which a second late is an alarm.
	tardy   = []float64{.001, .005, .01, .05, .1, .5, 1, 5}
	batches = []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}
	// waits is for requests, of which there are many routes: few bounds.
	waits = []float64{.005, .025, .1, .5, 2.5, 10}
)

// The words of the histograms' labels.
var (
	orderOutcomes = []string{"succeeded", "failed", "timeout", "disconnected", "not_sent", "not_stored"}
	callMethods   = []string{schema.MethodGiveOrder, schema.MethodDeviceUpdate}
	statusClasses = []int{2, 3, 4, 5}
)

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.build()
	m.session()
	m.store()
	m.north()
	return m
}

// build tells of the program.
func (m *metrics) build() {
	m.gauge("tether_build_info", "1, with the program's version and Go's.", "version", "goversion").
		WithLabelValues(version(), runtime.Version()).Set(1)
	m.unaccepted = m.counter("tether_accept_failures_total",
		"Connections that could not be accepted, mostly for want of open files.").WithLabelValues()
}

func (m *metrics) session() {
	m.login = m.histogram("tether_login_duration_seconds", "Time from a login request to its answer, of those that succeeded.", quick).WithLabelValues()
	m.late = m.histogram("tether_timer_lateness_seconds", "How late the timers of sessions fired.", tardy).WithLabelValues()
	m.orders, m.calls = map[orderKind]prometheus.Observer{}, map[string]prometheus.Observer{}
	orders := m.histogram("tether_order_duration_seconds",
		"Time from the taking of the device's slot to the durable outcome of an order. kind: inner (of the framework) or own.", dialogue, "kind", "outcome")
	for _, outcome := range orderOutcomes {
		m.orders[orderKind{true, outcome}] = orders.WithLabelValues("inner", outcome)
		m.orders[orderKind{false, outcome}] = orders.WithLabelValues("own", outcome)
	}
	calls := m.histogram("tether_call_duration_seconds", "Time from a call of a device to its answer, of those that were answered in time.", dialogue, "method")
	for _, method := range callMethods {
		m.calls[method] = calls.WithLabelValues(method)
	}
}

// observe is what the hub is to tell.
func (m *metrics) observe() session.Observe {
	return session.Observe{
		Login: func(took time.Duration) { m.login.Observe(took.Seconds()) },
		Late:  func(late time.Duration) { m.late.Observe(late.Seconds()) },
		Order: func(inner bool, outcome string, took time.Duration) {
			m.orders[orderKind{inner, outcome}].Observe(took.Seconds())
		},
		Call: func(method string, took time.Duration) { m.calls[method].Observe(took.Seconds()) },
	}
}

func (m *metrics) store() {
	m.commit = m.histogram("tether_commit_duration_seconds", "Time of a transaction of the store's writer, those that failed included.", quick).WithLabelValues()
	m.batch = m.histogram("tether_commit_batch_size", "Changes in one transaction of the store's writer.", batches).WithLabelValues()
	m.commitFailures = m.counter("tether_commit_failures_total", "Transactions of the store's writer that failed.").WithLabelValues()
}

// committed is the store's OnCommit.
func (m *metrics) committed(changes int, took time.Duration, err error) {
	m.commit.Observe(took.Seconds())
	m.batch.Observe(float64(changes))
	if err != nil {
		m.commitFailures.Inc()
	}
}

func (m *metrics) north() {
	m.requests, m.durations = map[requestKind]prometheus.Counter{}, map[string]prometheus.Observer{}
	requests := m.counter("tether_http_requests_total", "REST requests answered, by the pattern of their route and the class of their status.", "route", "class")
	durations := m.histogram("tether_http_request_duration_seconds", "Time to answer a REST request; of a stream, its whole life.", waits, "route")
	for _, route := range northapi.Routes() {
		m.durations[route] = durations.WithLabelValues(route)
		for _, class := range statusClasses {
			m.requests[requestKind{route, class}] = requests.WithLabelValues(route, strconv.Itoa(class)+"xx")
		}
	}
}

// answered is the API's Observe.
func (m *metrics) answered(route string, status int, took time.Duration) {
	if c := m.requests[requestKind{route, status / 100}]; c != nil { // or a switch of protocols
		c.Inc()
	}
	m.durations[route].Observe(took.Seconds())
}

func (m *metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	m.registry.MustRegister(h)
	return h
}

func (m *metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(c)
	return c
}

func (m *metrics) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(g)
	return g
}
