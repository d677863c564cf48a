package store

import (
	"slices"
	"strings"
)

// A part of a name is not looked for in 100,000 rows, which takes an engine
// tens of milliseconds, but in pages of the names of 64 devices each, which take
// it a tenth of that. The devices of a page that has it are then looked at one
// by one. So a page may have more than it should, such as the names of devices
// that were deleted, but never less: it is written once, with its devices told
// which of their names it has, and one whose name is another by now is looked
// at by itself until there are enough of those for a page.
const (
	namesPage = 64
	// fewPages is how many pages are worth the narrowing. What more of them
	// have is common, and a list in order comes upon it soon.
	fewPages = 128
)

// inNoPage is a device whose name is in no page, as its index has it.
const inNoPage = "CASE name_paged WHEN name_folded THEN 0 ELSE 1 END = 1"

// A place is where the devices are that have a part of a name.
type place struct {
	pages []int64
	after int64 // the last page when they were looked for: later ones are in it as well
}

// placeOf finds a part of a name; nil is a common one, or none.
func placeOf(r querier, part string) (*place, error) {
	if part == "" {
		return nil, nil
	}
	var p place
	if err := r.row("SELECT value FROM counters WHERE name = 'name page'").Scan(&p.after); err != nil {
		return nil, err
	}
	// Of what finds a text in a text, REPLACE is what both engines have, and is
	// three times as fast as LIKE.
	rows, err := r.rows("SELECT page FROM name_pages WHERE REPLACE(names, $1, '') <> names LIMIT $2", fold(part), fewPages+1)
	p.pages, err = collect(rows, err, number)
	if err != nil || len(p.pages) > fewPages {
		return nil, err
	}
	return &p, nil
}

// narrow adds the identifiers of the devices in a place whose names have the part.
func (q *query) narrow(p *place, part string) {
	const (
		devices = "SELECT device_id FROM devices WHERE "
		paged   = " AND name_paged = name_folded"
		has     = ` AND name_folded LIKE ? ESCAPE '\'`
	)
	part = containing(part)
	q.add(devices)
	in(q, "name_page", p.pages)
	q.add(paged+has+" UNION ALL "+devices+"name_page > ?"+paged+has, part, p.after, part)
	q.add(" UNION ALL "+devices+inNoPage+has, part)
}

// unpaged is a device whose name is in no page.
type unpaged struct {
	id, name string
	page     int64 // that has a name which it had
}

// pageNames makes pages of names that are in none, if they are enough.
func (t *tx) pageNames() error {
	for {
		rows, err := t.rows("SELECT device_id, name_folded, name_page FROM devices WHERE "+inNoPage+" ORDER BY device_id LIMIT $1", namesPage)
		devices, err := collect(rows, err, func(r scanner) (u unpaged, err error) { return u, r.Scan(&u.id, &u.name, &u.page) })
		if err != nil || len(devices) < namesPage {
			return err
		}
		if err := t.addPage(devices); err != nil {
			return err
		}
	}
}

// addPage tells each device the name that the page has of it, which is another
// than its own if a second server has changed that meanwhile.
func (t *tx) addPage(devices []unpaged) error {
	var page int64
	err := t.row("UPDATE counters SET value = value + 1 WHERE name = 'name page' RETURNING value").Scan(&page)
	if err != nil {
		return err
	}
	var names []string
	var rows [][]any
	var left []int64
	for _, d := range devices {
		names, left = append(names, d.name), append(left, d.page)
		rows = append(rows, []any{d.id, d.name, page})
	}
	if _, err = t.exec("INSERT INTO name_pages (page, names) VALUES ($1, $2)", page, strings.Join(names, " ")); err != nil {
		return err
	}
	_, err = idsFor(t, "id TEXT, name TEXT, page BIGINT", rows, `UPDATE devices SET name_page = given.page, name_paged = given.name
		FROM given WHERE device_id = given.id RETURNING device_id`)
	if err != nil {
		return err
	}
	return t.leavePages(left)
}

// leavePages drops those of the pages of which no device is left.
func (t *tx) leavePages(pages []int64) error {
	slices.Sort(pages)
	for _, page := range slices.Compact(pages) {
		_, err := t.exec(`DELETE FROM name_pages WHERE page = $1
			AND NOT EXISTS (SELECT 1 FROM devices WHERE name_page = $1)`, page)
		if err != nil {
			return err
		}
	}
	return nil
}

// number reads a row of one.
func number(r scanner) (n int64, err error) { return n, r.Scan(&n) }
