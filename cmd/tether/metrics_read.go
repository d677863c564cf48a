package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/edgetether/tether/session"
	"github.com/edgetether/tether/store"
)

// snapshot is what the rooms have counted, at one moment.
type snapshot struct {
	hub      session.Stats
	store    store.Stats
	streams  int
	draining bool
}

func (s *service) snapshot() snapshot {
	return snapshot{s.hub.Stats(), s.store.Stats(), s.feed.Streams(), s.draining()}
}

// reading is one metric that is read from a snapshot: a number, or one for
// each word of a label, or of two.
type reading struct {
	name, help string
	kind       prometheus.ValueType
	one        func(snapshot) float64
	label      string
	many       func(snapshot) map[string]uint64
	outer      string
	table      func(snapshot) map[string]map[string]uint64
}

// readings are all of them.
var readings = []reading{
	{name: "tether_sessions", help: "Connections of devices now, by state: waiting for a login, checking it, claiming the device, online, Unknown, closing.",
		kind: prometheus.GaugeValue, label: "state", many: func(s snapshot) map[string]uint64 { return s.hub.Sessions }},
	{name: "tether_orders_in_flight", help: "Orders now between the taking of their device's slot and the durable outcome.",
		kind: prometheus.GaugeValue, one: func(s snapshot) float64 { return float64(s.hub.OrdersInFlight) }},
	{name: "tether_outcomes_pending", help: "Outcomes of orders that the store has yet to take.",
		kind: prometheus.GaugeValue, one: func(s snapshot) float64 { return float64(s.hub.RetriesPending) }},
	{name: "tether_login_queue_length", help: "Logins that wait for the check of a password that a person chose.",
		kind: prometheus.GaugeValue, one: func(s snapshot) float64 { return float64(s.hub.LoginsQueued) }},
	{name: "tether_login_checks", help: "Checks of such passwords that run now.",
		kind: prometheus.GaugeValue, one: func(s snapshot) float64 { return float64(s.hub.LoginChecks) }},
	{name: "tether_password_checks_total", help: "Such checks that have ended: each takes a core for a quarter of a second.",
		kind: prometheus.CounterValue, one: func(s snapshot) float64 { return float64(s.hub.LoginsChecked) }},
	{name: "tether_logins_total", help: "Logins by their form and how they ended.",
		kind: prometheus.CounterValue, outer: "form", label: "outcome", table: func(s snapshot) map[string]map[string]uint64 { return s.hub.Logins }},
	{name: "tether_login_gate_refusals_total", help: "Logins that were refused without a word on their secret, by reason.",
		kind: prometheus.CounterValue, label: "reason", many: func(s snapshot) map[string]uint64 { return s.hub.GateRefusals }},
	{name: "tether_takeovers_total", help: "Sessions that a newer login of their device replaced.",
		kind: prometheus.CounterValue, one: func(s snapshot) float64 { return float64(s.hub.Takeovers) }},
	{name: "tether_order_refusals_total", help: "Orders that were refused, by the code of the refusal; nothing of them was sent.",
		kind: prometheus.CounterValue, label: "code", many: func(s snapshot) map[string]uint64 { return s.hub.Refusals }},
	{name: "tether_mailbox_refusals_total", help: "Orders that were refused because their device's session was behind.",
		kind: prometheus.CounterValue, one: func(s snapshot) float64 { return float64(s.hub.MailboxFull) }},
	{name: "tether_late_results_total", help: "Results that came after their order was given up.",
		kind: prometheus.CounterValue, one: func(s snapshot) float64 { return float64(s.hub.LateResults) }},
	{name: "tether_messages_received_total", help: "Valid messages of devices by method; response is an answer to a call, other a method that there is not.",
		kind: prometheus.CounterValue, label: "method", many: func(s snapshot) map[string]uint64 { return s.hub.Messages }},
	{name: "tether_malformed_messages_total", help: "Messages of devices of which nothing was valid.",
		kind: prometheus.CounterValue, one: func(s snapshot) float64 { return float64(s.hub.Malformed) }},
	{name: "tether_unasked_responses_total", help: "Responses of devices that nobody waited for.",
		kind: prometheus.CounterValue, one: func(s snapshot) float64 { return float64(s.hub.Unasked) }},
	{name: "tether_received_bytes_total", help: "Bytes received from devices, under TLS if there is any.",
		kind: prometheus.CounterValue, one: func(s snapshot) float64 { return float64(s.hub.BytesReceived) }},
	{name: "tether_sent_bytes_total", help: "Bytes sent to devices, likewise.",
		kind: prometheus.CounterValue, one: func(s snapshot) float64 { return float64(s.hub.BytesSent) }},
	{name: "tether_waiting_bytes", help: "Bytes that wait to be sent to devices whose connections take no more.",
		kind: prometheus.GaugeValue, one: func(s snapshot) float64 { return float64(s.hub.BytesWaiting) }},
	{name: "tether_connections_closed_total", help: "Connections of devices that ended, by close code; none is a connection that broke.",
		kind: prometheus.CounterValue, label: "code", many: func(s snapshot) map[string]uint64 { return s.hub.Closes }},
	{name: "tether_rate_limited_connections_total", help: "Of them, those of devices that sent more than --device-message-rate allows.",
		kind: prometheus.CounterValue, one: func(s snapshot) float64 { return float64(s.hub.RateLimited) }},
	{name: "tether_log_uploads_total", help: "Device logs that devices said to have sent: stored, rejected, or not_checked because store or disk failed.",
		kind: prometheus.CounterValue, label: "outcome", many: func(s snapshot) map[string]uint64 { return s.hub.Uploads }},
	{name: "tether_writer_backlog", help: "Changes that wait for the store's writer.",
		kind: prometheus.GaugeValue, one: func(s snapshot) float64 { return float64(s.store.Waiting) }},
	{name: "tether_writer_callers", help: "Of them, those that somebody waits for.",
		kind: prometheus.GaugeValue, one: func(s snapshot) float64 { return float64(s.store.Callers) }},
	{name: "tether_events_dropped_total", help: "Events and samples that were dropped because the store took none for too long.",
		kind: prometheus.CounterValue, one: func(s snapshot) float64 { return float64(s.store.Dropped) }},
	{name: "tether_store_writable", help: "1 if the last commit succeeded, else 0.",
		kind: prometheus.GaugeValue, one: func(s snapshot) float64 { return truth(s.store.Down == nil) }},
	{name: "tether_event_streams", help: "Streams of events that are open.",
		kind: prometheus.GaugeValue, one: func(s snapshot) float64 { return float64(s.streams) }},
	{name: "tether_draining", help: "1 while the service is stopping, else 0.",
		kind: prometheus.GaugeValue, one: func(s snapshot) float64 { return truth(s.draining) }},
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// reader collects the readings of one service.
type reader struct {
	read  func() snapshot
	descs []*prometheus.Desc
}

// watch has the registry read a service that is made.
func (m *metrics) watch(s *service) {
	r := reader{read: s.snapshot}
	for _, g := range readings {
		var labels []string
		if g.outer != "" {
			labels = append(labels, g.outer)
		}
		if g.label != "" {
			labels = append(labels, g.label)
		}
		r.descs = append(r.descs, prometheus.NewDesc(g.name, g.help, labels, nil))
	}
	m.registry.MustRegister(r)
}

// Describe implements prometheus.Collector.
func (r reader) Describe(to chan<- *prometheus.Desc) {
	for _, d := range r.descs {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (r reader) Collect(to chan<- prometheus.Metric) {
	now := r.read()
	for i, g := range readings {
		tell := func(v float64, labels ...string) {
			to <- prometheus.MustNewConstMetric(r.descs[i], g.kind, v, labels...)
		}
		switch {
		case g.one != nil:
			tell(g.one(now))
		case g.many != nil:
			for word, n := range g.many(now) {
				tell(float64(n), word)
			}
		default:
			for outer, row := range g.table(now) {
				for word, n := range row {
					tell(float64(n), outer, word)
				}
			}
		}
	}
}
