package schema

import "time"

// Limits and times of the two contracts. Those that are settings have their
// default here.
const (
	MaxMessage      = 64 << 10 // bytes of one WebSocket message
	MaxLoginMessage = 4 << 10  // bytes of a message before login
	MaxBatch        = 64       // members of a batch
	MaxFragments    = 64       // fragments of a message
	MaxDepth        = 32       // JSON nesting
	MaxNumber       = 32       // characters of a JSON number
	MaxMalformed    = 20       // malformed messages or unasked responses in a row
	MaxCustom       = 8 << 10  // bytes of StatusInfo.Custom
	MaxUnsettled    = 64       // order ids in a login result
	MaxQueued       = 16       // orders that wait for a device
	MaxUploads      = 16       // attempts at one log upload
	MaxUploadPath   = 4 << 10  // bytes of what the device calls the file
	MaxOnceKey      = 255      // bytes of an Idempotency-Key
	MaxBody         = 1 << 20  // bytes of an HTTP body
	MaxImportLine   = 64 << 10 // bytes of a line of device_import

	// Bytes that wait for a peer that does not read (reliability F03).
	PauseOutbox = 4 << 10   // beyond which it is not listened to
	LeastOutbox = 64 << 10  // that each may have, whatever waits for the others
	MaxOutbox   = 1 << 20   // beyond which it is closed
	MaxWaiting  = 128 << 20 // for all together, beyond which each has LeastOutbox

	KeyRate       = 1000 // requests a second of one API key, and twice that at once
	KeyWaiting    = 5000 // requests of one API key that wait for their answer, or for it to be taken; streams of events have limits of their own
	MaxKeySession = 16   // log-ins of one API key

	MaxChecks = 32              // logins that wait for the check of a password that a person chose
	CheckWait = 8 * time.Second // and for how long they would: their device gives up after 10 s

	// More logins a second and processor than that which fail or are held back are a
	// flood of strangers. While it lasts, connections are taken at a rate, likewise,
	// that leaves the processors time for who is logged in (reliability F21, T7).
	FloodFailing = 300
	FloodRate    = 375

	MessageRate  = 20  // messages a second of one device
	MessageBurst = 100 // and at once

	MinPassword = 8  // bytes
	MaxPassword = 72 // bytes: bcrypt ignores what follows

	DefaultPageLimit = 100
	MaxPageLimit     = 1000

	LoginTimeout   = 5 * time.Second  // from the upgrade to the login request
	MessageTimeout = 10 * time.Second // from a message's first byte to its last
	WriteTimeout   = 10 * time.Second // for each write

	FirstDue    = 7500 * time.Millisecond // silence tolerated at failure count 0
	NextDue     = 5500 * time.Millisecond // and at 1 and 2
	MaxFailures = 3

	OrderTimeout  = 10 * time.Second // for a device's reply
	IntentTimeout = 2 * time.Second  // for the store to commit an order's intent
	RestartWindow = 60 * time.Second // for a new boot_id after a restart
	RestartGrace  = 3 * time.Second  // the device's wait for restart_confirm
	QueueTTL      = time.Hour        // of an order that waits, where ttl_s does not say
	MaxQueueTTL   = 7 * 24 * time.Hour
	OnceLifetime  = 24 * time.Hour // of an Idempotency-Key

	PingInterval   = 5 * time.Second
	StatusInterval = 15 * time.Second
	ReplyTimeout   = 3 * time.Second
	ReconnectDelay = 10 * time.Second // with 20 % jitter
	PolicyDelay    = 60 * time.Second // back-off after 1008 and 4409

	TokenLifetime   = 30 * 24 * time.Hour
	UnsettledWindow = 7 * 24 * time.Hour
	MinHistoryStep  = time.Second
	MaxHistoryStep  = 31 * 24 * time.Hour
	UploadLifetime  = 10 * time.Minute // of a log receiver's credential

	SessionIdle     = 30 * time.Minute // of a log-in that is not used
	SessionLifetime = 12 * time.Hour   // of one that is
	UsedEvery       = time.Minute      // how often it is noted that a key or a log-in was used
)

// TokenPrefix and PasswordPrefix begin secrets that the server made: 192
// random bits or more, checked by SHA-256. KeyPrefix begins an API key, SessionPrefix
// what the cookie of a log-in holds.
const (
	TokenPrefix    = "tt_"
	PasswordPrefix = "tp_"
	KeyPrefix      = "tk_"
	SessionPrefix  = "ts_"
)
