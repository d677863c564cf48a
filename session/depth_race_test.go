//go:build race

package session

const fullDepth = 3
