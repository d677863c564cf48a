package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A stream is the rows of a table as they are read, and summed up on the way. A
// value is a nil, string, int64, float64 or bool, the same on every engine. It
// is what PostgreSQL's COPY takes its rows from as well.
type stream struct {
	rows    *sql.Rows
	columns []*sql.ColumnType
	places  []any // of row
	row     []any // good until the next one is read
	text    []byte
	sum     TableSum
	tell    func(rows int64) // told of some rows at a time
	err     error
}

// openStream reads a table. Close ends it.
func openStream(ctx context.Context, side *sql.Tx, t copiedTable, tell func(rows int64)) (*stream, error) {
	rows, err := side.QueryContext(ctx, t.query())
	if err != nil {
		return nil, err
	}
	s := &stream{rows: rows, tell: tell}
	if s.columns, err = rows.ColumnTypes(); err != nil {
		return nil, errors.Join(err, rows.Close())
	}
	s.row, s.places = make([]any, len(s.columns)), make([]any, len(s.columns))
	for i := range s.row {
		s.places[i] = &s.row[i]
	}
	return s, nil
}

// Next reads a row; false is the end, or Err.
func (s *stream) Next() bool {
	if s.err != nil || !s.rows.Next() {
		return false
	}
	if s.err = s.rows.Scan(s.places...); s.err != nil {
		return false
	}
	for i, v := range s.row {
		if s.row[i], s.err = portable(v, s.columns[i].DatabaseTypeName()); s.err != nil {
			s.err = fmt.Errorf("%s: %w", s.columns[i].Name(), s.err)
			return false
		}
	}
	s.text = appendRow(s.text[:0], s.row)
	s.sum.Digest.add(s.text)
	if s.sum.Rows++; s.sum.Rows%tellRows == 0 {
		s.tell(tellRows)
	}
	return true
}

// Values is the row that was read.
func (s *stream) Values() ([]any, error) { return s.row, nil }

// Err is what ended the stream before its last row.
func (s *stream) Err() error {
	if s.err != nil {
		return s.err
	}
	return s.rows.Err()
}

// close ends the reading, and says how it went.
func (s *stream) close() error {
	s.tell(s.sum.Rows % tellRows)
	return errors.Join(s.Err(), s.rows.Close())
}

// insertRows writes a stream row by row, by one statement that is prepared once.
// SQLite, which runs in this process, gains nothing by statements of many rows:
// its numbered parameters cost the square of their number.
func insertRows(ctx context.Context, to *sql.Tx, t copiedTable, from *stream) error {
	text, _ := values("INSERT INTO "+t.name+" ("+t.columns+") VALUES ", "", [][]any{from.row})
	row, err := to.PrepareContext(ctx, text)
	if err != nil {
		return err
	}
	for err == nil && from.Next() {
		_, err = row.ExecContext(ctx, from.row...)
	}
	return errors.Join(err, row.Close())
}

// portable is a value without what an engine adds to it. SQLite keeps a boolean
// as a number, and of a zero no sign.
func portable(v any, column string) (any, error) {
	switch v := v.(type) {
	case int64:
		if strings.HasPrefix(column, "BOOL") {
			return v != 0, nil
		}
	case float64:
		if v == 0 {
			return 0.0, nil
		}
	case nil, string, bool:
	default:
		return nil, fmt.Errorf("a value of type %T", v)
	}
	return v, nil
}

// Digest tells sets of rows apart, in whatever order they come: it is the sum
// of the SHA-256 of each, as four numbers that are summed without carry.
type Digest [4]uint64

// String is the whole digest in hexadecimal.
func (d Digest) String() string {
	var b []byte
	for _, n := range d {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return hex.EncodeToString(b)
}

// add adds a row, as appendRow writes it.
func (d *Digest) add(row []byte) {
	sum := sha256.Sum256(row)
	for i := range d {
		d[i] += binary.BigEndian.Uint64(sum[8*i:])
	}
}

// appendRow writes row so that no two rows are written alike: each value
// begins with its kind, and a text has its length before it.
func appendRow(b []byte, row []any) []byte {
	for _, v := range row {
		switch v := v.(type) {
		case nil:
			b = append(b, 'n')
		case bool:
			b = strconv.AppendBool(append(b, 'b'), v)
		case int64:
			b = binary.BigEndian.AppendUint64(append(b, 'i'), uint64(v))
		case float64:
			b = binary.BigEndian.AppendUint64(append(b, 'f'), math.Float64bits(v))
		case string:
			b = binary.BigEndian.AppendUint64(append(b, 's'), uint64(len(v)))
			b = append(b, v...)
		}
	}
	return b
}
