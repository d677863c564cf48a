package store

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/edgetether/tether/schema"
)

func TestCursor_RoundTrip(t *testing.T) {
	for _, c := range []cursor{{kind: 'd'}, {kind: 'o', number: -1, id: "1861"}, {kind: 'e', number: 1<<63 - 1}, {kind: 'd', id: "a:b é"}} {
		got, err := decodeCursor(c.encode())
		must(t, err)
		equal(t, "cursor", got, c)
	}
}

func TestCursor_BoundOfLength(t *testing.T) {
	long := cursor{kind: 'd', id: strings.Repeat("1", maxCursor*3/4-3)}.encode()
	equal(t, "length", len(long), maxCursor)
	_, err := decodeCursor(long)
	must(t, err)
	if _, err := decodeCursor(cursor{kind: 'd', id: strings.Repeat("1", maxCursor*3/4-2)}.encode()); err == nil {
		t.Fatal("too long, and taken")
	}
}

// What is decoded is what was encoded, and nothing else is taken.
func FuzzCursor(f *testing.F) {
	f.Add("")
	f.Add(cursor{kind: 'd', number: 12, id: "1860"}.encode())
	for _, raw := range []string{"d", "d:", "d+1:x", "d01:x", "d9223372036854775808:", "d1", "\xff1:", "d1:\x00"} {
		f.Add(base64.RawURLEncoding.EncodeToString([]byte(raw)))
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := decodeCursor(text)
		if err == nil && c.encode() != text {
			t.Fatalf("%q is also %q", text, c.encode())
		}
	})
}

func FuzzFold(f *testing.F) {
	for _, s := range []string{"", "ABC", "Straße", "ΣΊΣΥΦΟΣ", "e\u0301", "\xff", "İı"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if once := fold(s); fold(once) != once {
			t.Fatalf("%q folds to %q, and that to %q", s, once, fold(once))
		}
	})
}

// Stored JSON that is none is an error, not a zero value.
func TestParseOptional(t *testing.T) {
	if _, err := parseOptional[schema.Software](rawText([]byte("{"))); err == nil {
		t.Fatal("taken")
	}
	v, err := parseOptional[schema.Software](rawText(nil))
	must(t, err)
	if v != nil {
		t.Fatal("something of nothing")
	}
}
