package store

import (
	"fmt"
	"testing"

	"github.com/edgetether/tether/schema"
)

const idle = int64(1000)

// addKeys makes viewer keys whose hash is "h" and their identifier.
func addKeys(t testing.TB, s *Store, ids ...string) {
	t.Helper()
	for _, id := range ids {
		must(t, s.AddKey(t.Context(), schema.Key{KeyID: id, Name: "n" + id, Role: schema.Viewer, CreatedTime: start}, "h"+id))
	}
}

// loginOf is one that lasts for ten times idle.
func loginOf(keyID, hash, replaces string, at int64) schema.Login {
	return schema.Login{
		KeySession: schema.KeySession{KeyID: keyID, CreatedTime: start + at, UsedTime: start + at, ExpiresTime: start + at + 10*idle},
		Hash:       hash, Replaces: replaces, Idle: idle, Most: 3,
	}
}

// good says whether a log-in is, at an offset.
func good(t testing.TB, s *Store, hash string, at int64) bool {
	t.Helper()
	k, l, err := s.KeySession(t.Context(), hash, idle, start+at)
	if schema.KindOf(err) == schema.KeyNotFound {
		return false
	}
	must(t, err)
	equal(t, "whose", l.KeyID, k.KeyID)
	return true
}

// Both ends, of one that is not used and of one that is, are exact.
func TestKeySession_Ends(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addKeys(t, s, "1")
		must(t, s.AddKeySession(t.Context(), loginOf("1", "a", "", 0)))
		equal(t, "at once", good(t, s, "a", 0), true)
		equal(t, "another", good(t, s, "b", 0), false)
		equal(t, "just before idle", good(t, s, "a", idle-1), true)
		equal(t, "idle", good(t, s, "a", idle), false)
		for at := int64(0); at < 10*idle; at += idle - 1 {
			equal(t, "used before", good(t, s, "a", at), true)
			s.UsedKeySession("a", start+at)
			s.UsedKeySession("a", start) // what comes late takes nothing back
			flushed(t, s)
		}
		s.UsedKeySession("a", start+10*idle-1)
		flushed(t, s)
		equal(t, "just before its end", good(t, s, "a", 10*idle-1), true)
		equal(t, "its end", good(t, s, "a", 10*idle), false)
	})
}

// A log-in ends the one that it replaces, and with the fourth of three the oldest.
func TestKeySession_ReplacedAndBounded(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addKeys(t, s, "1", "2")
		must(t, s.AddKeySession(t.Context(), loginOf("2", "other", "", 0)))
		must(t, s.AddKeySession(t.Context(), loginOf("1", "a", "", 0)))
		must(t, s.AddKeySession(t.Context(), loginOf("1", "b", "a", 1)))
		equal(t, "replaced", good(t, s, "a", 1), false)
		must(t, s.AddKeySession(t.Context(), loginOf("1", "c", "", 2)))
		must(t, s.AddKeySession(t.Context(), loginOf("1", "d", "", 3)))
		equal(t, "three", fmt.Sprint(good(t, s, "b", 3), good(t, s, "c", 3), good(t, s, "d", 3)), "true true true")
		must(t, s.AddKeySession(t.Context(), loginOf("1", "e", "", 4)))
		equal(t, "a fourth", fmt.Sprint(good(t, s, "b", 4), good(t, s, "c", 4), good(t, s, "e", 4)), "false true true")
		equal(t, "another key's", good(t, s, "other", 4), true)
		must(t, s.EndKeySession(t.Context(), "c"))
		must(t, s.EndKeySession(t.Context(), "c"))
		equal(t, "ended", good(t, s, "c", 4), false)
		must(t, s.AddKeySession(t.Context(), loginOf("1", "f", "", 2*idle)))
		var rows int
		must(t, s.engine.read.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM key_sessions").Scan(&rows))
		equal(t, "rows once the others were idle", rows, 1)
	})
}

// A key's log-ins end with it, and it can be logged in with no more (T12).
func TestT12_RevokedKeyEndsItsSessions(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addKeys(t, s, "1", "2")
		must(t, s.AddKeySession(t.Context(), loginOf("1", "a", "", 0)))
		must(t, s.AddKeySession(t.Context(), loginOf("2", "b", "", 0)))
		must(t, s.RevokeKey(t.Context(), "1", start))
		equal(t, "of the revoked, of another", fmt.Sprint(good(t, s, "a", 0), good(t, s, "b", 0)), "false true")
		wantKind(t, s.AddKeySession(t.Context(), loginOf("1", "c", "b", 0)), schema.KeyNotFound, "")
		equal(t, "a refused log-in replaces none", good(t, s, "b", 0), true)
		wantKind(t, s.AddKeySession(t.Context(), loginOf("9", "c", "", 0)), schema.KeyNotFound, "")
	})
}

// When a key was used last only rises.
func TestUsedKey(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addKeys(t, s, "1", "2")
		for _, at := range []int64{20, 30, 10} {
			s.UsedKey("1", start+at)
		}
		s.UsedKey("9", start)
		flushed(t, s)
		l, err := s.ListKeys(t.Context(), schema.Page{})
		must(t, err)
		equal(t, "used", *l.Items[0].UsedTime, start+30)
		equal(t, "another's", l.Items[1].UsedTime == nil, true)
		k, err := s.KeyByHash(t.Context(), "h1")
		must(t, err)
		equal(t, "by hash", *k.UsedTime, start+30)
	})
}
