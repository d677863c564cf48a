package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/edgetether/tether/store"
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
	s, err := store.Open(context.Background(), "sqlite:"+path, store.Options{Migrate: true})
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// seed puts that file where a database of SQLite is to be, and is not yet.
func seed(t testing.TB, url string) {
	t.Helper()
	path, ok := strings.CutPrefix(url, "sqlite:")
	if _, err := os.Stat(path); !ok || err == nil {
		return
	}
	file, err := migrated()
	if err == nil {
		err = os.WriteFile(path, file, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
