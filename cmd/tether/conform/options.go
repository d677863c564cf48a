package conform

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/edgetether/tether/schema"
)

// Identity is the one device that the kit knows.
type Identity struct {
	ID, SN, Model, Password string
}

// Slack is what a client may be off by. The zero value is exact: for virtual time.
type Slack struct {
	Part  float64       // of the time that is measured
	Fixed time.Duration // and beside that
}

// late is the most that a time of d may take, early the least.
func (s Slack) late(d time.Duration) time.Duration {
	return d + time.Duration(float64(d)*s.Part) + s.Fixed
}

func (s Slack) early(d time.Duration) time.Duration {
	return max(0, d-time.Duration(float64(d)*s.Part/5)-s.Fixed/4)
}

// Options say whom a run tests, and how. Listener and Device are required.
type Options struct {
	// Listener is where the client connects; the run closes it.
	Listener net.Listener
	// URL is what the client is told to dial. Default: ws://, the listener's
	// address, /ws.
	URL    string
	Device Identity

	// TimeScale is by what the client's own fixed times were multiplied when it
	// was started: the 10 s before a reconnect, the 60 s of a back-off, the 3 s
	// before a restart, the 10 s for a login's reply. Default 1.
	TimeScale float64
	// HeartbeatScale multiplies the intervals that a login result tells: a
	// client that heeds them needs no scale of its own. Default 1.
	HeartbeatScale float64
	Slack          Slack

	// Launch starts the client; default: a person does, who is told when.
	Launch Launch
	// StateDir is where the state folders of a launched client are made.
	StateDir string
	// Patience is how long a person has to start the client.
	Patience time.Duration

	// EchoOrder and SleepOrder are the two orders that the client carries out.
	// Default conform_echo and conform_sleep.
	EchoOrder, SleepOrder string

	Only []string                         // scenarios by name; default: all
	Say  func(format string, args ...any) // progress, and what a person has to do
	Log  func(line string)                // the conversation
}

func (o Options) withDefaults() (Options, error) {
	setDefault(&o.TimeScale, 1)
	setDefault(&o.HeartbeatScale, 1)
	setDefault(&o.EchoOrder, "conform_echo")
	setDefault(&o.SleepOrder, "conform_sleep")
	setDefault(&o.Patience, 2*time.Minute)
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	switch {
	case o.Listener == nil:
		return o, errors.New("conform: Listener: required")
	case schema.CheckID("", o.Device.ID) != nil:
		return o, errors.New("conform: Device.ID: must be decimal digits")
	case o.Device.SN == "" || o.Device.Model == "" || o.Device.Password == "":
		return o, errors.New("conform: Device: SN, Model and Password are required")
	case !(o.TimeScale > 0 && o.TimeScale <= 1) || !(o.HeartbeatScale > 0 && o.HeartbeatScale <= 1):
		return o, errors.New("conform: a scale is more than 0 and at most 1")
	case o.Launch != nil && o.StateDir == "":
		return o, errors.New("conform: StateDir: required with Launch")
	}
	if o.URL == "" {
		o.URL = "ws://" + o.Listener.Addr().String() + "/ws"
	}
	return o, checkNames(o.Only, scenarios())
}

func setDefault[T comparable](v *T, standard T) {
	var zero T
	if *v == zero {
		*v = standard
	}
}

// checkNames finds a scenario that there is not.
func checkNames[B any](only []string, all []scenario[B]) error {
	for _, name := range only {
		if !slices.ContainsFunc(all, func(s scenario[B]) bool { return s.name == name }) {
			return fmt.Errorf("conform: no scenario is called %q", name)
		}
	}
	return nil
}

// environment is what a launched client is told.
func (o Options) environment() map[string]string {
	return map[string]string{
		"TETHER_URL": o.URL, "TETHER_TIME_SCALE": strconv.FormatFloat(o.TimeScale, 'g', -1, 64),
		"TETHER_DEVICE_ID": o.Device.ID, "TETHER_DEVICE_SN": o.Device.SN, "TETHER_DEVICE_MODEL": o.Device.Model,
		"TETHER_PASSWORD": o.Device.Password,
	}
}

// scaled is a fixed time of the contract as the client was told to keep it.
func (o Options) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) * o.TimeScale)
}

// beat is an interval of the heartbeat as the login result tells it.
func (o Options) beat(d time.Duration) time.Duration {
	return time.Duration(float64(d) * o.HeartbeatScale).Round(time.Millisecond)
}

// tolerance says in a report what passes.
func (o Options) tolerance() string {
	exact := o.Slack == Slack{}
	if exact && o.TimeScale == 1 && o.HeartbeatScale == 1 {
		return "Times are the contract's and are held exactly."
	}
	text := fmt.Sprintf("Fixed times of the contract are multiplied by %g, intervals of the heartbeat by %g.", o.TimeScale, o.HeartbeatScale)
	if exact {
		return text + " They are held exactly."
	}
	return text + fmt.Sprintf("\nA time may be %g %% and %v late, %g %% and %v early.",
		o.Slack.Part*100, o.Slack.Fixed, o.Slack.Part*20, o.Slack.Fixed/4)
}
