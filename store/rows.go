package store

import (
	"iter"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// maxRows is the most rows of one statement. Texts differ by their number of
// rows, and each is prepared once: it bounds those as well.
const maxRows = 64

// insert writes n rows with as few statements as maxRows allows. row appends the
// values of row i.
func (t *tx) insert(head, tail string, n int, row func(args []any, i int) []any) error {
	for from := 0; from < n; from += maxRows {
		to := min(from+maxRows, n)
		args := t.link.args[:0]
		for i := from; i < to; i++ {
			args = row(args, i)
		}
		_, err := t.exec(valuesText(nil, head, tail, to-from, len(args)/(to-from)), args...)
		clear(args)
		t.link.args = args // for the next statement
		if err != nil {
			return err
		}
	}
	return nil
}

// insertRows is insert of rows that are there.
func (t *tx) insertRows(head, tail string, rows [][]any) error {
	return t.insert(head, tail, len(rows), func(args []any, i int) []any { return append(args, rows[i]...) })
}

// parts cuts rows into pieces of maxRows at most.
func parts(rows [][]any) iter.Seq[[][]any] { return slices.Chunk(rows, maxRows) }

// forRows runs a statement about rows of values, which it finds in a table of
// the name "given", and collects what it returns. columns are their names and
// types, as in "id TEXT, version BIGINT". The statement must join them by a
// value that is never NULL, since there may be rows of NULLs among them, and
// must not care for their order.
func forRows[T any](t *tx, columns string, rows [][]any, statement string, scan func(scanner) (T, error)) ([]T, error) {
	var all []T
	for part := range parts(rows) {
		text, args := given(columns, padded(part), statement)
		found, err := t.rows(text, args...)
		some, err := collect(found, err, scan)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// idsFor is forRows of a statement that returns identifiers: the set of them.
func idsFor(t *tx, columns string, rows [][]any, statement string) (map[string]bool, error) {
	ids, err := forRows(t, columns, rows, statement, scanID)
	set := make(map[string]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	return set, err
}

// padded fills rows up with NULLs to a power of two, so that there are few
// texts to prepare: 64 rows take PostgreSQL longer to understand than to store.
func padded(rows [][]any) [][]any {
	rows = slices.Clip(rows)
	for full := 1 << bits.Len(uint(len(rows)-1)); len(rows) < full; {
		rows = append(rows, make([]any, len(rows[0])))
	}
	return rows
}

// given puts rows before a statement, as a table. PostgreSQL takes parameters
// for text unless they are cast; what the first row is cast to holds for all.
func given(columns string, rows [][]any, statement string) (string, []any) {
	var names, kinds []string
	for column := range strings.SplitSeq(columns, ",") {
		name, kind, _ := strings.Cut(strings.TrimSpace(column), " ")
		names, kinds = append(names, name), append(kinds, kind)
	}
	return valuesAs(kinds, "WITH given ("+strings.Join(names, ", ")+") AS (VALUES ", ") "+statement, rows)
}

// values makes the text of a statement of several rows: it puts "($1,$2),($3,$4)" between head and tail.
func values(head, tail string, rows [][]any) (string, []any) { return valuesAs(nil, head, tail, rows) }

// valuesAs is values, and casts the first row to kinds.
func valuesAs(kinds []string, head, tail string, rows [][]any) (string, []any) {
	return valuesText(kinds, head, tail, len(rows), len(rows[0])), slices.Concat(rows...)
}

func valuesText(kinds []string, head, tail string, rows, columns int) string {
	var text strings.Builder
	text.Grow(len(head) + len(tail) + 6*rows*columns)
	text.WriteString(head)
	number := make([]byte, 0, 8)
	for i := range rows * columns {
		switch {
		case i == 0:
			text.WriteByte('(')
		case i%columns == 0:
			text.WriteString("),(")
		default:
			text.WriteByte(',')
		}
		number = strconv.AppendInt(append(number[:0], '$'), int64(i+1), 10)
		if i < len(kinds) {
			text.WriteString("CAST(" + string(number) + " AS " + kinds[i] + ")")
		} else {
			text.Write(number)
		}
	}
	text.WriteString(")" + tail)
	return text.String()
}
