package logdrop

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"sync"
	"time"

	"github.com/edgetether/tether/schema"
)

// lateResults is how long a whole upload waits, after its credential has
// ended, for a device that lost its connection and hands the result in later.
const lateResults = time.Hour

// book knows the uploads that were issued and have not ended. All live
// equally long, so that the oldest is always the first to go.
type book struct {
	perDevice int // uploads of one device; a further one ends its oldest

	mu       sync.Mutex
	byUser   map[string]*upload
	byOrder  map[string]*upload
	byDevice map[string][]*upload
	queue    []*upload // in the order of issue; may hold removed ones
}

func newBook(perDevice int) *book {
	return &book{
		perDevice: perDevice,
		byUser:    map[string]*upload{},
		byOrder:   map[string]*upload{},
		byDevice:  map[string][]*upload{},
	}
}

// issue enters an upload and returns it with its password, and the uploads
// that have to end for it: an older one of the same order, the device's oldest
// over the limit, and those that are out of date.
func (b *book) issue(order, device string, now time.Time) (u *upload, password string, ended []*upload) {
	// rand.Text is 26 letters and digits, 130 random bits each.
	password = rand.Text()
	u = newUpload(order, device, rand.Text(), sha256.Sum256([]byte(password)), now.Add(schema.UploadLifetime))
	b.mu.Lock()
	defer b.mu.Unlock()
	ended = b.expire(now)
	if old := b.byOrder[order]; old != nil {
		ended = append(ended, b.remove(old))
	}
	if all := b.byDevice[device]; len(all) >= b.perDevice {
		ended = append(ended, b.remove(all[0]))
	}
	b.byUser[u.user] = u
	b.byOrder[order] = u
	b.byDevice[device] = append(b.byDevice[device], u)
	b.queue = append(b.queue, u)
	return u, password, ended
}

func (b *book) expire(now time.Time) (ended []*upload) {
	for len(b.queue) > 0 && !now.Before(b.queue[0].expires.Add(lateResults)) {
		if u := b.queue[0]; b.byOrder[u.order] == u {
			ended = append(ended, b.remove(u))
		}
		b.queue[0] = nil
		b.queue = b.queue[1:]
	}
	return ended
}

func (b *book) remove(u *upload) *upload {
	delete(b.byUser, u.user)
	delete(b.byOrder, u.order)
	rest := slices.DeleteFunc(b.byDevice[u.device], func(v *upload) bool { return v == u })
	if b.byDevice[u.device] = rest; len(rest) == 0 {
		delete(b.byDevice, u.device)
	}
	return u
}

// forget takes an upload out, unless another of the same order replaced it.
func (b *book) forget(u *upload) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byOrder[u.order] == u {
		b.remove(u)
	}
}

func (b *book) find(order string) *upload {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.byOrder[order]
}

// login finds the upload that a user name and password are good for, or nil.
// An unknown name costs the same comparison as a wrong password.
func (b *book) login(user string, password []byte, now time.Time) *upload {
	b.mu.Lock()
	u := b.byUser[user]
	b.mu.Unlock()
	var want [sha256.Size]byte
	if u != nil {
		want = u.secret
	}
	got := sha256.Sum256(password)
	equal := subtle.ConstantTimeCompare(got[:], want[:]) == 1
	if u == nil || !equal || !u.open(now) {
		return nil
	}
	return u
}
