//go:build race

package session

// Lengths of the tests of the core under the race detector.
const (
	fullDepth  = 3
	someOrders = 20_000
	soakOrders = 200_000
)
