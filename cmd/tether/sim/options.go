package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net"
	"time"

	"github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
)

// API is the REST side of the server, which *client.Client is. An error that the
// server answered is a *schema.Error.
type API interface {
	// Call makes a request for a service and decodes its data; body nil: none.
	Call(ctx context.Context, method, service string, body, data any) error
	// DeviceImport sends a file of devices and takes each line of the answer.
	DeviceImport(ctx context.Context, file io.Reader, o client.ImportOptions, take func(client.ImportLine) error) (client.ImportEnd, error)
	// Events is the stream of events, which resumes by itself.
	Events(ctx context.Context, q client.EventQuery) iter.Seq2[schema.Event, error]
}

// refusedAs says whether an error is the server's, with this code.
func refusedAs(err error, code string) bool {
	var e *schema.Error
	return errors.As(err, &e) && e.Code == code
}

// Options say what is simulated. Devices, URL and API are required; all else
// may be left zero.
type Options struct {
	Devices int
	URL     string // ws://host:port/ws
	API     API
	Prefix  string // of names and serial numbers, by which a later run finds its devices; default sim
	State   string // file of ids, passwords and tokens; empty: none is kept
	Cleanup bool   // delete the devices at the end
	Bcrypt  int    // how many devices have a password that is checked with bcrypt
	Group   string // put the devices into this group

	Mode    Mode
	Patient bool          // devices never hang up
	Sources int           // addresses of loopback that connections come from; 0: the kernel's choice
	Rate    float64       // first connects a second; default 500
	Spread  time.Duration // or all of them at random within this time
	For     time.Duration // of the whole run, from the first connect; 0: until ctx ends

	Order         string // the order that is given, and that devices know; default sim
	OrderDelay    time.Duration
	OrderFailures float64 // share that fails
	Orders        float64 // orders a second, to random devices
	Callers       int     // requests at once; default 16
	GroupOrder    bool    // give the group one order
	MaxParallel   int     // of it; 0: the server's default

	Faults  Faults
	Meter   Meter  // reads the server's figures; nil: nobody does
	Command string // for messages: what to call the program

	// Handler replaces what lean devices do with orders.
	Handler Handler
	// Dial replaces the network, for tests.
	Dial func(ctx context.Context, network, address string, source net.IP) (net.Conn, error)
	// Show is told how it stands, every ShowEvery.
	Show      func(Progress)
	ShowEvery time.Duration
	// Say is told of the steps.
	Say func(format string, args ...any)
}

// Mode is how devices are simulated.
type Mode string

// The modes.
const (
	Auto    Mode = "auto"    // by the library up to MaxLibrary devices, lean above
	Library Mode = "library" // by package device, with all that a device does
	Lean    Mode = "lean"    // with the wire and the times of a device alone
)

// MaxLibrary is up to how many devices Auto takes the library.
const MaxLibrary = 200

// Faults are what goes wrong on purpose. The zero value is nothing.
type Faults struct {
	Flap        float64       // share of the devices that lose their connection now and then
	HalfOpen    int           // devices whose line goes silent again and again, without a FIN
	Slow        int           // devices that send and never read
	Herd        time.Duration // all connections are dropped at once, this long after the last arrived; 0: never
	Churn       float64       // devices a second that restart in good order
	WrongLogins float64       // logins a second with a wrong secret, from addresses of their own
}

func (o Options) withDefaults() (Options, error) {
	setDefault(&o.Prefix, "sim")
	setDefault(&o.Mode, Auto)
	setDefault(&o.Rate, 500)
	setDefault(&o.Order, "sim")
	setDefault(&o.Callers, 16)
	setDefault(&o.Command, "tether sim")
	setDefault(&o.ShowEvery, time.Second)
	if o.Dial == nil {
		o.Dial = dialFrom
	}
	if o.Show == nil {
		o.Show = func(Progress) {}
	}
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	if o.Handler == nil {
		o.Handler = o.carryOut
	}
	if o.Mode == Auto {
		o.Mode = Lean
		if o.Devices <= MaxLibrary {
			o.Mode = Library
		}
	}
	return o, o.Check()
}

func setDefault[T comparable](v *T, standard T) {
	var zero T
	if *v == zero {
		*v = standard
	}
}

// maxPerSource is how many ports the kernel gives one source address.
const maxPerSource = 28_000

// Check says what cannot be meant. It needs no API.
func (o *Options) Check() error {
	f := &o.Faults
	switch {
	case o.Devices < 1:
		return errors.New("--devices: at least 1")
	case o.Bcrypt < 0 || o.Bcrypt > o.Devices:
		return errors.New("--bcrypt: 0 to --devices")
	case o.Sources > 0 && o.Devices > o.Sources*maxPerSource:
		return fmt.Errorf("--sources %d: one address has ports for %d devices", o.Sources, maxPerSource)
	case f.Flap < 0 || f.Flap > 1:
		return errors.New("--flap: a share, 0 to 1")
	case o.OrderFailures < 0 || o.OrderFailures > 1:
		return errors.New("--order-failures: a share, 0 to 1")
	case f.HalfOpen < 0 || f.Slow < 0 || f.HalfOpen+f.Slow > o.Devices:
		return errors.New("--half-open, --slow: together at most --devices")
	case o.GroupOrder && o.Group == "":
		return errors.New("--group-order: needs --group")
	case o.Rate < 0 || o.Orders < 0 || f.Churn < 0 || f.WrongLogins < 0 || o.Callers < 0:
		return errors.New("a rate is not negative")
	case o.Mode == Library && o.Patient:
		return errors.New("--patient: the library hangs up; --mode lean")
	}
	return nil
}

// carryOut is what a simulated device does with an order.
func (o *Options) carryOut(schema.GiveOrder) (time.Duration, *schema.OrderResult) {
	if rand.Float64() < o.OrderFailures {
		return o.OrderDelay, failed(simulatedFailure)
	}
	return o.OrderDelay, &schema.OrderResult{Status: schema.ResultSuccess, Message: "done"}
}

const simulatedFailure = "failed, as --order-failures wants it"
