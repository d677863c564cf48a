package sim

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/edgetether/tether/device"
	"github.com/edgetether/tether/schema"
)

// whole is a device as the library makes it, with its journal, its log and its
// figures. Its goroutines are Run's, and one that runs it again after a restart.
type whole struct {
	unit
	cancel context.CancelFunc // ends all of it
	reboot chan struct{}      // capacity 1

	mu       sync.Mutex
	loggedBy string // form of the login that is under way
}

func newWhole(f *fleet, a *Account, index int) *whole {
	return &whole{unit: unit{fleet: f, account: a, id: a.DeviceID, index: index}, reboot: make(chan struct{}, 1)}
}

func (w *whole) start(at moment) {
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	w.fleet.tasks.Go(func() {
		defer w.fleet.halted()
		timer := time.NewTimer(at.since(w.fleet.clock.now()))
		defer timer.Stop()
		select {
		case <-timer.C:
			w.live(ctx)
		case <-ctx.Done():
		}
	})
}

func (w *whole) restart() {
	select {
	case w.reboot <- struct{}{}:
	default:
	}
}

func (w *whole) stop() {
	w.endLine()
	w.cancel()
}

// errRestart is how a restart order ends Run.
var errRestart = errors.New("sim: restart")

// live is the device's processes, one after the other.
func (w *whole) live(ctx context.Context) {
	dir, cleanUp, err := w.stateDir()
	if err != nil {
		w.fleet.stats.failures.add("state folder: " + cause(err.Error()))
		return
	}
	defer cleanUp()
	for ctx.Err() == nil {
		err := w.boot(ctx, dir)
		if errors.Is(err, errRestart) {
			continue
		}
		if err != nil {
			w.fleet.stats.failures.add(cause(err.Error()))
		}
		return // the server's word, or ours
	}
}

// stateDir is beside the fleet's state, where there is one, or temporary.
func (w *whole) stateDir() (dir string, cleanUp func(), err error) {
	if state := w.fleet.options.State; state != "" {
		dir := state + ".d/" + w.account.SN
		return dir, func() {}, os.MkdirAll(dir, 0o700)
	}
	dir, err = os.MkdirTemp("", "tether-sim-")
	return dir, func() { _ = os.RemoveAll(dir) }, err
}

// boot is one process of the device. A restart from outside ends it as an order
// would.
func (w *whole) boot(ctx context.Context, dir string) error {
	d, err := device.New(device.Config{
		URL: w.fleet.url, DeviceID: w.account.DeviceID, Password: w.account.Password, StateDir: dir, MaxTries: -1,
		Client: clientOf("tether-sim-library"), NetDial: w.dial, OnState: w.changed, Logf: w.logged,
		Restart: func() error { return errRestart },
	})
	if err != nil {
		return err
	}
	d.On(w.fleet.options.Order, w.carryOut)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-w.reboot:
		w.endLine()
		cancel()
		return errors.Join(<-ended, errRestart)
	}
}

// endLine says that the connection ends on purpose.
func (w *whole) endLine() {
	if l := w.line.Load(); l != nil {
		l.hurt(ended)
	}
}

func (w *whole) carryOut(ctx context.Context, _ json.RawMessage) (any, error) {
	takes, result := w.fleet.options.carryOut(schema.GiveOrder{})
	timer := time.NewTimer(takes)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w.fleet.stats.given.Add(1)
	if result.Status == schema.ResultFail {
		return nil, errors.New(result.Message)
	}
	return nil, nil
}

// changed is the library's word on the connection.
func (w *whole) changed(state schema.DevState, cause string) {
	if state == schema.Online {
		w.mu.Lock()
		form := w.loggedBy
		w.mu.Unlock()
		w.loggedIn(w.form(form == "token"))
		return
	}
	e := ending{loggedIn: true, reason: cause}
	if m := closedWith.FindStringSubmatch(cause); m != nil {
		code, _ := strconv.Atoi(m[1]) // four digits
		e.code, e.reason = schema.CloseCode(code), m[2]
	}
	w.over(e)
}

var closedWith = regexp.MustCompile(`^closed with (\d{4}) ?(.*)$`)

// logged reads the operation log, the only place where the library says how it
// logged in, and why it did not.
func (w *whole) logged(_ string, args ...any) {
	for _, arg := range args {
		line, _ := arg.(string)
		if strings.HasPrefix(line, "login ok ") {
			_, form, _ := strings.Cut(line, " form=")
			w.mu.Lock()
			w.loggedBy = form
			w.mu.Unlock()
		}
		if text, found := strings.CutPrefix(line, "connect wait "); found && w.missing() {
			_, why, _ := strings.Cut(text, " cause=")
			w.over(ending{reason: strings.Trim(why, `"`)})
		}
	}
}

// missing says that the attempt that has just ended was no login.
func (w *whole) missing() bool { return w.lostAt < w.began }
