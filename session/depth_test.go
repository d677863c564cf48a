//go:build !race

package session

// Lengths of the tests of the core.
const (
	fullDepth  = 5
	someOrders = 200_000
	soakOrders = 10_000_000
)
