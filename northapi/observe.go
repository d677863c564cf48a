package northapi

import (
	"net/http"
	"slices"
	"time"
)

// The routes of Config.Observe that are no row of the table.
const (
	// NoRoute stands for all requests that no route is for: paths that strangers
	// make up are no words of ours (reliability T45).
	NoRoute = "none"
	// Documents stands for all that the service tells about itself.
	Documents = "documents"
)

// Routes are all routes that Config.Observe may name: "GET /readyz".
func Routes() []string {
	a := &api{}
	var names []string
	for _, rt := range a.services() {
		names = append(names, rt.method+" "+Base+rt.pattern)
	}
	for _, rt := range slices.Concat(a.probes(), a.streams(), a.logins()) {
		names = append(names, rt.method+" "+rt.pattern)
	}
	return append(names, Documents, NoRoute)
}

// observed measures what h does with a request.
func (a *api) observed(name string, h func(*statusWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() { a.Observe(name, seen.status, time.Since(began)) }()
		h(seen, r)
	}
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader notes it on its way.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController find what is underneath.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
