// Package schema holds the words that all rooms share: the domain types
// (Device, Group, Order, Event), the messages of the southbound contract, the
// kinds of error, and the constants (methods, close codes, limits) of both
// contracts.
//
// It owns no goroutine, imports the standard library only, and decides
// nothing but what is well-formed: a Validate method names the member at
// fault and says what is wrong with it, in a form that may be shown outside.
//
// Times are integer milliseconds since the Unix epoch (type int64, members
// named …_time). Identifiers are decimal strings: a snowflake does not fit a
// double. Struct tags use omitzero, which encoding/json and its successor
// understand alike.
package schema
