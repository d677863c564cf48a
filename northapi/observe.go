package northapi

import "slices"

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
