package northapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/edgetether/tether/schema"
)

// A log-in exchanges a key for a cookie, so that a page of a browser need not
// keep the key where its scripts can read it. The cookie stands for the key: it
// has its role and groups as they are now, counts against its limits, and ends with it.

// KeySessions keeps log-ins. What a cookie holds comes here as its hash alone.
type KeySessions interface {
	// AddKeySession keeps a log-in, and ends the one that it replaces. A key that
	// is not good (any more) is schema.ErrKeyNotFound.
	AddKeySession(ctx context.Context, l schema.Login) error
	// KeySession finds a log-in that was used in the last idle milliseconds, and
	// its key; otherwise schema.ErrKeyNotFound.
	KeySession(ctx context.Context, hash string, idle, now int64) (schema.Key, schema.KeySession, error)
	EndKeySession(ctx context.Context, hash string) error
	// UsedKeySession notes that a log-in was used; it does not wait.
	UsedKeySession(hash string, now int64)
}

// The names of the cookie. Browsers take the first from nobody but this host
// over TLS; over plain HTTP they take the second alone.
const (
	secureCookie = "__Host-tether"
	plainCookie  = "tether"
)

func cookieName(r *http.Request) string {
	if secure(r) {
		return secureCookie
	}
	return plainCookie
}

// cookie makes the cookie of an answer to r; a life of 0 ends it.
func cookie(r *http.Request, value string, life time.Duration) *http.Cookie {
	c := &http.Cookie{
		Name: cookieName(r), Value: value, Path: "/", MaxAge: int(life / time.Second),
		HttpOnly: true, Secure: secure(r), SameSite: http.SameSiteStrictMode,
	}
	if life <= 0 {
		c.MaxAge = -1
	}
	return c
}

// presented is the hash of what r's cookie holds; empty if there is none.
func (a *api) presented(r *http.Request) string {
	c, err := r.Cookie(cookieName(r))
	if err != nil || c.Value == "" {
		return ""
	}
	return a.Secrets.HashToken(c.Value)
}

// byCookie finds the caller of a request that has a cookie in place of a key.
func (a *api) byCookie(r *http.Request) (caller, error) {
	hash := a.presented(r)
	if hash == "" {
		return caller{}, schema.ErrKeyNotFound
	}
	k, l, err := a.KeySessions.KeySession(r.Context(), hash, a.SessionIdle.Milliseconds(), a.millis())
	if err != nil {
		return caller{}, err
	}
	who := callerOf(k)
	who.session, who.expires = hash, l.ExpiresTime
	return who, nil
}

// errCrossOrigin answers a change that another site may have made a browser ask for.
var errCrossOrigin = schema.Errorf(schema.Forbidden, "cross_origin", "Origin: a change by cookie must come from this server's own pages")

// sameOrigin refuses a change that a browser was made to ask for by a page of
// another origin (reliability T29). A cookie goes along by itself, and so the
// browser must say by Sec-Fetch-Site or Origin where the request began; a key does not.
func (a *api) sameOrigin(r *http.Request, byCookie bool) error {
	says := r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Origin") != ""
	if a.origins.Check(r) != nil || byCookie && r.Method != get && !says {
		return errCrossOrigin
	}
	return nil
}

// maxKey bounds what may be given as a key, in bytes: it is more than ours take.
const maxKey = 255

// keyLogin is the body of a log-in.
type keyLogin struct {
	Key secret `json:"key"`
}

func (q keyLogin) check() error {
	switch n := len(q.Key); {
	case n == 0:
		return schema.InvalidMember("key", "required")
	case n > maxKey:
		return schema.InvalidMember("key", "must be at most %d bytes", maxKey)
	}
	return nil
}

// loggedIn says as whom requests are carried out.
type loggedIn struct {
	By       string      `json:"by"`
	Role     schema.Role `json:"role"`
	GroupIDs []string    `json:"group_ids"`    // empty: all devices
	Expires  *int64      `json:"expires_time"` // of the log-in; null: by a key
}

func loggedInAs(who caller) loggedIn {
	l := loggedIn{By: who.by, Role: who.role, GroupIDs: []string{}}
	if who.scope.Groups != nil {
		l.GroupIDs = who.scope.Groups
	}
	if who.session != "" {
		l.Expires = &who.expires
	}
	return l
}

// login makes a new session, and never takes one over: what a browser was made
// to hold before is worth nothing after.
func (a *api) login(_ caller, r *http.Request) (reply, error) {
	if err := a.sameOrigin(r, false); err != nil {
		return reply{}, err
	}
	var q keyLogin
	if err := decode(r, &q); err != nil {
		return reply{}, err
	}
	k, err := a.Keys.KeyByHash(r.Context(), a.Secrets.HashToken(string(q.Key)))
	if err == nil {
		return a.loginAs(callerOf(k), r)
	}
	if errors.Is(err, schema.ErrKeyNotFound) {
		err = a.failed(r)
	}
	return reply{}, err
}

func (a *api) loginAs(who caller, r *http.Request) (reply, error) {
	leave, err := a.limits.enter(who.key, a.Now())
	if err != nil {
		return reply{}, err
	}
	defer leave()
	now, value := a.millis(), a.Secrets.NewSession()
	who.session, who.expires = a.Secrets.HashToken(value), now+a.SessionLifetime.Milliseconds()
	err = a.KeySessions.AddKeySession(r.Context(), schema.Login{
		KeySession: schema.KeySession{KeyID: who.key, CreatedTime: now, UsedTime: now, ExpiresTime: who.expires},
		Hash:       who.session, Replaces: a.presented(r), Idle: a.SessionIdle.Milliseconds(), Most: schema.MaxKeySession,
	})
	if errors.Is(err, schema.ErrKeyNotFound) { // revoked meanwhile
		err = a.failed(r)
	}
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, data: loggedInAs(who), cookie: cookie(r, value, a.SessionLifetime), who: &who}, nil
}

// whoami is GET /login.
func (a *api) whoami(_ context.Context, who caller, _ none) (loggedIn, error) {
	return loggedInAs(who), nil
}

// logout ends the log-in of the request's cookie. A key is not ended by it.
func (a *api) logout(who caller, r *http.Request) (reply, error) {
	if err := decode(r, &noMembers{}); err != nil {
		return reply{}, err
	}
	if who.session != "" {
		if err := a.KeySessions.EndKeySession(r.Context(), who.session); err != nil {
			return reply{}, err
		}
	}
	return reply{status: http.StatusOK, data: noMembers{}, cookie: cookie(r, "", 0)}, nil
}

// noMembers is an object with nothing in it.
type noMembers struct{}

func (noMembers) check() error { return nil }
