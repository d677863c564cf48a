package schema

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestKinds: each once, in order, and none is left out at either end.
func TestKinds(t *testing.T) {
	kinds := Kinds()
	if kinds[0] != Internal || kinds[len(kinds)-1] != Fenced || len(kinds) != int(kindEnd) {
		t.Errorf("from %d to %d, %d of %d", kinds[0], kinds[len(kinds)-1], len(kinds), kindEnd)
	}
	for i, k := range kinds {
		if int(k) != i {
			t.Errorf("place %d has kind %d", i, k)
		}
	}
	if Kind(0) != Internal {
		t.Error("an error of no kind would be shown outside")
	}
}

func TestErrorIs(t *testing.T) {
	busy := Errorf(OrderRefused, "device_busy", "order %s is in flight", "7")
	for _, c := range []struct {
		err, target error
		want        bool
	}{
		{busy, busy, true},
		{busy, &Error{Kind: OrderRefused}, true}, // the kind alone
		{busy, &Error{Kind: OrderRefused, Code: "device_busy"}, true},
		{busy, &Error{Kind: OrderRefused, Code: "device_offline"}, false},
		{busy, &Error{Kind: OrderFailed, Code: "device_busy"}, false},
		{busy, io.EOF, false},
		{io.EOF, busy, false},
		{fmt.Errorf("hub: %w", busy), &Error{Kind: OrderRefused}, true},
		{ErrDeviceNotFound, ErrGroupNotFound, false},
	} {
		if got := errors.Is(c.err, c.target); got != c.want {
			t.Errorf("%v is %v: %v", c.err, c.target, got)
		}
	}
	if got := busy.Error(); got != "device_busy: order 7 is in flight" {
		t.Error(got)
	}
}

// TestPublic: nothing of an error that is not ours is shown.
func TestPublic(t *testing.T) {
	secret := errors.New("dial tcp 10.0.0.5:5432: password rejected")
	for _, err := range []error{secret, fmt.Errorf("store: %w", secret), nil} {
		e := Public(err)
		if e.Kind != Internal || e.Error() != "internal: internal error" || e.Data != nil {
			t.Errorf("%v is shown as %v", err, e)
		}
		if KindOf(err) != Internal {
			t.Errorf("%v is of kind %d", err, KindOf(err))
		}
	}
	ours := Errorf(Overloaded, "overloaded", "come back later")
	ours.RetryAfter = time.Second
	if got := Public(fmt.Errorf("gate: %w", errors.Join(secret, ours))); got != ours {
		t.Errorf("%v", got)
	}
	if KindOf(fmt.Errorf("gate: %w", ours)) != Overloaded {
		t.Error("the kind is lost")
	}
}

func TestInvalidMember(t *testing.T) {
	e := InvalidMember("nic[0].mac", "must be at most %d bytes", 17)
	if e.Kind != Invalid || e.Code != "invalid_member" || e.Message != "nic[0].mac: must be at most 17 bytes" {
		t.Errorf("%+v", e)
	}
	if e := InvalidMember("100%d", "is %s", "%d"); e.Message != "100%d: is %d" {
		t.Errorf("what a caller gave is taken for a format: %s", e.Message)
	}
}

// TestFixedErrors: a code is a word that a program can switch on, and a
// message is one line for people.
func TestFixedErrors(t *testing.T) {
	word := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	seen := map[string]bool{}
	for _, e := range []*Error{
		ErrLoginFailed, ErrLoginRequired, ErrAlreadyLoggedIn, ErrFenced, ErrDeviceNotFound, ErrGroupNotFound,
		ErrRelationNotFound, ErrOrderNotFound, ErrNotFirst, ErrOrderKnown, ErrOtherOrder, ErrQueueFull, ErrKeyNotFound, ErrFileNotFound, ErrDraining, ErrStoreUnavailable,
	} {
		if e.Kind == Internal || !word.MatchString(e.Code) || seen[e.Code] || e.Message == "" || strings.Contains(e.Message, "\n") {
			t.Errorf("%+v", e)
		}
		seen[e.Code] = true
	}
}
