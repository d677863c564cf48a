package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// migrated is the file of an empty SQLite database of today's form. To make it
// takes most of a second under the race detector, and most tests begin with one.
var migrated = sync.OnceValues(func() (_ []byte, err error) {
	dir, err := os.MkdirTemp("", "tether-test-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "tether.db")
	s, err := Open(context.Background(), "sqlite:"+path, Options{Migrate: true})
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// seeded puts that file where a database of SQLite is to be, and returns its URL.
func seeded(t testing.TB, url string) string {
	t.Helper()
	path, ok := strings.CutPrefix(url, "sqlite:")
	if !ok {
		return url
	}
	file, err := migrated()
	must(t, err)
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, file, 0o600))
	return url
}
