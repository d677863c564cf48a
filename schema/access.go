package schema

import "encoding/json"

// KeySession is a log-in with an API key, after which a cookie stands for the
// key. What the cookie holds is kept as its hash alone.
type KeySession struct {
	KeyID       string
	CreatedTime int64
	UsedTime    int64 // to the minute
	ExpiresTime int64 // whatever it is used for
}

// Login is a log-in that is to be kept.
type Login struct {
	KeySession
	Hash     string // of what the cookie holds
	Replaces string // the hash of a session that ends with it; empty: none
	Idle     int64  // ms after which sessions that were not used have ended
	Most     int    // sessions of one key; the oldest ends for one more
}

// Audit is a line of the audit log: who asked for a change, from where, and
// what was answered. No secret is in it.
type Audit struct {
	AuditID string          `json:"audit_id"`
	Time    int64           `json:"time"`
	By      string          `json:"by"`      // "key:NAME", or what else made the change
	KeyID   string          `json:"key_id"`  // empty: it was no key
	Address string          `json:"address"` // empty: this machine's own tool
	Service string          `json:"service"` // "device_add", …
	Target  json.RawMessage `json:"target"`  // an object: the identifiers that it was about
	Status  int64           `json:"status"`  // HTTP
	Code    string          `json:"code"`    // of a failure; empty: success
}

// AuditLost is Audit.Service of the line that tells how many lines were lost
// while the database took no writes.
const AuditLost = "audit_lost"

// AuditFilter narrows the audit log. Empty members match all.
type AuditFilter struct {
	Since   int64 // inclusive
	Until   int64 // exclusive
	By      string
	Service string
}
