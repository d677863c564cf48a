// Package conform holds a client against the southbound contract: it is a
// server that walks one device through scenarios, and says which rule was
// broken, and what was seen in its place.
package conform
