package logdrop

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/edgetether/tether/schema"
	"github.com/pkg/sftp"
)

// checkEvery is how many bytes are written between two looks at the free
// space.
const checkEvery = 1 << 20

// errCut is what a writer gets whose upload went on without it.
var errCut = errors.New("the upload was ended")

// upload is one order's file on its way. Its temporary file exists while a
// writer holds it and once it is whole.
type upload struct {
	order, device string
	user          string
	secret        [32]byte // SHA-256 of the password
	expires       time.Time

	// turn is held by the one call of Complete that is at work.
	turn chan struct{}

	mu     sync.Mutex
	writer *writer // nil: no handle is open
	begun  int     // attempts so far
	path   string  // what the client called the file
	size   int64   // highest byte written, plus one
	whole  bool    // the client closed the handle
	over   bool    // completed, refused or replaced: nothing may be written
	why    string  // what broke the latest attempt

	// Of Complete alone, under turn.
	placed bool               // the file has its final name
	done   *schema.UploadData // what was completed
}

func newUpload(order, device, user string, secret [32]byte, expires time.Time) *upload {
	return &upload{
		order: order, device: device, user: user, secret: secret, expires: expires,
		turn: make(chan struct{}, 1), why: "nothing was uploaded",
	}
}

// temp is the upload's temporary name. Identifiers have no dot.
func (u *upload) temp() string { return incoming + "/" + u.device + "." + u.order + ".part" }

// open says whether a file may still be begun.
func (u *upload) open(now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.over && !u.whole && now.Before(u.expires)
}

// begin opens the temporary file, empty. A writer that still holds it loses it.
func (u *upload) begin(r *Receiver, path string) (*writer, error) {
	if len(path) > r.limits.path || !u.open(time.Now()) {
		return nil, sftp.ErrSSHFxPermissionDenied
	}
	if err := r.room(); err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.begun == r.limits.attempts { // whoever writes goes on
		return nil, sftp.ErrSSHFxPermissionDenied
	}
	u.abandon(r, "the device began anew")
	if u.over || u.whole { // meanwhile
		return nil, sftp.ErrSSHFxPermissionDenied
	}
	u.begun++
	f, err := r.root.OpenFile(u.temp(), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		r.o.Log("log upload cannot be stored", "order_id", u.order, "error", err.Error())
		return nil, sftp.ErrSSHFxFailure
	}
	u.path, u.size = path, 0
	u.writer = &writer{r: r, u: u, f: f, ended: make(chan struct{})}
	return u.writer, nil
}

// abandon takes the file from its writer, if there is one, and removes it.
// The caller holds mu.
func (u *upload) abandon(r *Receiver, why string) {
	w := u.writer
	if w == nil {
		return
	}
	u.writer, u.why = nil, why
	w.f.Close() // its bytes are not wanted: no error matters
	r.discard(u.temp())
	close(w.ended)
}

// end makes the upload's credential void and removes what it brought.
func (u *upload) end(r *Receiver) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.over = true
	u.abandon(r, "the upload was ended")
	if u.whole && !u.placed {
		r.discard(u.temp())
	}
	u.whole = false
}

// state tells what Complete has to know: the channel to wait on while a
// handle is open, and whether the upload is whole, or why it is not.
func (u *upload) state() (busy <-chan struct{}, whole bool, why string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.writer != nil {
		return u.writer.ended, false, ""
	}
	return nil, u.whole, u.why
}

// named tells the size of the file that the client knows as path.
func (u *upload) named(path string) (size int64, known bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.size, path == u.path && (u.writer != nil || u.whole)
}

// writer is the handle of one attempt. pkg/sftp calls WriteAt from several
// goroutines, and not in the order in which the client sent: hence any
// position under the cap is taken, and the hash is left to Complete.
type writer struct {
	r       *Receiver
	u       *upload
	f       *os.File
	checked int64         // the size at the last look at the free space
	ended   chan struct{} // closed when the handle is given back or lost
}

// WriteAt writes within the cap. After an error the attempt is over: a file
// with a hole must not be closed as whole.
func (w *writer) WriteAt(p []byte, off int64) (int, error) {
	w.u.mu.Lock()
	defer w.u.mu.Unlock()
	if w.u.writer != w {
		return 0, errCut
	}
	if off < 0 || off > w.r.o.MaxBytes-int64(len(p)) {
		return 0, w.fail(fmt.Sprintf("the file is larger than %d bytes", w.r.o.MaxBytes))
	}
	if off+int64(len(p))-w.checked >= checkEvery {
		if err := w.r.room(); err != nil {
			return 0, w.fail(err.Error())
		}
		w.checked = off + int64(len(p))
	}
	n, err := w.f.WriteAt(p, off)
	w.u.size = max(w.u.size, off+int64(n))
	if err != nil {
		w.r.o.Log("log upload cannot be stored", "order_id", w.u.order, "error", err.Error())
		return n, w.fail("the server could not store it")
	}
	return n, nil
}

// fail ends the attempt; why is told to the client and to Complete.
func (w *writer) fail(why string) error {
	w.u.abandon(w.r, why)
	return errors.New(why)
}

// TransferError is called by pkg/sftp, before Close, where the connection
// ended and the client had not closed the handle.
func (w *writer) TransferError(error) {
	w.u.mu.Lock()
	defer w.u.mu.Unlock()
	if w.u.writer == w {
		w.u.abandon(w.r, "the connection ended before the file did")
	}
}

// Close is the client's word that the file is whole.
func (w *writer) Close() error {
	w.u.mu.Lock()
	defer w.u.mu.Unlock()
	if w.u.writer != w {
		return errCut
	}
	if err := w.f.Close(); err != nil {
		return w.fail("the server could not store it")
	}
	w.u.writer, w.u.whole = nil, true
	close(w.ended)
	return nil
}
