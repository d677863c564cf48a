package northapi

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/edgetether/tether/schema"
	"github.com/go-chi/chi/v5"
)

// Base is where the services are; health and the devices' endpoint are
// outside it.
const Base = "/service/devices_manage"

// readyTimeout is how long /readyz waits for Config.Ready.
const readyTimeout = 2 * time.Second

// bodyTimeout is how long a body may take from the request's head to its end.
const bodyTimeout = 10 * time.Second

// Config is what the routes are built of. NewID and the ports but Files are
// required; everything else may be left zero.
type Config struct {
	Devices     Devices
	Groups      Groups
	Relations   Relations
	Records     Records
	Orders      Orders
	Jobs        Jobs
	Keys        Keys
	Sessions    Sessions
	KeySessions KeySessions
	AuditLog    AuditLog
	Files       Files // nil: there are none
	Secrets     Secrets
	EventLog    EventLog
	Feed        *Feed // of all that is committed; nil: streams hear of it late

	// NewID makes the identifiers of devices, groups, orders and keys.
	NewID func() string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Ready says whether the store can be used, for /readyz; nil: always.
	Ready func(ctx context.Context) error
	// Draining says whether the server is stopping: /readyz is then 503, so
	// that no new request is sent here. Orders are refused by Sessions itself,
	// which logs the refusal. nil: never.
	Draining func() bool
	// AuthOff lets every request to a loopback name do everything, under the name "anonymous". It
	// is for loopback addresses alone, which its giver has to see to.
	AuthOff bool
	// KeyRate is how many requests a second one key may make, and twice as many
	// at once; KeyWaiting how many of them may wait at once for their answer, or for it to
	// be taken, streams of events apart. 0 is no limit.
	KeyRate    float64
	KeyWaiting int
	// SessionIdle and SessionLifetime end a log-in that is not used, and one that
	// is; 0 is schema's default.
	SessionIdle, SessionLifetime time.Duration
	// Proxies are the networks of proxies that are believed whom they ask for, by
	// X-Forwarded-For.
	Proxies []netip.Prefix
	// Southbound is the devices' endpoint, served at GET /ws; nil: not served.
	Southbound http.Handler
	// Log is told of what callers are not: errors of the inside, and panics
	// with their stack. route is "METHOD pattern". nil discards.
	Log func(route string, err error)
	// Observe is told of each request that was answered: its route, one of Routes,
	// the status, and how long it took, for a stream its whole life. It is called from
	// many goroutines and must not block. nil discards.
	Observe func(route string, status int, took time.Duration)
	// Version is shown by /healthz.
	Version string
}

// api holds what the handlers share. It is never changed after New.
type api struct {
	Config
	failures *limiter[netip.Prefix]
	limits   *keyLimits
	origins  *http.CrossOriginProtection
	hashing  chan struct{} // is full while a chosen password is hashed
	giving   givings
	router   *chi.Mux
}

// New makes the handler of everything that is served northbound, and of /ws.
// It starts no goroutine and needs no closing.
func New(c Config) http.Handler { return build(c) }

func build(c Config) *api {
	a := &api{
		Config: c.withDefaults(), failures: newFailureLimiter(), limits: newKeyLimits(c.KeyRate, c.KeyWaiting), origins: http.NewCrossOriginProtection(),
		hashing: make(chan struct{}, 1), router: chi.NewRouter(),
	}
	a.router.Use(a.forwarded)
	a.router.NotFound(a.notFound)
	a.router.MethodNotAllowed(a.methodNotAllowed)
	for _, rt := range a.services() {
		a.mount(Base+rt.pattern, rt)
	}
	for _, rt := range slices.Concat(a.probes(), a.streams(), a.logins()) {
		a.mount(rt.pattern, rt)
	}
	for _, rt := range documents() {
		a.mountAs(Documents, rt.pattern, rt)
	}
	if c.Southbound != nil {
		a.router.Get("/ws", func(w http.ResponseWriter, r *http.Request) {
			if !w.(*call).streamed {
				w = w.(*call).ResponseWriter // which takes the connection over
			}
			c.Southbound.ServeHTTP(w, r)
		})
	}
	return a
}

func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Ready == nil {
		c.Ready = func(context.Context) error { return nil }
	}
	if c.Draining == nil {
		c.Draining = func() bool { return false }
	}
	if c.Files == nil {
		c.Files = noFiles{}
	}
	if c.Feed == nil {
		c.Feed = NewFeed()
	}
	if c.Observe == nil {
		c.Observe = func(string, int, time.Duration) {}
	}
	if c.SessionIdle == 0 {
		c.SessionIdle = schema.SessionIdle
	}
	if c.SessionLifetime == 0 {
		c.SessionLifetime = schema.SessionLifetime
	}
	if c.Log == nil {
		c.Log = func(string, error) {}
	}
	return c
}

// millis is the present in the contract's unit.
func (a *api) millis() int64 { return a.Now().UnixMilli() }

// none is a request that has no parameters.
type none struct{}

func (none) bind(*params) {}

// health is the answer of /healthz and /readyz.
type health struct {
	Version string `json:"version"`
}

// healthz says that the process serves; nothing behind it is asked.
func (a *api) healthz(context.Context, caller, none) (health, error) {
	return health{a.Version}, nil
}

// readyz says whether requests should be sent here.
func (a *api) readyz(ctx context.Context, _ caller, _ none) (health, error) {
	if a.Draining() {
		return health{}, schema.ErrDraining
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if a.Ready(ctx) != nil {
		return health{}, schema.ErrStoreUnavailable
	}
	return health{a.Version}, nil
}
