package store

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/edgetether/tether/schema"
	"golang.org/x/crypto/bcrypt"
)

// DefaultCost is Secrets.Cost where that is zero.
const DefaultCost = 12

// The costs that a stored hash may have (T9): at maxCost a check takes two
// seconds, and each step more doubles that.
const (
	minCost = bcrypt.MinCost
	maxCost = 15
)

// How stored credentials begin.
const (
	bcryptPrefix = "bcrypt:"
	sha256Prefix = "sha256:"
)

// secretBytes are random: 192 bits, which nobody can guess offline, so that a
// fast hash is enough. Outside they are secretText characters.
const (
	secretBytes = 24
	secretText  = secretBytes * 4 / 3
)

// Secrets makes, hashes and checks credentials. The zero value works.
type Secrets struct {
	Cost int // of bcrypt, 4 to 15; 0 is DefaultCost
}

// NewPassword makes a device password: "tp_…".
func (Secrets) NewPassword() string { return random(schema.PasswordPrefix) }

// NewToken makes a login token: "tt_…".
func (Secrets) NewToken() string { return random(schema.TokenPrefix) }

// NewKey makes an API key: "tk_…".
func (Secrets) NewKey() string { return random(schema.KeyPrefix) }

// NewSession makes what the cookie of a log-in holds: "ts_…".
func (Secrets) NewSession() string { return random(schema.SessionPrefix) }

// random is 192 bits from the system, in the alphabet of URLs.
func random(prefix string) string {
	var b [secretBytes]byte
	_, _ = rand.Read(b[:]) // it ends the process rather than fail
	return prefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// HashPassword hashes a device password in the way its form asks for: SHA-256
// for one that the server made, bcrypt for one that a person chose.
func (s Secrets) HashPassword(password string) (string, error) {
	if IsCheap(password) {
		return s.HashToken(password), nil
	}
	if !hashable(password) {
		return "", schema.InvalidMember("password", "must be %d to %d bytes, and no NUL among them",
			schema.MinPassword, schema.MaxPassword)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), s.cost())
	if err != nil {
		return "", fmt.Errorf("store: hash: %w", err)
	}
	return bcryptPrefix + string(hash), nil
}

// HashToken hashes a server-made random secret.
func (Secrets) HashToken(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return sha256Prefix + hex.EncodeToString(sum[:])
}

// IsCheap says whether secret has the form of those that the server makes for
// devices: a prefix and 32 characters of base64. The form alone decides what
// its check costs: microseconds, or a bcrypt. A chosen password that merely
// begins like one is not of that form, and so gets bcrypt.
func IsCheap(secret string) bool {
	rest, ok := strings.CutPrefix(secret, schema.PasswordPrefix)
	if !ok {
		rest, ok = strings.CutPrefix(secret, schema.TokenPrefix)
	}
	if !ok || len(rest) != secretText {
		return false
	}
	_, err := base64.RawURLEncoding.DecodeString(rest)
	return err == nil
}

// hashable are the passwords that bcrypt tells apart (T8).
func hashable(password string) bool {
	return len(password) >= schema.MinPassword && len(password) <= schema.MaxPassword && strings.IndexByte(password, 0) < 0
}

// Verify checks what a login presents against c, the zero Credential for an
// unknown device. The form of the presented secret alone chooses the check,
// and the check is made in any case, against a dummy where the record holds
// another form or nothing: its time tells nothing about the record (T10).
func (s Secrets) Verify(c schema.Credential, p schema.LoginParams) bool {
	var good bool
	switch {
	case p.Token != "":
		good = IsCheap(p.Token) && s.cheapMatch(p.Token, c.Tokens)
	case IsCheap(p.Password):
		good = s.cheapMatch(p.Password, []string{c.Password})
	case hashable(p.Password):
		good = s.slowMatch(p.Password, c.Password)
	}
	return good && c.Enabled
}

// cheapMatch compares with two entries, always: as many as a device has tokens.
func (s Secrets) cheapMatch(secret string, stored []string) bool {
	hash := []byte(s.HashToken(secret))
	var pair [2]string
	copy(pair[:], stored)
	match := 0
	for _, entry := range pair {
		if len(entry) != len(hash) {
			entry = sha256Prefix + strings.Repeat("0", hex.EncodedLen(sha256.Size))
		}
		match |= subtle.ConstantTimeCompare(hash, []byte(entry))
	}
	return match == 1
}

// slowMatch runs one bcrypt, against stored or a dummy.
func (s Secrets) slowMatch(password, stored string) bool {
	hash, ok := strings.CutPrefix(stored, bcryptPrefix)
	if cost, err := bcrypt.Cost([]byte(hash)); !ok || err != nil || cost < minCost || cost > maxCost {
		hash, ok = s.dummy(), false
	}
	return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil && ok
}

// dummy is a hash of the cost that new ones have, and of no password.
func (s Secrets) dummy() string {
	return fmt.Sprintf("$2a$%02d$abcdefghijklmnopqrstuuAbCdEfGhIjKlMnOpQrStUvWxYz01234", s.cost())
}

func (s Secrets) cost() int {
	if s.Cost == 0 {
		return DefaultCost
	}
	return min(max(s.Cost, minCost), maxCost)
}
