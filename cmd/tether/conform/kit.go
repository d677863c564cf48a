package conform

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgetether/tether/schema"
)

// scenarios are all that a client is walked through, in their order.
func scenarios() []scenario[*bench] {
	return slices.Concat(loginScenarios, livenessScenarios, orderScenarios, settleScenarios, restartScenarios,
		closeScenarios(), hostileScenarios, []scenario[*bench]{wireScenario})
}

// wireScenario comes last: it has nothing to do but to tell what was found.
var wireScenario = scenario[*bench]{
	name: "every-message", title: "What every message of the run was held against",
	rules: everyMessage,
	run: func(b *bench) error {
		if b.judge.frames == 0 {
			return &unexercised{"there was none"}
		}
		for _, r := range everyMessage {
			faults := b.judge.faults[r.key]
			b.check(r.key, len(faults) == 0, "no message to the contrary", "%s", strings.Join(faults, "; "))
		}
		return nil
	},
}

// kit is one run: the server that the client talks to, and what it remembers.
type kit struct {
	o        Options
	ctx      context.Context
	arrivals chan *session
	judge    *judge
	client   *client

	mu    sync.Mutex
	ended bool // no connection is taken any more
	tasks sync.WaitGroup

	current *session // the newest that a scenario has; it may have ended
	tokens  []string // good ones, the newest last
	serial  int64    // of tokens and orders
	met     bool     // the client has been here
	absent  int      // scenarios in a row that it did not come to
}

// maxArrivals wait for a scenario; more are turned away.
const maxArrivals = 16

// Run walks the client through the scenarios and says what it saw. The error
// is of the call or of the kit itself; what the client does wrong is in the
// report. When it returns, nothing of the run is left.
func Run(ctx context.Context, o Options) (*Report, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	k := &kit{
		o: o, ctx: ctx, arrivals: make(chan *session, maxArrivals), judge: newJudge(o.Device),
		client: &client{launch: o.Launch, env: o.environment(), folder: o.StateDir},
	}
	if err := k.client.freshState(); err != nil {
		cancel()
		return nil, err
	}
	o.Say("Serving %s: device_id %s, sn %s, model %s, password %s", o.URL, o.Device.ID, o.Device.SN, o.Device.Model, o.Device.Password)
	if o.Launch == nil {
		o.Say("Start your client as this device, by device_id and password, without a token of before.")
	}
	web := &http.Server{Handler: http.HandlerFunc(k.serve), ReadHeaderTimeout: schema.LoginTimeout}
	k.tasks.Go(func() { _ = web.Serve(o.Listener) })
	report := k.walk()
	k.client.stop(errStopped)
	err = context.Cause(ctx)
	cancel()
	k.endAll()
	if closed := web.Close(); err == nil && !errors.Is(closed, net.ErrClosed) {
		err = closed
	}
	k.tasks.Wait()
	return report, err
}

// maxAbsent scenarios in a row without the client end the walk.
const maxAbsent = 2

// walk runs the scenarios, one after the other.
func (k *kit) walk() *Report {
	r := &Report{Of: "the client", Tolerance: k.o.tolerance(), Started: time.Now()}
	for _, s := range scenarios() {
		if len(k.o.Only) > 0 && !slices.Contains(k.o.Only, s.name) && s.name != wireScenario.name {
			continue
		}
		k.judge.scenario = s.name
		b := &bench{kit: k, sheet: newSheet(s.rules)}
		if k.absent >= maxAbsent && s.name != wireScenario.name {
			s.run = func(*bench) error { return &unexercised{"the client did not come any more"} }
		}
		result := perform(k.ctx, s, b, b.sheet)
		r.Results = append(r.Results, result)
		k.o.Say("%-13s  %s", result.outcome(), s.name)
	}
	return r
}

// serve takes a connection of the client. Its goroutine goes on as the reader.
func (k *kit) serve(w http.ResponseWriter, r *http.Request) {
	traits := traitsOf(r)
	if traits.path != "/ws" {
		http.NotFound(w, r)
		return
	}
	k.mu.Lock()
	if k.ended {
		k.mu.Unlock()
		http.Error(w, "the run is over", http.StatusServiceUnavailable)
		return
	}
	k.tasks.Add(1)
	k.mu.Unlock()
	defer k.tasks.Done()
	u := websocket.Upgrader{
		Subprotocols: []string{schema.Subprotocol}, HandshakeTimeout: schema.LoginTimeout,
		CheckOrigin: func(*http.Request) bool { return true }, // the judge tells
	}
	ws, err := u.Upgrade(w, r, nil)
	if err != nil {
		return // it has answered
	}
	defer ws.Close() //nolint:errcheck // the reader has ended
	s := newSession(k.ctx, ws, traits)
	s.log, s.judge = k.o.Log, k.judge
	select {
	case k.arrivals <- s:
	default:
		return
	}
	stop := context.AfterFunc(k.ctx, func() { ws.Close() }) //nolint:errcheck // the run is over
	defer stop()
	s.read()
}

// endAll refuses what comes from now on. Connections end with the context.
func (k *kit) endAll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended = true
}

// newToken makes the credential of a login. The newest two are good.
func (k *kit) newToken() string {
	k.serial++
	token := fmt.Sprintf("%sconform-%032d", schema.TokenPrefix, k.serial)
	k.tokens = append(k.tokens, token)
	k.tokens = k.tokens[max(0, len(k.tokens)-2):]
	return token
}

// newOrderID makes the identifier of an order.
func (k *kit) newOrderID() string {
	k.serial++
	return fmt.Sprint(7_000_000_000_000_000_000 + k.serial)
}
