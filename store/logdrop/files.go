package logdrop

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/edgetether/tether/schema"
)

const (
	incoming   = ".incoming" // holds what is on its way
	sweepEvery = 24 * time.Hour
	// orphanAge keeps the sweep off files whose row is about to be committed,
	// and gives an operator who started with the wrong database a day.
	orphanAge = 24 * time.Hour
)

// isID says whether s can be part of a file name: identifiers are decimal
// strings, tests use words.
func isID(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

func finalName(device, order string) string { return device + "/" + order + ".log" }

// emptyIncoming makes the directory of temporary files anew.
func emptyIncoming(root *os.Root) error {
	if err := root.RemoveAll(incoming); err != nil {
		return err
	}
	return root.Mkdir(incoming, 0o700)
}

// discard removes a file that is not wanted. A failure costs room, no more.
func (r *Receiver) discard(name string) {
	if err := r.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.o.Log("log file cannot be removed", "name", name, "error", err.Error())
	}
}

func (r *Receiver) syncDir(name string) error {
	d, err := r.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// room is an error when the file system is down to the floor.
func (r *Receiver) room() error {
	free, err := freeSpace(r.o.Dir)
	if err != nil {
		r.o.Log("log store cannot be measured", "error", err.Error())
		return errStoreFull
	}
	if free < r.o.MinFree {
		r.o.Log("log store is full", "free", free, "floor", r.o.MinFree)
		return errStoreFull
	}
	return nil
}

func (r *Receiver) sweepDaily() {
	for ok := true; ok; ok = r.wait(sweepEvery) {
		if err := r.sweep(time.Now()); err != nil && r.ctx.Err() == nil {
			r.o.Log("log store was not swept", "error", err.Error())
		}
	}
}

// sweep removes the files that have no row. It ends at the first error: what
// cannot be looked up is kept.
func (r *Receiver) sweep(now time.Time) error {
	devices, err := fs.ReadDir(r.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, d := range devices {
		if !d.IsDir() || !isID(d.Name()) {
			continue
		}
		if err := r.sweepDevice(d.Name(), now); err != nil {
			return err
		}
	}
	return nil
}

func (r *Receiver) sweepDevice(device string, now time.Time) error {
	files, err := fs.ReadDir(r.root.FS(), device)
	if err != nil {
		return err
	}
	for _, f := range files {
		order, isLog := strings.CutSuffix(f.Name(), ".log")
		info, err := f.Info()
		if err != nil || !isLog || now.Sub(info.ModTime()) < orphanAge {
			continue
		}
		_, err = r.o.Rows.LogFile(r.ctx, schema.Everything, order)
		if errors.Is(err, schema.ErrFileNotFound) {
			r.discard(finalName(device, order))
		} else if err != nil {
			return err
		}
	}
	return nil
}
