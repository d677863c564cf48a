package northapi

import (
	"cmp"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/edgetether/tether/schema"
	"github.com/go-chi/chi/v5"
)

// maxCursor bounds a cursor, in bytes. What is in it is the store's.
const maxCursor = 256

// params reads the path and the query string of a GET. It remembers the first
// member that was wrong, so that bind methods are plain lists.
type params struct {
	request *http.Request
	query   url.Values // without what was taken already
	err     error
}

// decodeParams has bind take its members. What is then left is unknown.
func decodeParams(r *http.Request, bind func(*params)) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return schema.InvalidMember("query string", "must be well-formed")
	}
	p := &params{request: r, query: values}
	bind(p)
	for _, name := range slices.Sorted(maps.Keys(p.query)) {
		p.refuse(schema.InvalidMember(clip(name), "unknown parameter"))
	}
	return p.err
}

func (p *params) refuse(err error) { p.err = cmp.Or(p.err, err) }

// id is an identifier in the path.
func (p *params) id(name string) string {
	s := chi.URLParam(p.request, name)
	p.refuse(schema.CheckID(name, s))
	return s
}

// take is a parameter of the query string, and whether it was given.
func (p *params) take(name string) (string, bool) {
	values, given := p.query[name]
	delete(p.query, name)
	if !given {
		return "", false
	}
	if len(values) > 1 {
		p.refuse(schema.InvalidMember(name, "is given twice"))
	}
	return values[0], true
}

// text is a filter of at most limit runes; empty filters nothing.
func (p *params) text(name string, limit int) string {
	s, _ := p.take(name)
	p.refuse(schema.CheckText(name, s, limit))
	return s
}

// integer is a number from least to most, or absent.
func (p *params) integer(name string, least, most, absent int64) int64 {
	s, given := p.take(name)
	if !given {
		return absent
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < least || n > most {
		p.refuse(schema.InvalidMember(name, "must be an integer from %d to %d", least, most))
	}
	return n
}

// time is in milliseconds since the Unix epoch; 0 if it was not given.
func (p *params) time(name string) int64 { return p.integer(name, 0, math.MaxInt64, 0) }

// words are given one by one, or in lists with commas, most of them at most.
func words[T ~string](p *params, name string, most int, valid func(T) bool, must string) []T {
	var all []T
	for _, list := range p.query[name] {
		for word := range strings.SplitSeq(list, ",") {
			if !valid(T(word)) {
				p.refuse(schema.InvalidMember(name, "%s", must))
				break
			}
			all = append(all, T(word))
		}
	}
	delete(p.query, name)
	if len(all) > most {
		p.refuse(schema.InvalidMember(name, "must have at most %d members", most))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// page is the part of a list that is asked for.
func (p *params) page() schema.Page {
	return schema.Page{
		Limit:  int(p.integer("limit", 1, schema.MaxPageLimit, schema.DefaultPageLimit)),
		Cursor: p.text("cursor", maxCursor),
	}
}
