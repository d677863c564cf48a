package logdrop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/edgetether/tether/schema"
	"golang.org/x/crypto/ssh"
)

// Options say where logs are kept and how much of them.
type Options struct {
	Dir         string // made if absent; nothing else may write there
	HostKeyFile string // ed25519, made at first start with mode 0600; default Dir/.host_ed25519
	// PublicAddress is the host:port that devices are told; default the
	// listener's own, which then must be a definite one.
	PublicAddress string

	MaxBytes      int64 // of one file; default 64 MiB
	KeepPerDevice int   // newest files kept of a device; default 10
	MinFree       int64 // bytes of the file system left free; default 256 MiB, negative: no floor

	Rows Rows                        // required
	Log  func(msg string, kv ...any) // default: silence
}

// Rows keeps the records of received files; the store implements it.
type Rows interface {
	// AddLogFile stores f durably, once for an order, and forgets the device's
	// files beyond the newest keep: it returns those, to be removed.
	AddLogFile(ctx context.Context, f schema.LogFile, keep int) (drop []schema.LogFile, err error)
	// LogFile finds the record of an order's file; otherwise ErrFileNotFound.
	LogFile(ctx context.Context, sc schema.Scope, orderID string) (schema.LogFile, error)
}

// limits bound what strangers and devices may take of the receiver.
type limits struct {
	handshake   time.Duration // from accept to a good password
	idle        time.Duration // silence of a connection
	life        time.Duration // of a connection
	closing     time.Duration // Complete's wait for a handle still open
	handshakes  int           // strangers at once
	perAddress  int           // of them from one address
	connections int           // devices at once
	attempts    int           // of one upload
	path        int           // bytes of what a client calls the file
}

var defaultLimits = limits{
	handshake:   10 * time.Second,
	idle:        30 * time.Second,
	life:        schema.UploadLifetime,
	closing:     5 * time.Second,
	handshakes:  128,
	perAddress:  16,
	connections: 256,
	attempts:    schema.MaxUploads,
	path:        schema.MaxUploadPath,
}

// Receiver is one SFTP server for device logs.
type Receiver struct {
	o      Options
	limits limits
	root   *os.Root
	key    ssh.Signer
	book   *book
	gate   *gate

	ctx   context.Context // ends with Close
	stop  context.CancelFunc
	owned sync.WaitGroup // connections and the sweep

	mu      sync.Mutex
	closers map[closer]struct{} // listeners and connections; nil: closed
	address string              // what devices are told
}

type closer interface{ Close() error }

// Open prepares the directory and the host key. Temporary files of an earlier
// process are removed: their credentials died with it.
func Open(o Options) (*Receiver, error) {
	setDefaults(&o)
	if o.Rows == nil {
		return nil, errors.New("logdrop: Options.Rows is required")
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("logdrop: %w", err)
	}
	key, err := hostKey(o.HostKeyFile)
	if err != nil {
		return nil, fmt.Errorf("logdrop: host key: %w", err)
	}
	root, err := os.OpenRoot(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("logdrop: %w", err)
	}
	if err := emptyIncoming(root); err != nil {
		return nil, errors.Join(fmt.Errorf("logdrop: %w", err), root.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Receiver{
		o: o, limits: defaultLimits, root: root, key: key, address: o.PublicAddress,
		book: newBook(o.KeepPerDevice), gate: newGate(),
		ctx: ctx, stop: stop, closers: map[closer]struct{}{},
	}, nil
}

func setDefaults(o *Options) {
	if o.HostKeyFile == "" {
		o.HostKeyFile = filepath.Join(o.Dir, ".host_ed25519")
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 64 << 20
	}
	if o.KeepPerDevice <= 0 {
		o.KeepPerDevice = 10
	}
	if o.MinFree == 0 {
		o.MinFree = 256 << 20
	}
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
}

// HostKey is the server's public key in authorized_keys form.
func (r *Receiver) HostKey() string {
	line := ssh.MarshalAuthorizedKey(r.key.PublicKey())
	return string(line[:len(line)-1]) // without the newline
}

// Serve accepts connections until Close, and then returns nil.
func (r *Receiver) Serve(l net.Listener) error {
	if err := r.announce(l.Addr()); err != nil {
		return errors.Join(err, l.Close())
	}
	if !r.own(l, r.sweepDaily) {
		return l.Close()
	}
	config := r.serverConfig()
	for pause := time.Duration(0); ; {
		c, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			r.admit(c, config)
		case r.ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("logdrop: %w", err)
		default: // out of descriptors, mostly: wait for some to come back
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			r.o.Log("log receiver cannot accept", "error", err.Error(), "pause", pause.String())
			if !r.wait(pause) {
				return nil
			}
		}
	}
}

// announce settles the address that devices are told.
func (r *Receiver) announce(a net.Addr) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.address != "" {
		return nil
	}
	if tcp, ok := a.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return fmt.Errorf("logdrop: listening on %s, devices must be told a PublicAddress", a)
	}
	r.address = a.String()
	return nil
}

// wait lets d pass; false says that the receiver was closed meanwhile.
func (r *Receiver) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.ctx.Done():
		return false
	}
}

// own runs f in a goroutine that Close ends, by closing c, and waits for; false
// says that it is too late for that.
func (r *Receiver) own(c closer, f func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closers == nil {
		return false
	}
	r.closers[c] = struct{}{}
	r.owned.Go(func() {
		defer r.disown(c)
		f()
	})
	return true
}

func (r *Receiver) disown(c closer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.closers, c)
}

// Close ends all connections and waits for their goroutines. Uploads that
// were not completed are lost. It may be called more than once.
func (r *Receiver) Close() error {
	r.mu.Lock()
	closers := r.closers
	r.closers = nil
	r.mu.Unlock()
	if closers == nil {
		return nil
	}
	r.stop()
	for c := range closers {
		c.Close() // an error says only that it is closed already
	}
	r.owned.Wait()
	return r.root.Close()
}
