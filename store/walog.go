package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// The write-ahead log is a header and frames: a header of their own, and a
// page. Each holds the log's salt and a sum over all before it
// (https://sqlite.org/fileformat2.html#walformat).
const (
	logMagic  = 0x377f0682 // the last bit says big-endian words
	logHeader = 32
	logFrame  = 24
	// sector is what a disk writes whole. Where one ends between a frame's mark of
	// a commit and its salt, a torn frame may have the mark of an earlier round.
	sector = 512
)

// logDamage finds damage in the write-ahead log that SQLite takes for the end
// of it: it goes by the sums, and drops what follows the first wrong one. That
// is right for the last transaction, which a power loss may have torn. But no
// transaction is begun before the one ahead of it is on the disk: if a second
// follows the wrong sum, what was acknowledged is broken (reliability F36).
// A log that was cut off between two transactions cannot be told from a shorter one.
func logDamage(rawURL string) error {
	path, ok := strings.CutPrefix(rawURL, "sqlite:")
	if !ok {
		return nil
	}
	path = RealPath(path)
	f, err := os.Open(path + "-wal")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer func() { _ = f.Close() }()
	l, ok := newLogReader(f)
	if !ok || !l.brokenInside() {
		return nil
	}
	if again, ok := newLogReader(f); !ok || again.header != l.header {
		return nil // it was begun anew under our eyes
	}
	return fmt.Errorf("store: %w: the write-ahead log %s-wal, in frame %d", ErrDamaged, path, l.good+1)
}

// logReader goes through a write-ahead log.
type logReader struct {
	f      io.ReaderAt
	header [logHeader]byte
	order  binary.ByteOrder
	page   int
	sum    [2]uint32
	good   int // frames with the right sum
}

// newLogReader reads the header; one that is not right begins no log.
func newLogReader(f io.ReaderAt) (*logReader, bool) {
	l := &logReader{f: f, order: binary.LittleEndian}
	if _, err := f.ReadAt(l.header[:], 0); err != nil {
		return nil, false
	}
	magic := binary.BigEndian.Uint32(l.header[:])
	if magic&^1 != logMagic {
		return nil, false
	}
	if magic&1 == 1 {
		l.order = binary.BigEndian
	}
	l.page = int(binary.BigEndian.Uint32(l.header[8:]))
	if l.page < 512 || l.page > 65536 || l.page&(l.page-1) != 0 {
		return nil, false
	}
	l.add(l.header[:24])
	return l, l.sumIs(l.header[24:])
}

// brokenInside says whether another transaction follows the one that has the
// first wrong sum.
func (l *logReader) brokenInside() bool {
	frame := make([]byte, logFrame+l.page)
	ended := false // the transaction with the wrong sum
	for sound, at := true, int64(logHeader); ; at += int64(len(frame)) {
		if _, err := l.f.ReadAt(frame, at); err != nil {
			return false
		}
		ours := string(frame[8:16]) == string(l.header[16:24]) // else of an earlier round through the file
		if sound {
			l.add(frame[:8])
			l.add(frame[logFrame:])
			if sound = ours && l.sumIs(frame[16:]); sound {
				l.good++
				continue
			}
		}
		if ours && ended {
			return true
		}
		commits := binary.BigEndian.Uint32(frame[4:]) != 0
		ended = ended || ours && commits && (at+8)%sector != 0
	}
}

// add takes a multiple of eight bytes into the sum.
func (l *logReader) add(b []byte) {
	for ; len(b) > 0; b = b[8:] {
		l.sum[0] += l.order.Uint32(b) + l.sum[1]
		l.sum[1] += l.order.Uint32(b[4:]) + l.sum[0]
	}
}

func (l *logReader) sumIs(b []byte) bool {
	return binary.BigEndian.Uint32(b) == l.sum[0] && binary.BigEndian.Uint32(b[4:]) == l.sum[1]
}
