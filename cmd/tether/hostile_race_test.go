//go:build race

package main

// memoryFactor: the race detector keeps several words for each one of the
// program's. What it leaves of a limit on memory is checked without it.
const memoryFactor = 10
