package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// eachRow reads a table. A value is a nil, string, int64, float64 or bool,
// the same on every engine.
func eachRow(ctx context.Context, side *sql.Tx, t copiedTable, take func(row []any) error) error {
	rows, err := side.QueryContext(ctx, t.query())
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	types, err := rows.ColumnTypes()
	if err != nil {
		return err
	}
	places := make([]any, len(types))
	for rows.Next() {
		row := make([]any, len(types))
		for i := range row {
			places[i] = &row[i]
		}
		if err := rows.Scan(places...); err != nil {
			return err
		}
		for i, v := range row {
			if row[i], err = portable(v, types[i].DatabaseTypeName()); err != nil {
				return fmt.Errorf("%s: %w", types[i].Name(), err)
			}
		}
		if err := take(row); err != nil {
			return err
		}
	}
	return rows.Err()
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

func (d *Digest) add(row []any) {
	sum := sha256.Sum256(appendRow(nil, row))
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
