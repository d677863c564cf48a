package session

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// Config is what a hub is made of. Logins, Orders, Queue, Waits, Journal,
// Settler, Verify, Cheap, NewToken and HashToken are required.
type Config struct {
	Settings   Settings
	Node       schema.Node
	Processors int // of the machine; default GOMAXPROCS

	Logins  Logins
	Orders  Orders
	Queue   Queue
	Waits   *Waits
	Journal Journal
	Settler Settler
	Uploads Uploads // nil: devices upload to targets of their own
	Jobs    Jobs    // nil: there are no group orders

	// Verify checks a presented secret; the zero Credential is an unknown
	// device and takes as long. Cheap says whether checking a secret costs
	// microseconds, by its form alone.
	Verify    func(schema.Credential, schema.LoginParams) bool
	Cheap     func(secret string) bool
	NewToken  func() string
	HashToken func(token string) string

	MaxMessage    int           // bytes of a message after login; default schema.MaxMessage
	MessageRate   float64       // messages a second of one device; 0 is no limit
	MessageBurst  int           // and at once; default schema.MessageBurst
	RefusalDelay  time.Duration // from a login to its refusal; default 1 s
	RestartWindow time.Duration // for a new boot_id after a restart; default schema.RestartWindow
	JobGrace      time.Duration // for devices to come back after a start, before a job goes on without them; default 30 s
	Origins       []string      // Origin headers that a WebSocket handshake may carry

	Observe Observe
	Log     *slog.Logger // default: nothing is logged
}

func (c Config) withDefaults() Config {
	c.Settings = c.Settings.withDefaults()
	setDefault(&c.Processors, runtime.GOMAXPROCS(0))
	setDefault(&c.MaxMessage, schema.MaxMessage)
	setDefault(&c.MessageBurst, schema.MessageBurst)
	setDefault(&c.RefusalDelay, time.Second)
	setDefault(&c.RestartWindow, schema.RestartWindow)
	c.Observe = c.Observe.withDefaults()
	setDefault(&c.JobGrace, 30*time.Second)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Hub holds the sessions of this node and finds the one of a device.
type Hub struct {
	cfg   Config
	log   *slog.Logger
	gate  *gate
	twins twins
	clerk *clerk
	meter *meter
	born  time.Time
	jobs  *jobs
	room  *rpc.Room
	door  *door

	ctx    context.Context // of logins and checks of uploads; ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // every goroutine that the hub has started

	mu       sync.Mutex
	sessions map[*Session]struct{} // all connections, logged in or not
	owners   map[string]owner      // by device
	claims   map[*claimTry]struct{}
	epochs   int64 // counter of this incarnation
	draining bool
	closed   bool
	stopping chan struct{} // closed when draining begins
	empty    chan struct{} // closed when the last session of a draining hub is gone
}

// owner is the session that owns a device, at its epoch.
type owner struct {
	session *Session
	epoch   int64
}

// claimTry is a claim on its way through the store. Business may revoke the
// device meanwhile.
type claimTry struct {
	deviceID string
	revoked  string               // why; empty: it was not
	update   *schema.DeviceUpdate // the device's record, changed meanwhile
	waiting  *schema.Order        // an order that was queued meanwhile
}

// New makes a hub. Run is its clerk; Close ends it.
func New(cfg Config) *Hub {
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	h := &Hub{
		cfg: cfg, log: cfg.Log, gate: newGate(&cfg), clerk: newClerk(&cfg), meter: newMeter(), born: time.Now(),
		room: rpc.NewRoom(schema.MaxWaiting),
		ctx:  ctx, cancel: cancel,
		sessions: make(map[*Session]struct{}),
		owners:   make(map[string]owner),
		claims:   make(map[*claimTry]struct{}),
		empty:    make(chan struct{}),
		stopping: make(chan struct{}),
	}
	h.jobs = newJobs(h)
	h.door = newDoor(cfg.Processors)
	h.gate.failed = h.door.failed
	return h
}

// notInBatch are methods that have no place in a batch: what follows a login waits
// for its end, and the one long answer is asked for once at a time (reliability T15).
var notInBatch = []string{schema.MethodLogin, schema.MethodDiscover}

// ServeHTTP upgrades a device's connection and starts its session. It returns
// at once: the handler's goroutine and its stack are not kept.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.door.enter(r.Context()) {
		return
	}
	defer h.door.leave()
	c := h.meter.cell()
	o := rpc.Options{
		MaxMessage: schema.MaxLoginMessage, NotInBatch: notInBatch, Origins: h.cfg.Origins, Totals: &c.Totals,
		PauseAt: schema.PauseOutbox, Room: h.room,
	}
	if h.cfg.MessageRate > 0 {
		o.Admit = rate.NewLimiter(rate.Limit(h.cfg.MessageRate), h.cfg.MessageBurst).Allow
	}
	p, err := rpc.Upgrade(w, r, o)
	if err != nil {
		h.log.Debug("handshake refused", "address", r.RemoteAddr, "error", err)
		return
	}
	h.accept(p, addressOf(r.RemoteAddr), o.Admit, c)
}

// Accept starts the session of a connection, whose message rate is its
// giver's business. While the hub is draining the device is sent away.
func (h *Hub) Accept(p *rpc.Peer) {
	var remote string
	if a := p.RemoteAddr(); a != nil {
		remote = a.String()
	}
	h.accept(p, addressOf(remote), nil, h.meter.cell())
}

func (h *Hub) accept(p *rpc.Peer, source netip.Addr, admit func() bool, c *cell) {
	s := newSession(h, p, source, admit, c, time.Now())
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		p.Abort()
		return
	}
	if h.draining {
		s.stop(drainRequest{retryText(comeBack())})
	}
	h.sessions[s] = struct{}{}
	h.meter.sessions[waiting].Add(1)
	h.wg.Go(s.read)
	h.wg.Go(func() {
		s.run()
		h.gone(s)
	})
}

func (h *Hub) gone(s *Session) {
	s.uncount()
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, s)
	if h.draining && len(h.sessions) == 0 {
		h.closeEmpty()
	}
}

func (h *Hub) closeEmpty() {
	select {
	case <-h.empty:
	default:
		close(h.empty)
	}
}

// claim makes a session the owner of its device: durably in the store, then in
// the hub, where it replaces an older one by epoch.
func (h *Hub) claim(ctx context.Context, o owner, e claimDevice) event {
	h.door.beginClaim()
	defer h.door.endClaim()
	try := h.beginClaim(e.cred.DeviceID)
	token := h.cfg.NewToken()
	now := time.Now()
	expires := now.Add(schema.TokenLifetime).UnixMilli()
	answer, err := h.cfg.Logins.Claim(ctx, schema.Claim{
		DeviceID: e.cred.DeviceID, Epoch: o.epoch, Node: h.cfg.Node.Number, Version: e.cred.Version,
		TokenHash: h.cfg.HashToken(token), TokenExpires: expires,
		BootID: e.params.BootID, Client: e.params.Client,
		Form: formOf(e.params), Address: o.session.source.String(), Now: now.UnixMilli(),
		RestartWindow: h.cfg.RestartWindow,
	})
	committed := err == nil
	if err := h.endClaim(try, err, o); err != nil {
		if committed {
			h.cfg.Journal.Presence(schema.Presence{DeviceID: e.cred.DeviceID, Epoch: o.epoch, State: schema.Offline,
				Reason: cmp.Or(try.revoked, "takeover"), LastSeen: now.UnixMilli(), Now: time.Now().UnixMilli()})
		}
		return claimRefused{err}
	}
	if u := try.update; u != nil && (answer.Update == nil || answer.Update.Version < u.Version) {
		answer.Update = u
	}
	answer.Waiting = cmp.Or(answer.Waiting, try.waiting)
	return claimed{epoch: o.epoch, token: token, expires: expires, answer: answer}
}

// nextEpoch is given to a login when it arrives: of two, the one that came
// later is the newer, however long their checks take.
func (h *Hub) nextEpoch() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.epochs++
	return h.cfg.Node.Incarnation<<32 | h.epochs
}

func (h *Hub) beginClaim(deviceID string) *claimTry {
	h.mu.Lock()
	defer h.mu.Unlock()
	try := &claimTry{deviceID: deviceID}
	h.claims[try] = struct{}{}
	return try
}

// endClaim installs the new owner, unless the claim failed, the device was
// revoked meanwhile, or a newer epoch is here already. The older owner is told
// that it was replaced.
func (h *Hub) endClaim(try *claimTry, err error, o owner) error {
	h.mu.Lock()
	delete(h.claims, try)
	old, replaced := h.owners[try.deviceID]
	switch {
	case err != nil:
		err = claimError(err)
	case try.revoked != "":
		err = schema.ErrLoginFailed
	case replaced && old.epoch > o.epoch:
		err = schema.ErrFenced
	default:
		h.owners[try.deviceID] = o
	}
	h.mu.Unlock()
	if err == nil && replaced {
		h.meter.takeovers.Add(1)
		if now := time.Now(); old.session.speaks() && h.twins.took(try.deviceID, now) {
			h.cfg.Journal.Record(twin(try.deviceID, o.epoch, o.session.source.String(), now))
		}
		old.session.stop(stopRequest{code: schema.CloseTakeover, reason: "takeover", text: "a newer login took over"})
	}
	return err
}

// claimError is what a refused claim means to the device.
func claimError(err error) error {
	switch schema.KindOf(err) {
	case schema.LoginFailed, schema.Fenced:
		return err
	}
	return overloaded(retryAfterStore)
}

// release gives a device up, if epoch still holds it.
func (h *Hub) release(deviceID string, epoch int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o, ok := h.owners[deviceID]; ok && o.epoch == epoch {
		delete(h.owners, deviceID)
	}
}

// find returns the session that owns a device; nil if none is open.
func (h *Hub) find(deviceID string) *Session {
	h.mu.Lock()
	o := h.owners[deviceID]
	h.mu.Unlock()
	if o.session == nil || o.session.live.Load() == nil {
		return nil
	}
	return o.session
}

// uploadTries is how often, a second apart, a file that has arrived is put in
// its place while the store does not answer.
const uploadTries = 10

func (h *Hub) checkUpload(ctx context.Context, e checkUpload) event {
	if h.cfg.Uploads == nil {
		return uploadChecked{e.out, e.to, nil}
	}
	err := h.cfg.Uploads.Complete(ctx, e.out.OrderID, e.data, time.Now())
	for n := 1; n < uploadTries && schema.KindOf(err) == schema.StoreUnavailable && ctx.Err() == nil; n++ {
		sleep(ctx, time.Second)
		err = h.cfg.Uploads.Complete(ctx, e.out.OrderID, e.data, time.Now())
	}
	if e.to != nil && schema.KindOf(err) == schema.NotFound {
		return uploadChecked{e.out, e.to, nil} // a result handed in for an order that had no credential of ours
	}
	h.meter.uploaded(err)
	return uploadChecked{e.out, e.to, err}
}
