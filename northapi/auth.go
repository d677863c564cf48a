package northapi

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/edgetether/tether/schema"
)

// caller is on whose behalf a request is carried out. Handlers hand its scope
// to every call of the store.
type caller struct {
	by    string // "key:NAME", for the devices' logs
	key   string // the key's identifier
	role  schema.Role
	scope schema.Scope

	session string // the hash of the log-in that is in the key's place; empty: the key itself
	expires int64  // when that ends
}

// keyID is the key's identifier for the audit log; anonymous has none.
func (c caller) keyID() string {
	if c.key == anonymous.key {
		return ""
	}
	return c.key
}

// anonymous is everybody where the server was started with auth off.
var anonymous = caller{by: "anonymous", key: "anonymous", role: schema.Admin, scope: schema.Everything}

// access is what a route asks of its caller.
type access struct {
	role      schema.Role // empty: no key is asked for
	unlimited bool        // a key that is limited to groups may not
}

// What routes ask for. whole is for what lies in no group: a key that is
// limited to groups could not touch what it has made there, and would learn
// from conflicts what others have.
var (
	anyone   = access{}
	viewer   = access{role: schema.Viewer}
	operator = access{role: schema.Operator}
	admin    = access{role: schema.Admin}
	whole    = access{role: schema.Admin, unlimited: true}
)

func (x access) keyed() bool { return x.role != "" }

func (x access) admits(who caller) error {
	if !who.role.Allows(x.role) {
		return schema.Errorf(schema.Forbidden, "forbidden", "Authorization: the key's role must be %s", x.role)
	}
	if x.unlimited && who.scope.Groups != nil {
		return schema.Errorf(schema.Forbidden, "forbidden", "Authorization: the key must not be limited to groups")
	}
	return nil
}

// authenticate finds the caller by its key. None, an unknown and a revoked
// key are answered alike. Failures are slowed by source address, and a good
// key is never held up by them: behind a proxy all callers have one address,
// and a key has too many bits to be guessed.
func (a *api) authenticate(r *http.Request) (caller, error) {
	if a.AuthOff && Loopback(r.Host) { // a page whose host name was turned to this machine has another (T29)
		return anonymous, nil
	}
	who, err := a.identify(r)
	if errors.Is(err, schema.ErrKeyNotFound) {
		err = a.failed(r)
	}
	return who, err
}

// keyCheck is how often what takes long, a stream or an import, asks if its key is
// still good.
const keyCheck = 500 * time.Millisecond

// stillGood is why a request that was let in before may not go on. While the store
// cannot be asked, it may: no revocation was stored either. What else a key may do
// does not change in its life.
func (a *api) stillGood(r *http.Request) error {
	_, err := a.authenticate(r)
	switch schema.KindOf(err) {
	case schema.Unauthenticated, schema.Overloaded:
		return err
	}
	return nil
}

// identify finds the caller, or schema.ErrKeyNotFound. A request that has both a
// key and a cookie is the key's.
func (a *api) identify(r *http.Request) (caller, error) {
	if r.Header.Get("Authorization") == "" {
		return a.byCookie(r)
	}
	secret := bearer(r.Header)
	if secret == "" {
		return caller{}, schema.ErrKeyNotFound
	}
	k, err := a.Keys.KeyByHash(r.Context(), a.Secrets.HashToken(secret))
	if err != nil {
		return caller{}, err
	}
	return callerOf(k), nil
}

// failed is the answer to a request without a good key.
func (a *api) failed(r *http.Request) error {
	if wait := a.failures.charge(source(r.RemoteAddr), a.Now()); wait > 0 {
		limited := schema.Errorf(schema.Overloaded, "too_many_failures", "Authorization: too many requests without a good key")
		limited.RetryAfter = wait
		return limited
	}
	return errUnauthenticated
}

func callerOf(k schema.Key) caller {
	who := caller{by: "key:" + k.Name, key: k.KeyID, role: k.Role}
	if len(k.GroupIDs) > 0 { // an empty list and none both mean: not limited
		who.scope.Groups = k.GroupIDs
	}
	return who
}

// bearer is the key of "Authorization: Bearer <key>"; empty if there is none.
func bearer(h http.Header) string {
	scheme, secret, _ := strings.Cut(h.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(secret)
}
