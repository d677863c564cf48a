package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/edgetether/tether/store"
)

// lock keeps a second server away from an embedded database: it would take the
// first one's devices for those of a process that has died. Commands that only
// read or make keys need none.
type lock struct{ file *os.File }

// lockDatabase takes the lock of a SQLite database, a file beside it. Other
// databases arbitrate between servers themselves.
func lockDatabase(url string) (*lock, error) {
	path, ok := strings.CutPrefix(url, "sqlite:")
	if !ok {
		return nil, nil
	}
	if err := store.MakeFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(store.RealPath(path)+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("%s is in use by another server: stop that one first, or name another database", path), f.Close())
	}
	return &lock{f}, nil
}

// release gives the lock back; the file stays.
func (l *lock) release() error {
	if l == nil {
		return nil
	}
	return l.file.Close()
}

// mustExist refuses to make an embedded database of a path that was mistyped.
func mustExist(url string) error {
	path, ok := strings.CutPrefix(url, "sqlite:")
	if !ok {
		return nil
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no database %s: check its path", path)
	}
	return nil
}
