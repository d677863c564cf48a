package northapi

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
	"github.com/go-json-experiment/json/jsontext"
)

// TestFormsAreTotal: every kind of error has its status and its word, and no
// row is of a kind that is not there.
func TestFormsAreTotal(t *testing.T) {
	words := map[string]bool{
		"DEVICEOP_ERROR": true, "GROUPOP_ERROR": true, "RELATIONOP_ERROR": true, "ORDER_ERROR": true,
		"AUTH_ERROR": true, "GENERAL_ERROR": true, "DATABASE_ERROR": true, "INNER_ERROR": true,
	}
	for _, kind := range schema.Kinds() {
		f, ok := forms[kind]
		if !ok || f.status < 400 || f.status > 599 || !words[f.word] {
			t.Errorf("kind %d is answered %+v", kind, f)
		}
		if (f.word == innerError) != (kind == schema.Internal) {
			t.Errorf("kind %d is told as %s", kind, f.word)
		}
	}
	if len(forms) != len(schema.Kinds()) {
		t.Errorf("%d rows for %d kinds", len(forms), len(schema.Kinds()))
	}
}

// slowReader is who takes 64 KiB in nine seconds.
type slowReader struct {
	http.ResponseWriter
	until time.Time
	taken int
}

func (w *slowReader) SetWriteDeadline(t time.Time) error { w.until = t; return nil }

func (w *slowReader) Write(p []byte) (int, error) {
	time.Sleep(time.Duration(len(p)) * 9 * time.Second / (64 << 10))
	if time.Now().After(w.until) {
		return 0, os.ErrDeadlineExceeded
	}
	w.taken += len(p)
	return len(p), nil
}

// TestT17_ReadSlowly: each piece of an answer has its time, so that who reads slowly
// gets all of it, however long it is.
func TestT17_ReadSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &slowReader{ResponseWriter: httptest.NewRecorder()}
		const size = 300_001
		c := &call{ResponseWriter: w, patience: schema.WriteTimeout}
		if n, err := c.Write(make([]byte, size)); n != size || err != nil || w.taken != size {
			t.Errorf("%d bytes, %v", n, err)
		}
		c.patience = 8 * time.Second
		if n, err := c.Write(make([]byte, size)); n != 0 || err == nil {
			t.Errorf("%d bytes too late, %v", n, err)
		}
	})
}

// TestLimiterIsBounded: however many sources fail, two generations of them
// are remembered; one that goes on failing is not forgotten by it.
func TestLimiterIsBounded(t *testing.T) {
	l := newFailureLimiter()
	now := time.UnixMilli(0)
	at := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	stubborn := at(1 << 20)
	for range failureBurst {
		l.charge(stubborn, now)
	}
	for i := range 3 * maxRecent {
		if l.charge(at(i), now) != 0 {
			t.Fatalf("source %d is held up by others", i)
		}
		if i%1000 == 0 && l.charge(stubborn, now) == 0 {
			t.Fatalf("forgiven after %d others", i)
		}
		if n := len(l.buckets.young) + len(l.buckets.old); n > 2*maxRecent {
			t.Fatalf("%d sources are remembered", n)
		}
	}
}

// TestSecretsAreNotPrinted: redaction is by type (reliability T44).
func TestSecretsAreNotPrinted(t *testing.T) {
	s := secret("hidden88")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, v := range []any{s, &s, struct{ P secret }{s}} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, "hidden88") || strings.Contains(text, fmt.Sprintf("%x", "hidden88")) {
				t.Errorf("%s: %s", verb, text)
			}
		}
	}
}

func TestMemberAt(t *testing.T) {
	for pointer, want := range map[jsontext.Pointer]string{
		"": "body", "/a": "a", "/nic/0/mac": "nic[0].mac", "/0": "[0]", "/a~1b/c~0d": "a/b.c~d",
		jsontext.Pointer("/" + strings.Repeat("é", 60)):  strings.Repeat("é", 50) + "…",
		jsontext.Pointer("/x" + strings.Repeat("é", 60)): "x" + strings.Repeat("é", 49) + "…",
	} {
		if got := memberAt(pointer); got != want {
			t.Errorf("%q: %q, want %q", pointer, got, want)
		}
	}
}

// TestNobodyWaitsForeverToBeHashed: a caller that leaves gives its turn up.
func TestNobodyWaitsForeverToBeHashed(t *testing.T) {
	a := build(Config{})
	a.hashing <- struct{}{}
	ctx, leave := context.WithCancel(t.Context())
	leave()
	given := secret("eight888")
	if _, _, err := a.password(ctx, &given); schema.KindOf(err) != schema.Overloaded {
		t.Errorf("answered %v", err)
	}
}
