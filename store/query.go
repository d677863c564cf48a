package store

import (
	"strconv"
	"strings"

	"github.com/edgetether/tether/schema"
)

// query builds a SELECT whose conditions depend on what is asked for. Values
// never become text: each "?" of a piece is the next placeholder.
type query struct {
	text strings.Builder
	args []any
}

// add appends a constant piece of text and the values of its "?".
func (q *query) add(piece string, args ...any) {
	for _, v := range args {
		before, after, _ := strings.Cut(piece, "?")
		q.args = append(q.args, v)
		q.text.WriteString(before + "$" + strconv.Itoa(len(q.args)))
		piece = after
	}
	q.text.WriteString(piece)
}

// equal adds a condition for a filter that is not empty.
func (q *query) equal(column, value string) {
	if value != "" {
		q.add(" AND "+column+" = ?", value)
	}
}

// in adds "column IN (…)", which an empty list never meets.
func in[T any](q *query, column string, list []T) {
	if len(list) == 0 {
		q.add("FALSE")
		return
	}
	q.add(column+" IN (?", list[0])
	for _, v := range list[1:] {
		q.add(",?", v)
	}
	q.add(")")
}

// within limits the query to the scope's devices; device is the column that
// names the device.
func (q *query) within(sc schema.Scope, device string) {
	if sc.Groups == nil {
		return
	}
	q.add(" AND EXISTS (SELECT 1 FROM relations w WHERE w.device_id = " + device + " AND ")
	in(q, "w.group_id", sc.Groups)
	q.add(")")
}

// withinGroups limits the query to the scope's groups.
func (q *query) withinGroups(sc schema.Scope, group string) {
	if sc.Groups != nil {
		q.add(" AND ")
		in(q, group, sc.Groups)
	}
}

// list reads one page: q without its order, the kind and columns that order
// it, and a way to tell an item's key in them. One row more than the page is
// read, to know whether it was the last.
func list[T any](r querier, q *query, p schema.Page, o order, scan func(scanner) (T, error), key func(T) cursor) (schema.List[T], error) {
	limit, err := pageLimit(p)
	if err != nil {
		return schema.List[T]{}, err
	}
	if err := o.after(q, p.Cursor); err != nil {
		return schema.List[T]{}, err
	}
	q.add(" LIMIT ?", limit+1)
	rows, err := r.page(q.text.String(), q.args...)
	items, err := collect(rows, err, scan)
	if err != nil {
		return schema.List[T]{}, err
	}
	page := schema.List[T]{Items: items}
	if len(items) > limit {
		page.Items = items[:limit]
		last := key(items[limit-1])
		last.kind = o.kind
		page.NextCursor = last.encode()
	}
	return page, nil
}

func pageLimit(p schema.Page) (int, error) {
	switch {
	case p.Limit == 0:
		return schema.DefaultPageLimit, nil
	case p.Limit < 0 || p.Limit > schema.MaxPageLimit:
		return 0, schema.InvalidMember("limit", "must be 1 to %d", schema.MaxPageLimit)
	}
	return p.Limit, nil
}

// order is how a list is sorted: by a time or number, by an identifier, or by
// both. The identifier makes the order total, and so the cursor stable while
// rows are added.
type order struct {
	kind   byte // of its cursors, so that one list's cursor fits no other
	number string
	id     string
	newest bool // descending
}

// after adds the condition that a row comes after the cursor, and the order.
func (o order) after(q *query, text string) error {
	sign, direction := " > ", ""
	if o.newest {
		sign, direction = " < ", " DESC"
	}
	if text != "" {
		c, err := decodeCursor(text)
		if err != nil || c.kind != o.kind {
			return schema.InvalidMember("cursor", "must be the next_cursor of an earlier page of this list")
		}
		switch {
		case o.id == "":
			q.add(" AND "+o.number+sign+"?", c.number)
		case o.number == "":
			q.add(" AND "+o.id+sign+"?", c.id)
		default:
			q.add(" AND ("+o.number+", "+o.id+")"+sign+"(?, ?)", c.number, c.id)
		}
	}
	var by []string
	for _, column := range []string{o.number, o.id} {
		if column != "" {
			by = append(by, column+direction)
		}
	}
	q.add(" ORDER BY " + strings.Join(by, ", "))
	return nil
}
